package shm

import (
	"errors"
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
