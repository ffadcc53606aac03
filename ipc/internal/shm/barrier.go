package shm

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
)

// ErrBroken: a party of the barrier died, gave up, or broke it.
var ErrBroken = errors.New("shm: barrier is broken")

// A Barrier lets parties go on when all have come. What it is doing is one word:
//
//	come     how many of this round have come (16 bits)
//	phase    2 bits
//	history  how the last 24 rounds ended, a bit each, the latest lowest: 1 if it was
//	         thrown open by a reset, 0 if all had come
//	round    how many have ended (22 bits)
//
// The last to come changes it in one step to the next round, or to the phase in which
// the action runs: there is no state in which all have come and nobody is in charge.
// Who looks late, because it was stopped, finds in the history how its round ended.
//
// In the slot of each process stands in which round how many of its goroutines are. They
// say so before they count as having come, so that there is never one who counts and
// whose death nobody could find.
type Barrier struct {
	seg     *Segment
	m       *mapping
	word    *atomic.Uint64
	parties uint64
	crowd   crowd
	edge    raceEdge

	mu sync.Mutex // one goroutine of the process comes at a time
}

const (
	comeMask     = 1<<16 - 1
	phaseShift   = 16
	phaseMask    = 3 << phaseShift
	phaseRuns    = 1 << phaseShift
	phaseBroken  = 2 << phaseShift
	historyShift = 18
	historyBits  = 24
	roundShift   = historyShift + historyBits
	roundMask    = 1<<(64-roundShift) - 1

	// In the slot: how many are in (16 bits), which round (22), changes (26).
	inMask        = 1<<16 - 1
	inRoundShift  = 16
	inRoundMask   = roundMask << inRoundShift
	barrierChange = 38

	// MaxParties of a barrier.
	MaxParties = 1<<16 - 1
)

// inRound is the round of a state word as a slot notes it.
func inRound(w uint64) uint64 { return w >> roundShift << inRoundShift }

// nextRound is the state word after that of a round that has ended; thrown is 1 if it was
// thrown open.
func nextRound(w, thrown uint64) uint64 {
	history := (w>>historyShift<<1 | thrown) & (1<<historyBits - 1)
	return (w>>roundShift+1)<<roundShift | history<<historyShift
}

const barrierBytes = 16 // the word, and the number of parties

// BarrierConfig returns what to Create for a barrier.
func BarrierConfig(name string) Config {
	return Config{Kind: KindBarrier, Name: name, Slots: MaxSlots, Bytes: barrierBytes}
}

// NewBarrier returns the Barrier in s. Init says for how many parties.
func NewBarrier(s *Segment) *Barrier {
	x := &Barrier{seg: s, m: s.m, word: s.Word(0), parties: s.Word(1).Load()}
	x.crowd = newCrowd(s.m, lineA, x.inside)
	return x
}

// Init sets the number of parties. It is for the creator.
func (x *Barrier) Init(parties uint64) {
	x.seg.Word(1).Store(parties)
	x.parties = parties
}

// Segment returns the segment of the barrier.
func (x *Barrier) Segment() *Segment { return x.seg }

// Parties returns how many must come.
func (x *Barrier) Parties() int { return int(x.parties) }

// Line returns the processes that stand in line, in its order.
func (x *Barrier) Line() []int {
	defer runtime.KeepAlive(x)
	return x.crowd.pids()
}

// Waiting returns how many have come in this round.
func (x *Barrier) Waiting() int {
	defer runtime.KeepAlive(x)
	x.findDead()
	w := x.word.Load()
	if w&phaseMask == phaseBroken {
		return 0
	}
	return int(w & comeMask)
}

// Standing returns how many processes stand in line.
func (x *Barrier) Standing() int {
	defer runtime.KeepAlive(x)
	return x.crowd.waiting()
}

// Broken tells whether it is broken.
func (x *Barrier) Broken() bool {
	defer runtime.KeepAlive(x)
	x.findDead()
	return x.word.Load()&phaseMask == phaseBroken
}

// Wait comes to the barrier and waits until all have come, or until ctx ends, which
// breaks it for all. The place is 0 for the first that came. The last one runs action,
// if it has one, before anybody goes; its error breaks the barrier. Who comes while the
// action of a round runs waits for the next round; an end of ctx breaks nothing then.
func (x *Barrier) Wait(ctx context.Context, action func() error) (place int, err error) {
	defer runtime.KeepAlive(x)
	me, err := x.m.takeSlot()
	if err != nil {
		return 0, err
	}
	x.edge.pass()
	w, err := x.come(ctx, me, action != nil)
	if err != nil {
		return 0, err
	}
	defer x.leave(me, w)
	place = int(w & comeMask)
	switch {
	case uint64(place)+1 < x.parties:
		x.crowd.call() // the first in line watches all who have come
		err = x.await(ctx, me, w>>roundShift)
	case action == nil:
		x.crowd.callAll()
	default:
		err = x.run((w+1)|phaseRuns, action)
	}
	x.edge.pass()
	return place, err
}

// await waits until the round is over, and breaks it if ctx ends first. If all had come
// just before that, they have counted the caller in: then it was in time.
func (x *Barrier) await(ctx context.Context, me int, round uint64) error {
	b := &barrierWaiter{x: x, round: round}
	err := x.crowd.wait(ctx, me, b)
	if err == nil || errors.Is(err, ErrBroken) {
		return err
	}
	x.breakRound(round)
	if ok, _ := b.over(); ok {
		return nil
	}
	return err
}

// come counts the caller in, as soon as there is a round that it can be in. It returns
// the word before that.
func (x *Barrier) come(ctx context.Context, me int, action bool) (uint64, error) {
	for {
		w, ok, err := x.tryCome(me, action)
		if ok || err != nil {
			return w, err
		}
		if w&phaseMask == phaseRuns { // the round is full, and over as soon as its action is
			if err := x.crowd.wait(ctx, me, &actionWaiter{x: x, during: w}); err != nil {
				return 0, err
			}
		}
	}
}

// tryCome notes in the slot that one more is in this round, then counts it.
func (x *Barrier) tryCome(me int, action bool) (w uint64, ok bool, err error) {
	// Alone: between the look at the round and the note no other goroutine may note a
	// later round.
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.m.own.Load() == 0 {
		return 0, false, ErrClosed
	}
	w = x.word.Load()
	if (w+1)&comeMask == x.parties {
		x.findDead() // nobody may have been there to see one die
		w = x.word.Load()
	}
	next := w + 1
	switch {
	case w&phaseMask == phaseBroken:
		return w, false, ErrBroken
	case w&phaseMask == phaseRuns:
		return w, false, nil
	case next&comeMask == x.parties && action:
		next |= phaseRuns
	case next&comeMask == x.parties:
		next = nextRound(w, 0)
	}
	x.enter(me, w)
	point(PointHeldBefore)
	ok = x.word.CompareAndSwap(w, next)
	point(PointHeldAfter)
	if !ok {
		x.leave(me, w)
	} else if x.m.own.Load() == 0 {
		x.breakRound(w >> roundShift) // closed meanwhile, and the note may be gone
		return w, false, ErrClosed
	}
	return w, ok, nil
}

// enter counts one more of this process in the round of w. Who is still counted in an
// earlier one has been let go there.
func (x *Barrier) enter(me int, w uint64) {
	held := x.m.held(me)
	for {
		h := held.Load()
		in := h & inMask
		if h&inRoundMask != inRound(w) {
			in = 0
		}
		point(PointNoteBefore)
		if held.CompareAndSwap(h, (h>>barrierChange+1)<<barrierChange|inRound(w)|(in+1)) {
			point(PointNoteAfter)
			return
		}
	}
}

// leave counts one less in the round of w, if the process is still counted there.
func (x *Barrier) leave(me int, w uint64) {
	held := x.m.held(me)
	for h := held.Load(); h&inRoundMask == inRound(w) && h&inMask > 0; h = held.Load() {
		point(PointNoteBefore)
		if held.CompareAndSwap(h, h-1+1<<barrierChange) {
			point(PointNoteAfter)
			return
		}
	}
}

// run does the action of the last to come; runs is the state word meanwhile.
func (x *Barrier) run(runs uint64, action func() error) error {
	defer x.breakIf(runs) // an error, a panic or Goexit in the action
	if err := action(); err != nil {
		return errors.Join(ErrBroken, err)
	}
	point(PointHeldBefore)
	ok := x.word.CompareAndSwap(runs, nextRound(runs, 0))
	point(PointHeldAfter)
	if !ok {
		return ErrBroken
	}
	x.crowd.callAll()
	return nil
}

// breakIf breaks the barrier if its word is still w.
func (x *Barrier) breakIf(w uint64) {
	point(PointHeldBefore)
	if x.word.CompareAndSwap(w, w&^phaseMask|phaseBroken) {
		point(PointHeldAfter)
		x.crowd.callAll()
	}
}

// Abort breaks the barrier for all.
func (x *Barrier) Abort() error {
	defer runtime.KeepAlive(x)
	if x.m.closed.Load() {
		return ErrClosed
	}
	breakBarrier(x.word, func(uint64) bool { return true })
	x.crowd.callAll()
	return nil
}

// breakRound breaks the barrier if it is still in this round.
func (x *Barrier) breakRound(round uint64) {
	breakBarrier(x.word, func(w uint64) bool { return w>>roundShift == round })
	x.crowd.callAll()
}

// breakBarrier breaks a barrier while its word satisfies cond.
func breakBarrier(word *atomic.Uint64, cond func(w uint64) bool) {
	for {
		w := word.Load()
		if !cond(w) || w&phaseMask == phaseBroken {
			return
		}
		point(PointHeldBefore)
		if word.CompareAndSwap(w, w&^phaseMask|phaseBroken) {
			point(PointHeldAfter)
			return
		}
	}
}

// Reset throws those out who wait, with ErrBroken, and makes the barrier new.
func (x *Barrier) Reset() error {
	defer runtime.KeepAlive(x)
	if x.m.closed.Load() {
		return ErrClosed
	}
	for {
		w := x.word.Load()
		point(PointHeldBefore)
		if x.word.CompareAndSwap(w, nextRound(w, 1)) {
			point(PointHeldAfter)
			break
		}
	}
	x.crowd.callAll()
	return nil
}

// inside lists the slots of others that are in the present round.
func (x *Barrier) inside(me int) (slots []int) {
	at := inRound(x.word.Load())
	for n := 1; n <= x.m.used(); n++ {
		if h := x.m.held(n).Load(); n != me && h&inMask > 0 && h&inRoundMask == at {
			slots = append(slots, n)
		}
	}
	return slots
}

// findDead repairs the slots of those who died in the present round.
func (x *Barrier) findDead() {
	for _, n := range x.inside(int(x.m.own.Load())) {
		x.m.dead(n)
	}
}

// buryParty is the repair of a barrier: if the dead was in the present round, it is
// broken.
func (m *mapping) buryParty(n int, id ident) {
	word := m.u64(offTable + m.slots*slotSize)
	breakBarrier(word, func(w uint64) bool {
		h := m.held(n).Load()
		return m.ident(n).Load() == uint64(id) && h&inMask > 0 && h&inRoundMask == inRound(w)
	})
	m.wakeAll(lineA)
}

// A barrierWaiter waits until the round that it is in is over.
type barrierWaiter struct {
	x     *Barrier
	round uint64
}

func (b *barrierWaiter) over() (bool, error) {
	w := b.x.word.Load()
	since := (w>>roundShift - b.round) & roundMask
	switch {
	case b.x.m.closed.Load():
		return false, ErrClosed
	case since == 0 && w&phaseMask != phaseBroken:
		return false, nil
	case since == 0, since > historyBits, w>>historyShift>>(since-1)&1 != 0:
		return false, ErrBroken
	}
	return true, nil
}

// An actionWaiter waits until the action that runs is over.
type actionWaiter struct {
	x      *Barrier
	during uint64
}

func (b *actionWaiter) over() (bool, error) { return b.x.word.Load() != b.during, nil }
