package shm

import (
	"context"
	"runtime"
	"slices"
	"sync"
)

// A Condition is the waiting part of a condition variable; the lock is the caller's.
// In the slot of each process stands how many of its goroutines wait, and how many of
// these have been notified and have not gone yet: one word, which its death sets to 0.
// Only who holds the lock changes the first number upwards, or the second.
type Condition struct {
	seg  *Segment
	m    *mapping
	line line

	mu    sync.Mutex
	local []*condWaiter // that wait in this process, oldest first
}

const (
	waitOne    = 1
	waitMask   = 1<<32 - 1
	grantShift = 32
	grantOne   = 1 << grantShift
)

// ConditionConfig returns what to Create for a condition.
func ConditionConfig(name string) Config {
	return Config{Kind: KindCondition, Name: name, Slots: MaxSlots}
}

// NewCondition returns the Condition in s.
func NewCondition(s *Segment) *Condition {
	return &Condition{seg: s, m: s.m, line: newLine(s.m, lineA)}
}

// Segment returns the segment of the condition.
func (x *Condition) Segment() *Segment { return x.seg }

// Waiting returns how many goroutines of all processes wait and are not notified.
func (x *Condition) Waiting() (n int) {
	for i := 1; i <= x.m.used(); i++ {
		w := x.m.held(i).Load()
		if w&waitMask <= w>>grantShift {
			continue
		}
		if id := ident(x.m.ident(i).Load()); id != 0 && !alive(id) {
			x.m.repair(i, id)
			continue
		}
		n += int(w&waitMask - w>>grantShift)
	}
	return n
}

// A condWaiter is one goroutine that waits.
type condWaiter struct {
	x        *Condition
	notified chan struct{} // closed when it may go
}

// Wait waits for a notification until ctx ends. It is called with the lock held, and
// calls unlock when the goroutine counts as waiting. The lock is not retaken.
func (x *Condition) Wait(ctx context.Context, unlock func() error) error {
	me, err := x.m.takeSlot()
	if err != nil {
		return err
	}
	w := &condWaiter{x: x, notified: make(chan struct{})}
	x.mu.Lock()
	x.local = append(x.local, w)
	x.change(me, waitOne, 0)
	x.mu.Unlock()
	if err := unlock(); err != nil {
		x.giveUp(me, w)
		return err
	}
	err = x.line.wait(ctx, me, w, w.notified)
	if err != nil && !x.giveUp(me, w) {
		err = nil // notified at the same time
	}
	runtime.KeepAlive(x)
	return err
}

// change adds to the word of a slot.
func (x *Condition) change(n int, waiting, granted uint64) {
	point(PointHeldBefore)
	x.m.held(n).Add(waiting + granted<<grantShift)
	point(PointHeldAfter)
}

// try lets go those goroutines of this process that are notified, oldest first.
func (w *condWaiter) try(me int) (bool, error) {
	x := w.x
	x.mu.Lock()
	defer x.mu.Unlock()
	held := x.m.held(me)
	for v := held.Load(); v>>grantShift > 0 && len(x.local) > 0; v = held.Load() {
		point(PointHeldBefore)
		if held.CompareAndSwap(v, v-waitOne-grantOne) {
			point(PointHeldAfter)
			close(x.local[0].notified)
			x.local = x.local[1:]
		}
	}
	select {
	case <-w.notified:
		return true, nil
	default:
		return false, nil
	}
}

func (w *condWaiter) ready(int) bool { return true } // who notifies always looks

func (w *condWaiter) depends(int) []int { return nil } // on nobody in particular

// giveUp counts w as waiting no more, unless it has been notified: then it returns
// false.
func (x *Condition) giveUp(me int, w *condWaiter) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	i := slices.Index(x.local, w)
	if i < 0 {
		return false
	}
	held := x.m.held(me)
	for {
		v := held.Load()
		if v>>grantShift == v&waitMask && v != 0 {
			// As many notifications as waiters: one of them is for this one.
			if held.CompareAndSwap(v, v-waitOne-grantOne) {
				close(x.local[0].notified)
				first := x.local[0]
				x.local = x.local[1:]
				if first == w {
					return false
				}
				i--
			}
			continue
		}
		if v == 0 { // closed
			x.local = slices.Delete(x.local, i, i+1)
			return true
		}
		point(PointHeldBefore)
		if held.CompareAndSwap(v, v-waitOne) {
			point(PointHeldAfter)
			x.local = slices.Delete(x.local, i, i+1)
			return true
		}
	}
}

// Notify lets at most n go of those who wait now, the processes that have waited
// longest first. It is called with the lock held, and returns how many it was.
func (x *Condition) Notify(n int) (notified int) {
	for _, slot := range x.inOrder() {
		for notified < n && x.grant(slot) {
			notified++
		}
		if notified > 0 {
			rouse(x.m.wake(lineA, slot))
		}
		if notified == n {
			break
		}
	}
	runtime.KeepAlive(x)
	return notified
}

// grant notifies one goroutine of a living process.
func (x *Condition) grant(slot int) bool {
	held := x.m.held(slot)
	for v := held.Load(); v>>grantShift < v&waitMask; v = held.Load() {
		if id := ident(x.m.ident(slot).Load()); id != 0 && slot != int(x.m.own.Load()) && !alive(id) {
			x.m.repair(slot, id)
			return false
		}
		point(PointHeldBefore)
		if held.CompareAndSwap(v, v+grantOne) {
			point(PointHeldAfter)
			return true
		}
	}
	return false
}

// inOrder lists the slots with somebody waiting: first those that stand in line, in
// its order, then those that are about to.
func (x *Condition) inOrder() (slots []int) {
	for n := 1; n <= x.m.used(); n++ {
		if v := x.m.held(n).Load(); v>>grantShift < v&waitMask {
			slots = append(slots, n)
		}
	}
	if len(slots) > 1 {
		order := func(n int) uint64 { return x.m.order(lineA, n).Load() - 1 } // 0 goes last
		slices.SortFunc(slots, func(a, b int) int {
			if order(a) < order(b) {
				return -1
			}
			return 1
		})
	}
	return slots
}
