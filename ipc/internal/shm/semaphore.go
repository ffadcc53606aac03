package shm

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
)

// Errors of semaphores.
var (
	// ErrOver: one release more than a bounded semaphore allows.
	ErrOver = errors.New("shm: released too often")
	// ErrMany: a process cannot hold so many permits.
	ErrMany = errors.New("shm: too many permits")
)

// A Semaphore hands out permits. Those of a dead process come back.
//
// Permits exist (total), are in use by a process, or spare: reserved by a process that
// does not use them at the moment. Both numbers stand in the word of its slot. What is
// free is total less the sum over the slots; it is not stored anywhere, so it cannot be
// wrong, and when a process dies its word becomes 0: that is the whole repair.
//
// A process takes a spare permit into use, and back, by one compare-and-swap on its own
// word. Who has none takes the spare one of another process away, which makes it free,
// and reserves one that is free: see [Semaphore.reserve]. Nobody ever waits for a
// process that is in the middle of something.
//
// With FlagHandoff there is one word for all processes, and nothing comes back.
type Semaphore struct {
	seg   *Segment
	m     *mapping
	total *atomic.Uint64
	op    *atomic.Uint64 // the last reservation
	bound uint64         // most that may exist; 0: no bound
	line  line
	edge  raceEdge

	handoff bool
	common  *atomic.Uint64 // handoff: the permits that are free
}

// The state of a semaphore, in words, and the word of a slot:
//
//	in use   30 bits
//	spare    4 bits
//	changes  30 bits: no word ever comes again
const (
	semTotal  = 0
	semOp     = 1
	semBound  = 2
	semCommon = 3

	semWords = 4

	useOne    = 1
	useMask   = 1<<30 - 1
	spareOne  = 1 << 30
	spareMask = 15 << 30
	semChange = 34
	changeOne = 1 << semChange

	// The word of a reservation: for which slot (10 bits), which changes must still be
	// the last ones there (30), and a number (24).
	opSlot    = 54
	opChange  = 24
	opNumMask = 1<<opChange - 1
)

// SemaphoreConfig returns what to Create for a semaphore.
func SemaphoreConfig(name string, handoff bool) Config {
	c := Config{Kind: KindSemaphore, Name: name, Slots: MaxSlots, Bytes: 8 * semWords}
	if handoff {
		c.Flags = FlagHandoff
	}
	return c
}

// NewSemaphore returns the Semaphore in s. Init gives it its permits.
func NewSemaphore(s *Segment) *Semaphore {
	return &Semaphore{
		seg: s, m: s.m,
		total: s.Word(semTotal), op: s.Word(semOp), common: s.Word(semCommon),
		bound: s.Word(semBound).Load(), line: newLine(s.m, lineA),
		handoff: s.m.handoff(),
	}
}

// Init sets how many permits there are, and how many there may be (0: no bound). It
// is for the creator.
func (x *Semaphore) Init(permits, bound uint64) {
	x.total.Store(permits)
	x.common.Store(permits)
	x.seg.Word(semBound).Store(bound)
	x.bound = bound
}

// Segment returns the segment of the semaphore.
func (x *Semaphore) Segment() *Segment { return x.seg }

// Line returns the processes that stand in line, in its order.
func (x *Semaphore) Line() []int {
	defer runtime.KeepAlive(x)
	return x.line.pids()
}

// Waiting returns how many processes wait.
func (x *Semaphore) Waiting() int {
	defer runtime.KeepAlive(x)
	return x.line.waiting()
}

// Acquire takes a permit, or waits for one until ctx ends. If there is one, ctx is not
// looked at.
func (x *Semaphore) Acquire(ctx context.Context) error {
	if me := int(x.m.own.Load()); me != 0 && x.quick(me) {
		return nil
	}
	defer runtime.KeepAlive(x)
	me, err := x.m.takeSlot()
	if err != nil {
		return err
	}
	err = x.line.wait(ctx, me, (*semWaiter)(x), nil)
	if err == nil && x.line.came.Load() != x.line.gone.Load() && x.anyFree() {
		x.line.call() // two releases may have woken the same one
	}
	return err
}

// TryAcquire takes a permit if there is one. What a process holds that is found dead
// does not stand in the way.
func (x *Semaphore) TryAcquire() (bool, error) {
	defer runtime.KeepAlive(x)
	me, err := x.m.takeSlot()
	if err != nil {
		return false, err
	}
	ok, err := x.take(me)
	if !ok && err == nil && !x.handoff {
		for _, n := range x.holders(me) {
			x.m.dead(n)
		}
		ok, err = x.take(me)
	}
	return ok, err
}

// quick takes a spare permit of this process into use.
func (x *Semaphore) quick(me int) bool {
	if x.handoff {
		return x.takeCommon()
	}
	held := x.m.held(me)
	for {
		w := held.Load()
		if w&spareMask == 0 || w&useMask == useMask {
			return false
		}
		point(PointHeldBefore)
		if held.CompareAndSwap(w, w+useOne-spareOne+changeOne) {
			point(PointHeldAfter)
			return x.keep(me)
		}
	}
}

// keep gives back what was just taken if the segment was closed meanwhile: whatever this
// process held is void.
func (x *Semaphore) keep(me int) bool {
	if x.m.own.Load() == 0 {
		x.m.empty(me, x.m.as)
		x.line.call()
		return false
	}
	x.edge.pass()
	return true
}

func (x *Semaphore) takeCommon() bool {
	for n := x.common.Load(); n > 0; n = x.common.Load() {
		point(PointHeldBefore)
		if x.common.CompareAndSwap(n, n-1) {
			point(PointHeldAfter)
			x.edge.pass()
			return true
		}
	}
	return false
}

// take takes a permit from wherever there is one.
func (x *Semaphore) take(me int) (bool, error) {
	for {
		if x.quick(me) {
			return true, nil
		}
		if x.m.own.Load() == 0 {
			return false, ErrClosed
		}
		if x.handoff {
			return false, nil
		}
		if x.m.held(me).Load()&useMask == useMask {
			return false, ErrMany
		}
		if !x.reserve(me) && !x.steal(me) && !x.anyFree() {
			return false, nil
		}
	}
}

// reserve makes one free permit a spare one of this process, if there is one; somebody
// may take that away at once.
//
// It is done in two steps, so that the sum of what is reserved never exceeds the total,
// and nobody has to exclude anybody. First one word for all says which slot is to get
// one more, and at which of its changes; then the slot gets it. Whoever comes next
// finishes the second step before it counts, as often as it likes: once the slot has
// changed, for this or for another reason, it has no effect any more. And if the word is
// still the same after the counting, nobody has reserved anything meanwhile.
func (x *Semaphore) reserve(me int) bool {
	op := x.op.Load()
	x.settle(op)
	if x.reserved() >= x.total.Load() {
		return false
	}
	h := x.m.held(me).Load()
	if h&spareMask != 0 {
		return true // another goroutine got one
	}
	next := uint64(me)<<opSlot | h>>semChange<<opChange | (op+1)&opNumMask
	point(PointReserveBefore)
	if x.op.CompareAndSwap(op, next) {
		point(PointReserveAfter)
		x.settle(next)
	}
	return true
}

// settle finishes a reservation, if it is not finished.
func (x *Semaphore) settle(op uint64) {
	n := int(op >> opSlot)
	if n == 0 || n > x.m.slots {
		return
	}
	held := x.m.held(n)
	w := held.Load()
	if w>>semChange == op<<(64-opSlot)>>(64-opSlot+opChange) && w&spareMask != spareMask {
		point(PointHeldBefore)
		held.CompareAndSwap(w, w+spareOne+changeOne)
		point(PointHeldAfter)
	}
}

// reserved sums what all processes use and have to spare.
func (x *Semaphore) reserved() (n uint64) {
	for i := 1; i <= x.m.used(); i++ {
		w := x.m.held(i).Load()
		n += w&useMask + w&spareMask/spareOne
	}
	return n
}

// steal makes a spare permit of another process free.
func (x *Semaphore) steal(me int) bool {
	for i := 1; i <= x.m.used(); i++ {
		held := x.m.held(i)
		for w := held.Load(); i != me && w&spareMask != 0; w = held.Load() {
			point(PointHeldBefore)
			if held.CompareAndSwap(w, w-spareOne+changeOne) {
				point(PointHeldAfter)
				return true
			}
		}
	}
	return false
}

// anyFree tells whether a permit may have been free at some moment of the look: one may
// go round while one looks at one slot after the other.
func (x *Semaphore) anyFree() bool {
	if x.handoff {
		return x.common.Load() > 0
	}
	before, _ := x.look()
	after, use := x.look()
	return before != after || use < x.total.Load()
}

// look sums the changes of all slots, and what they use. Two looks with the same changes
// are one look at all slots in one moment.
func (x *Semaphore) look() (changes, use uint64) {
	for i := 1; i <= x.m.used(); i++ {
		w := x.m.held(i).Load()
		changes += w >> semChange
		use += w & useMask
	}
	return changes, use
}

// Value returns how many permits are free: exactly so many at one moment. What the dead
// held is free.
func (x *Semaphore) Value() uint64 {
	defer runtime.KeepAlive(x)
	if x.handoff {
		return x.common.Load()
	}
	for _, n := range x.holders(int(x.m.own.Load())) {
		x.m.dead(n)
	}
	return x.free()
}

// free is Value if nobody is dead.
func (x *Semaphore) free() uint64 {
	for {
		before, _ := x.look()
		total := x.total.Load()
		after, use := x.look()
		if before == after {
			return total - min(use, total)
		}
	}
}

// Using returns how many permits this process uses.
func (x *Semaphore) Using() uint64 {
	defer runtime.KeepAlive(x)
	if me := int(x.m.own.Load()); me != 0 && !x.handoff {
		return x.m.held(me).Load() & useMask
	}
	return 0
}

// Release gives a permit back: one that this process uses, or else a new one.
func (x *Semaphore) Release() error {
	me, err := x.m.takeSlot()
	if err != nil {
		return err
	}
	x.edge.pass()
	if x.handoff {
		err = x.giveCommon()
	} else {
		err = x.give(me)
	}
	if err == nil {
		x.line.call()
	}
	runtime.KeepAlive(x)
	return err
}

// give makes a permit that this process uses free, or a new one if it uses none. If it
// uses none because the segment was closed meanwhile, what it used is free already.
func (x *Semaphore) give(me int) error {
	if x.drop(me) {
		return nil
	}
	if x.m.own.Load() == 0 {
		return ErrClosed
	}
	return x.create()
}

// drop makes a permit in use a spare one, or a free one if there are many to spare.
func (x *Semaphore) drop(me int) bool {
	held := x.m.held(me)
	for w := held.Load(); w&useMask > 0; w = held.Load() {
		next := w - useOne + changeOne
		if w&spareMask != spareMask {
			next += spareOne
		}
		point(PointHeldBefore)
		if held.CompareAndSwap(w, next) {
			point(PointHeldAfter)
			return true
		}
	}
	return false
}

func (x *Semaphore) giveCommon() error {
	for {
		n := x.common.Load()
		if x.bound != 0 && n >= x.bound {
			return ErrOver
		}
		point(PointHeldBefore)
		if x.common.CompareAndSwap(n, n+1) {
			point(PointHeldAfter)
			return nil
		}
	}
}

func (x *Semaphore) create() error {
	for {
		n := x.total.Load()
		if x.bound != 0 && n >= x.bound {
			return ErrOver
		}
		point(PointHeldBefore)
		if x.total.CompareAndSwap(n, n+1) {
			point(PointHeldAfter)
			return nil
		}
	}
}

// holders lists the slots of others that use permits.
func (x *Semaphore) holders(me int) (slots []int) {
	for n := 1; n <= x.m.used(); n++ {
		if n != me && x.m.held(n).Load()&useMask > 0 {
			slots = append(slots, n)
		}
	}
	return slots
}

// semWaiter is a Semaphore as its line sees it.
type semWaiter Semaphore

func (w *semWaiter) try(me int) (bool, error) { return (*Semaphore)(w).take(me) }

func (w *semWaiter) ready(int) bool { return true } // who releases calls the line

func (w *semWaiter) depends(me int) []int {
	if w.handoff {
		return nil
	}
	return (*Semaphore)(w).holders(me)
}
