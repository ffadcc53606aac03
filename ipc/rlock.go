package ipc

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
	"github.com/seed-185a7250/multiproc/proto"
)

// An owner is who holds an RLock: a unit of work that may take it again.
type owner uint64

type ownerKey struct{}

var owners atomic.Uint64

// WithOwner returns a context whose user is an owner of its own: it may acquire an
// RLock that it holds again, and excludes everybody else. Without one, the owner is
// the process: its goroutines share what one of them holds. A worker gives each
// ticket one.
func WithOwner(ctx context.Context) context.Context {
	return context.WithValue(ctx, ownerKey{}, owner(owners.Add(1)))
}

func ownerOf(ctx context.Context) owner {
	o, _ := ctx.Value(ownerKey{}).(owner)
	return o
}

// An RLock is a Lock that its owner may acquire again: it is released when it has been
// released as often as acquired. See WithOwner for who an owner is.
type RLock struct{ r *rlock }

// rlock is what all handles of an RLock in this process share. Who owns it is written by
// the owner alone, and it holds as long as the mutex is held under the token that was
// written with it: so giving up the mutex makes it void, without another store.
type rlock struct {
	x *shm.Mutex

	owner uint64 // stored before mark
	mark  uint64 // token<<depthBits | depth
	died  bool   // of the holding; read by its owner only
}

const (
	depthBits = 14
	maxDepth  = 1<<depthBits - 1
)

// NewRLock creates an RLock that is free. Handoff is not possible: what is owned has an
// owner.
func NewRLock(name string) (*RLock, error) {
	s, err := shm.Create(shm.Config{Kind: shm.KindRLock, Name: name, Slots: shm.MaxSlots}, newRLock)
	if err != nil {
		return nil, fmt.Errorf("ipc: new rlock: %w", err)
	}
	return &RLock{r: s.Object().(*rlock)}, nil
}

func newRLock(s *shm.Segment) any { return &rlock{x: shm.NewMutex(s)} }

// RHeld is one level of a holding of an RLock, to be released once.
type RHeld struct {
	r     *rlock
	level int
	h     shm.Holding
}

// Acquire waits until the owner that ctx names holds the lock, one level more if it
// does already, or until ctx ends. See [Lock.Acquire].
func (l *RLock) Acquire(ctx context.Context) (RHeld, error) {
	if l.r == nil {
		return RHeld{}, ErrClosed
	}
	o := ownerOf(ctx)
	if h, ok := l.r.again(o); ok {
		return h, nil
	}
	h, err := l.r.x.Acquire(ctx)
	if err != nil {
		return RHeld{}, named(err)
	}
	return l.r.first(o, h, 1), nil
}

// TryAcquire is Acquire without waiting.
func (l *RLock) TryAcquire(ctx context.Context) (RHeld, bool, error) {
	if l.r == nil {
		return RHeld{}, false, ErrClosed
	}
	o := ownerOf(ctx)
	if h, ok := l.r.again(o); ok {
		return h, true, nil
	}
	h, ok, err := l.r.x.TryAcquire()
	if !ok {
		return RHeld{}, false, named(err)
	}
	return l.r.first(o, h, 1), true, nil
}

// again takes the lock one level deeper, if o holds it.
func (r *rlock) again(o owner) (RHeld, bool) {
	for {
		mark := atomic.LoadUint64(&r.mark)
		token, depth := mark>>depthBits, mark&maxDepth
		if mark == 0 || owner(atomic.LoadUint64(&r.owner)) != o || !r.x.Holds(token) {
			return RHeld{}, false
		}
		if depth == maxDepth {
			panic("ipc: RLock acquired 16,383 times by one owner: a release is missing")
		}
		if atomic.CompareAndSwapUint64(&r.mark, mark, mark+1) {
			return RHeld{r: r, level: int(depth) + 1, h: shm.Holding{Token: token, Died: r.died}}, true
		}
	}
}

// first notes who holds the lock now, at a depth.
func (r *rlock) first(o owner, h shm.Holding, depth int) RHeld {
	r.died = h.Died
	shm.StoreRelease(&r.owner, uint64(o))
	shm.StoreRelease(&r.mark, h.Token<<depthBits|uint64(depth))
	return RHeld{r: r, level: depth, h: h}
}

// held returns the token and the depth with which o holds the lock; 0, 0 if it does not.
func (r *rlock) held(o owner) (token uint64, depth int) {
	mark := atomic.LoadUint64(&r.mark)
	token = mark >> depthBits
	if mark == 0 || owner(atomic.LoadUint64(&r.owner)) != o || !r.x.Holds(token) {
		return 0, 0
	}
	return token, int(mark & maxDepth)
}

// Token is that of the first level; see [Held.Token].
func (h RHeld) Token() uint64 { return h.h.Token }

// OwnerDied: see [Held.OwnerDied].
func (h RHeld) OwnerDied() bool { return h.h.Died }

// Level is how many levels there were with this one, from 1.
func (h RHeld) Level() int { return h.level }

// Release gives up one level, and with the last one the lock. It returns ErrNotHeld if
// the holding has ended.
func (h RHeld) Release() error {
	if h.r == nil {
		return ErrNotHeld
	}
	r := h.r
	for {
		mark := atomic.LoadUint64(&r.mark)
		if mark>>depthBits != h.h.Token || !r.x.Holds(h.h.Token) {
			return ErrNotHeld
		}
		if mark&maxDepth == 1 {
			return named(r.x.Release(h.h.Token))
		}
		if atomic.CompareAndSwapUint64(&r.mark, mark, mark-1) {
			return nil
		}
	}
}

// Waiting: see [Lock.Waiting].
func (l *RLock) Waiting() int {
	if l.r == nil {
		return 0
	}
	return l.r.x.Waiting()
}

// Name returns the name given to NewRLock.
func (l *RLock) Name() string {
	if l.r == nil {
		return ""
	}
	return l.r.x.Segment().Name()
}

// Close: see [Lock.Close].
func (l *RLock) Close() error {
	if l.r != nil {
		l.r.x.Segment().Close()
	}
	return nil
}

// EncodeHandle implements proto.HandleEncoder.
func (l *RLock) EncodeHandle() (proto.Handle, []int, error) {
	if l.r == nil {
		return proto.Handle{}, nil, ErrClosed
	}
	return encodeSegment(handleRLock, l.r.x.Segment())
}

// DecodeHandle implements proto.HandleDecoder.
func (l *RLock) DecodeHandle(h proto.Handle, fds []int) error {
	s, err := openSegment(h, fds, handleRLock, shm.KindRLock, newRLock)
	if err == nil {
		l.r = s.Object().(*rlock)
	}
	return err
}
