package shm

import (
	"context"
	"errors"
	"math/bits"
	"runtime"
	"sync/atomic"
	"unsafe"
)

// Errors of queues.
var (
	// ErrShut: the queue was shut down, and for a getter, nothing is left.
	ErrShut = errors.New("shm: queue is shut down")
	// ErrTooLarge: an item is larger than any item may be.
	ErrTooLarge = errors.New("shm: item too large")
	// ErrDone: more items were finished than taken.
	ErrDone = errors.New("shm: finished too often")
	// ErrWouldBlock: a try found the queue full, or empty.
	ErrWouldBlock = errors.New("shm: would block")
	// ErrSpoilt: what is in the memory was not written by a Queue.
	ErrSpoilt = errors.New("shm: queue is spoilt")
)

// A Queue is a ring of records in shared memory, with one mutex for those who put and
// one for those who get, so that the two sides only meet at the two ends of the ring.
//
// Each end is one word: its position, and how many items have passed it. Who puts
// writes its records behind the tail, where nobody looks, and then moves the tail over
// them; who gets copies what is at the front and then moves the front. So an item is
// in the queue or is not, whoever dies: a dead putter leaves bytes that the next one
// overwrites, a dead getter an item that the next one gets. How many items there are is
// the difference of the ends.
//
// The tail has a bit that seals it. Whoever puts moves the tail by compare-and-swap;
// after it is sealed, that fails.
//
// With [FlagJoin] and [FlagRedeliver] more than one word has to change at a time, under
// the mutex of the front: see queue_join.go.
type Queue struct {
	seg  *Segment
	m    *mapping
	edge raceEdge

	back     *Mutex // of those who put
	front    *Mutex // of those who get, or finish
	putLine  line
	getLine  line
	joinLine line

	tail *atomic.Uint64 // an end
	next *atomic.Uint64 // an end: the next item that is taken
	free *atomic.Uint64 // position: from here on the ring is in use. Without keep, that of next

	putFlag *atomic.Uint64 // see wake
	getFlag *atomic.Uint64
	shut    *atomic.Uint64 // 0, or how it was shut

	// Under the mutex of the back: what was last seen of next and free, which changed a
	// cache line of the getters to look at; where the last record began whose content
	// lies in the spill area; and the slot that comes before others.
	seenNext *atomic.Uint64
	seenFree *atomic.Uint64
	spilled  *atomic.Uint64
	starving *atomic.Uint64

	// Under the mutex of the front: what was last seen of the tail, and as queue_join.go
	// says.
	seenTail *atomic.Uint64
	finished *atomic.Uint64
	lost     *atomic.Uint64
	returned *atomic.Uint64
	graves   *atomic.Uint64

	items uint32 // most items; 0: no bound
	units uint32 // size of the ring, a power of two
	ring  []byte
	base  int // where it begins in the segment
	spill []byte

	track bool     // what was taken and not finished counts
	keep  bool     // and its record stays in the ring
	mine  []uint32 // keep: where the records lie that this process has taken, under the mutex of the front
}

// Words of the state. What different sides write lies 128 bytes apart: processors
// fetch cache lines in pairs.
const (
	queueTail     = 0
	queueSeenNext = 1
	queueSeenFree = 2
	queueSpilled  = 3
	queueStarving = 4

	queueNext     = 16
	queueFree     = 17
	queueSeenTail = 18
	queueFinished = 19
	queueLost     = 20
	queueReturned = 21
	queueLog      = 22 // 1 + 2*maxChanges words

	queueGetFlag = 32
	queuePutFlag = 48

	queueShut   = 64
	queueUnits  = 65
	queueItems  = 66
	queueGraves = 67

	queueBytes = 1024

	shutDrain = 1 // what is there can still be taken
	shutNow   = 2

	// FlagJoin in Config.Flags: items have to be finished. FlagRedeliver: and what a
	// dead process took and did not finish is given to another.
	FlagJoin      = 2
	FlagRedeliver = 4

	// MaxItem is the largest item, in bytes.
	MaxItem = 64<<20 + 64<<10
)

// An end of the ring:
//
//	position  32 bits, in units of 8 bytes; the ring has the position modulo its size
//	items     31 bits, how many have passed
//	sealed    1 bit, of the tail only
type end uint64

const (
	itemMask = 1<<31 - 1
	sealed   = 1 << 63
)

func (e end) pos() uint32   { return uint32(e) }
func (e end) count() uint32 { return uint32(e>>32) & itemMask }

// at returns the end behind so many more items.
func (e end) at(pos, items uint32) end {
	return e&sealed | end((e.count()+items)&itemMask)<<32 | end(pos)
}

// since returns how many items have passed e and not f.
func (e end) since(f end) uint32 { return (e.count() - f.count()) & itemMask }

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
	flags := s.Flags()
	x := &Queue{
		seg: s, m: s.m, back: NewMutex(s), front: newMutex2(s),
		getLine: newLine(s.m, lineA), putLine: newLine(s.m, lineB), joinLine: newLine(s.m, lineC),
		track: flags&(FlagJoin|FlagRedeliver) != 0, keep: flags&FlagRedeliver != 0,

		tail: s.Word(queueTail), next: s.Word(queueNext), free: s.Word(queueFree),
		putFlag: s.Word(queuePutFlag), getFlag: s.Word(queueGetFlag), shut: s.Word(queueShut),
		seenNext: s.Word(queueSeenNext), seenFree: s.Word(queueSeenFree),
		spilled: s.Word(queueSpilled), starving: s.Word(queueStarving),
		seenTail: s.Word(queueSeenTail), finished: s.Word(queueFinished), lost: s.Word(queueLost),
		returned: s.Word(queueReturned), graves: s.Word(queueGraves),
	}
	x.back.handoff = false // the flags are not those of a lock
	x.layout()
	return x
}

// Init sets the size of the ring and the bound of items (0: none). It is for the
// creator.
func (x *Queue) Init(size int, items uint64) {
	x.seg.Word(queueUnits).Store(ringUnits(size))
	x.seg.Word(queueItems).Store(min(items, itemMask))
	x.layout()
}

// layout believes nothing: a ring that is no power of two, or does not fit, is none.
func (x *Queue) layout() {
	state := x.seg.State()
	units := x.seg.Word(queueUnits).Load()
	if units&(units-1) != 0 || units > uint64(len(state)-queueBytes-MaxItem)/8 {
		units = 0
	}
	x.units, x.items = uint32(units), uint32(x.seg.Word(queueItems).Load())
	x.base = len(x.m.mem) - len(state) + queueBytes
	x.ring = state[queueBytes:][:units*8]
	x.spill = state[queueBytes+units*8:]
}

// Segment returns the segment of the queue.
func (x *Queue) Segment() *Segment { return x.seg }

// Len returns how many items can be taken: exactly so many at one moment.
func (x *Queue) Len() int {
	defer runtime.KeepAlive(x)
	if x.keep {
		return x.lenKept()
	}
	for {
		next := x.next.Load()
		tail := x.tail.Load()
		if x.shut.Load() == shutNow {
			return 0
		}
		if x.next.Load() == next {
			return int(end(tail).since(end(next)))
		}
	}
}

// Full tells whether an item of no length would have to wait.
func (x *Queue) Full() bool {
	defer runtime.KeepAlive(x)
	if x.keep {
		if me, err := x.m.takeSlot(); err == nil {
			x.reclaim(context.Background(), me)
		}
	}
	for {
		free, next := x.freed(), end(x.next.Load())
		tail := end(x.tail.Load())
		if x.freed() == free && end(x.next.Load()) == next {
			return tail.pos()-free >= x.units ||
				x.items != 0 && tail.since(next)+uint32(x.returned.Load()) >= x.items
		}
	}
}

// Getting returns how many processes wait for an item.
func (x *Queue) Getting() int {
	defer runtime.KeepAlive(x)
	return x.getLine.waiting()
}

// Putting returns how many processes wait for room.
func (x *Queue) Putting() int {
	defer runtime.KeepAlive(x)
	return x.putLine.waiting()
}

// Shut tells whether the queue was shut down.
func (x *Queue) Shut() bool {
	defer runtime.KeepAlive(x)
	return x.shut.Load() != 0
}

// Cap returns the size of the ring in bytes.
func (x *Queue) Cap() int { return len(x.ring) }

// Shutdown lets nothing more in. With now, what is in the queue is dropped, and counts
// as finished. It waits for nobody: what there is to be done under a mutex, whoever has
// it next does.
func (x *Queue) Shutdown(now bool) error {
	if x.m.closed.Load() {
		return ErrClosed
	}
	how := uint64(shutDrain)
	if now {
		how = shutNow
	}
	for was := x.shut.Load(); was < how; was = x.shut.Load() {
		point(PointHeldBefore)
		x.shut.CompareAndSwap(was, how)
		point(PointHeldAfter)
	}
	x.seal()
	for _, line := range []int{lineA, lineB, lineC} {
		x.m.wakeAll(line)
	}
	runtime.KeepAlive(x)
	return nil
}

// seal makes sure that the tail does not move any more, and returns where it is. The
// queue has been shut; who did it may have died before this.
func (x *Queue) seal() end {
	for {
		tail := x.tail.Load()
		if tail&sealed != 0 {
			return end(tail)
		}
		point(PointHeldBefore)
		x.tail.CompareAndSwap(tail, tail|sealed)
		point(PointHeldAfter)
	}
}

// idle tells whether there was nothing to take, and nothing else to do for a getter, at
// some moment of the call. The front is read first: it never passes the tail.
func (x *Queue) idle(me int) bool {
	next := end(x.next.Load())
	if end(x.seenTail.Load()).since(next) != 0 {
		return false
	}
	return end(x.tail.Load()).since(next) == 0 && (x.shut.Load() == 0 || x.mayComeBack(me)) &&
		(!x.track || x.graves.Load() == 0 && x.returned.Load() == 0)
}

// wake wakes the first of a line after something has changed for it. The flag of a line
// is 1 if somebody may sleep who has to be woken, and 2 when somebody was; who sleeps
// sets it to 1, and looks again. So a row of changes before the sleeper is up costs one
// system call, not one for each. If the one that should wake dies before it does, or the
// one that was woken is stopped, the sleepers find out when they look again by themselves.
func (x *Queue) wake(flag *atomic.Uint64, line int) {
	if flag.Load() != 1 {
		return
	}
	point(PointFlagBefore)
	if flag.CompareAndSwap(1, 2) {
		point(PointFlagAfter)
		x.m.wakeFirst(line)
	}
}

// wakeNext is for one that leaves a line, where it may have been woken for all: the next
// one is to be woken, now if there is more. It says that somebody may sleep before it
// looks for more: what comes later is told by those who bring it.
func (x *Queue) wakeNext(flag *atomic.Uint64, line int, more func() bool) {
	if x.m.following(line, 0) == 0 {
		return
	}
	asleep(flag)
	if more() {
		x.wake(flag, line)
	}
}

// asleep makes sure that the flag was set before the caller last tried.
func asleep(flag *atomic.Uint64) bool {
	if flag.Load() == 1 {
		return true
	}
	point(PointFlagBefore)
	flag.Store(1)
	point(PointFlagAfter)
	return false
}

// The head of a record:
//
//	length  32 bits, of the content
//	state    4 bits
//	spill    1 bit: the content is in the spill area
//	slot    10 bits, from bit 40: who has taken it
//
// What states there are beside item and filler matters with keep only, and only before
// the front.
const (
	stateMask   = 15 << 32
	recItem     = 1 << 32
	recFiller   = 2 << 32 // nothing: the next record is at the start of the ring
	recTaken    = 3 << 32
	recReturned = 4 << 32 // can be taken again
	recDone     = 5 << 32
	recSpill    = 1 << 36
	recSlot     = 40
	recSlots    = ownerMask << recSlot
	recLength   = 1<<32 - 1
)

// offset returns where the record at a position lies in the segment.
func (x *Queue) offset(pos uint32) int { return x.base + int(pos&(x.units-1))*8 }

func (x *Queue) head(pos uint32) *atomic.Uint64 { return x.m.u64(x.offset(pos)) }

// size returns how many units a record takes.
func size(head uint64) uint32 {
	if head&recSpill != 0 {
		return 1
	}
	return 1 + uint32((head&recLength+7)/8)
}

// freed returns the position from which on the ring is in use.
func (x *Queue) freed() uint32 {
	if x.keep {
		return uint32(x.free.Load())
	}
	return end(x.next.Load()).pos()
}

// storeRelease is StoreRelease for a word under a mutex.
func storeRelease(w *atomic.Uint64, v uint64) { StoreRelease((*uint64)(unsafe.Pointer(w)), v) }

// lock takes a mutex of the queue for slot me.
func lock(ctx context.Context, x *Mutex, me int) (Holding, error) {
	if h, ok, err := x.grab(me, flagDied); ok || err != nil {
		return h, err
	}
	return x.acquireSlow(ctx, false)
}
