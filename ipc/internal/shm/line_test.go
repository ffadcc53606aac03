package shm

import "testing"

// Who has drawn its number is stopped; one with a later number comes, gets what it waits
// for and goes, and somebody sees that the line is empty. When the first one stands there
// at last, it must be called all the same.
func TestAnnouncedLate(t *testing.T) {
	s, err := Create(Config{Kind: KindEvent, Slots: 2}, func(*Segment) any { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l := newLine(s.m, lineA)
	s.m.u32(offUsed).Store(2)

	slow, fast := s.m.nextOrder(), s.m.nextOrder()
	s.m.order(lineA, 2).Store(fast)
	l.announce(fast)
	s.m.order(lineA, 2).Store(0)
	l.call()
	if l.came.Load() != l.gone.Load() {
		t.Fatal("the line was not seen empty")
	}

	s.m.order(lineA, 1).Store(slow)
	l.announce(slow)
	l.call()
	if s.m.wake(lineA, 1).Load() == 0 {
		t.Error("nobody calls the one who stands in line")
	}
}
