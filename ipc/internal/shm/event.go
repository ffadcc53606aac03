package shm

import (
	"context"
	"runtime"
	"sync/atomic"
)

// An Event is a flag that one can wait for. Its word holds the flag, and how often it
// was set: so a waiter knows that it was set, though it may be cleared again.
type Event struct {
	seg   *Segment
	m     *mapping
	word  *atomic.Uint64 // times set << 1 | flag
	crowd crowd
	edge  raceEdge
}

const eventBytes = 8 // the word

// EventConfig returns what to Create for an event.
func EventConfig(name string) Config {
	return Config{Kind: KindEvent, Name: name, Slots: MaxSlots, Bytes: eventBytes}
}

// NewEvent returns the Event in s.
func NewEvent(s *Segment) *Event {
	return &Event{seg: s, m: s.m, word: s.Word(0), crowd: newCrowd(s.m, lineA, nil)}
}

// Segment returns the segment of the event.
func (x *Event) Segment() *Segment { return x.seg }

// Line returns the processes that stand in line, in its order.
func (x *Event) Line() []int {
	defer runtime.KeepAlive(x)
	return x.crowd.pids()
}

// Waiting returns how many processes wait.
func (x *Event) Waiting() int {
	defer runtime.KeepAlive(x)
	return x.crowd.waiting()
}

// Members returns how many goroutines of this process wait.
func (x *Event) Members() int { return x.crowd.size() }

// IsSet returns the flag.
func (x *Event) IsSet() bool {
	set := x.word.Load()&1 != 0
	if set {
		x.edge.pass()
	}
	runtime.KeepAlive(x)
	return set
}

// Set sets the flag and wakes all who wait. A flag that is set stays as it is.
func (x *Event) Set() error {
	if x.m.closed.Load() {
		return ErrClosed
	}
	x.edge.pass()
	for w := x.word.Load(); w&1 == 0; w = x.word.Load() {
		point(PointHeldBefore)
		if x.word.CompareAndSwap(w, w+3) { // one more, and the flag
			point(PointHeldAfter)
			break
		}
	}
	x.crowd.callAll() // also if it was set already: who set it may have died before this
	runtime.KeepAlive(x)
	return nil
}

// Clear clears the flag.
func (x *Event) Clear() error {
	if x.m.closed.Load() {
		return ErrClosed
	}
	for w := x.word.Load(); w&1 != 0; w = x.word.Load() {
		point(PointHeldBefore)
		if x.word.CompareAndSwap(w, w&^1) {
			point(PointHeldAfter)
			break
		}
	}
	runtime.KeepAlive(x)
	return nil
}

// Wait waits until the flag is set, or was set meanwhile, or ctx ends.
func (x *Event) Wait(ctx context.Context) error {
	if x.m.closed.Load() {
		return ErrClosed
	}
	now := x.word.Load()
	if now&1 != 0 {
		x.edge.pass()
		runtime.KeepAlive(x)
		return nil
	}
	me, err := x.m.takeSlot()
	if err != nil {
		return err
	}
	err = x.crowd.wait(ctx, me, &eventWaiter{x: x, since: now >> 1})
	x.edge.pass()
	runtime.KeepAlive(x)
	return err
}

type eventWaiter struct {
	x     *Event
	since uint64 // how often it had been set when the wait began
}

func (w *eventWaiter) over() (bool, error) {
	now := w.x.word.Load()
	return now&1 != 0 || now>>1 != w.since, nil
}
