package ipc

import (
	"cmp"
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
// with others, or one of its own if that is nil. The name is for people. With a zero lock
// the error is ErrClosed.
func NewCondition(name string, lock *RLock) (*Condition, error) {
	var err error
	if lock != nil && lock.r == nil {
		return nil, fmt.Errorf("ipc: new condition: its lock: %w", ErrClosed)
	}
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
// nil if it was notified, that of ctx if not, and ErrClosed if the condition was closed;
// the lock is held in each case. It is not held if the owner that ctx names did not hold
// it (ErrNotHeld, at once), and if the lock itself was closed (ErrClosed).
//
// What one waits for must be looked at again: somebody else may have been faster, and if
// a process that was notified dies before it has the lock again, all others who wait are
// notified.
func (c *Condition) Wait(ctx context.Context) error {
	if c.x == nil {
		return ErrClosed
	}
	if !c.holds(ctx) {
		return ErrNotHeld
	}
	r, o := c.lock.r, ownerOf(ctx)
	var name uint64
	var depth int
	unlock := func() error {
		var token uint64
		if name, token, depth = r.suspend(o); depth == 0 {
			return ErrNotHeld
		}
		err := r.x.Release(token)
		r.wakeNotified()
		return err
	}
	lock := func() error {
		h, err := r.x.AcquireFirm(context.Background())
		if err == nil {
			r.resume(o, h, name, depth)
		}
		return err
	}
	err, lockErr := c.x.Wait(ctx, unlock, lock)
	return named(cmp.Or(lockErr, err))
}

// WaitFor waits until predicate returns true, with the lock held whenever it is
// called, or until ctx ends. It returns what predicate returned last, and an error, as
// Wait does, if that is false.
func (c *Condition) WaitFor(ctx context.Context, predicate func() bool) (bool, error) {
	if !c.holds(ctx) {
		return false, ErrNotHeld
	}
	for !predicate() {
		if err := c.Wait(ctx); err != nil {
			if c.holds(ctx) && predicate() {
				return true, nil
			}
			return false, err
		}
	}
	return true, nil
}

// holds tells whether the owner that ctx names holds the lock.
func (c *Condition) holds(ctx context.Context) bool {
	if c.x == nil {
		return false
	}
	mark, _ := c.lock.r.holding(ownerOf(ctx))
	return mark != 0
}

// Notify lets at most n go of those who wait now, and returns how many it was. It
// returns ErrNotHeld if the owner that ctx names does not hold the lock.
func (c *Condition) Notify(ctx context.Context, n int) (int, error) {
	if c.x == nil {
		return 0, ErrClosed
	}
	if !c.holds(ctx) {
		return 0, ErrNotHeld
	}
	n, wake, err := c.x.Notify(n)
	if n > 0 {
		c.lock.r.wakeLater(wake)
	}
	return n, named(err)
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
	if err != nil {
		CloseFDs(fds)
		return proto.Handle{}, nil, err
	}
	return h, append(fds, lock...), nil
}

// DecodeHandle implements proto.HandleDecoder. With an error it closes neither condition
// nor lock: the process may have had one of them before.
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
		return err
	}
	c.x, c.lock = s.Object().(*shm.Condition), lock
	return nil
}
