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
// Permits exist (total), are reserved by a process (in its slot), and are in use (in
// the same word of its slot). What nobody has reserved is total less the sum over
// the slots; it is not stored anywhere, so it cannot be wrong. A process keeps what it
// has reserved, and takes and gives it back by one compare-and-swap on its own word;
// whoever needs a permit and finds none reserves one that is free, or takes away one
// that another process has reserved and does not use. That is under the mutex, so
// that the sum cannot exceed the total. When a process dies its word becomes 0: that
// is the whole repair.
//
// With FlagHandoff there is one word for all processes, and nothing comes back.
type Semaphore struct {
	seg   *Segment
	m     *mapping
	guard *Mutex
	total *atomic.Uint64
	flag  *atomic.Uint64 // 1: somebody may stand in line
	bound uint64         // most that may exist; 0: no bound
	line  line
	edge  raceEdge

	handoff bool
	common  *atomic.Uint64 // handoff: the permits that are free
}

// The state of a semaphore, in words, and the word of a slot:
//
//	in use    16 bits
//	reserved  16 bits, at least as many
//	changes   32 bits, so that two looks at all words can be compared
const (
	semTotal  = 0
	semFlag   = 1
	semBound  = 2
	semCommon = 3

	semWords = 4

	useOne     = 1
	useMask    = 1<<16 - 1
	resShift   = 16
	resOne     = 1 << resShift
	changeOne  = 1 << 32
	maxPermits = 1<<16 - 1 // of one process
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
	x := &Semaphore{
		seg: s, m: s.m, guard: NewMutex(s),
		total: s.Word(semTotal), flag: s.Word(semFlag), common: s.Word(semCommon),
		bound: s.Word(semBound).Load(), line: newLine(s.m, lineA),
		handoff: s.m.handoff(),
	}
	x.guard.handoff = false // the flag speaks of permits
	return x
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

// Waiting returns how many processes wait.
func (x *Semaphore) Waiting() int { return x.line.waiting() }

// Acquire takes a permit, or waits for one until ctx ends.
func (x *Semaphore) Acquire(ctx context.Context) error {
	if me := int(x.m.own.Load()); me != 0 && x.quick(me) {
		return nil
	}
	me, err := x.m.takeSlot()
	if err != nil {
		return err
	}
	err = x.line.wait(ctx, me, (*semWaiter)(x), nil)
	if err == nil && x.m.following(lineA, 0) != 0 && x.Value() > 0 {
		x.m.wakeFirst(lineA) // two releases may have woken the same one
	}
	runtime.KeepAlive(x)
	return err
}

// TryAcquire takes a permit if there is one.
func (x *Semaphore) TryAcquire() (bool, error) {
	me, err := x.m.takeSlot()
	if err != nil {
		return false, err
	}
	if x.quick(me) {
		return true, nil
	}
	ok, err := x.take(context.Background(), me)
	if !ok && err == nil && x.buryHolders(me) {
		ok, err = x.take(context.Background(), me)
	}
	return ok, err
}

// quick takes a permit that this process has reserved.
func (x *Semaphore) quick(me int) bool {
	if x.handoff {
		return x.takeCommon()
	}
	held := x.m.held(me)
	for {
		w := held.Load()
		if w&useMask >= w>>resShift&useMask {
			return false
		}
		point(PointHeldBefore)
		if held.CompareAndSwap(w, w+useOne+changeOne) {
			point(PointHeldAfter)
			return x.keep(me)
		}
	}
}

// keep gives back what was just taken if the segment was closed meanwhile.
func (x *Semaphore) keep(me int) bool {
	if x.m.own.Load() == 0 {
		x.m.held(me).Store(0)
		x.wake()
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

// take reserves a permit and uses it.
func (x *Semaphore) take(ctx context.Context, me int) (bool, error) {
	if x.quick(me) {
		return true, nil
	}
	if x.handoff || x.m.closed.Load() {
		return false, nil
	}
	h, err := x.guard.Acquire(ctx)
	if err != nil {
		return false, err
	}
	defer x.guard.Release(h.Token)
	for {
		if x.reserved() < x.total.Load() || x.steal(me) {
			return x.add(me)
		}
		if !x.anyFree() {
			return false, nil
		}
	}
}

// add reserves one more permit for this process, in use. The mutex is held, so that
// nobody else changes what is reserved here, other goroutines of this process
// excepted, which change what is in use.
func (x *Semaphore) add(me int) (bool, error) {
	held := x.m.held(me)
	for {
		w := held.Load()
		if w>>resShift&useMask == maxPermits {
			return false, ErrMany
		}
		point(PointHeldBefore)
		if held.CompareAndSwap(w, w+useOne+resOne+changeOne) {
			point(PointHeldAfter)
			return x.keep(me), nil
		}
	}
}

// reserved sums what all processes have reserved.
func (x *Semaphore) reserved() (n uint64) {
	for i := 1; i <= x.m.used(); i++ {
		n += x.m.held(i).Load() >> resShift & useMask
	}
	return n
}

// steal takes away one permit that another process has reserved and does not use. If
// this process dies now, it is free.
func (x *Semaphore) steal(me int) bool {
	for i := 1; i <= x.m.used(); i++ {
		held := x.m.held(i)
		for w := held.Load(); w&useMask < w>>resShift&useMask; w = held.Load() {
			point(PointHeldBefore)
			if i != me && held.CompareAndSwap(w, w-resOne+changeOne) {
				point(PointHeldAfter)
				return true
			}
			if i == me {
				break
			}
		}
	}
	return false
}

// anyFree tells whether a permit may have been free at some moment of the look: a
// permit may go round while one looks at one slot after the other. Two equal looks
// are one look at all.
func (x *Semaphore) anyFree() bool {
	var sum [2]uint64
	var use uint64
	for pass := range sum {
		use = 0
		for i := 1; i <= x.m.used(); i++ {
			w := x.m.held(i).Load()
			sum[pass] = sum[pass]*31 + w
			use += w & useMask
		}
	}
	return sum[0] != sum[1] || use < x.total.Load()
}

// Value returns how many permits are free: exactly so many at one moment.
func (x *Semaphore) Value() uint64 {
	if x.handoff {
		return x.common.Load()
	}
	for {
		var sum [2]uint64
		var use uint64
		total := x.total.Load()
		for pass := range sum {
			use = 0
			for i := 1; i <= x.m.used(); i++ {
				w := x.m.held(i).Load()
				sum[pass] = sum[pass]*31 + w
				use += w & useMask
			}
		}
		if sum[0] == sum[1] && total == x.total.Load() {
			return total - min(use, total)
		}
	}
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
	} else if !x.drop(me) {
		err = x.create()
	}
	if err == nil && x.flag.Load() != 0 {
		x.wake()
	}
	runtime.KeepAlive(x)
	return err
}

func (x *Semaphore) drop(me int) bool {
	held := x.m.held(me)
	for w := held.Load(); w&useMask > 0; w = held.Load() {
		point(PointHeldBefore)
		if held.CompareAndSwap(w, w-useOne+changeOne) {
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

// wake wakes the first in line. If there is none, the flag goes: whoever comes to
// stand in line sets it after that.
func (x *Semaphore) wake() { wakeFlagged(x.m, lineA, x.flag) }

// wakeFlagged wakes the first of a line whose flag is set.
func wakeFlagged(m *mapping, line int, flag *atomic.Uint64) {
	if m.wakeFirst(line) {
		return
	}
	point(PointFlagBefore)
	flag.Store(0)
	point(PointFlagAfter)
	if m.following(line, 0) != 0 {
		flag.Store(1) // it stood in line before the flag went
		m.wakeFirst(line)
	}
}

// buryHolders repairs the slots of dead processes that hold permits, and tells
// whether there were any.
func (x *Semaphore) buryHolders(me int) (any bool) {
	for _, n := range x.holders(me) {
		if id := ident(x.m.ident(n).Load()); id != 0 && !alive(id) {
			x.m.repair(n, id)
			any = true
		}
	}
	return any
}

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

func (w *semWaiter) try(me int) (bool, error) {
	return (*Semaphore)(w).take(context.Background(), me)
}

func (w *semWaiter) ready(int) bool { return raised(w.flag) }

// raised makes sure that the flag was set before the caller last tried.
func raised(flag *atomic.Uint64) bool {
	if flag.Load() == 1 {
		return true
	}
	point(PointFlagBefore)
	flag.Store(1)
	point(PointFlagAfter)
	return false
}

func (w *semWaiter) depends(me int) []int {
	if w.handoff {
		return nil
	}
	return (*Semaphore)(w).holders(me)
}
