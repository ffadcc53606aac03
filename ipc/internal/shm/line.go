package shm

import (
	"cmp"
	"context"
	"runtime"
	"sync/atomic"
	"time"
)

// How long a sleeper waits until it looks again by itself: at first, and at most. They are
// variables for tests only, in which it has to be told; see SetRelook.
var (
	relookMin = 10 * time.Millisecond
	relookMax = 100 * time.Millisecond
)

// A line is one queue of processes in a segment: who waits has an order number in
// its slot. One goroutine of a process stands in the shared line, the others behind
// it inside the process, in the order in which they came (the runtime keeps it for
// channels).
type line struct {
	m      *mapping
	number int
	came   *atomic.Uint64 // the highest order number announced
	gone   *atomic.Uint64 // up to here nobody stands in line any more
	front  chan struct{}  // capacity 1: full while a goroutine of this process stands in line
	nudge  func()         // makes that goroutine look again
	died   func(ident)    // for a process that was watched, now or earlier: repairs its slots, and nudges
}

func newLine(m *mapping, number int) line {
	return line{
		m: m, number: number,
		came:  m.u64(offLines + 16*number),
		gone:  m.u64(offLines + 16*number + 8),
		front: make(chan struct{}, 1),
		nudge: func() { rouse(m.wake(number, m.taken)) },
		died: func(id ident) {
			m.bury(id)
			rouse(m.wake(number, m.taken))
		},
	}
}

// A waiter is what somebody in line waits for.
type waiter interface {
	// try takes it, if it is there. An error ends the wait.
	try(me int) (ok bool, err error)
	// ready makes sure that whoever changes what try looked at from here on will look
	// into the line. It returns false if that has changed already.
	ready(me int) bool
	// depends lists the slots whose death could make try succeed, or nil. The first in line
	// watches them; the others only look at them now and then, for the first may be stopped.
	depends(me int) []int
}

// A nester may hold locks while it waits for another one.
type nester interface {
	// late is called by the goroutine that waits, when it has waited for relookMin, and from
	// then on, if it says so, whenever it looks. An error ends the wait.
	late() (again bool, err error)
}

// wait stands in line as slot me until w.try succeeds, or fails, or ctx ends. early,
// if not nil, is closed when another goroutine of the process has done it for this
// one.
func (l *line) wait(ctx context.Context, me int, w waiter, early <-chan struct{}) error {
	if front, err := l.come(ctx, me, w, early); !front {
		return err
	}
	defer func() { <-l.front }()
	for range spins {
		if early != nil {
			break // a crowd has looked before it came here
		}
		if ok, err := w.try(me); ok || err != nil {
			return err
		}
		pause()
	}
	if ctx.Done() != nil {
		// It may have begun when stop is called, and nobody waits for it: so it keeps the
		// memory mapped, through w.
		stop := context.AfterFunc(ctx, func() {
			l.nudge()
			runtime.KeepAlive(w)
		})
		defer stop()
	}
	runtime.Gosched() // who could end the wait may need this very thread
	return l.stand(ctx, me, w)
}

// come waits until no other goroutine of the process stands in line.
func (l *line) come(ctx context.Context, me int, w waiter, early <-chan struct{}) (front bool, err error) {
	select {
	case l.front <- struct{}{}:
		return true, nil
	default:
	}
	var late <-chan time.Time
	n, nested := w.(nester)
	if nested {
		t := time.NewTimer(relookMin)
		defer t.Stop()
		late = t.C
	}
	for {
		select {
		case l.front <- struct{}{}:
			return true, nil
		case <-early:
			return false, nil
		case <-ctx.Done():
			if ok, err := w.try(me); ok || err != nil {
				return false, err
			}
			return false, ctx.Err()
		case <-late:
			again, err := n.late()
			if err != nil {
				return false, err
			}
			if late = nil; again {
				late = time.After(relookMax)
			}
		}
	}
}

func (l *line) stand(ctx context.Context, me int, w waiter) error {
	m, n := l.m, l.number
	point(PointWaitBeforeOrder)
	order := m.nextOrder()
	point(PointWaitHasOrder)
	m.order(n, me).Store(order)
	point(PointWaitAfterOrder)
	// Who drew a later number and stored it earlier depends on this one now.
	if next := l.following(order); next != 0 {
		rouse(m.wake(n, next))
	}
	l.announce(order)
	var refusal error
	for nap := relookMin; ; nap = min(2*nap, relookMax) {
		m.wake(n, me).Store(0)
		ok, err := w.try(me)
		if ok {
			point(PointWaitBeforeLeave)
			m.order(n, me).Store(0)
			point(PointWaitAfterLeave)
			return nil
		}
		if err == nil {
			err = cmp.Or(refusal, ctx.Err())
		}
		if err == nil && m.closed.Load() {
			err = ErrClosed
		}
		if err != nil {
			l.cancel(me)
			return err
		}
		if w.ready(me) && l.watch(me, w) {
			sleep(m.wake(n, me), nap)
			if m.wake(n, me).Load() == 0 {
				// The first in line may be stopped, and then sees no death.
				l.bury(me, w.depends(me))
				l.passOver(me)
				if late, nested := w.(nester); nested {
					_, refusal = late.late()
				}
			}
		}
	}
}

// announce says that somebody with this order number stands in line; it is said before
// the first look at what is waited for. So who changes that afterwards knows that he has
// to call. The mark only rises, and what [line.call] notes is how far it had risen
// before the line was seen empty: so no death and no delay between two stores can make
// a sleeper be forgotten, as it could with a flag that is set and cleared.
//
// It has to rise for everybody. Who drew a later number and was faster may have come, gone,
// and been noted as the last before this one was to be seen; then a new number is announced.
func (l *line) announce(order uint64) {
	if l.number == lineMutex || l.number == lineWord2 {
		return // the state word has a flag for it, which changes together with the owner
	}
	for {
		came := l.came.Load()
		if came >= order {
			order = l.m.nextOrder()
		}
		point(PointFlagBefore)
		risen := l.came.CompareAndSwap(came, order)
		point(PointFlagAfter)
		if risen {
			return
		}
	}
}

// call wakes the first in line. It costs two loads if nobody has stood there since it
// was last seen empty.
func (l *line) call() {
	if came := l.came.Load(); came != l.gone.Load() && !l.m.wakeFirst(l.number) {
		l.gone.Store(came)
	}
}

// callAll wakes everybody in line.
func (l *line) callAll() {
	if came := l.came.Load(); came != l.gone.Load() && !l.m.wakeAll(l.number) {
		l.gone.Store(came)
	}
}

// watch sees to it that the death of those this slot depends on will be told: the
// one before it in line, or, for the first, whom it waits for. It returns false if
// one is dead already.
func (l *line) watch(me int, w waiter) bool {
	if before := l.preceding(l.m.order(l.number, me).Load()); before != 0 {
		return l.watchSlots(me, before)
	}
	return l.watchSlots(me, w.depends(me)...)
}

// watchSlots watches the processes of some slots. It returns false if one is dead,
// and repaired now.
func (l *line) watchSlots(me int, slots ...int) bool {
	var ids []ident
	for _, n := range slots {
		if n == me {
			continue // another goroutine of this process
		}
		id := ident(l.m.ident(n).Load())
		if id == 0 {
			return false // just repaired
		}
		ids = append(ids, id)
	}
	point(PointWaitBeforeWatch)
	dead, err := l.m.watches[l.number].ensure(ids, l.died)
	point(PointWaitAfterWatch)
	if err != nil {
		// Without a descriptor for the watch the next look has to find the death.
		dead = firstDead(ids)
	}
	if dead == 0 {
		return true
	}
	l.m.bury(dead)
	return false
}

// bury repairs those of the slots whose processes are dead, and tells whether there are
// any.
func (l *line) bury(me int, slots []int) (any bool) {
	for _, n := range slots {
		if id := ident(l.m.ident(n).Load()); n != me && id != 0 && !alive(id) {
			l.m.repair(n, id)
			any = true
		}
	}
	return any
}

func firstDead(ids []ident) ident {
	for _, id := range ids {
		if !alive(id) {
			return id
		}
	}
	return 0
}

// cancel leaves the line with nothing. The successor has to look again, for the
// wake-up may have come here, and it depends on somebody else now.
func (l *line) cancel(me int) {
	point(PointCancelBeforeLeave)
	order := l.m.order(l.number, me).Swap(0)
	point(PointCancelAfterLeave)
	if next := l.following(order); next != 0 {
		rouse(l.m.wake(l.number, next))
	}
}

// passOver is called by a sleeper, me, that nobody has woken for a while. If the
// first in line was woken and has not come, it is stopped, and goes to the end; or
// it is dead, and goes.
func (l *line) passOver(me int) {
	m, n := l.m, l.first()
	if n == 0 || n == me || m.wake(l.number, n).Load() == 0 {
		return
	}
	order, id := m.order(l.number, n).Load(), ident(m.ident(n).Load())
	if id != 0 && !alive(id) {
		m.repair(n, id)
		return
	}
	point(PointPassOverBefore)
	if order != 0 && m.order(l.number, n).CompareAndSwap(order, m.nextOrder()) {
		point(PointPassOverAfter)
		m.wakeFirst(l.number) // it depended on the one that went
	}
}

// waiting returns how many processes stand in line. Nobody may depend on the last
// of them, so this looks itself who is dead.
func (l *line) waiting() (n int) {
	for i := 1; i <= l.m.used(); i++ {
		if l.m.order(l.number, i).Load() == 0 {
			continue
		}
		if id := ident(l.m.ident(i).Load()); id != 0 && !alive(id) {
			l.m.repair(i, id)
			continue
		}
		n++
	}
	return n
}

// pids returns the processes that stand in line, in its order.
func (l *line) pids() (pids []int) {
	for order := uint64(0); ; {
		n := l.following(order)
		if n == 0 {
			return pids
		}
		if o := l.m.order(l.number, n).Load(); o > order { // else it has just gone
			order = o
			pids = append(pids, ident(l.m.ident(n).Load()).pid())
		}
	}
}

// first returns the slot that has waited longest, 0 if nobody waits.
func (l *line) first() int { return l.m.following(l.number, 0) }

func (l *line) following(order uint64) int { return l.m.following(l.number, order) }

// preceding returns the slot that waits just before the order number given.
func (l *line) preceding(order uint64) (slot int) {
	var best uint64
	for n := 1; n <= l.m.used(); n++ {
		if o := l.m.order(l.number, n).Load(); o != 0 && o < order && o > best {
			slot, best = n, o
		}
	}
	return slot
}

// following returns the slot that waits next after the order number given.
func (m *mapping) following(line int, order uint64) (slot int) {
	var best uint64
	for n := 1; n <= m.used(); n++ {
		if o := m.order(line, n).Load(); o > order && (best == 0 || o < best) {
			slot, best = n, o
		}
	}
	return slot
}

// wakeFirst wakes the first in a line, and tells whether there is one.
func (m *mapping) wakeFirst(line int) bool {
	n := m.following(line, 0)
	if n != 0 {
		rouse(m.wake(line, n))
	}
	return n != 0
}

// wakeAll wakes everybody in a line, and tells whether there is anybody.
func (m *mapping) wakeAll(line int) (any bool) {
	for n := 1; n <= m.used(); n++ {
		if m.order(line, n).Load() != 0 {
			rouse(m.wake(line, n))
			any = true
		}
	}
	return any
}
