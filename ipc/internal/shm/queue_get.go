package shm

import (
	"context"
	"runtime"

	"golang.org/x/sys/unix"
)

// A Taking is the front of a queue in the hands of one getter, with its mutex: it looks
// at an item, accepts it, looks at the next. It ends with Close, before which nobody
// else can take anything.
type Taking struct {
	x    *Queue
	h    Holding
	me   int
	from end    // where the front is
	at   end    // where it will be
	pos  uint32 // the record that is looked at
	head uint64
	huge int // bytes of the spill area that were accepted

	stood bool // in line
}

// Take waits for an item until ctx ends, and opens the front at it. With wait false it
// returns ErrWouldBlock instead of waiting; and at the end of a queue that was shut down
// ErrShut. With an error there is nothing to close.
func (x *Queue) Take(ctx context.Context, wait bool) (Taking, error) {
	me, err := x.m.takeSlot()
	if err != nil {
		return Taking{}, err
	}
	t := Taking{x: x, me: me}
	ok, err := t.open(ctx)
	if ok || err != nil {
		return t, err
	}
	if !wait {
		if x.keep && x.getLine.bury(me, x.takers(me)) { // nobody may be watching those
			ok, err = t.open(ctx)
		}
		if !ok && err == nil {
			err = ErrWouldBlock
		}
		return t, err
	}
	return x.takeSlow(ctx, me)
}

func (x *Queue) takeSlow(ctx context.Context, me int) (Taking, error) {
	g := getter{ctx: ctx, t: Taking{x: x, me: me}}
	if err := x.getLine.wait(ctx, me, &g, nil); err != nil {
		return Taking{}, err
	}
	g.t.stood = true
	return g.t, nil
}

// open takes the mutex, if there is something to take.
func (t *Taking) open(ctx context.Context) (bool, error) {
	x := t.x
	if x.idle(t.me) {
		return false, nil
	}
	h, err := x.lockFront(ctx, t.me)
	if err != nil {
		return false, err
	}
	t.h, t.huge = h, 0
	t.from = end(x.next.Load())
	t.at = t.from
	ok, err := t.Next()
	if ok {
		return true, nil
	}
	last := x.shut.Load() != 0 && !x.mayComeBack(t.me)
	x.front.release(t.me, h.Token, false)
	if err != nil || !last {
		return false, err
	}
	if x.keep && x.getLine.bury(t.me, x.takers(t.me)) {
		return t.open(ctx) // not the end yet: something has come back
	}
	return false, ErrShut
}

// Next looks at the oldest item that was not accepted, if there is one.
func (t *Taking) Next() (bool, error) {
	x := t.x
	if x.keep && x.returned.Load() != 0 {
		if pos, ok := x.findState(recReturned, 0); ok {
			t.pos, t.head = pos, x.head(pos).Load()
			return x.sane(t.pos, t.head)
		}
	}
	tail := end(x.seenTail.Load())
	if tail.since(t.at) == 0 || tail&sealed == 0 && x.shut.Load() != 0 {
		tail = end(x.tail.Load())
		if x.shut.Load() != 0 {
			tail = x.seal()
		}
		if tail.since(t.at) == 0 {
			return false, nil
		}
		storeRelease(x.seenTail, uint64(tail))
	}
	t.pos = t.at.pos()
	t.head = x.head(t.pos).Load()
	if t.head&stateMask == recFiller {
		t.pos += size(t.head)
		t.head = x.head(t.pos).Load()
	}
	if left := tail.pos() - t.pos; size(t.head) > left || left > x.units {
		return false, ErrSpoilt
	}
	return x.sane(t.pos, t.head)
}

// sane tells whether the content lies where content can lie.
func (x *Queue) sane(pos uint32, head uint64) (bool, error) {
	if head&recSpill != 0 && head&recLength > uint64(len(x.spill)) ||
		head&recSpill == 0 && size(head) > x.units-pos&(x.units-1) {
		return false, ErrSpoilt
	}
	return true, nil
}

// Content is that of the item, good until Close.
func (t *Taking) Content() []byte {
	n := t.head & recLength
	if t.head&recSpill != 0 {
		return t.x.spill[:n:n]
	}
	return t.x.ring[uint64(t.pos&(t.x.units-1))*8+8:][:n:n]
}

// Pos names the item for Finish.
func (t *Taking) Pos() uint32 { return t.pos }

// Accept takes the item.
func (t *Taking) Accept() {
	if t.x.keep {
		t.x.keepTaken(t)
		return
	}
	if t.head&recSpill != 0 {
		t.huge = int(t.head & recLength)
	}
	t.at = t.at.at(t.pos+size(t.head), 1)
}

// Close makes it so that the items that were accepted are taken, and gives the front up.
func (t *Taking) Close() {
	x := t.x
	x.edge.pass()
	if t.at != t.from {
		point(PointHeldBefore)
		if x.track && !x.keep {
			x.tookMore(t)
		} else {
			storeRelease(x.next, uint64(t.at))
		}
		point(PointHeldAfter)
	}
	x.front.release(t.me, t.h.Token, false)
	x.wake(x.putFlag, lineB)
	if t.stood {
		x.wakeNext(x.getFlag, lineA, func() bool { return !x.idle(t.me) })
	}
	if t.huge > 1<<20 {
		x.giveBack(t.huge)
	}
	runtime.KeepAlive(x)
}

// giveBack returns the pages of the spill area to the system, unless somebody is using
// it again.
func (x *Queue) giveBack(n int) {
	me := int(x.m.own.Load())
	if me == 0 {
		return
	}
	h, ok, _ := x.back.grab(me, 0)
	for try := 0; !ok && try < 100; try++ {
		pause()
		h, ok, _ = x.back.grab(me, 0)
	}
	if !ok {
		return // not worth waiting for; the next one that takes a huge item comes by here
	}
	defer x.back.release(me, h.Token, false)
	if x.spilling(end(x.tail.Load())) {
		return
	}
	off := int64(len(x.m.mem) - len(x.spill))
	page := int64(unix.Getpagesize())
	first := (off + page - 1) / page * page
	if last := (off + int64(n)) / page * page; last > first {
		x.m.fd.punch(first, last-first)
	}
}

// A getter waits for an item.
type getter struct {
	ctx context.Context
	t   Taking
}

func (g *getter) try(me int) (bool, error) { return g.t.open(g.ctx) }

func (g *getter) ready(int) bool { return asleep(g.t.x.getFlag) }

func (g *getter) depends(me int) []int {
	if g.t.x.keep {
		return g.t.x.takers(me) // what they have taken comes back
	}
	return nil
}

// WaitReady waits until there is something to take, or the queue is shut.
func (x *Queue) WaitReady(ctx context.Context) error {
	me, err := x.m.takeSlot()
	if err != nil {
		return err
	}
	if !x.idle(me) {
		return nil
	}
	if err := ctx.Err(); err != nil { // for a look nobody has to stand in line
		if x.keep && x.getLine.bury(me, x.takers(me)) && !x.idle(me) {
			return nil
		}
		return err
	}
	err = x.getLine.wait(ctx, me, (*looker)(x), nil)
	x.wakeNext(x.getFlag, lineA, func() bool { return true }) // the wake-up may have been for one who takes
	runtime.KeepAlive(x)
	return err
}

// looker is a Queue as those see it who only look.
type looker Queue

func (l *looker) try(me int) (bool, error) { return !(*Queue)(l).idle(me), nil }

func (l *looker) ready(int) bool { return asleep(l.getFlag) }

func (l *looker) depends(me int) []int {
	if l.keep {
		return (*Queue)(l).takers(me)
	}
	return nil
}
