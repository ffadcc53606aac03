package ipc

import (
	"context"

	"github.com/seed-185a7250/multiproc/proto"
)

const kindCondition = "condition"

// A ManagedCondition is a condition variable that a manager keeps, with its lock. Waiting and notifying need the lock, held by the owner that the context names
// ([WithOwner]). A notification goes to those who wait the longest, and never to the dead.
type ManagedCondition struct {
	Proxy `msgpack:"-"`
}

// A ManagedLocker is a lock that a condition can be made with.
type ManagedLocker interface {
	proto.RefEncoder
	managedLock()
}

func (l *ManagedLock) managedLock()  {}
func (l *ManagedRLock) managedLock() {}

// NewManagedCondition creates a condition with a lock, which it then shares with others, or if that is nil with one of its own: an rlock, or with
// ManagedOptions.Handoff a lock in that mode.
func NewManagedCondition(ctx context.Context, c *Client, o ManagedOptions, lock ManagedLocker) (*ManagedCondition, error) {
	p, err := c.createProxy(ctx, o, kindCondition, lock, o.handoff())
	if err != nil {
		return nil, err
	}
	return &ManagedCondition{p}, nil
}

// OpenManagedCondition returns the condition with this name. It returns ErrUnknown if there is none, ErrForeign if that is something else.
func OpenManagedCondition(ctx context.Context, c *Client, name string) (*ManagedCondition, error) {
	p, err := c.openProxy(ctx, name, kindCondition)
	if err != nil {
		return nil, err
	}
	return &ManagedCondition{p}, nil
}

// DecodeHandle implements proto.HandleDecoder.
func (c *ManagedCondition) DecodeHandle(h proto.Handle, fds []int) error {
	return c.decode(h, fds, kindCondition)
}

// Acquire acquires the lock; see [ManagedRLock.Acquire].
func (c *ManagedCondition) Acquire(ctx context.Context) (ManagedHeld, error) {
	return c.acquire(ctx, true)
}

// TryAcquire is Acquire without waiting.
func (c *ManagedCondition) TryAcquire(ctx context.Context) (ManagedHeld, bool, error) {
	return c.tryAcquire(ctx)
}

// Release releases the lock; see [ManagedLock.Release].
func (c *ManagedCondition) Release(ctx context.Context) error { return c.tell(ctx, "release") }

// Locked tells whether anybody holds the lock, Owned whether the owner that ctx names does, and Count how many levels of it.
func (c *ManagedCondition) Locked(ctx context.Context) (bool, error) {
	return ask[bool](ctx, &c.Proxy, "locked")
}

// Owned: see Locked.
func (c *ManagedCondition) Owned(ctx context.Context) (bool, error) {
	return ask[bool](ctx, &c.Proxy, "owned")
}

// Count: see Locked.
func (c *ManagedCondition) Count(ctx context.Context) (int, error) {
	return ask[int](ctx, &c.Proxy, "count")
}

// Lock returns a proxy of the lock: of a [ManagedLock] or a [ManagedRLock], as its Kind says.
func (c *ManagedCondition) Lock(ctx context.Context) (*Proxy, error) {
	return ask[*Proxy](ctx, &c.Proxy, "lock")
}

// A Wakening is how a wait has taken the lock again; see [ManagedHeld]. What was held before the wait is held again, and is to be released as before.
type Wakening struct {
	Token     uint64
	OwnerDied bool
}

// Wait gives up the lock, all levels of it, waits until it is notified or ctx ends, and takes the lock again at the same level, however long that takes. The error
// is nil if it was notified, and that of ctx if not; the lock is held in both cases. It is not held after ErrNotHeld: the owner that ctx names did not hold it; nor after
// ErrGone.
func (c *ManagedCondition) Wait(ctx context.Context) (w Wakening, err error) {
	q, err := c.begin(ctx, "wait", 0)
	if err != nil {
		return w, err
	}
	defer q.free()
	if err := q.call(ctx, ownerOf(ctx)); err != nil {
		return w, err
	}
	return readWakening(ctx, q.result)
}

// readWakening reads [notified, token, owner_died].
func readWakening(ctx context.Context, r proto.Raw) (w Wakening, err error) {
	var room [3]proto.Raw
	raws, err := proto.Elements(r, room[:0])
	if err == nil && len(raws) != 3 {
		err = proto.ErrProtocol
	}
	if err != nil {
		return w, err
	}
	notified, err := proto.ParseBool(raws[0])
	if err != nil {
		return w, err
	}
	if w.Token, err = proto.ParseUint(raws[1]); err != nil {
		return w, err
	}
	if w.OwnerDied, err = proto.ParseBool(raws[2]); err == nil && !notified {
		err = ctx.Err()
	}
	return w, err
}

// WaitFor waits until predicate returns true, with the lock held whenever it is called, or until ctx ends. It returns what predicate returned last, and an error, as Wait does,
// if that is false.
func (c *ManagedCondition) WaitFor(ctx context.Context, predicate func() bool) (bool, error) {
	for !predicate() {
		if _, err := c.Wait(ctx); err != nil {
			if ctx.Err() != nil && err == ctx.Err() && predicate() {
				return true, nil
			}
			return false, err
		}
	}
	return true, nil
}

// Notify lets at most n go of those who wait now, and returns how many it was. It returns ErrNotHeld without the lock.
func (c *ManagedCondition) Notify(ctx context.Context, n int) (int, error) {
	return ask[int](ctx, &c.Proxy, "notify", n)
}

// NotifyAll lets all go who wait now.
func (c *ManagedCondition) NotifyAll(ctx context.Context) (int, error) {
	return ask[int](ctx, &c.Proxy, "notify_all")
}

// Waiting returns how many wait for a notification.
func (c *ManagedCondition) Waiting(ctx context.Context) (int, error) {
	return ask[int](ctx, &c.Proxy, "waiting")
}
