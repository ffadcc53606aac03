package shm

import (
	"errors"
	"runtime"
	"sync/atomic"
	"time"
)

// ErrDeadlock: the wait was refused, see [Mutex.Refuse].
var ErrDeadlock = errors.New("shm: deadlock")

// A want says that who holds a lock waits for another one. It stands in the slot of the
// holder's process, in the segment of the lock that it holds: so a lock has one at the
// most, and who looks at some locks sees which leads to which.
//
// It is noted by a wait that has lasted for relookMin, and by no other: who gets his lock
// soon, or holds none besides, notes nothing. Only the process of the slot writes it,
// under a mutex of its own, but for the state, which anybody may change from wantOpen to
// wantRefused. It counts together with the holding that it names: when that has ended, by
// a release or by a death, the want is void, whatever stands there. So nothing has to be
// repaired.
//
// The words of a want, from slotWant on:
//
//	word   number of the wait, drawn once in a process; the state in the lowest two bits.
//	       Stored last; 0: none, or it is being written
//	token  of the holding
//	lock   of which lock it is, by Segment.Key
//	since  when the wait began, in nanoseconds since 1970
const (
	wantWord  = slotWant
	wantToken = slotWant + 8
	wantLock  = slotWant + 16
	wantSince = slotWant + 24

	wantFirm    = 1 // cannot be refused
	wantOpen    = 2
	wantRefused = 3
	wantState   = 3
	wantShift   = 2
)

// goroutine returns a number for the goroutine that calls, which no other one has as long as
// it lives. It is the address of the runtime's record of it; nothing is read there. What
// a context could tell is neither free nor enough: goroutines that take locks one
// after the other share one.
func goroutine() uint64

// took notes which goroutine has acquired the mutex. Of what stands here by and token are
// true together only: token is stored last, and read first.
func (x *Mutex) took(token uint64) {
	StoreRelease(&x.by, goroutine())
	StoreRelease(&x.byToken, token)
}

// takenBy returns the token of the present holding, if the goroutine g has acquired it.
func (x *Mutex) takenBy(g uint64) (token uint64, ok bool) {
	token = atomic.LoadUint64(&x.byToken)
	return token, atomic.LoadUint64(&x.by) == g && !x.handoff && x.Holds(token)
}

// Share notes that another goroutine than the one that acquired the mutex may release it
// now, if the caller is another one. Then nobody can tell who has to go on for that.
func (x *Mutex) Share() {
	if atomic.LoadUint64(&x.by) != goroutine() {
		atomic.StoreUint64(&x.by, 0)
	}
}

// A want that this process has noted.
type want struct {
	seg  *Segment // keeps the word mapped
	word *atomic.Uint64
	id   uint64 // the number, and no state
}

// wantNumbers counts the waits of this process that were noted.
var wantNumbers atomic.Uint64

// noteWants notes, at each lock that the calling goroutine holds, that it waits for x.
func (x *Mutex) noteWants(firm bool) (noted []want) {
	g, id := goroutine(), wantNumbers.Add(1)<<wantShift
	since := uint64(time.Now().Add(-relookMin).UnixNano())
	state := uint64(wantOpen)
	if firm {
		state = wantFirm
	}
	mapped.Lock() // so that only one goroutine writes
	defer mapped.Unlock()
	for _, weak := range mapped.byID {
		s := weak.Value()
		if s == nil || s.mutex == nil || s.m.kind != KindLock && s.m.kind != KindRLock {
			continue
		}
		token, ok := s.mutex.takenBy(g)
		me := int(s.m.own.Load())
		if !ok || me == 0 {
			continue
		}
		word := s.m.u64(s.m.slot(me) + wantWord)
		point(PointWantBefore)
		word.Store(0)
		s.m.u64(s.m.slot(me) + wantToken).Store(token)
		s.m.u64(s.m.slot(me) + wantLock).Store(x.seg.Key())
		s.m.u64(s.m.slot(me) + wantSince).Store(since)
		point(PointWantHalf)
		word.Store(id | state)
		point(PointWantAfter)
		noted = append(noted, want{s, word, id})
	}
	return noted
}

// refused tells whether somebody has refused the wait.
func (w want) refused() bool {
	defer runtime.KeepAlive(w.seg)
	return w.word.Load() == w.id|wantRefused
}

// end says that the wait is over. Another goroutine of the process may have noted a wait
// of its own there, if the lock was released by somebody else.
func (w want) end() {
	for v := w.word.Load(); v&^wantState == w.id; v = w.word.Load() {
		point(PointWantBeforeEnd)
		w.word.CompareAndSwap(v, 0)
		point(PointWantAfterEnd)
	}
	runtime.KeepAlive(w.seg)
}

// A State is who holds a Mutex at one moment, and what he waits for.
type State struct {
	PID   int // of the holder; 0: nobody holds it, or nobody in particular may release it
	Token uint64
	Want  Want // zero: he is not known to wait for a lock
}

// A Want is one wait of somebody who holds a lock.
type Want struct {
	Number uint64 // tells it from all other waits of the process
	Key    uint64 // of the lock that he waits for; see Segment.Key
	Since  int64  // in nanoseconds since 1970
	Firm   bool   // it cannot be refused
}

// State returns who holds x and what he waits for. All of it was so at one moment, at
// which the holder was alive.
func (x *Mutex) State() (s State) {
	defer runtime.KeepAlive(x)
	for {
		w := x.word.Load()
		n := int(w & ownerMask)
		if n == 0 || n > x.m.slots || x.handoff {
			return State{}
		}
		id := ident(x.m.ident(n).Load())
		s = State{PID: id.pid(), Token: w >> tokenShift, Want: x.m.readWant(n, w>>tokenShift)}
		if s.Want != (Want{}) && n != int(x.m.own.Load()) && id != 0 && !alive(id) {
			x.m.repair(n, id)
			continue
		}
		if now := x.word.Load(); now&ownerMask == w&ownerMask && now>>tokenShift == w>>tokenShift {
			return s
		}
	}
}

// readWant returns the want in slot n if it belongs to the holding.
func (m *mapping) readWant(n int, token uint64) (w Want) {
	word := m.u64(m.slot(n) + wantWord)
	for {
		v := word.Load()
		if v&wantState == 0 || m.u64(m.slot(n)+wantToken).Load() != token {
			return Want{}
		}
		w = Want{
			Number: v >> wantShift,
			Key:    m.u64(m.slot(n) + wantLock).Load(),
			Since:  int64(m.u64(m.slot(n) + wantSince).Load()),
			Firm:   v&wantState == wantFirm,
		}
		if word.Load() == v {
			return w
		}
	}
}

// Refuse ends a wait of the holder of x, as State told it, with ErrDeadlock: soon, for
// who waits looks by himself. It returns false if the wait is over, or firm, or was
// refused before.
func (x *Mutex) Refuse(s State) bool {
	defer runtime.KeepAlive(x)
	w := x.word.Load()
	n := int(w & ownerMask)
	if n == 0 || n > x.m.slots || w>>tokenShift != s.Token {
		return false
	}
	id := s.Want.Number << wantShift
	point(PointRefuseBefore)
	defer point(PointRefuseAfter)
	return x.m.u64(x.m.slot(n)+wantWord).CompareAndSwap(id|wantOpen, id|wantRefused)
}
