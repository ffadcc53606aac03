package ipc

import (
	"context"
	"fmt"
	"sync"
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
// the process: its goroutines share what one of them holds (but who began to wait before
// that goes on until the lock is free). A worker gives each ticket one.
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
// the owner alone, when it has acquired the mutex. One level is released by giving up the
// mutex, no more: what is written here is void then. Who takes another level marks the
// mutex first; then the last level is released by setting the depth to 0 before the
// mutex is given up. So whoever changes a depth changes that of a holding that lasts, and
// who never takes a second level does not pay for it.
type rlock struct {
	x *shm.Mutex

	owner   uint64 // stored first
	last    uint64 // token<<1 | 1 if the owner before died; of the last time it was acquired
	mark    uint64 // name<<depthBits | depth; the name is the token with which the holding began
	resumed uint64 // token with which a holding of another name was taken up again

	notified atomic.Bool // somebody is to be woken when the lock is free
	mu       sync.Mutex
	wake     []func() // who, guarded by mu
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

// RHeld is one level of a holding of an RLock, to be released once. It stays good when a
// [Condition.Wait] gives the lock up and takes it again.
type RHeld struct {
	r     *rlock
	level int
	name  uint64
	last  uint64
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
	return l.r.first(o, h), nil
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
	return l.r.first(o, h), true, nil
}

// again takes the lock one level deeper, if o holds it.
func (r *rlock) again(o owner) (RHeld, bool) {
	for {
		mark, last := r.holding(o)
		if mark == 0 || !r.x.Nest(last>>1) {
			return RHeld{}, false
		}
		if mark&maxDepth == maxDepth {
			panic("ipc: RLock acquired 16,383 times by one owner: a release is missing")
		}
		if atomic.CompareAndSwapUint64(&r.mark, mark, mark+1) {
			r.x.Share()
			return RHeld{r: r, level: int(mark&maxDepth) + 1, name: mark >> depthBits, last: last}, true
		}
	}
}

// holding returns the mark of the holding of o, and its last word; 0, 0 if it has none.
// The mark may still be that of a holding that is void, while another goroutine notes a
// new one: so it must be of the token in last.
func (r *rlock) holding(o owner) (mark, last uint64) {
	mark = atomic.LoadUint64(&r.mark)
	if mark&maxDepth == 0 || owner(atomic.LoadUint64(&r.owner)) != o {
		return 0, 0
	}
	last = atomic.LoadUint64(&r.last)
	token := last >> 1
	if mark>>depthBits != token && atomic.LoadUint64(&r.resumed) != token || !r.x.Holds(token) {
		return 0, 0
	}
	return mark, last
}

// begin notes who has acquired the mutex, for the first time or again.
func (r *rlock) begin(o owner, h shm.Holding, name uint64, depth int) RHeld {
	last := h.Token << 1
	if h.Died {
		last |= 1
	}
	shm.StoreRelease(&r.owner, uint64(o))
	shm.StoreRelease(&r.last, last)
	shm.StoreRelease(&r.mark, name<<depthBits|uint64(depth))
	return RHeld{r: r, level: depth, name: name, last: last}
}

// first notes that o has acquired the mutex.
func (r *rlock) first(o owner, h shm.Holding) RHeld { return r.begin(o, h, h.Token, 1) }

// resume notes that o has acquired the mutex again, for a holding that was suspended. The
// name says nothing of the token here. So the mark changes before anything else, for who
// has read the one before; and as the same mark comes twice, the last level is not
// released without changing it.
func (r *rlock) resume(o owner, h shm.Holding, name uint64, depth int) {
	r.x.Nest(h.Token)
	atomic.StoreUint64(&r.mark, name<<depthBits)
	atomic.StoreUint64(&r.resumed, h.Token)
	r.begin(o, h, name, depth)
}

// suspend gives up all levels of the holding of o. The mutex is still to be released.
func (r *rlock) suspend(o owner) (name, token uint64, depth int) {
	for {
		mark, last := r.holding(o)
		if mark == 0 {
			return 0, 0, 0
		}
		if atomic.CompareAndSwapUint64(&r.mark, mark, mark&^maxDepth) {
			return mark >> depthBits, last >> 1, int(mark & maxDepth)
		}
	}
}

// now returns the last word of the holding: it may have been taken up again since.
func (h RHeld) now() uint64 {
	if h.r == nil {
		return 0
	}
	if mark := atomic.LoadUint64(&h.r.mark); mark>>depthBits == h.name && mark&maxDepth > 0 {
		return atomic.LoadUint64(&h.r.last)
	}
	return h.last
}

// Token is that of the first level; see [Held.Token]. After a [Condition.Wait] it is the
// one with which the lock was taken again.
func (h RHeld) Token() uint64 { return h.now() >> 1 }

// OwnerDied: see [Held.OwnerDied]. After a [Condition.Wait] it speaks of who held the
// lock before it was taken again.
func (h RHeld) OwnerDied() bool { return h.now()&1 != 0 }

// Level is how many levels there were with this one, from 1.
func (h RHeld) Level() int { return h.level }

// Release gives up one level, and with the last one the lock. It returns ErrNotHeld if
// the holding has ended.
func (h RHeld) Release() error {
	r := h.r
	if r == nil {
		return ErrNotHeld
	}
	for {
		mark := atomic.LoadUint64(&r.mark)
		if mark>>depthBits != h.name || mark&maxDepth == 0 {
			return ErrNotHeld
		}
		token := atomic.LoadUint64(&r.last) >> 1
		if mark&maxDepth == 1 && r.x.ReleaseFlat(token) {
			r.wakeNotified()
			return nil
		}
		if mark&maxDepth > 1 && !r.x.Holds(token) {
			return ErrNotHeld // closed
		}
		if !atomic.CompareAndSwapUint64(&r.mark, mark, mark-1) {
			continue
		}
		if mark&maxDepth > 1 {
			return nil
		}
		err := r.x.Release(token)
		r.wakeNotified()
		return named(err)
	}
}

// wakeNotified wakes those who were notified while the lock was held: any earlier they
// would only wait for the lock.
func (r *rlock) wakeNotified() {
	if !r.notified.Load() {
		return
	}
	r.mu.Lock()
	wake := r.wake
	r.wake = nil
	r.notified.Store(false)
	r.mu.Unlock()
	for _, f := range wake {
		f()
	}
}

func (r *rlock) wakeLater(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wake = append(r.wake, f)
	r.notified.Store(true)
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
