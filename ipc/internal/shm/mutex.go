package shm

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"
)

// ErrNotHeld: a release with a token that is not the one of the present holding.
var ErrNotHeld = errors.New("shm: not held")

// The state word of a Mutex, from the low end:
//
//	owner    number of the owner's slot, 0: free
//	waiters  somebody may be asleep; the release has to look
//	woken    a sleeper was woken and has not looked yet; no need to wake another
//	died     the last owner died holding it; cleared by the next one
//	token    how often it was acquired
//
// One compare-and-swap decides who owns it, under which token, and what the new
// owner knows of the last one; so there is no state in which it is half acquired.
const (
	ownerBits   = 10
	ownerMask   = 1<<ownerBits - 1
	flagWaiters = 1 << ownerBits
	flagWoken   = 1 << (ownerBits + 1)
	flagDied    = 1 << (ownerBits + 2)
	tokenShift  = ownerBits + 4
	tokenOne    = 1 << tokenShift
)

const (
	relookMin = 10 * time.Millisecond
	relookMax = 320 * time.Millisecond
)

// A Holding is one acquisition of a Mutex.
type Holding struct {
	Token uint64 // grows with every acquisition by anybody, from 1
	Died  bool   // the owner before died, or closed the segment, holding it
}

// A Mutex excludes all goroutines of all processes that have its segment. It is
// not re-entrant and not fair: who comes at the right moment is first.
type Mutex struct {
	seg   *Segment
	m     *mapping
	word  *atomic.Uint64
	front chan struct{} // capacity 1: full while a goroutine of this process queues
	nudge func()
	ended func() // nudge for the end of a context, which may come late

	handoff bool // holdings belong to no process
	edge    raceEdge
}

// NewMutex returns the Mutex in the header of s.
func NewMutex(s *Segment) *Mutex {
	m := s.m
	x := &Mutex{
		seg:   s,
		m:     m,
		word:  m.u64(offWord),
		front: make(chan struct{}, 1),
		nudge: func() { rouse(m.wake(m.taken)) },

		handoff: m.handoff(),
	}
	// context.AfterFunc may have begun to run it when its stop is called, and nobody
	// waits for it: so it keeps the memory mapped.
	x.ended = func() {
		x.nudge()
		runtime.KeepAlive(x)
	}
	return x
}

// Segment returns the segment that the mutex lies in.
func (x *Mutex) Segment() *Segment { return x.seg }

// Waiting returns how many processes stand in the queue. Nobody may depend on the
// last of them, so this looks itself who is dead.
func (x *Mutex) Waiting() (n int) {
	for i := 1; i <= x.m.used(); i++ {
		if x.m.order(i).Load() == 0 {
			continue
		}
		if id := ident(x.m.ident(i).Load()); id != 0 && !alive(id) {
			x.m.repair(i, id)
			continue
		}
		n++
	}
	return n
}

// Owner returns the pid of the process that holds the mutex, 0 if none does. It may be
// another one when the caller looks at the answer.
func (x *Mutex) Owner() int {
	defer runtime.KeepAlive(x)
	if owner := int(x.word.Load() & ownerMask); owner != 0 {
		return ident(x.m.ident(owner).Load()).pid()
	}
	return 0
}

// TryAcquire acquires the mutex if that is possible without waiting. An owner
// found dead does not stand in the way.
func (x *Mutex) TryAcquire() (h Holding, ok bool, err error) {
	me, err := x.m.takeSlot()
	if err != nil {
		return Holding{}, false, err
	}
	h, ok, err = x.grab(me, flagDied)
	if ok || err != nil {
		return h, ok, err
	}
	x.buryOwner(me)
	return x.grab(me, flagDied)
}

// buryOwner takes the mutex from an owner that is dead.
func (x *Mutex) buryOwner(me int) {
	owner := int(x.word.Load() & ownerMask)
	if owner == 0 || owner == me || x.handoff {
		return
	}
	if id := ident(x.m.ident(owner).Load()); id != 0 && !alive(id) {
		x.m.repair(owner, id)
	}
}

// Acquire waits until it has the mutex or ctx ends, and returns the error of ctx
// then. If the mutex is free, ctx is not looked at.
func (x *Mutex) Acquire(ctx context.Context) (Holding, error) {
	if me := int(x.m.own.Load()); me != 0 {
		if h, ok, err := x.grab(me, flagDied); ok || err != nil {
			return h, err
		}
	}
	return x.acquireSlow(ctx)
}

// grab makes slot me the owner if there is none, and clears the given flags.
func (x *Mutex) grab(me int, flags uint64) (h Holding, ok bool, err error) {
	for w := x.word.Load(); w&ownerMask == 0; w = x.word.Load() {
		point(PointAcquireBeforeCAS)
		if x.word.CompareAndSwap(w, w&^flags+tokenOne|uint64(me)) {
			point(PointAcquireAfterCAS)
			h = Holding{Token: w>>tokenShift + 1, Died: w&flagDied != 0}
			if x.m.own.Load() == 0 {
				// Closed in the meantime. Nobody would release what is returned now.
				x.release(me, h.Token, h.Died)
				return Holding{}, false, ErrClosed
			}
			x.edge.pass()
			return h, true, nil
		}
	}
	return Holding{}, false, nil
}

func (x *Mutex) acquireSlow(ctx context.Context) (Holding, error) {
	me, err := x.m.takeSlot()
	if err != nil {
		return Holding{}, err
	}
	// One goroutine of this process stands in the shared queue, the others behind it
	// in the order in which they came (the runtime keeps it for channels).
	select {
	case x.front <- struct{}{}:
	case <-ctx.Done():
		if h, ok, err := x.grab(me, flagDied); ok || err != nil {
			return h, err
		}
		return Holding{}, ctx.Err()
	}
	defer func() { <-x.front }()
	if h, ok, err := x.spin(me); ok || err != nil {
		return h, err
	}
	return x.queue(ctx, me)
}

// spin looks for a moment before it queues: most holdings are far shorter than a
// sleep and a wake-up.
func (x *Mutex) spin(me int) (h Holding, ok bool, err error) {
	for range spins {
		if h, ok, err = x.grab(me, flagDied); ok || err != nil {
			return h, ok, err
		}
		pause()
	}
	return Holding{}, false, nil
}

// queue waits in the slot of this process.
func (x *Mutex) queue(ctx context.Context, me int) (Holding, error) {
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, x.ended)
		defer stop()
	}
	runtime.Gosched() // the goroutine that holds it may wait for this very thread
	point(PointWaitBeforeOrder)
	order := x.m.nextOrder()
	point(PointWaitHasOrder)
	x.m.order(me).Store(order)
	point(PointWaitAfterOrder)
	// Who drew a later number and stored it earlier depends on this one now.
	if next := x.m.following(order); next != 0 {
		rouse(x.m.wake(next))
	}
	for nap := relookMin; ; nap = min(2*nap, relookMax) {
		x.m.wake(me).Store(0)
		// Who comes out of the queue may be the one that was woken. If the flag stayed,
		// no release would wake anybody again.
		h, ok, err := x.grab(me, flagDied|flagWoken)
		if ok {
			point(PointWaitBeforeLeave)
			x.m.order(me).Store(0)
			point(PointWaitAfterLeave)
			return h, nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == nil && x.m.closed.Load() {
			err = ErrClosed
		}
		if err != nil {
			x.cancel(me)
			return Holding{}, err
		}
		if x.ready(me) {
			sleep(x.m.wake(me), nap)
			if x.m.wake(me).Load() == 0 {
				// Who depends on the owner may be stopped, and then does not see its death.
				x.buryOwner(me)
				x.m.passOver(me)
			}
		}
	}
}

// ready prepares a sleep: it makes the release look for sleepers, and sees to it
// that the death of the process this one depends on will be told. It returns
// false if the caller has to look again first.
func (x *Mutex) ready(me int) bool {
	w := x.word.Load()
	owner := int(w & ownerMask)
	if owner == 0 {
		return false
	}
	point(PointWaitBeforeFlag)
	if !x.word.CompareAndSwap(w, w&^flagWoken|flagWaiters) {
		return false
	}
	point(PointWaitAfterFlag)
	on := x.m.preceding(x.m.order(me).Load())
	if on == 0 {
		on = owner
		if x.handoff {
			return true // its death would change nothing
		}
	}
	if on == me {
		return true // held by another goroutine of this process
	}
	id := ident(x.m.ident(on).Load())
	if id == 0 {
		return false // just repaired
	}
	point(PointWaitBeforeWatch)
	dead, err := x.m.watches.ensure(id, x.nudge)
	point(PointWaitAfterWatch)
	if err != nil {
		// Without a descriptor for the watch the next look has to find the death.
		dead = !alive(id)
	}
	if dead {
		x.m.repair(on, id)
		return false
	}
	return true
}

// cancel leaves the queue without the mutex. The successor has to look again, for
// the wake-up may have come here, and it depends on somebody else now.
func (x *Mutex) cancel(me int) {
	point(PointCancelBeforeLeave)
	order := x.m.order(me).Swap(0)
	point(PointCancelAfterLeave)
	if next := x.m.following(order); next != 0 {
		rouse(x.m.wake(next))
	}
}

// Release gives up the holding with the given token. It fails with ErrNotHeld if
// that is not the present one, and without handoff also if another process holds it.
func (x *Mutex) Release(token uint64) error {
	w := x.word.Load()
	me := x.m.own.Load()
	if token<<tokenShift != w>>tokenShift<<tokenShift || me == 0 || !x.handoff && uint64(me) != w&ownerMask {
		return ErrNotHeld
	}
	if !x.release(int(w&ownerMask), token, false) {
		return ErrNotHeld
	}
	return nil
}

// ReleaseAny gives up whatever holding there is. It is for handoff only.
func (x *Mutex) ReleaseAny() error {
	if x.m.closed.Load() {
		return ErrClosed
	}
	w := x.word.Load()
	if !x.handoff || !x.release(int(w&ownerMask), w>>tokenShift, false) {
		return ErrNotHeld
	}
	return nil
}

// release frees the mutex if slot owner holds it under this token.
func (x *Mutex) release(owner int, token uint64, died bool) bool {
	defer runtime.KeepAlive(x)
	for {
		w := x.word.Load()
		if owner == 0 || int(w&ownerMask) != owner || w>>tokenShift != token&(1<<(64-tokenShift)-1) {
			return false
		}
		free := w &^ ownerMask
		if died {
			free |= flagDied
		}
		wake := w&(flagWaiters|flagWoken) == flagWaiters
		if wake {
			free |= flagWoken
		}
		x.edge.pass()
		point(PointReleaseBeforeCAS)
		if !x.word.CompareAndSwap(w, free) {
			continue
		}
		point(PointReleaseAfterCAS)
		if wake && !x.m.wakeFirst() {
			// Nobody is left who waits. Whoever comes to wait changes the word first.
			point(PointReleaseBeforeClear)
			x.word.CompareAndSwap(free, free&^(flagWaiters|flagWoken))
			point(PointReleaseAfterClear)
		}
		return true
	}
}

func (m *mapping) handoff() bool { return m.u64(offFlags).Load()&FlagHandoff != 0 }

// disown frees the mutex if the process id owns it under slot n. The word is read
// before the slot: if the slot is still that of id afterwards, so was the word.
func (m *mapping) disown(n int, id ident) {
	word := m.u64(offWord)
	for {
		w := word.Load()
		free := w &^ flagWoken // the dead may have been the one that was woken
		if int(w&ownerMask) == n && !m.handoff() && m.ident(n).Load() == uint64(id) {
			free = free&^ownerMask | flagDied
		}
		if free == w {
			return
		}
		point(PointRepairBeforeWord)
		if word.CompareAndSwap(w, free) {
			point(PointRepairAfterWord)
			return
		}
	}
}
