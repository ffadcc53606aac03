package shm

import (
	"context"
	"runtime"
	"slices"
	"sync/atomic"
)

// A joinable queue knows what was taken and is not finished: for each slot how much
// (its word of what is held), and with FlagRedeliver which records, which then stay in
// the ring. All of this is under the mutex of the front. Where several words change
// together, they are first written to a log; who finds that the last owner of the mutex
// has died does what the log says (once more: it says what the words are to be, not what
// is to be added).
//
// When a process dies that had taken something, whoever sees the death leaves its slot
// as it is and marks it as a grave; the next owner of the mutex takes back what is in
// it and frees the slot. So a repair never waits for the mutex: the one who repairs may
// be anywhere.

// maxChanges is how many words change together at most.
const maxChanges = 3

// A change is a word, by its place in the segment, and what it is to be.
type change struct {
	off int
	to  uint64
}

// commit makes several changes at once. The mutex of the front is held.
func (x *Queue) commit(changes ...change) {
	for i, c := range changes {
		storeRelease(x.seg.Word(queueLog+1+2*i), uint64(c.off))
		storeRelease(x.seg.Word(queueLog+2+2*i), c.to)
	}
	point(PointHeldBefore)
	x.seg.Word(queueLog).Store(uint64(len(changes)))
	for _, c := range changes {
		point(PointHeldAfter)
		x.m.u64(c.off).Store(c.to)
	}
	point(PointHeldBefore)
	x.seg.Word(queueLog).Store(0)
	point(PointHeldAfter)
}

// redo makes the changes that somebody died over. It looks at what it finds: a wild
// process must not make it write anywhere but into the queue.
func (x *Queue) redo() {
	n := x.seg.Word(queueLog).Load()
	for i := range int(min(n, maxChanges)) {
		off := x.seg.Word(queueLog + 1 + 2*i).Load()
		if off%8 == 0 && off >= offTable && off+8 <= uint64(len(x.m.mem)) {
			x.m.u64(int(off)).Store(x.seg.Word(queueLog + 2 + 2*i).Load())
		}
	}
	x.seg.Word(queueLog).Store(0)
}

func (x *Queue) stateWord(i int) int { return x.base - queueBytes + 8*i }
func (x *Queue) heldWord(n int) int  { return x.m.slot(n) + slotHeld }

// lockFront takes the mutex of the front, and does what was left undone.
func (x *Queue) lockFront(ctx context.Context, me int) (Holding, error) {
	h, err := lock(ctx, x.front, me)
	if err == nil && (h.Died || x.shut.Load() == shutNow || x.track && (x.graves.Load() != 0 || x.m.inherited.Load())) {
		x.recover(me, h.Died)
	}
	return h, err
}

func (x *Queue) recover(me int, died bool) {
	if died {
		x.redo()
		x.wake(x.putFlag, lineB) // it may have moved the front and not told
		x.m.wakeAll(lineC)
	}
	if x.m.inherited.Swap(false) {
		x.takeBack(me)
	}
	if x.track && (died || x.graves.Load() != 0) { // it may have died burying
		x.bury(me)
	}
	if x.shut.Load() == shutNow {
		x.drop()
	} else if died && x.keep {
		x.trim()
	}
}

// reclaim does what the last owner of the front has left undone, if it is dead: it may have
// finished an item and not given its room free. Who gets would see to it, but there may be
// nobody. It tells whether there was anything to do.
func (x *Queue) reclaim(ctx context.Context, me int) bool {
	x.front.buryOwner(me)
	if x.front.word.Load()&flagDied == 0 {
		return false
	}
	h, err := x.lockFront(ctx, me)
	if err == nil {
		x.front.release(me, h.Token, false)
	}
	return err == nil
}

// buryUser is the part of a repair that is about what the dead had taken. It returns
// false if the slot has to stay. The log is looked at first: it may be about to say that
// something was taken.
func (m *mapping) buryUser(n int, id ident) bool {
	if m.queueWord(queueLog).Load() == 0 && m.held(n).Load() == 0 {
		m.grave(n).CompareAndSwap(uint64(id), 0) // it may have left; see leaveQueue
		return true
	}
	point(PointRepairBeforeHeld)
	m.grave(n).Store(graveDead)
	m.queueWord(queueGraves).Store(1)
	if n == m.taken && id == m.as {
		m.ident(n).CompareAndSwap(uint64(id), uint64(nobody)) // this process lives, but not for the queue
	}
	point(PointRepairAfterHeld)
	for line := range numLines {
		m.wakeFirst(line)
	}
	return false
}

// leaveQueue makes a grave of the own slot when the queue is closed in this process, which
// lives. Who has the mutex of the front next takes back what was taken; the slot is not
// freed before [mapping.detach], and says until then whose grave it is.
func (m *mapping) leaveQueue() {
	point(PointRepairBeforeHeld)
	m.grave(m.taken).Store(uint64(m.as))
	m.queueWord(queueGraves).Store(1)
	point(PointRepairAfterHeld)
}

// queueWord is Segment.Word.
func (m *mapping) queueWord(i int) *atomic.Uint64 {
	return m.u64(offTable + m.slots*slotSize + 8*i)
}

// graveDead in the word of a grave: the process is dead. Else the word is the ident of one
// that has left.
const graveDead = 1

// nobody is the ident of a process that cannot be: no process has the pid 0.
const nobody ident = 1

// inherit takes a slot over from a dead process together with what that had taken; the
// first thing done under the mutex of the front is to take that back. It is for a queue
// whose slots are all graves: a process without a slot cannot own the mutex.
func (m *mapping) inherit(id ident) int {
	for n := 1; n <= m.used(); n++ {
		old := ident(m.ident(n).Load())
		if old == 0 || alive(old) {
			continue
		}
		m.inherited.Store(true)
		m.repair(n, old) // all but what it has taken: it may have died a moment ago
		if m.ident(n).CompareAndSwap(uint64(old), uint64(id)) || m.ident(n).CompareAndSwap(0, uint64(id)) {
			return n
		}
	}
	return 0
}

// bury takes back what was taken by the dead, and by those who have left.
func (x *Queue) bury(me int) {
	x.graves.Store(0)
	for n := 1; n <= x.m.used(); n++ {
		id := ident(x.m.ident(n).Load())
		grave := x.m.grave(n).Load()
		dead := grave == graveDead && id != 0 && !alive(id)
		if !dead && (grave == 0 || grave != uint64(id)) {
			continue
		}
		x.takeBack(n)
		point(PointRepairBeforeHeld)
		x.m.grave(n).Store(0)
		if dead { // and repaired but for this; who has left may die without that
			x.m.ident(n).CompareAndSwap(uint64(id), 0)
		}
		point(PointRepairAfterIdent)
	}
	x.m.wakeAll(lineC)
	if x.returned.Load() != 0 {
		x.m.wakeFirst(lineA)
	}
}

// takeBack gives what a slot has taken to others, or counts it as lost.
func (x *Queue) takeBack(n int) {
	held := x.m.held(n).Load()
	if !x.keep {
		if held != 0 {
			x.commit(change{x.heldWord(n), 0}, change{x.stateWord(queueLost), x.lost.Load() + held})
		}
		return
	}
	for pos, ok := x.findState(recTaken, n); ok; pos, ok = x.findState(recTaken, n) {
		head := x.head(pos).Load()
		x.commit(
			change{x.offset(pos), head&(recLength|recSpill) | recReturned},
			change{x.stateWord(queueReturned), x.returned.Load() + 1},
			change{x.heldWord(n), x.m.held(n).Load() - 1})
	}
	x.m.held(n).Store(0)
}

// findState finds the oldest record before the front that has the state, and if that is
// recTaken, was taken by the slot (0: by any).
func (x *Queue) findState(state uint64, slot int) (uint32, bool) {
	front := end(x.next.Load()).pos()
	for pos, left := uint32(x.free.Load()), x.units; pos != front && left > 0; left-- {
		head := x.head(pos).Load()
		if head&stateMask == state && (slot == 0 || head&recSlots>>recSlot == uint64(slot)) {
			return pos, true
		}
		pos += size(head)
	}
	return 0, false
}

// tookMore moves the front over what was accepted, and notes how much that is.
func (x *Queue) tookMore(t *Taking) {
	x.commit(
		change{x.stateWord(queueNext), uint64(t.at)},
		change{x.heldWord(t.me), x.m.held(t.me).Load() + uint64(t.at.since(t.from))})
}

// keepTaken takes one item whose record stays in the ring. The state of a record at the
// front or behind it means nothing, so that may be written before the front moves.
func (x *Queue) keepTaken(t *Taking) {
	taken := t.head&(recLength|recSpill) | recTaken | uint64(t.me)<<recSlot
	held := change{x.heldWord(t.me), x.m.held(t.me).Load() + 1}
	if t.head&stateMask == recReturned {
		x.commit(change{x.offset(t.pos), taken}, held,
			change{x.stateWord(queueReturned), x.returned.Load() - 1})
	} else {
		point(PointHeldBefore)
		x.head(t.pos).Store(taken)
		point(PointHeldAfter)
		t.at = t.at.at(t.pos+size(t.head), 1)
		t.from = t.at
		x.commit(change{x.stateWord(queueNext), uint64(t.at)}, held)
	}
	x.mine = append(x.mine, t.pos)
}

// finish makes a record that slot n has taken done, and gives room free.
func (x *Queue) finish(pos uint32, n int) {
	head := x.head(pos).Load()
	x.commit(
		change{x.offset(pos), head&(recLength|recSpill) | recDone},
		change{x.heldWord(n), x.m.held(n).Load() - 1},
		change{x.stateWord(queueFinished), x.finished.Load() + 1})
	x.trim()
}

// trim gives room free behind records that are done.
func (x *Queue) trim() {
	front := end(x.next.Load()).pos()
	pos := uint32(x.free.Load())
	for left := x.units; pos != front && left > 0; left-- {
		head := x.head(pos).Load()
		if state := head & stateMask; state != recDone && state != recFiller {
			break
		}
		pos += size(head)
	}
	point(PointHeldBefore)
	x.free.Store(uint64(pos))
	point(PointHeldAfter)
}

// drop takes out all that is in the queue, which was shut down with now, and counts it as
// finished.
func (x *Queue) drop() {
	tail := x.seal() &^ sealed
	next := end(x.next.Load())
	if x.keep {
		for pos, ok := x.findState(recReturned, 0); ok; pos, ok = x.findState(recReturned, 0) {
			head := x.head(pos).Load()
			x.commit(
				change{x.offset(pos), head&(recLength|recSpill) | recDone},
				change{x.stateWord(queueReturned), x.returned.Load() - 1},
				change{x.stateWord(queueFinished), x.finished.Load() + 1})
		}
		x.markDropped(next.pos(), tail.pos())
	}
	if n := tail.since(next); n != 0 {
		x.seenTail.Store(uint64(tail))
		x.commit(
			change{x.stateWord(queueNext), uint64(tail)},
			change{x.stateWord(queueFinished), x.finished.Load() + uint64(n)})
		x.m.wakeAll(lineC)
	}
	if x.keep {
		x.trim()
	}
}

// markDropped makes the records from the front on done, one included that somebody died
// taking; see keepTaken.
func (x *Queue) markDropped(pos, to uint32) {
	for left := x.units; pos != to && left > 0; left-- {
		head := x.head(pos).Load()
		if head&stateMask != recFiller {
			x.head(pos).Store(head&(recLength|recSpill) | recDone)
		}
		pos += size(head)
	}
}

// openFront is what all begin with that are about what is finished.
func (x *Queue) openFront() (me int, h Holding, err error) {
	if me, err = x.m.takeSlot(); err == nil {
		h, err = x.lockFront(context.Background(), me)
	}
	return me, h, err
}

// Done says that an item that was taken is finished: the oldest one of this process, or
// if it has none, of any. It returns ErrDone if there is none.
func (x *Queue) Done() error {
	return x.done(func(me int) (pos uint32, slot int) {
		if x.keep {
			return x.oldest(me)
		}
		if x.m.held(me).Load() != 0 {
			return 0, me
		}
		for n := 1; n <= x.m.used(); n++ {
			if x.m.held(n).Load() != 0 {
				return 0, n
			}
		}
		return 0, 0
	})
}

// DoneAt says that the item is finished that this process took at a position. It
// returns ErrDone if that is so already.
func (x *Queue) DoneAt(pos uint32) error {
	if !x.keep {
		return x.Done()
	}
	return x.done(func(me int) (uint32, int) {
		if !x.takenBy(pos, me) {
			return 0, 0
		}
		if i := slices.Index(x.mine, pos); i >= 0 {
			x.mine = slices.Delete(x.mine, i, i+1)
		}
		return pos, me
	})
}

func (x *Queue) done(which func(me int) (pos uint32, slot int)) error {
	me, h, err := x.openFront()
	if err != nil {
		return err
	}
	x.edge.pass()
	pos, slot := which(me)
	switch {
	case slot == 0:
		err = ErrDone
	case x.keep:
		x.finish(pos, slot)
	default:
		x.commit(
			change{x.heldWord(slot), x.m.held(slot).Load() - 1},
			change{x.stateWord(queueFinished), x.finished.Load() + 1})
	}
	over := x.unfinished() == 0
	x.front.release(me, h.Token, false)
	if over {
		x.m.wakeAll(lineC)
	}
	if x.keep && x.shut.Load() != 0 {
		x.m.wakeAll(lineA) // see mayComeBack
	}
	x.wake(x.putFlag, lineB)
	runtime.KeepAlive(x)
	return err
}

// oldest finds the record that this process took first, or if it has none, any one that
// was taken.
func (x *Queue) oldest(me int) (pos uint32, slot int) {
	for len(x.mine) > 0 {
		pos := x.mine[0]
		x.mine = x.mine[1:]
		if x.takenBy(pos, me) {
			return pos, me
		}
	}
	if pos, ok := x.findState(recTaken, 0); ok {
		return pos, int(x.head(pos).Load() & recSlots >> recSlot)
	}
	return 0, 0
}

func (x *Queue) takenBy(pos uint32, n int) bool {
	free := uint32(x.free.Load())
	head := x.head(pos).Load()
	return pos-free < end(x.next.Load()).pos()-free &&
		head&stateMask == recTaken && head&recSlots>>recSlot == uint64(n)
}

// unfinished counts what is in the queue, or was taken and is not finished.
func (x *Queue) unfinished() int {
	tail := end(x.tail.Load())
	return int((tail.count() - uint32(x.finished.Load()) - uint32(x.lost.Load())) & itemMask)
}

// Unfinished returns how many items are in the queue, or taken and not finished; Lost
// how many were taken by processes that died, and given to nobody else. Nobody may be
// watching those who took something, so both look themselves.
func (x *Queue) Unfinished() (int, error) {
	return x.count((*Queue).unfinished)
}

// Lost: see Unfinished.
func (x *Queue) Lost() (int, error) {
	return x.count(func(x *Queue) int { return int(x.lost.Load()) })
}

func (x *Queue) count(what func(*Queue) int) (int, error) {
	me, err := x.m.takeSlot()
	if err != nil {
		return 0, err
	}
	x.getLine.bury(me, x.takers(me))
	me, h, err := x.openFront()
	if err != nil {
		return 0, err
	}
	n := what(x)
	x.front.release(me, h.Token, false)
	runtime.KeepAlive(x)
	return n, nil
}

func (x *Queue) lenKept() int {
	n, _ := x.count(func(x *Queue) int {
		return int(end(x.tail.Load()).since(end(x.next.Load())) + uint32(x.returned.Load()))
	})
	return n
}

// Join waits until nothing is unfinished, or ctx ends.
func (x *Queue) Join(ctx context.Context) error {
	me, err := x.m.takeSlot()
	if err != nil {
		return err
	}
	err = x.joinLine.wait(ctx, me, &joiner{x, ctx}, nil)
	x.edge.pass()
	runtime.KeepAlive(x)
	return err
}

// takers lists the slots that have taken what is not finished.
func (x *Queue) takers(me int) (slots []int) {
	for n := 1; n <= x.m.used(); n++ {
		if n != me && x.m.held(n).Load() != 0 {
			slots = append(slots, n)
		}
	}
	return slots
}

// mayComeBack tells whether to wait for what other processes have taken and not finished,
// when nothing more can be put: if one of them dies, somebody has to be there. Processes
// that finish what they have when they have found the end must not wait for each other:
// who has taken something waits only for those that are not in line, or behind it.
func (x *Queue) mayComeBack(me int) bool {
	if !x.keep || x.shut.Load() == shutNow {
		return false
	}
	holding := x.m.held(me).Load() != 0
	mine := x.m.order(lineA, me).Load()
	for _, n := range x.takers(me) {
		order := x.m.order(lineA, n).Load()
		before := order != 0 && (mine == 0 || order < mine)
		if !holding || !before {
			return true
		}
	}
	return false
}

type joiner struct {
	x   *Queue
	ctx context.Context
}

func (j *joiner) try(me int) (bool, error) {
	h, err := j.x.lockFront(j.ctx, me)
	if err != nil {
		return false, err
	}
	over := j.x.unfinished() == 0
	j.x.front.release(me, h.Token, false)
	return over, nil
}

func (j *joiner) ready(int) bool { return true } // who finishes the last one wakes all

func (j *joiner) depends(me int) []int { return j.x.takers(me) }
