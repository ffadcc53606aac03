package shm

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
)

// ErrCrowd: more goroutines of one process wait than can be counted.
var ErrCrowd = errors.New("shm: too many waiters")

// A Condition is the waiting part of a condition variable; the lock is the caller's.
// In the slot of each process stands how many of its goroutines wait, and how many of
// these have been notified and do not hold the lock again yet.
//
// Notifying is under the lock, so that nobody begins to wait meanwhile. A notification
// is over when its waiter holds the lock; if the process dies before, it is lost, and as
// nobody can tell whom it would have helped, all others who wait are notified.
type Condition struct {
	seg   *Segment
	m     *mapping
	crowd crowd

	mu     sync.Mutex
	local  []*condWaiter // that wait in this process, oldest first
	handed int           // notifications that are under way in this process
}

const (
	waitOne    = 1
	waitMask   = 1<<20 - 1
	grantShift = 20
	grantOne   = 1 << grantShift
	condChange = 40
)

// ConditionConfig returns what to Create for a condition.
func ConditionConfig(name string) Config {
	return Config{Kind: KindCondition, Name: name, Slots: MaxSlots}
}

// NewCondition returns the Condition in s.
func NewCondition(s *Segment) *Condition {
	x := &Condition{seg: s, m: s.m}
	x.crowd = newCrowd(s.m, lineA, x.granted)
	return x
}

// Segment returns the segment of the condition.
func (x *Condition) Segment() *Segment { return x.seg }

// Line returns the processes that stand in line, in its order.
func (x *Condition) Line() []int {
	defer runtime.KeepAlive(x)
	return x.crowd.pids()
}

// Waiting returns how many goroutines of all processes wait and are not notified.
func (x *Condition) Waiting() (n int) {
	defer runtime.KeepAlive(x)
	for i := 1; i <= x.m.used(); i++ {
		if w := x.m.held(i).Load(); w&waitMask > 0 && !x.m.dead(i) {
			n += idle(w)
		}
	}
	return n
}

// idle is how many wait and are not notified.
func idle(w uint64) int { return int(w&waitMask) - int(w>>grantShift&waitMask) }

// A condWaiter is one goroutine that waits.
type condWaiter struct {
	x      *Condition
	me     int
	handed bool // it has been notified; guarded by x.mu
}

// Wait waits for a notification until ctx ends. It is called with the lock held, calls
// unlock when the goroutine counts as waiting, and lock before it returns. The error is
// nil if it was notified. lockErr is that of unlock or lock.
func (x *Condition) Wait(ctx context.Context, unlock, lock func() error) (err, lockErr error) {
	defer runtime.KeepAlive(x)
	me, err := x.m.takeSlot()
	if err != nil {
		return err, nil
	}
	w := &condWaiter{x: x, me: me}
	if !x.enter(w) {
		return ErrCrowd, nil
	}
	if err = unlock(); err == nil {
		err = x.crowd.wait(ctx, me, w)
	} else {
		lockErr = err
	}
	notified := !x.giveUp(w)
	if lockErr == nil {
		lockErr = lock()
	}
	if notified {
		err = nil
		x.settle(me, lockErr != nil)
	}
	return err, lockErr
}

// enter makes w one of those who wait.
func (x *Condition) enter(w *condWaiter) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.local)+x.handed == waitMask {
		return false
	}
	x.local = append(x.local, w)
	x.change(w.me, func(h uint64) uint64 { return h + waitOne })
	return true
}

// change changes the word of a slot, and tells whether next did.
func (x *Condition) change(n int, next func(h uint64) uint64) bool {
	held := x.m.held(n)
	for {
		h := held.Load()
		to := next(h)
		if to == h {
			return false
		}
		point(PointHeldBefore)
		if held.CompareAndSwap(h, to+1<<condChange) {
			point(PointHeldAfter)
			return true
		}
	}
}

// over hands the notifications that have come to the oldest waiters of the process.
func (w *condWaiter) over() (bool, error) {
	w.x.mu.Lock()
	defer w.x.mu.Unlock()
	w.x.handOut(w.me)
	return w.handed, nil
}

func (x *Condition) handOut(me int) {
	come := int(x.m.held(me).Load() >> grantShift & waitMask)
	for come > x.handed && len(x.local) > 0 {
		x.local[0].handed = true
		x.local = x.local[1:]
		x.handed++
	}
}

// giveUp counts w as waiting no more, unless it has been notified: then it returns
// false.
func (x *Condition) giveUp(w *condWaiter) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.change(w.me, func(h uint64) uint64 {
		x.handOut(w.me)
		if w.handed || h&waitMask == 0 || int(h>>grantShift&waitMask) > x.handed {
			return h // of a notification that came just now, h may know nothing yet
		}
		return h - waitOne
	})
	if w.handed {
		return false
	}
	if i := slices.Index(x.local, w); i >= 0 {
		x.local = slices.Delete(x.local, i, i+1)
	}
	return true
}

// settle ends a notification: its waiter holds the lock, or, if it has failed to get it,
// the others have to look.
func (x *Condition) settle(me int, failed bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if failed {
		x.m.notifyOthers(me)
	}
	x.handed--
	x.change(me, func(h uint64) uint64 {
		if h>>grantShift&waitMask == 0 {
			return h // closed
		}
		return h - waitOne - grantOne
	})
}

// Notify lets at most n go of those who wait now, the processes that have waited
// longest first. It is called with the lock held, and returns how many it was; wake wakes
// them, and is to be called when the lock is free. If this process dies before that, they
// find by themselves that they were notified, a little later.
func (x *Condition) Notify(n int) (notified int, wake func(), err error) {
	defer runtime.KeepAlive(x)
	if x.m.closed.Load() {
		return 0, nil, ErrClosed
	}
	var slots []int
	for _, slot := range x.inOrder() {
		if notified == n {
			break
		}
		if x.m.dead(slot) {
			continue
		}
		if k := x.m.grant(slot, n-notified); k > 0 {
			notified += k
			slots = append(slots, slot)
		}
	}
	return notified, func() {
		for _, slot := range slots {
			rouse(x.m.wake(lineA, slot))
		}
		runtime.KeepAlive(x)
	}, nil
}

// grant notifies at most n goroutines of the process of a slot.
func (m *mapping) grant(slot, n int) (granted int) {
	held := m.held(slot)
	for h := held.Load(); ; h = held.Load() {
		granted = min(n, idle(h))
		if granted <= 0 {
			return 0
		}
		point(PointGrantBefore)
		if held.CompareAndSwap(h, h+uint64(granted)<<grantShift+1<<condChange) {
			point(PointGrantAfter)
			return granted
		}
	}
}

// notifyOthers notifies all who wait in other processes than that of a slot.
func (m *mapping) notifyOthers(slot int) {
	for n := 1; n <= m.used(); n++ {
		if n != slot && m.grant(n, waitMask) > 0 {
			rouse(m.wake(lineA, n))
		}
	}
}

// granted lists the slots of others that were notified and do not hold the lock yet.
func (x *Condition) granted(me int) (slots []int) {
	for n := 1; n <= x.m.used(); n++ {
		if n != me && x.m.held(n).Load()>>grantShift&waitMask > 0 {
			slots = append(slots, n)
		}
	}
	return slots
}

// inOrder lists the slots with somebody waiting: first those that stand in line, in
// its order, then those that are about to.
func (x *Condition) inOrder() (slots []int) {
	for n := 1; n <= x.m.used(); n++ {
		if idle(x.m.held(n).Load()) > 0 {
			slots = append(slots, n)
		}
	}
	if len(slots) > 1 {
		order := make(map[int]uint64, len(slots)) // they may change meanwhile
		for _, n := range slots {
			order[n] = x.m.order(lineA, n).Load() - 1 // 0 goes last
		}
		slices.SortFunc(slots, func(a, b int) int { return cmp.Compare(order[a], order[b]) })
	}
	return slots
}
