package shm

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
)

// ErrNotHeld: a release with a token that is not the one of the present holding.
var ErrNotHeld = errors.New("shm: not held")

// The state word of a Mutex, from the low end:
//
//	owner    number of the owner's slot, 0: free
//	waiters  somebody may be asleep; the release has to look
//	woken    a sleeper was woken and has not looked yet; no need to wake another
//	died     the last owner died holding it; cleared by the next one
//	nested   the owner holds it more than once, or did; see Nest
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
	flagNested  = 1 << (ownerBits + 3)
	tokenShift  = ownerBits + 4
	tokenOne    = 1 << tokenShift
)

// A Holding is one acquisition of a Mutex.
type Holding struct {
	Token uint64 // grows with every acquisition by anybody, from 1
	Died  bool   // the owner before died, or closed the segment, holding it
}

// A Mutex excludes all goroutines of all processes that have its segment. It is
// not re-entrant and not fair: who comes at the right moment is first.
type Mutex struct {
	seg  *Segment
	m    *mapping
	word *atomic.Uint64
	line line

	handoff bool // holdings belong to no process
	edge    raceEdge

	by      uint64 // the goroutine of this process that acquired it last; 0: perhaps another one; see took
	byToken uint64 // under this token
}

// NewMutex returns the Mutex in the header of s.
func NewMutex(s *Segment) *Mutex {
	s.mutex = &Mutex{seg: s, m: s.m, word: s.m.u64(offWord), line: newLine(s.m, lineMutex), handoff: s.m.handoff()}
	return s.mutex
}

// newMutex2 returns the second Mutex in the header of s.
func newMutex2(s *Segment) *Mutex {
	return &Mutex{seg: s, m: s.m, word: s.m.u64(offWord2), line: newLine(s.m, lineWord2)}
}

// Segment returns the segment that the mutex lies in.
func (x *Mutex) Segment() *Segment { return x.seg }

// Holds tells whether this process holds the mutex under the given token.
func (x *Mutex) Holds(token uint64) bool {
	w := x.word.Load()
	me := x.m.own.Load()
	runtime.KeepAlive(x) // no defer: an RLock asks at every acquisition
	return me != 0 && uint64(me) == w&ownerMask && token<<tokenShift == w>>tokenShift<<tokenShift
}

// Line returns the processes that stand in line, in its order.
func (x *Mutex) Line() []int {
	defer runtime.KeepAlive(x)
	return x.line.pids()
}

// Waiting returns how many processes stand in line.
func (x *Mutex) Waiting() int {
	defer runtime.KeepAlive(x)
	return x.line.waiting()
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
	defer runtime.KeepAlive(x)
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
	// As grab does it, in one piece: two function calls are a third of the whole.
	me := uint64(x.m.own.Load())
	if w := x.word.Load(); me != 0 && w&(ownerMask|flagDied) == 0 {
		point(PointAcquireBeforeCAS)
		if x.word.CompareAndSwap(w, w+tokenOne|me) {
			point(PointAcquireAfterCAS)
			h := Holding{Token: w>>tokenShift + 1}
			if x.m.own.Load() != 0 {
				x.took(h.Token)
				x.edge.pass()
				return h, nil
			}
			x.release(int(me), h.Token, false)
			return Holding{}, ErrClosed
		}
	}
	return x.acquireSlow(ctx, false)
}

// AcquireFirm is Acquire that cannot be refused.
func (x *Mutex) AcquireFirm(ctx context.Context) (Holding, error) {
	if me := int(x.m.own.Load()); me != 0 {
		if h, ok, err := x.grab(me, flagDied); ok || err != nil {
			return h, err
		}
	}
	return x.acquireSlow(ctx, true)
}

// grab makes slot me the owner if there is none, and clears the given flags.
func (x *Mutex) grab(me int, flags uint64) (h Holding, ok bool, err error) {
	h, ok = x.grabWord(me, flags)
	if !ok {
		return h, false, nil
	}
	if x.m.own.Load() == 0 {
		// Closed in the meantime. Nobody would release what is returned now.
		x.release(me, h.Token, h.Died)
		return Holding{}, false, ErrClosed
	}
	x.took(h.Token)
	x.edge.pass()
	return h, true, nil
}

func (x *Mutex) grabWord(me int, flags uint64) (h Holding, ok bool) {
	for w := x.word.Load(); w&ownerMask == 0; w = x.word.Load() {
		point(PointAcquireBeforeCAS)
		if x.word.CompareAndSwap(w, w&^flags+tokenOne|uint64(me)) {
			point(PointAcquireAfterCAS)
			return Holding{Token: w>>tokenShift + 1, Died: w&flagDied != 0}, true
		}
	}
	return Holding{}, false
}

func (x *Mutex) acquireSlow(ctx context.Context, firm bool) (Holding, error) {
	me, err := x.m.takeSlot()
	if err != nil {
		return Holding{}, err
	}
	w := mutexWaiter{x: x, firm: firm}
	err = x.line.wait(ctx, me, &w, nil)
	for _, want := range w.wants {
		want.end()
	}
	runtime.KeepAlive(x)
	return w.h, err
}

// A mutexWaiter waits for a Mutex in its line.
type mutexWaiter struct {
	x     *Mutex
	h     Holding
	firm  bool
	noted bool
	wants []want
}

// try: who comes out of the line may be the one that was woken. If the flag stayed,
// no release would wake anybody again.
func (w *mutexWaiter) try(me int) (ok bool, err error) {
	w.h, ok, err = w.x.grab(me, flagDied|flagWoken)
	return ok, err
}

func (w *mutexWaiter) ready(int) bool {
	word := w.x.word
	v := word.Load()
	if v&ownerMask == 0 {
		return false
	}
	point(PointWaitBeforeFlag)
	defer point(PointWaitAfterFlag)
	return word.CompareAndSwap(v, v&^flagWoken|flagWaiters)
}

// late: who waits for long says so to those who wait for him.
func (w *mutexWaiter) late() (again bool, err error) {
	if !w.noted {
		w.noted, w.wants = true, w.x.noteWants(w.firm)
	}
	for _, want := range w.wants {
		if want.refused() {
			return false, ErrDeadlock
		}
	}
	return len(w.wants) > 0, nil
}

// depends: the owner may have changed since ready, but only by a release that looks
// into the line, and so wakes the one that asks.
func (w *mutexWaiter) depends(int) []int {
	owner := int(w.x.word.Load() & ownerMask)
	if owner == 0 || w.x.handoff {
		return nil // handoff: its death would change nothing
	}
	return []int{owner}
}

// Release gives up the holding with the given token. It fails with ErrNotHeld if
// that is not the present one, and without handoff also if another process holds it.
func (x *Mutex) Release(token uint64) error {
	if !x.handoff && x.ReleaseFlat(token) {
		return nil
	}
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

// Nest marks the holding with the given token, so that ReleaseFlat fails from here on.
// It returns false if this process does not hold the mutex under that token.
func (x *Mutex) Nest(token uint64) bool {
	defer runtime.KeepAlive(x)
	for x.Holds(token) {
		w := x.word.Load()
		if w>>tokenShift != token&(1<<(64-tokenShift)-1) || w&ownerMask == 0 {
			return false
		}
		point(PointHeldBefore)
		if w&flagNested != 0 || x.word.CompareAndSwap(w, w|flagNested) {
			point(PointHeldAfter)
			return true
		}
	}
	return false
}

// ReleaseFlat is Release of a holding that was not nested. It returns false if it was, or
// if it is not the present one.
func (x *Mutex) ReleaseFlat(token uint64) bool {
	me := x.m.own.Load()
	if w := token<<tokenShift | uint64(me); me != 0 && x.word.Load() == w { // nobody waits
		x.edge.pass()
		point(PointReleaseBeforeCAS)
		if x.word.CompareAndSwap(w, w&^ownerMask) {
			point(PointReleaseAfterCAS)
			runtime.KeepAlive(x)
			return true
		}
	}
	return me != 0 && x.releaseUnless(flagNested, int(me), token, false)
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
	return x.releaseUnless(0, owner, token, died)
}

// releaseUnless is release, but not if the flag is set.
func (x *Mutex) releaseUnless(flag uint64, owner int, token uint64, died bool) bool {
	defer runtime.KeepAlive(x)
	for {
		w := x.word.Load()
		if owner == 0 || int(w&ownerMask) != owner || w&flag != 0 || w>>tokenShift != token&(1<<(64-tokenShift)-1) {
			return false
		}
		free := w &^ (ownerMask | flagNested)
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
		if wake && !x.m.wakeFirst(x.line.number) {
			// Nobody is left who waits. Whoever comes to wait changes the word first.
			point(PointReleaseBeforeClear)
			x.word.CompareAndSwap(free, free&^(flagWaiters|flagWoken))
			point(PointReleaseAfterClear)
		}
		return true
	}
}

func (m *mapping) handoff() bool { return m.u64(offFlags).Load()&FlagHandoff != 0 }

// disown frees the mutexes that the process id owns under slot n.
func (m *mapping) disown(n int, id ident) {
	m.disownWord(m.u64(offWord), n, id)
	if m.kind == KindQueue {
		m.disownWord(m.u64(offWord2), n, id)
	}
}

// disownWord: the word is read before the slot. If the slot is still that of id
// afterwards, so was the word.
func (m *mapping) disownWord(word *atomic.Uint64, n int, id ident) {
	for {
		w := word.Load()
		free := w &^ flagWoken // the dead may have been the one that was woken
		if int(w&ownerMask) == n && !m.handoff() && m.ident(n).Load() == uint64(id) {
			free = free&^(ownerMask|flagNested) | flagDied
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
