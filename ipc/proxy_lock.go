package ipc

import (
	"context"

	"github.com/seed-185a7250/multiproc/proto"
)

const (
	kindLock  = "lock"
	kindRLock = "rlock"
)

// A ManagedLock is a lock that a manager keeps: it excludes everybody who has it, on any machine, in any language. It is not re-entrant: who acquires it twice
// waits for himself. Those who wait get it in their order.
type ManagedLock struct {
	Proxy `msgpack:"-"`
}

// NewManagedLock creates a lock that is free. For ManagedOptions.Handoff see [ManagedLock.Release].
func NewManagedLock(ctx context.Context, c *Client, o ManagedOptions) (*ManagedLock, error) {
	p, err := c.createProxy(ctx, o, kindLock, o.handoff())
	if err != nil {
		return nil, err
	}
	return &ManagedLock{p}, nil
}

// handoff are the options of a kind that has such.
func (o ManagedOptions) handoff() map[string]bool {
	if o.Handoff {
		return map[string]bool{"handoff": true}
	}
	return map[string]bool{}
}

// OpenManagedLock returns the lock with this name. It returns ErrUnknown if there is none, ErrForeign if that is something else.
func OpenManagedLock(ctx context.Context, c *Client, name string) (*ManagedLock, error) {
	p, err := c.openProxy(ctx, name, kindLock)
	if err != nil {
		return nil, err
	}
	return &ManagedLock{p}, nil
}

// DecodeHandle implements proto.HandleDecoder.
func (l *ManagedLock) DecodeHandle(h proto.Handle, fds []int) error {
	return l.decode(h, fds, kindLock)
}

// Acquire waits until the lock is held or ctx ends, and returns the error of ctx then. A lock that is free is acquired also when ctx has ended: an ended context
// polls. That the owner before died is not an error: see [ManagedHeld.OwnerDied].
func (l *ManagedLock) Acquire(ctx context.Context) (ManagedHeld, error) { return l.acquire(ctx, true) }

// TryAcquire acquires the lock if it is free. False without an error means that it is held.
func (l *ManagedLock) TryAcquire(ctx context.Context) (ManagedHeld, bool, error) {
	return l.tryAcquire(ctx)
}

// Release releases a lock in handoff mode, whoever holds it, and any other for the owner that ctx names, if that holds it. It returns ErrNotHeld if it is not held so.
func (l *ManagedLock) Release(ctx context.Context) error { return l.tell(ctx, "release") }

// Locked tells whether anybody holds the lock.
func (l *ManagedLock) Locked(ctx context.Context) (bool, error) {
	return ask[bool](ctx, &l.Proxy, "locked")
}

// A ManagedRLock is a ManagedLock that its owner may acquire again: it is free when it has been released as often as acquired. Who the owner is says the context:
// see [WithOwner]; without one it is this client, whose goroutines then share it.
type ManagedRLock struct {
	Proxy `msgpack:"-"`
}

// NewManagedRLock creates a lock that is free.
func NewManagedRLock(ctx context.Context, c *Client, o ManagedOptions) (*ManagedRLock, error) {
	p, err := c.createProxy(ctx, o, kindRLock)
	if err != nil {
		return nil, err
	}
	return &ManagedRLock{p}, nil
}

// OpenManagedRLock returns the lock with this name. It returns ErrUnknown if there is none, ErrForeign if that is something else.
func OpenManagedRLock(ctx context.Context, c *Client, name string) (*ManagedRLock, error) {
	p, err := c.openProxy(ctx, name, kindRLock)
	if err != nil {
		return nil, err
	}
	return &ManagedRLock{p}, nil
}

// DecodeHandle implements proto.HandleDecoder.
func (l *ManagedRLock) DecodeHandle(h proto.Handle, fds []int) error {
	return l.decode(h, fds, kindRLock)
}

// Acquire waits until the owner that ctx names holds the lock, one level more if it does already, or until ctx ends; see [ManagedLock.Acquire].
func (l *ManagedRLock) Acquire(ctx context.Context) (ManagedHeld, error) { return l.acquire(ctx, true) }

// TryAcquire is Acquire without waiting.
func (l *ManagedRLock) TryAcquire(ctx context.Context) (ManagedHeld, bool, error) {
	return l.tryAcquire(ctx)
}

// Locked tells whether anybody holds the lock, Owned whether the owner that ctx names does, and Count how many levels of it.
func (l *ManagedRLock) Locked(ctx context.Context) (bool, error) {
	return ask[bool](ctx, &l.Proxy, "locked")
}

// Owned: see Locked.
func (l *ManagedRLock) Owned(ctx context.Context) (bool, error) {
	return ask[bool](ctx, &l.Proxy, "owned")
}

// Count: see Locked.
func (l *ManagedRLock) Count(ctx context.Context) (int, error) {
	return ask[int](ctx, &l.Proxy, "count")
}
