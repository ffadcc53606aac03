package shm

import (
	"context"
	"errors"
	"math/bits"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Errors of queues.
var (
	// ErrShut: the queue was shut down, and for a getter, nothing is left.
	ErrShut = errors.New("shm: queue is shut down")
	// ErrTooLarge: an item is larger than any item may be.
	ErrTooLarge = errors.New("shm: item too large")
	// ErrDone: more items were finished than taken.
	ErrDone = errors.New("shm: finished too often")
	// ErrWouldBlock: a Try found the queue full, or empty.
	ErrWouldBlock = errors.New("shm: would block")
)

// A Queue is a ring of records in shared memory. All that changes is under the mutex;
// what makes a change real is one store: the word with both ends of the ring, or the
// head of a record. Everything else that is stored (how many items there are) can be
// counted again from these, and is, when a process has died holding the mutex.
//
// A record is free → written → ready → taken → done. Small items are copied under the
// mutex, and are written and ready, or taken and done, in one step. Large ones are
// copied outside of it, and the record says which slot is at it: so the death of a
// writer takes back what nobody has seen, and the death of a reader what it had taken
// (or, with FlagRedeliver, gives that to another).
//
// An item larger than the ring lies in the spill area behind it, one at a time.
type Queue struct {
	seg   *Segment
	m     *mapping
	guard *Mutex
	get   line
	put   line
	join  line
	edge  raceEdge

	ends    *atomic.Uint64 // head<<32 | tail, in units of 8 bytes from the start of the ring
	count   *atomic.Uint64 // items that are ready
	getFlag *atomic.Uint64
	putFlag *atomic.Uint64
	shut    *atomic.Uint64 // 0, or how it was shut
	items   uint64         // most items; 0: no bound
	units   uint64         // size of the ring
	ring    []byte
	spill   []byte
	track   bool // what was taken and not finished counts
	keep    bool // and its record stays
}

// Words of the state. Each that is written often has a cache line of its own.
const (
	queueEnds    = 0
	queueCount   = 1
	queueGetFlag = 8
	queuePutFlag = 16
	queueShut    = 24
	queueUnits   = 25
	queueItems   = 26
	queueSpilled = 27 // 1: the spill area is in use
	queueBytes   = 256

	shutDrain = 1 // what is there can still be taken
	shutNow   = 2

	// FlagJoin in Config.Flags: items have to be finished. FlagRedeliver: and what a
	// dead process took and did not finish is given to another.
	FlagJoin      = 2
	FlagRedeliver = 4

	// MaxItem is the largest item, in bytes.
	MaxItem = 64<<20 + 64<<10

	// copyInside is the largest item that is copied while the mutex is held.
	copyInside = 2 << 10
)

// The head of a record:
//
//	length  32 bits, of the content
//	state    4 bits
//	spill    1 bit: the content is in the spill area
//	slot    10 bits, from bit 40: who writes it or has taken it
const (
	recState   = 32
	stateMask  = 15 << recState
	recWritten = 1 << recState
	recReady   = 2 << recState
	recTaken   = 3 << recState
	recDone    = 4 << recState
	recSpill   = 1 << 36
	recSlot    = 40
	recSlots   = ownerMask << recSlot
	recLength  = 1<<32 - 1
)

// QueueConfig returns what to Create for a queue of at least so many bytes.
func QueueConfig(name string, size int, flags uint64) Config {
	bytes := queueBytes + int(ringUnits(size))*8 + MaxItem
	return Config{Kind: KindQueue, Name: name, Slots: MaxSlots, Bytes: bytes, Flags: flags}
}

func ringUnits(size int) uint64 {
	return 1 << bits.Len(uint(max(size, 4<<10)-1)) / 8
}

// NewQueue returns the Queue in s. The creator calls Init before anything else.
func NewQueue(s *Segment) *Queue {
	x := queueOf(s.m)
	x.seg = s
	return x
}

// queueOf is also for the repair, which may come when the Segment is gone.
func queueOf(m *mapping) *Queue {
	flags := m.u64(offFlags).Load()
	x := &Queue{
		m: m, guard: mutexOf(m),
		get: newLine(m, lineA), put: newLine(m, lineB), join: newLine(m, lineC),
		track: flags&(FlagJoin|FlagRedeliver) != 0, keep: flags&FlagRedeliver != 0,
	}
	x.ends, x.count = x.word(queueEnds), x.word(queueCount)
	x.getFlag, x.putFlag, x.shut = x.word(queueGetFlag), x.word(queuePutFlag), x.word(queueShut)
	x.guard.handoff = false
	x.layout()
	return x
}

func (x *Queue) word(i int) *atomic.Uint64 { return x.m.u64(offTable + x.m.slots*slotSize + 8*i) }

// Init sets the size of the ring and the bound of items (0: none). It is for the
// creator.
func (x *Queue) Init(size int, items uint64) {
	x.word(queueUnits).Store(ringUnits(size))
	x.word(queueItems).Store(items)
	x.layout()
}

func (x *Queue) layout() {
	state := x.m.mem[offTable+x.m.slots*slotSize:]
	x.units, x.items = x.word(queueUnits).Load(), x.word(queueItems).Load()
	if x.units > uint64(len(state)-queueBytes-MaxItem)/8 {
		x.units = 0 // nobody initialised it, or somebody spoilt it: full for ever
	}
	x.ring = state[queueBytes:][:x.units*8]
	x.spill = state[queueBytes+x.units*8:]
}

// Segment returns the segment of the queue.
func (x *Queue) Segment() *Segment { return x.seg }

// Len returns how many items can be taken, Getting and Putting how many processes
// wait for one, or for room.
func (x *Queue) Len() int { return int(x.count.Load()) }

// Getting: see Len.
func (x *Queue) Getting() int { return x.get.waiting() }

// Putting: see Len.
func (x *Queue) Putting() int { return x.put.waiting() }

// Shut tells whether the queue was shut down.
func (x *Queue) Shut() bool { return x.shut.Load() != 0 }

// Cap returns the size of the ring in bytes.
func (x *Queue) Cap() int { return int(x.units) * 8 }

// Full tells whether an item of no length would have to wait.
func (x *Queue) Full() (bool, error) {
	if err := x.lock(context.Background()); err != nil {
		return false, err
	}
	defer x.unlock()
	_, ok := x.room(0)
	return !ok || x.items > 0 && x.present() >= x.items, nil
}

// lock takes the mutex. If its last owner died, what can be counted is counted again.
func (x *Queue) lock(ctx context.Context) error {
	h, err := x.guard.Acquire(ctx)
	if err != nil {
		return err
	}
	if h.Died {
		x.recount()
	}
	return nil
}

func (x *Queue) unlock() {
	x.guard.release(int(x.guard.word.Load()&ownerMask), x.guard.word.Load()>>tokenShift, false)
}

func (x *Queue) recount() {
	ready, spilled := uint64(0), uint64(0)
	x.each(func(_ uint64, head uint64) bool {
		if head&stateMask == recReady {
			ready++
		}
		if head&recSpill != 0 && head&stateMask != recDone {
			spilled = 1
		}
		return true
	})
	x.count.Store(ready)
	x.word(queueSpilled).Store(spilled)
}

// record returns the head of the record at a unit.
func (x *Queue) record(unit uint64) *atomic.Uint64 {
	return x.m.u64(offTable + x.m.slots*slotSize + queueBytes + int(unit)*8)
}

// size returns how many units the record takes.
func size(head uint64) uint64 {
	if head&recSpill != 0 {
		return 1
	}
	return 1 + (head&recLength+7)/8
}

// each visits the records from the head to the tail. The mutex is held.
func (x *Queue) each(f func(unit, head uint64) bool) {
	ends := x.ends.Load()
	at, tail := ends>>32, ends&recLength
	for left := x.units; at != tail && at < x.units && left > 0; left-- {
		head := x.record(at).Load()
		if !f(at, head) {
			return
		}
		if at += size(head); at >= x.units {
			at = 0
		}
	}
}

// room finds a place for content of n bytes at the tail. It returns where the new
// tail would be; a record that would not end before the ring does begins at its start,
// behind a filler.
func (x *Queue) room(n int) (next uint64, ok bool) {
	ends := x.ends.Load()
	head, tail := ends>>32, ends&recLength
	need := 1 + (uint64(n)+7)/8
	switch {
	case need >= x.units:
		return 0, false
	case tail < head:
		return tail + need, tail+need < head // one unit stays free: else full looks empty
	case tail+need < x.units:
		return tail + need, true
	case tail+need == x.units:
		return 0, head != 0
	}
	return need, need < head
}

// fill puts a filler between the tail and the end of the ring, if the record of n
// bytes that comes next begins at the start, and returns where it begins.
func (x *Queue) fill(n int) uint64 {
	ends := x.ends.Load()
	head, tail := ends>>32, ends&recLength
	if tail < head || tail+1+(uint64(n)+7)/8 <= x.units {
		return tail
	}
	x.record(tail).Store(recDone | (x.units-tail-1)*8)
	x.setEnds(head, 0)
	return 0
}

func (x *Queue) setEnds(head, tail uint64) {
	point(PointHeldBefore)
	x.ends.Store(head<<32 | tail)
	point(PointHeldAfter)
}

// trim gives room free behind records that are done, and goes back to the start of the
// ring when it is empty: what is used again is warm.
func (x *Queue) trim() {
	ends := x.ends.Load()
	head, tail := ends>>32, ends&recLength
	at := head
	for at != tail {
		h := x.record(at).Load()
		if h&stateMask != recDone {
			break
		}
		if at += size(h); at >= x.units {
			at = 0
		}
	}
	switch {
	case at == tail && ends != 0:
		x.setEnds(0, 0)
	case at != head:
		x.setEnds(at, tail)
	}
}

// present counts the items that are in the queue for its bound: ready, or on the way.
func (x *Queue) present() (n uint64) {
	n = x.count.Load()
	if x.busyWriters() {
		x.each(func(_, head uint64) bool {
			if head&stateMask == recWritten {
				n++
			}
			return true
		})
	}
	return n
}

// busyWriters tells whether any process is about to copy into a record, or out of it.
func (x *Queue) busyWriters() bool {
	for n := 1; n <= x.m.used(); n++ {
		if x.m.held(n).Load()&busyMask != 0 {
			return true
		}
	}
	return false
}

// The word of a slot: how many records it is copying at (32 bits), and how many items
// it has taken and not finished (32 bits).
const (
	busyOne  = 1
	busyMask = 1<<32 - 1
	tookOne  = 1 << 32
)

// hold changes the word of a slot; the mutex is held, or the slot is this process's.
func (x *Queue) hold(n int, change uint64) {
	point(PointHeldBefore)
	x.m.held(n).Add(change)
	point(PointHeldAfter)
}

// An item is content in parts, so that nobody has to join them first.
type item [2][]byte

func (i item) len() int { return len(i[0]) + len(i[1]) }

func (i item) copyTo(b []byte) { copy(b[copy(b, i[0]):], i[1]) }

// Put appends an item, or waits for room until ctx ends. The content is a and b in a
// row. With wait false it returns ErrWouldBlock instead of waiting.
func (x *Queue) Put(ctx context.Context, a, b []byte, wait bool) error {
	return x.PutAll(ctx, 1, func(int) ([]byte, []byte) { return a, b }, wait)
}

// PutAll appends n items, as many at a time as there is room for. When it returns an
// error, the first items may have been appended.
func (x *Queue) PutAll(ctx context.Context, n int, content func(i int) ([]byte, []byte), wait bool) error {
	me, err := x.m.takeSlot()
	if err != nil {
		return err
	}
	x.edge.pass()
	p := putter{x: x, n: n, content: content}
	if ok, err := p.try(me); ok || err != nil {
		return err
	}
	if !wait {
		return ErrWouldBlock
	}
	for p.done < n {
		if err := x.put.wait(ctx, me, &p, nil); err != nil {
			return err
		}
	}
	// One wake-up may have brought room for more than one.
	if x.putFlag.Load() != 0 && x.put.first() != 0 {
		x.m.wakeFirst(lineB)
	}
	runtime.KeepAlive(x)
	return nil
}

// A putter appends items.
type putter struct {
	x       *Queue
	n, done int
	content func(i int) ([]byte, []byte)
}

// try appends as many as it can, and succeeds when it has appended all.
func (p *putter) try(me int) (bool, error) {
	for p.done < p.n {
		a, b := p.content(p.done)
		it := item{a, b}
		var ok bool
		var err error
		switch {
		case it.len() > MaxItem-8:
			return false, ErrTooLarge
		case it.len() <= copyInside:
			ok, err = p.small(me)
		default:
			ok, err = p.x.large(me, it)
			if ok {
				p.done++
			}
		}
		if !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// small appends small items from the next one on, under one lock.
func (p *putter) small(me int) (any bool, err error) {
	x := p.x
	if err := x.lock(context.Background()); err != nil {
		return false, err
	}
	if x.shut.Load() != 0 {
		x.unlock()
		return false, ErrShut
	}
	for p.done < p.n {
		a, b := p.content(p.done)
		it := item{a, b}
		if it.len() > copyInside || !x.fits(it.len()) {
			break
		}
		x.append(it)
		p.done++
		any = true
	}
	x.unlock()
	if any && x.getFlag.Load() != 0 {
		wakeFlagged(x.m, lineA, x.getFlag)
	}
	return any, nil
}

// fits tells whether there is room for one more.
func (x *Queue) fits(n int) bool {
	if x.items > 0 && x.present() >= x.items {
		return false
	}
	_, ok := x.room(n)
	return ok
}

// append writes a small item behind the tail and moves the tail.
func (x *Queue) append(it item) {
	at := x.fill(it.len())
	next, _ := x.room(it.len())
	it.copyTo(x.ring[at*8+8:])
	x.record(at).Store(recReady | uint64(it.len()))
	x.count.Add(1)
	x.setEnds(x.ends.Load()>>32, next)
}

// large reserves a record, copies into it without the lock, and makes it ready.
func (x *Queue) large(me int, it item) (bool, error) {
	if err := x.lock(context.Background()); err != nil {
		return false, err
	}
	if x.shut.Load() != 0 {
		x.unlock()
		return false, ErrShut
	}
	at, head, ok := x.reserve(me, it.len())
	x.unlock()
	if !ok {
		return false, nil
	}
	if head&recSpill != 0 {
		it.copyTo(x.spill)
	} else {
		it.copyTo(x.ring[at*8+8:])
	}
	if err := x.lock(context.Background()); err != nil {
		return false, err
	}
	if x.shut.Load() == shutNow {
		x.finish(at)
		x.hold(me, ^uint64(0)) // −busyOne
		x.unlock()
		return false, ErrShut
	}
	point(PointHeldBefore)
	x.record(at).Store(recReady | head&(recLength|recSpill))
	point(PointHeldAfter)
	x.count.Add(1)
	x.hold(me, ^uint64(0))
	x.unlock()
	if x.getFlag.Load() != 0 {
		wakeFlagged(x.m, lineA, x.getFlag)
	}
	return true, nil
}

// reserve makes a record that this process is going to write.
func (x *Queue) reserve(me, n int) (at, head uint64, ok bool) {
	head = recWritten | uint64(n) | uint64(me)<<recSlot
	inRing := n
	if uint64(n)/8+2 >= x.units/2 {
		if x.word(queueSpilled).Load() != 0 {
			return 0, 0, false
		}
		head |= recSpill
		inRing = 0
	}
	if !x.fits(inRing) {
		return 0, 0, false
	}
	at = x.fill(inRing)
	next, _ := x.room(inRing)
	x.hold(me, busyOne)
	x.record(at).Store(head)
	if head&recSpill != 0 {
		x.word(queueSpilled).Store(1)
	}
	x.setEnds(x.ends.Load()>>32, next)
	return at, head, true
}

// finish makes a record done and gives its room free. The mutex is held.
func (x *Queue) finish(at uint64) {
	head := x.record(at).Load()
	point(PointHeldBefore)
	x.record(at).Store(recDone | head&(recLength|recSpill))
	point(PointHeldAfter)
	if head&recSpill != 0 {
		x.word(queueSpilled).Store(0)
		if head&recLength > 1<<20 {
			x.giveBack(int(head & recLength))
		}
	}
	x.trim()
}

// giveBack returns the pages of the spill area to the system.
func (x *Queue) giveBack(n int) {
	off := int64(len(x.m.mem) - len(x.spill))
	page := int64(unix.Getpagesize())
	first := (off + page - 1) / page * page
	if last := (off + int64(n)) / page * page; last > first {
		x.m.fd.mu.Lock()
		defer x.m.fd.mu.Unlock()
		if x.m.fd.fd >= 0 {
			unix.Fallocate(x.m.fd.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, first, last-first)
		}
	}
}

// Get takes at least one item and at most n, oldest first, or waits for one until ctx
// ends. take is called for each with its content, which is good during the call only;
// a large one is the only one of its call. With wait false it returns ErrWouldBlock
// instead of waiting, and after the end of a queue that was shut down ErrShut.
func (x *Queue) Get(ctx context.Context, n int, take func(content []byte), wait bool) error {
	me, err := x.m.takeSlot()
	if err != nil {
		return err
	}
	g := getter{x: x, n: n, take: take}
	ok, err := g.try(me)
	if !ok && err == nil {
		if !wait {
			return ErrWouldBlock
		}
		err = x.get.wait(ctx, me, &g, nil)
		if err == nil && x.count.Load() > 0 && x.get.first() != 0 {
			x.m.wakeFirst(lineA)
		}
	}
	x.edge.pass()
	runtime.KeepAlive(x)
	return err
}

// A getter takes items.
type getter struct {
	x    *Queue
	n    int
	take func([]byte)
}

func (g *getter) try(me int) (bool, error) {
	x := g.x
	if x.count.Load() == 0 && x.shut.Load() == 0 {
		return false, nil
	}
	if err := x.lock(context.Background()); err != nil {
		return false, err
	}
	at, head, ok := x.firstReady()
	if !ok {
		shut := x.shut.Load()
		x.unlock()
		if shut != 0 {
			return false, ErrShut
		}
		return false, nil
	}
	if head&recLength > copyInside {
		x.takeLarge(me, at, head, g.take)
	} else {
		for i := 0; i < g.n && ok && head&recLength <= copyInside; i++ {
			x.takeSmall(me, at, head, g.take)
			at, head, ok = x.firstReady()
		}
		x.unlock()
	}
	if x.putFlag.Load() != 0 {
		wakeFlagged(x.m, lineB, x.putFlag)
	}
	return true, nil
}

// firstReady finds the oldest item that is ready.
func (x *Queue) firstReady() (at, head uint64, ok bool) {
	if x.count.Load() == 0 {
		return 0, 0, false
	}
	x.each(func(unit, h uint64) bool {
		if h&stateMask == recReady {
			at, head, ok = unit, h, true
		}
		return !ok
	})
	return at, head, ok
}

// takeSmall hands over the content under the lock: it is copied there.
func (x *Queue) takeSmall(me int, at, head uint64, take func([]byte)) {
	take(x.ring[at*8+8:][: head&recLength : head&recLength])
	if x.track {
		x.hold(me, tookOne)
	}
	x.count.Add(^uint64(0))
	if x.keep {
		point(PointHeldBefore)
		x.record(at).Store(recTaken | head&recLength | uint64(me)<<recSlot)
		point(PointHeldAfter)
		return
	}
	x.finish(at)
}

// takeLarge hands over the content without the lock, which it gives up.
func (x *Queue) takeLarge(me int, at, head uint64, take func([]byte)) {
	took := uint64(busyOne)
	if x.track {
		took += tookOne
	}
	x.hold(me, took)
	point(PointHeldBefore)
	x.record(at).Store(recTaken | head&(recLength|recSpill) | uint64(me)<<recSlot)
	point(PointHeldAfter)
	x.count.Add(^uint64(0))
	x.unlock()
	if head&recSpill != 0 {
		take(x.spill[:head&recLength])
	} else {
		take(x.ring[at*8+8:][:head&recLength])
	}
	if x.lock(context.Background()) != nil {
		return // closed: what is left is taken back with the slot
	}
	x.hold(me, ^uint64(0))
	if !x.keep {
		x.finish(at)
	}
	x.unlock()
}

// Done says that an item that was taken is finished: one of this process, or if it has
// none, of any. It returns ErrDone if there is none.
func (x *Queue) Done() error {
	me, err := x.m.takeSlot()
	if err != nil {
		return err
	}
	if err := x.lock(context.Background()); err != nil {
		return err
	}
	slot := me
	if x.m.held(me).Load() < tookOne {
		slot = x.anyTaker()
	}
	if slot == 0 {
		x.unlock()
		return ErrDone
	}
	if x.keep {
		x.finishOldest(slot)
	}
	x.hold(slot, ^uint64(tookOne-1)) // −tookOne
	x.unlock()
	x.m.wakeAll(lineC)
	if x.putFlag.Load() != 0 {
		wakeFlagged(x.m, lineB, x.putFlag)
	}
	runtime.KeepAlive(x)
	return nil
}

func (x *Queue) anyTaker() int {
	for n := 1; n <= x.m.used(); n++ {
		if x.m.held(n).Load() >= tookOne {
			return n
		}
	}
	return 0
}

// finishOldest finishes the oldest record that the slot has taken.
func (x *Queue) finishOldest(slot int) {
	x.each(func(at, head uint64) bool {
		if head&stateMask == recTaken && head&recSlots>>recSlot == uint64(slot) {
			x.finish(at)
			return false
		}
		return true
	})
}

// Unfinished returns how many items are in the queue, or taken and not finished.
func (x *Queue) Unfinished() (int, error) {
	if err := x.lock(context.Background()); err != nil {
		return 0, err
	}
	defer x.unlock()
	return x.unfinished(), nil
}

func (x *Queue) unfinished() int {
	n := x.present()
	for i := 1; i <= x.m.used(); i++ {
		n += x.m.held(i).Load() >> 32
	}
	return int(n)
}

// Join waits until nothing is unfinished, or ctx ends.
func (x *Queue) Join(ctx context.Context) error {
	me, err := x.m.takeSlot()
	if err != nil {
		return err
	}
	err = x.join.wait(ctx, me, (*joiner)(x), nil)
	x.edge.pass()
	runtime.KeepAlive(x)
	return err
}

// Shutdown lets nothing more in. With now, what is in the queue is dropped, and counts
// as finished.
func (x *Queue) Shutdown(now bool) error {
	if _, err := x.m.takeSlot(); err != nil {
		return err
	}
	if err := x.lock(context.Background()); err != nil {
		return err
	}
	if now {
		x.shut.Store(shutNow)
		x.each(func(at, head uint64) bool {
			if head&stateMask == recReady {
				x.record(at).Store(recDone | head&(recLength|recSpill))
				if head&recSpill != 0 {
					x.word(queueSpilled).Store(0)
				}
			}
			return true
		})
		x.count.Store(0)
		x.trim()
	} else if x.shut.Load() == 0 {
		x.shut.Store(shutDrain)
	}
	x.unlock()
	for _, line := range []int{lineA, lineB, lineC} {
		x.m.wakeAll(line)
	}
	runtime.KeepAlive(x)
	return nil
}

// takers lists the slots that are copying, or have taken what is not finished.
func (x *Queue) takers(me int) (slots []int) {
	for n := 1; n <= x.m.used(); n++ {
		if n != me && x.m.held(n).Load() != 0 {
			slots = append(slots, n)
		}
	}
	return slots
}

func (p *putter) ready(int) bool { return raised(p.x.putFlag) }

// depends: a dead process may give room back that it had reserved.
func (p *putter) depends(me int) []int { return p.x.takers(me) }

func (g *getter) ready(int) bool { return raised(g.x.getFlag) }

func (g *getter) depends(me int) []int {
	if g.x.keep {
		return g.x.takers(me) // what it has taken comes back
	}
	return nil
}

// joiner is a Queue as those see it who wait until all is finished.
type joiner Queue

func (j *joiner) try(int) (bool, error) {
	n, err := (*Queue)(j).Unfinished()
	return n == 0, err
}

func (j *joiner) ready(int) bool { return true } // who finishes always looks

func (j *joiner) depends(me int) []int { return (*Queue)(j).takers(me) }

// buryUser takes back what a dead process was writing, and had taken. It needs the
// mutex, but must not wait for it in line: its caller may stand there. It returns false
// if it could not get it.
func (m *mapping) buryUser(n int, id ident) bool {
	if m.held(n).Load() == 0 {
		return true
	}
	if m.taken == 0 {
		return false // only who has a slot can hold the mutex
	}
	x := queueOf(m)
	for range 1000 {
		if h, ok := x.guard.grabWord(m.taken, flagDied); ok {
			if h.Died {
				x.recount()
			}
			x.takeBack(n, id)
			x.guard.release(m.taken, h.Token, false)
			return true
		}
		pause()
	}
	return false
}

// takeBack does it, under the mutex.
func (x *Queue) takeBack(n int, id ident) {
	if x.m.ident(n).Load() != uint64(id) {
		return
	}
	x.each(func(at, head uint64) bool {
		if head&recSlots>>recSlot != uint64(n) {
			return true
		}
		switch head & stateMask {
		case recWritten:
			x.record(at).Store(recDone | head&(recLength|recSpill))
			if head&recSpill != 0 {
				x.word(queueSpilled).Store(0)
			}
		case recTaken:
			if x.keep {
				x.record(at).Store(recReady | head&(recLength|recSpill))
				x.count.Add(1)
				return true
			}
			x.record(at).Store(recDone | head&(recLength|recSpill))
			if head&recSpill != 0 {
				x.word(queueSpilled).Store(0)
			}
		}
		return true
	})
	x.trim()
	x.m.held(n).Store(0)
	x.m.wakeAll(lineC)
}

// WaitReady waits until there is something to take, or the queue is shut.
func (x *Queue) WaitReady(ctx context.Context) error {
	me, err := x.m.takeSlot()
	if err != nil {
		return err
	}
	err = x.get.wait(ctx, me, (*looker)(x), nil)
	if err == nil && x.get.first() != 0 {
		x.m.wakeFirst(lineA) // the wake-up may have been for one who takes
	}
	runtime.KeepAlive(x)
	return err
}

// looker is a Queue as those see it who only look.
type looker Queue

func (l *looker) try(int) (bool, error) { return l.count.Load() > 0 || l.shut.Load() != 0, nil }

func (l *looker) ready(int) bool { return raised(l.getFlag) }

func (l *looker) depends(int) []int { return nil }
