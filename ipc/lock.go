package ipc

import (
	"context"
	"fmt"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
	"github.com/seed-185a7250/multiproc/proto"
)

// LockOptions of a Lock; the zero value is good.
type LockOptions struct {
	// Name is for people: reports and errors show it. 64 bytes at most are kept.
	Name string
	// Handoff keeps CPython's rule: any process may release the lock with
	// [Lock.Release], also one that did not acquire it; and what its holder's death
	// leaves behind is a lock that stays held.
	Handoff bool
}

// A Lock excludes all goroutines of all processes that have it. It is not
// re-entrant: who acquires it twice waits for himself. It is not fair.
//
// A Lock is a handle: copies of the pointer, and whatever arrives in messages,
// mean the same lock. Without use and without Close it is cleaned up by the garbage
// collector. The zero Lock is of use only to be decoded into.
type Lock struct{ x *shm.Mutex }

// NewLock creates a lock that is free.
func NewLock(o LockOptions) (*Lock, error) {
	c := shm.Config{Kind: shm.KindLock, Name: o.Name, Slots: shm.MaxSlots}
	if o.Handoff {
		c.Flags = shm.FlagHandoff
	}
	s, err := shm.Create(c, newMutex)
	if err != nil {
		return nil, fmt.Errorf("ipc: new lock: %w", err)
	}
	return &Lock{x: s.Object().(*shm.Mutex)}, nil
}

func newMutex(s *shm.Segment) any { return shm.NewMutex(s) }

// Held is one holding of a Lock. It may be copied, and released by any goroutine,
// once. (Who looks for deadlocks takes it that the goroutine which acquired it will
// release it.)
type Held struct {
	x *shm.Mutex
	h shm.Holding
}

// Acquire waits until the lock is held or ctx ends; then it returns the error of
// ctx. A lock that is free is acquired also when ctx has ended: an ended context
// polls. It returns ErrClosed after Close.
//
// It returns ErrDeadlock if somebody has refused the wait: see [Lock.Refuse].
//
// The death of the owner before is not an error: see [Held.OwnerDied].
func (l *Lock) Acquire(ctx context.Context) (Held, error) {
	if l.x == nil {
		return Held{}, ErrClosed
	}
	h, err := l.x.Acquire(ctx)
	if err != nil {
		return Held{}, named(err)
	}
	return Held{x: l.x, h: h}, nil
}

// TryAcquire acquires the lock if it is free, or if its owner is dead. It does not
// wait; false without an error means that it is held.
func (l *Lock) TryAcquire() (Held, bool, error) {
	if l.x == nil {
		return Held{}, false, ErrClosed
	}
	h, ok, err := l.x.TryAcquire()
	if !ok {
		return Held{}, false, named(err)
	}
	return Held{x: l.x, h: h}, true, nil
}

// Token numbers the acquisitions of the lock, in all processes, from 1: a later
// holder has a higher one. A server that remembers the highest token it has seen
// can refuse what an earlier holder sends late (fencing).
func (h Held) Token() uint64 { return h.h.Token }

// OwnerDied tells that the process that held the lock before died holding it, or
// closed it, so that what the lock protects may be half changed. It is told to the
// next holder only.
func (h Held) OwnerDied() bool { return h.h.Died }

// Release gives the lock up and wakes a waiter. It returns ErrNotHeld if this
// holding has ended before.
func (h Held) Release() error {
	if h.x == nil {
		return ErrNotHeld
	}
	return named(h.x.Release(h.h.Token))
}

// Release releases a lock in handoff mode, whoever holds it. It returns ErrNotHeld
// if nobody does, and for any other lock.
func (l *Lock) Release() error {
	if l.x == nil {
		return ErrClosed
	}
	return named(l.x.ReleaseAny())
}

// Waiting returns how many processes wait for the lock at this moment, however many
// goroutines of each. The dead do not count. It takes some microseconds for each.
func (l *Lock) Waiting() int {
	if l.x == nil {
		return 0
	}
	return l.x.Waiting()
}

// Name returns LockOptions.Name.
func (l *Lock) Name() string {
	if l.x == nil {
		return ""
	}
	return l.x.Segment().Name()
}

// Close ends the use of the lock in this process, for all its handles: waiters
// return ErrClosed. If the process holds it, the next holder is told that the owner
// died. Other processes go on. Closing twice is fine.
func (l *Lock) Close() error {
	if l.x != nil {
		l.x.Segment().Close()
	}
	return nil
}

// EncodeHandle implements proto.HandleEncoder.
func (l *Lock) EncodeHandle() (proto.Handle, []int, error) {
	if l.x == nil {
		return proto.Handle{}, nil, ErrClosed
	}
	fd, err := l.x.Segment().Dup()
	if err != nil {
		return proto.Handle{}, nil, named(err)
	}
	return proto.Handle{Kind: handleLock}, []int{fd}, nil
}

// DecodeHandle implements proto.HandleDecoder.
func (l *Lock) DecodeHandle(h proto.Handle, fds []int) error {
	s, err := openSegment(h, fds, handleLock, shm.KindLock, newMutex)
	if err == nil {
		l.x = s.Object().(*shm.Mutex)
	}
	return err
}

func openSegment(h proto.Handle, fds []int, kind uint8, want shm.Kind, build func(*shm.Segment) any) (*shm.Segment, error) {
	fd, err := single(h, fds, kind, want.String())
	if err != nil {
		return nil, err
	}
	s, err := shm.Open(fd, want, build)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForeign, err)
	}
	return s, nil
}
