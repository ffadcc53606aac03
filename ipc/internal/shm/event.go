package shm

import (
	"context"
	"runtime"
	"sync/atomic"
)

// An Event is a flag that one can wait for. Its word holds the flag, and how often it
// was set: so a waiter knows that it was set, though it may be cleared again.
type Event struct {
	seg  *Segment
	m    *mapping
	word *atomic.Uint64 // times set << 1 | flag
	flag *atomic.Uint64 // 1: somebody may stand in line
	line line
	edge raceEdge
}

// EventConfig returns what to Create for an event.
func EventConfig(name string) Config {
	return Config{Kind: KindEvent, Name: name, Slots: MaxSlots, Bytes: 16}
}

// NewEvent returns the Event in s.
func NewEvent(s *Segment) *Event {
	return &Event{seg: s, m: s.m, word: s.Word(0), flag: s.Word(1), line: newLine(s.m, lineA)}
}

// Segment returns the segment of the event.
func (x *Event) Segment() *Segment { return x.seg }

// Waiting returns how many processes wait.
func (x *Event) Waiting() int { return x.line.waiting() }

// IsSet returns the flag.
func (x *Event) IsSet() bool {
	set := x.word.Load()&1 != 0
	if set {
		x.edge.pass()
	}
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
	// Also if it was set already: who set it may have died before this.
	if x.flag.Load() != 0 {
		point(PointFlagBefore)
		x.flag.Store(0)
		point(PointFlagAfter)
		x.m.wakeAll(lineA)
	}
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
	now := x.word.Load()
	if now&1 != 0 {
		x.edge.pass()
		return nil
	}
	me, err := x.m.takeSlot()
	if err != nil {
		return err
	}
	err = x.line.wait(ctx, me, &eventWaiter{x: x, since: now >> 1}, nil)
	x.edge.pass()
	runtime.KeepAlive(x)
	return err
}

type eventWaiter struct {
	x     *Event
	since uint64
}

func (w *eventWaiter) try(int) (bool, error) {
	now := w.x.word.Load()
	return now&1 != 0 || now>>1 != w.since, nil
}

func (w *eventWaiter) ready(int) bool { return raised(w.x.flag) }

func (w *eventWaiter) depends(int) []int { return nil }
