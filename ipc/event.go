package ipc

import (
	"context"
	"fmt"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
	"github.com/seed-185a7250/multiproc/proto"
)

// An Event is a flag that goroutines of any process can wait for.
type Event struct{ x *shm.Event }

// NewEvent creates an event that is not set. The name is for people.
func NewEvent(name string) (*Event, error) {
	s, err := shm.Create(shm.EventConfig(name), newEvent)
	if err != nil {
		return nil, fmt.Errorf("ipc: new event: %w", err)
	}
	return &Event{x: s.Object().(*shm.Event)}, nil
}

func newEvent(s *shm.Segment) any { return shm.NewEvent(s) }

// Set sets the flag and wakes all who wait.
func (e *Event) Set() error {
	if e.x == nil {
		return ErrClosed
	}
	return named(e.x.Set())
}

// Clear clears the flag. Who waited when it was set goes on all the same.
func (e *Event) Clear() error {
	if e.x == nil {
		return ErrClosed
	}
	return named(e.x.Clear())
}

// IsSet returns the flag.
func (e *Event) IsSet() bool { return e.x != nil && e.x.IsSet() }

// Wait waits until the flag is set, or until ctx ends, and returns the error of ctx
// then.
func (e *Event) Wait(ctx context.Context) error {
	if e.x == nil {
		return ErrClosed
	}
	return named(e.x.Wait(ctx))
}

// Waiting returns how many processes wait; one that was woken counts until it has looked.
func (e *Event) Waiting() int {
	if e.x == nil {
		return 0
	}
	return e.x.Waiting()
}

// Name returns the name given to NewEvent.
func (e *Event) Name() string {
	if e.x == nil {
		return ""
	}
	return e.x.Segment().Name()
}

// Close ends the use of the event in this process: its waiters return ErrClosed.
func (e *Event) Close() error {
	if e.x != nil {
		e.x.Segment().Close()
	}
	return nil
}

// EncodeHandle implements proto.HandleEncoder.
func (e *Event) EncodeHandle() (proto.Handle, []int, error) {
	if e.x == nil {
		return proto.Handle{}, nil, ErrClosed
	}
	return encodeSegment(handleEvent, e.x.Segment())
}

// DecodeHandle implements proto.HandleDecoder.
func (e *Event) DecodeHandle(h proto.Handle, fds []int) error {
	s, err := openSegment(h, fds, handleEvent, shm.KindEvent, newEvent)
	if err == nil {
		e.x = s.Object().(*shm.Event)
	}
	return err
}
