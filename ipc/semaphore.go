package ipc

import (
	"context"
	"fmt"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
	"github.com/seed-185a7250/multiproc/proto"
)

// SemaphoreOptions of a Semaphore.
type SemaphoreOptions struct {
	// Name is for people.
	Name string
	// Permits that there are at first; 0 is none.
	Permits int
	// Bounded makes a release beyond Permits an error (CPython's BoundedSemaphore).
	Bounded bool
	// Handoff keeps CPython's rule that a permit belongs to nobody: a process that dies
	// gives nothing back.
	Handoff bool
}

// A Semaphore hands out permits to goroutines of any process. The permits of a process
// that dies come back. A release takes from what the releaser's process holds; if it
// holds nothing, there is one permit more (unless Bounded).
type Semaphore struct{ x *shm.Semaphore }

// NewSemaphore creates a semaphore.
func NewSemaphore(o SemaphoreOptions) (*Semaphore, error) {
	if o.Permits < 0 {
		return nil, fmt.Errorf("ipc: semaphore with %d permits, expected at least 0", o.Permits)
	}
	if o.Bounded && o.Permits == 0 {
		return nil, fmt.Errorf("ipc: bounded semaphore with no permits, expected at least 1")
	}
	s, err := shm.Create(shm.SemaphoreConfig(o.Name, o.Handoff), newSemaphore)
	if err != nil {
		return nil, fmt.Errorf("ipc: new semaphore: %w", err)
	}
	x := s.Object().(*shm.Semaphore)
	bound := 0
	if o.Bounded {
		bound = o.Permits
	}
	x.Init(uint64(o.Permits), uint64(bound))
	return &Semaphore{x: x}, nil
}

func newSemaphore(s *shm.Segment) any { return shm.NewSemaphore(s) }

// Acquire takes a permit, or waits for one until ctx ends, and returns the error of ctx
// then. It returns ErrClosed after Close.
func (s *Semaphore) Acquire(ctx context.Context) error {
	if s.x == nil {
		return ErrClosed
	}
	if err := s.x.Acquire(ctx); err != nil {
		return named(err)
	}
	return nil
}

// TryAcquire takes a permit if there is one now.
func (s *Semaphore) TryAcquire() (bool, error) {
	if s.x == nil {
		return false, ErrClosed
	}
	ok, err := s.x.TryAcquire()
	return ok, named(err)
}

// Release gives a permit back. It returns ErrReleased if the semaphore is bounded and
// nothing is held here.
func (s *Semaphore) Release() error {
	if s.x == nil {
		return ErrClosed
	}
	if err := s.x.Release(); err != nil {
		return named(err)
	}
	return nil
}

// Value returns how many permits are free.
func (s *Semaphore) Value() int {
	if s.x == nil {
		return 0
	}
	return int(s.x.Value())
}

// Waiting returns how many processes wait; one that was woken counts until it has looked.
func (s *Semaphore) Waiting() int {
	if s.x == nil {
		return 0
	}
	return s.x.Waiting()
}

// Name returns SemaphoreOptions.Name.
func (s *Semaphore) Name() string {
	if s.x == nil {
		return ""
	}
	return s.x.Segment().Name()
}

// Close ends the use of the semaphore in this process: its waiters return ErrClosed,
// and what it held comes back.
func (s *Semaphore) Close() error {
	if s.x != nil {
		s.x.Segment().Close()
	}
	return nil
}

// EncodeHandle implements proto.HandleEncoder.
func (s *Semaphore) EncodeHandle() (proto.Handle, []int, error) {
	if s.x == nil {
		return proto.Handle{}, nil, ErrClosed
	}
	return encodeSegment(handleSemaphore, s.x.Segment())
}

// DecodeHandle implements proto.HandleDecoder.
func (s *Semaphore) DecodeHandle(h proto.Handle, fds []int) error {
	seg, err := openSegment(h, fds, handleSemaphore, shm.KindSemaphore, newSemaphore)
	if err == nil {
		s.x = seg.Object().(*shm.Semaphore)
	}
	return err
}
