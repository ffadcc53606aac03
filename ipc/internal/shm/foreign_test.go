package shm

import (
	"errors"
	"os/exec"
	"testing"
)

// A segment of the right kind that is too small for what the kind keeps in it: a foreign
// program made it, or a wild one. It is refused before anybody looks for a word in it.
func TestSegmentsThatAreTooSmall(t *testing.T) {
	for kind, build := range map[Kind]func(s *Segment) any{
		KindSemaphore: func(s *Segment) any { return NewSemaphore(s) },
		KindEvent:     func(s *Segment) any { return NewEvent(s) },
		KindBarrier:   func(s *Segment) any { return NewBarrier(s) },
		KindQueue:     func(s *Segment) any { return NewQueue(s) },
	} {
		for _, pages := range []int{0, 1} {
			const slots = (4096 - offTable) / slotSize // the table ends with the page
			if kind != KindQueue && pages > 0 {
				continue // enough for these
			}
			s, err := Create(Config{Kind: kind, Slots: slots, Bytes: 4096 * pages}, func(*Segment) any { return nil })
			if err != nil {
				t.Fatal(err)
			}
			fd, err := s.Dup()
			s.Close()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Open(fd, kind, build); !errors.Is(err, ErrFormat) {
				t.Errorf("a %s with %d pages of state: %v", kind, pages, err)
			}
		}
	}
}

// Who takes over the slot of a dead process, because all slots are graves, does not take
// over the mutex that the dead one held: nobody would give that back.
func TestInheritNoMutex(t *testing.T) {
	c := QueueConfig("", 4096, FlagJoin|FlagRedeliver)
	c.Slots = 1
	x := newTestQueue(t, c, 4096, 0)
	dead := exec.Command("true")
	if err := dead.Start(); err != nil {
		t.Fatal(err)
	}
	start, err := startTime(dead.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	id := makeIdent(dead.Process.Pid, start)
	dead.Wait()
	x.m.u32(offUsed).Store(1)
	x.m.ident(1).Store(uint64(id))
	x.m.held(1).Store(1)
	x.back.word.Store(tokenOne | 1)
	x.m.order(lineA, 1).Store(x.m.nextOrder())
	me, err := self()
	if err != nil {
		t.Fatal(err)
	}
	if n := x.m.inherit(me.ident); n != 1 {
		t.Fatalf("slot %d", n)
	}
	if owner := x.back.Owner(); owner != 0 || x.Getting() != 0 {
		t.Fatalf("process %d has the mutex, %d stand in line", owner, x.Getting())
	}
}
