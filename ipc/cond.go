package ipc

import (
	"context"
	"fmt"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
	"github.com/seed-185a7250/multiproc/proto"
)

// A Condition is a condition variable with its lock, which is an RLock, as in CPython.
// Waiting and notifying need the lock. A notification never goes to the dead.
type Condition struct {
	x    *shm.Condition
	lock *RLock
}

// NewCondition creates a condition with a lock: the given one, which it then shares
// with others, or one of its own if that is nil. The name is for people.
func NewCondition(name string, lock *RLock) (*Condition, error) {
	var err error
	if lock == nil {
		if lock, err = NewRLock(name); err != nil {
			return nil, err
		}
	}
	s, err := shm.Create(shm.ConditionConfig(name), newCondition)
	if err != nil {
		return nil, fmt.Errorf("ipc: new condition: %w", err)
	}
	return &Condition{x: s.Object().(*shm.Condition), lock: lock}, nil
}

func newCondition(s *shm.Segment) any { return shm.NewCondition(s) }

// Lock returns the lock of the condition.
func (c *Condition) Lock() *RLock { return c.lock }

// Wait gives up the lock, all levels of it, waits until it is notified or ctx ends,
// and takes the lock again at the same level, however long that takes. The error is
// nil if it was notified, that of ctx if not; ErrNotHeld, at once, if the owner that ctx
// names does not hold the lock; ErrClosed if the condition or its lock was closed: only
// then the lock is not held afterwards.
//
// What one waits for must be looked at again: somebody else may have been faster.
func (c *Condition) Wait(ctx context.Context) error {
	if c.x == nil {
		return ErrClosed
	}
	r, o := c.lock.r, ownerOf(ctx)
	token, depth := r.held(o)
	if depth == 0 {
		return ErrNotHeld
	}
	waited := c.x.Wait(ctx, func() error { return r.x.Release(token) })
	h, err := r.x.Acquire(context.Background())
	if err != nil {
		return named(err)
	}
	r.first(o, h, depth)
	return named(waited)
}

// WaitFor waits until predicate returns true, with the lock held whenever it is
// called, or until ctx ends. It returns what predicate returned last, and the error of
// ctx if that is false.
func (c *Condition) WaitFor(ctx context.Context, predicate func() bool) (bool, error) {
	for {
		if predicate() {
			return true, nil
		}
		if err := c.Wait(ctx); err != nil {
			if err == ErrNotHeld || err == ErrClosed {
				return false, err
			}
			if predicate() {
				return true, nil
			}
			return false, err
		}
	}
}

// Notify lets at most n go of those who wait now, and returns how many it was. It
// returns ErrNotHeld if the owner that ctx names does not hold the lock.
func (c *Condition) Notify(ctx context.Context, n int) (int, error) {
	if c.x == nil {
		return 0, ErrClosed
	}
	if _, depth := c.lock.r.held(ownerOf(ctx)); depth == 0 {
		return 0, ErrNotHeld
	}
	return c.x.Notify(n), nil
}

// NotifyAll lets all go who wait now.
func (c *Condition) NotifyAll(ctx context.Context) (int, error) {
	return c.Notify(ctx, int(^uint(0)>>1))
}

// Waiting returns how many goroutines wait.
func (c *Condition) Waiting() int {
	if c.x == nil {
		return 0
	}
	return c.x.Waiting()
}

// Name returns the name given to NewCondition.
func (c *Condition) Name() string {
	if c.x == nil {
		return ""
	}
	return c.x.Segment().Name()
}

// Close ends the use of the condition in this process: its waiters return ErrClosed.
// The lock stays open.
func (c *Condition) Close() error {
	if c.x != nil {
		c.x.Segment().Close()
	}
	return nil
}

// EncodeHandle implements proto.HandleEncoder.
func (c *Condition) EncodeHandle() (proto.Handle, []int, error) {
	if c.x == nil {
		return proto.Handle{}, nil, ErrClosed
	}
	h, fds, err := encodeSegment(handleCondition, c.x.Segment())
	if err != nil {
		return h, fds, err
	}
	_, lock, err := c.lock.EncodeHandle()
	return h, append(fds, lock...), err
}

// DecodeHandle implements proto.HandleDecoder.
func (c *Condition) DecodeHandle(h proto.Handle, fds []int) error {
	if h.Kind != handleCondition || len(fds) != 2 {
		CloseFDs(fds)
		return fmt.Errorf("%w: expected a condition (kind %d, 2 descriptors), found kind %d with %d",
			ErrForeign, handleCondition, h.Kind, len(fds))
	}
	s, err := openSegment(h, fds[:1], handleCondition, shm.KindCondition, newCondition)
	if err != nil {
		CloseFDs(fds[1:])
		return err
	}
	lock := new(RLock)
	if err := lock.DecodeHandle(proto.Handle{Kind: handleRLock}, fds[1:]); err != nil {
		s.Close()
		return err
	}
	c.x, c.lock = s.Object().(*shm.Condition), lock
	return nil
}
