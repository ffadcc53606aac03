package shm

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
)

// ErrBroken: a party of the barrier died, gave up, or broke it.
var ErrBroken = errors.New("shm: barrier is broken")

// A Barrier lets parties go on when all have come. What it is doing is one word:
//
//	come       how many of this round have come (16 bits)
//	phase      2 bits
//	runner     slot of the process that runs the action (10 bits)
//	resets     how often it was thrown open for nothing (12 bits)
//	round      how often all had come (24 bits)
//
// and in the slot of each process stands in which round (with resets) how many of its
// goroutines are: they say so before they count as having come, so that there is never
// one who counts and whose death nobody could find.
type Barrier struct {
	seg     *Segment
	m       *mapping
	word    *atomic.Uint64
	parties uint64
	flag    *atomic.Uint64 // 1: somebody may stand in line
	line    line
	edge    raceEdge
}

const (
	comeMask    = 1<<16 - 1
	phaseShift  = 16
	phaseMask   = 3 << phaseShift
	phaseOpen   = 0 << phaseShift
	phaseRuns   = 1 << phaseShift
	phaseBroken = 2 << phaseShift
	runnerShift = 18
	runnerMask  = ownerMask << runnerShift
	resetShift  = 28
	resetOne    = 1 << resetShift
	resetMask   = (1<<12 - 1) << resetShift
	roundShift  = 40
	roundOne    = 1 << roundShift
	roundMask   = (1<<24 - 1) << roundShift
	placeMask   = roundMask | resetMask // what a slot notes, above its count
	inMask      = 1<<16 - 1             // how many of the process are in it

	// MaxParties of a barrier.
	MaxParties = 1<<16 - 1
)

// BarrierConfig returns what to Create for a barrier.
func BarrierConfig(name string) Config {
	return Config{Kind: KindBarrier, Name: name, Slots: MaxSlots, Bytes: 24}
}

// NewBarrier returns the Barrier in s. Init says for how many parties.
func NewBarrier(s *Segment) *Barrier {
	return &Barrier{
		seg: s, m: s.m, word: s.Word(0), flag: s.Word(1),
		parties: s.Word(2).Load(), line: newLine(s.m, lineA),
	}
}

// Init sets the number of parties. It is for the creator.
func (x *Barrier) Init(parties uint64) {
	x.seg.Word(2).Store(parties)
	x.parties = parties
}

// Segment returns the segment of the barrier.
func (x *Barrier) Segment() *Segment { return x.seg }

// Parties returns how many must come.
func (x *Barrier) Parties() int { return int(x.parties) }

// Waiting returns how many have come in this round.
func (x *Barrier) Waiting() int {
	x.findDead()
	w := x.word.Load()
	if w&phaseMask == phaseBroken {
		return 0
	}
	return int(w & comeMask)
}

// Broken tells whether it is broken.
func (x *Barrier) Broken() bool {
	x.findDead()
	return x.word.Load()&phaseMask == phaseBroken
}

// Wait comes to the barrier and waits until all have come, or until ctx ends, which
// breaks it for all. The place is 0 for the first that came. The last one runs action,
// if it has one, before anybody goes; its error breaks the barrier.
func (x *Barrier) Wait(ctx context.Context, action func() error) (place int, err error) {
	me, err := x.m.takeSlot()
	if err != nil {
		return 0, err
	}
	x.edge.pass()
	w, err := x.come(me)
	if err != nil {
		return 0, err
	}
	defer x.leave(me, w)
	place = int(w & comeMask)
	if uint64(place)+1 == x.parties {
		err = x.last(w+1, me, action)
	} else {
		x.m.wakeFirst(lineA) // the first in line watches all who have come
		err = x.line.wait(ctx, me, &barrierWaiter{x: x, place: w & placeMask}, nil)
		if err != nil && !errors.Is(err, ErrBroken) {
			x.breakRound(w & placeMask)
		}
	}
	x.edge.pass()
	runtime.KeepAlive(x)
	return place, err
}

// come notes in the slot that one more is in this round, then counts it. It returns
// the word before that.
func (x *Barrier) come(me int) (uint64, error) {
	held := x.m.held(me)
	for {
		w := x.word.Load()
		switch {
		case w&phaseMask == phaseBroken:
			return 0, ErrBroken
		case w&phaseMask == phaseRuns:
			// This round is full, and over as soon as its action is.
			pause()
			runtime.Gosched()
			x.findDead()
			continue
		}
		x.enter(held, w&placeMask)
		point(PointHeldAfter)
		if x.word.CompareAndSwap(w, w+1) {
			point(PointFlagAfter)
			if x.m.own.Load() == 0 {
				x.breakRound(w & placeMask)
				return 0, ErrClosed
			}
			return w, nil
		}
		x.leave(me, w)
	}
}

// enter counts one more of this process in a round. Who is still counted in an
// earlier one has been let go there.
func (x *Barrier) enter(held *atomic.Uint64, place uint64) {
	for {
		h := held.Load()
		next := place | 1
		if h&placeMask == place {
			next = h + 1
		}
		point(PointHeldBefore)
		if held.CompareAndSwap(h, next) {
			return
		}
	}
}

// leave counts one less in the round of w, if the process is still counted there.
func (x *Barrier) leave(me int, w uint64) {
	held := x.m.held(me)
	for h := held.Load(); h&placeMask == w&placeMask && h&inMask > 0; h = held.Load() {
		next := h - 1
		if next&inMask == 0 {
			next = 0
		}
		if held.CompareAndSwap(h, next) {
			return
		}
	}
}

// last is what the last one to come does; w is the word that says so.
func (x *Barrier) last(w uint64, me int, action func() error) error {
	open := w&^(comeMask|phaseMask|runnerMask) + roundOne
	if action == nil {
		point(PointHeldBefore)
		ok := x.word.CompareAndSwap(w, open)
		point(PointHeldAfter)
		x.wake()
		if !ok {
			return ErrBroken
		}
		return nil
	}
	runs := w&^phaseMask | phaseRuns | uint64(me)<<runnerShift
	if !x.word.CompareAndSwap(w, runs) {
		return ErrBroken
	}
	defer x.breakIf(runs) // a panic or Goexit in the action
	if err := action(); err != nil {
		x.breakIf(runs)
		return errors.Join(ErrBroken, err)
	}
	point(PointHeldBefore)
	ok := x.word.CompareAndSwap(runs, open)
	point(PointHeldAfter)
	x.wake()
	if !ok {
		return ErrBroken
	}
	return nil
}

// breakIf breaks the barrier if its word is still w.
func (x *Barrier) breakIf(w uint64) {
	if x.word.CompareAndSwap(w, w&^(phaseMask|runnerMask)|phaseBroken) {
		x.wake()
	}
}

// Abort breaks the barrier for all.
func (x *Barrier) Abort() error {
	if x.m.closed.Load() {
		return ErrClosed
	}
	breakBarrier(x.word, func(uint64) bool { return true })
	x.wake()
	return nil
}

// breakRound breaks the barrier if it is still in this round.
func (x *Barrier) breakRound(place uint64) {
	breakBarrier(x.word, func(w uint64) bool { return w&placeMask == place })
	x.wake()
}

// breakBarrier breaks a barrier while its word satisfies cond.
func breakBarrier(word *atomic.Uint64, cond func(w uint64) bool) {
	for {
		w := word.Load()
		if !cond(w) || w&phaseMask == phaseBroken {
			return
		}
		point(PointHeldBefore)
		if word.CompareAndSwap(w, w&^(phaseMask|runnerMask)|phaseBroken) {
			point(PointHeldAfter)
			return
		}
	}
}

// Reset throws those out who wait, with ErrBroken, and makes the barrier new.
func (x *Barrier) Reset() error {
	if x.m.closed.Load() {
		return ErrClosed
	}
	for {
		w := x.word.Load()
		next := w & roundMask
		next |= (w + resetOne) & resetMask
		point(PointHeldBefore)
		if x.word.CompareAndSwap(w, next) {
			point(PointHeldAfter)
			break
		}
	}
	x.wake()
	return nil
}

// wake wakes all who stand in line.
func (x *Barrier) wake() {
	if x.flag.Load() != 0 {
		point(PointFlagBefore)
		x.flag.Store(0)
		point(PointFlagAfter)
		x.m.wakeAll(lineA)
	}
}

// parties that are in the present round.
func (x *Barrier) inside(me int) (slots []int) {
	place := x.word.Load() & placeMask
	for n := 1; n <= x.m.used(); n++ {
		if h := x.m.held(n).Load(); n != me && h&inMask > 0 && h&placeMask == place {
			slots = append(slots, n)
		}
	}
	return slots
}

// findDead repairs the slots of those who died in the present round.
func (x *Barrier) findDead() {
	for _, n := range x.inside(0) {
		if id := ident(x.m.ident(n).Load()); id != 0 && !alive(id) {
			x.m.repair(n, id)
		}
	}
}

// buryParty is the repair of a barrier: if the dead was in the present round, it is
// broken.
func (m *mapping) buryParty(n int, id ident) {
	word := m.u64(offTable + m.slots*slotSize)
	breakBarrier(word, func(w uint64) bool {
		h := m.held(n).Load()
		return m.ident(n).Load() == uint64(id) && h&inMask > 0 && h&placeMask == w&placeMask
	})
	m.wakeAll(lineA)
}

type barrierWaiter struct {
	x     *Barrier
	place uint64 // the round that it came in
}

func (b *barrierWaiter) try(int) (bool, error) {
	w := b.x.word.Load()
	switch {
	case w&resetMask != b.place&resetMask:
		return false, ErrBroken // thrown out
	case w&roundMask != b.place&roundMask:
		return true, nil
	case w&phaseMask == phaseBroken:
		return false, ErrBroken
	}
	return false, nil
}

func (b *barrierWaiter) ready(int) bool { return raised(b.x.flag) }

func (b *barrierWaiter) depends(me int) []int { return b.x.inside(me) }
