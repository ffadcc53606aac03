package ipc

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-185a7250/multiproc/proto"
)

const (
	kindSemaphore = "semaphore"
	kindBounded   = "bounded_semaphore"
)

// A ManagedSemaphore is permits that a manager hands out, in the order in which they are asked for. Those that a connection holds come back when it ends, unless
// ManagedOptions.Handoff was set. A release takes from what the releaser's connection holds; if it holds nothing, there is one permit more.
type ManagedSemaphore struct {
	Proxy `msgpack:"-"`
}

// NewManagedSemaphore creates a semaphore with so many permits.
func NewManagedSemaphore(ctx context.Context, c *Client, o ManagedOptions, permits int) (*ManagedSemaphore, error) {
	return newManagedSemaphore(ctx, c, o, kindSemaphore, permits)
}

// NewManagedBoundedSemaphore creates a semaphore that never has more than so many permits: one release too many is ErrReleased.
func NewManagedBoundedSemaphore(ctx context.Context, c *Client, o ManagedOptions, permits int) (*ManagedSemaphore, error) {
	return newManagedSemaphore(ctx, c, o, kindBounded, permits)
}

func newManagedSemaphore(ctx context.Context, c *Client, o ManagedOptions, kind string, permits int) (*ManagedSemaphore, error) {
	p, err := c.createProxy(ctx, o, kind, permits, o.handoff())
	if err != nil {
		return nil, err
	}
	return &ManagedSemaphore{p}, nil
}

// OpenManagedSemaphore returns the semaphore with this name, bounded or not. It returns ErrUnknown if there is none, ErrForeign if that is something else.
func OpenManagedSemaphore(ctx context.Context, c *Client, name string) (*ManagedSemaphore, error) {
	p, err := c.openProxy(ctx, name, kindSemaphore, kindBounded)
	if err != nil {
		return nil, err
	}
	return &ManagedSemaphore{p}, nil
}

// DecodeHandle implements proto.HandleDecoder.
func (s *ManagedSemaphore) DecodeHandle(h proto.Handle, fds []int) error {
	return s.decode(h, fds, kindSemaphore, kindBounded)
}

// Acquire takes a permit, or waits for one until ctx ends, and returns the error of ctx then. An ended context polls.
func (s *ManagedSemaphore) Acquire(ctx context.Context) error { return s.tell(ctx, "acquire") }

// TryAcquire takes a permit if there is one, and tells whether it did.
func (s *ManagedSemaphore) TryAcquire(ctx context.Context) (bool, error) {
	q, err := s.begin(ctx, "acquire", 0)
	if err != nil {
		return false, err
	}
	defer q.free()
	if err = q.try(ctx, 0); isFault(err, proto.KindTimeout) {
		return false, nil
	}
	return err == nil, err
}

// Release gives a permit back, ReleaseN several. It returns ErrReleased if a bounded semaphore would have too many, and gives none then.
func (s *ManagedSemaphore) Release(ctx context.Context) error { return s.ReleaseN(ctx, 1) }

// ReleaseN: see Release. n is at least 1, else it returns ErrValue.
func (s *ManagedSemaphore) ReleaseN(ctx context.Context, n int) error {
	err := s.tell(ctx, "release", n)
	if n >= 1 && errors.Is(err, ErrValue) {
		err = fmt.Errorf("%w: %w", ErrReleased, err)
	}
	return err
}

// Value returns how many permits are free.
func (s *ManagedSemaphore) Value(ctx context.Context) (int, error) {
	return ask[int](ctx, &s.Proxy, "value")
}
