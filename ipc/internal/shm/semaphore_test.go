package shm

import "testing"

// Close gives back what the process uses. A release that was under way then must not make
// a permit out of nothing.
func TestSemaphoreReleaseDuringClose(t *testing.T) {
	s, err := Create(SemaphoreConfig("", false), func(s *Segment) any { return NewSemaphore(s) })
	if err != nil {
		t.Fatal(err)
	}
	x := s.Object().(*Semaphore)
	x.Init(1, 0)
	if err := x.Acquire(within(t)); err != nil {
		t.Fatal(err)
	}
	me := int(s.m.own.Load()) // as Release has it before it looks what is used
	s.Close()
	if err := x.give(me); err != ErrClosed {
		t.Errorf("release during close: %v", err)
	}
	if n := x.Value(); n != 1 {
		t.Errorf("%d permits, there was 1", n)
	}
}
