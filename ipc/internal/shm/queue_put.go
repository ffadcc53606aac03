package shm

import (
	"context"
	"runtime"
	"time"
)

const (
	// warm: when nothing is in the ring, it begins again at its start each time this many
	// units were used, for memory that was just used is in the cache.
	warm = 64 << 10 / 8

	// publish is how many units of a batch are written before the tail is moved.
	publish = 64 << 10 / 8

	// patience is how long the first in line lets others go before it.
	patience = 5 * time.Millisecond
)

// An Item is content in two parts, so that nobody has to join them first.
type Item [2][]byte

// Len returns the length of both parts.
func (i *Item) Len() int { return len(i[0]) + len(i[1]) }

func (i *Item) copyTo(b []byte) { copy(b[copy(b, i[0]):], i[1]) }

// TryPut appends one item if there is room. Otherwise it returns ErrWouldBlock, and with
// fair also if the room there is belongs to somebody who has waited for long.
func (x *Queue) TryPut(ctx context.Context, head, body []byte, fair bool) error {
	me, err := x.m.takeSlot()
	if err != nil {
		return err
	}
	it := Item{head, body}
	if it.Len() > MaxItem {
		return ErrTooLarge
	}
	h, err := lock(ctx, x.back, me)
	if err != nil {
		return err
	}
	tail, err := x.open(h, me, fair)
	if err != nil {
		return err
	}
	at, ok := x.append(tail, &it)
	err = ErrWouldBlock
	if ok {
		err = x.publish(tail, at)
	}
	x.back.release(me, h.Token, false)
	if err == nil {
		x.wake(x.getFlag, lineA)
	} else if err == ErrWouldBlock && x.keep && x.reclaim(ctx, me) {
		return x.TryPut(ctx, head, body, fair)
	}
	runtime.KeepAlive(x)
	return err
}

// PutAll appends items in a row, as many at a time as there is room for, and waits for
// more until ctx ends. It returns how many it has appended.
func (x *Queue) PutAll(ctx context.Context, items []Item) (int, error) {
	me, err := x.m.takeSlot()
	if err != nil {
		return 0, err
	}
	for i := range items {
		if items[i].Len() > MaxItem {
			return 0, ErrTooLarge
		}
	}
	p := putter{x: x, ctx: ctx, items: items}
	done, err := p.try(me)
	if !done && err == nil {
		p.waits = time.Now()
		err = x.putLine.wait(ctx, me, &p, nil)
		x.wakeNext(x.putFlag, lineB, func() bool { return !x.Full() })
	}
	runtime.KeepAlive(x)
	return p.done, err
}

// open is called under the mutex of the back, which it gives up with an error.
func (x *Queue) open(h Holding, me int, fair bool) (end, error) {
	if h.Died {
		// It may have moved the tail and not told.
		x.wake(x.getFlag, lineA)
	}
	tail := end(x.tail.Load())
	if x.shut.Load() != 0 || tail&sealed != 0 {
		x.back.release(me, h.Token, false)
		return 0, ErrShut
	}
	if s := int(x.starving.Load()); fair && s != 0 && s != me && x.putLine.first() == s {
		x.back.release(me, h.Token, false)
		return 0, ErrWouldBlock
	}
	return tail, nil
}

// A putter appends items.
type putter struct {
	x     *Queue
	ctx   context.Context
	items []Item
	done  int
	waits time.Time // since when, if it stands in line
	told  bool      // the flag was set before it last tried
}

// try appends as many as it can, and succeeds when it has appended all.
func (p *putter) try(me int) (bool, error) {
	x := p.x
	p.told = x.putFlag.Load() == 1
	if x.keep && x.front.word.Load()&flagDied != 0 {
		x.reclaim(p.ctx, me)
	}
	h, err := lock(p.ctx, x.back, me)
	if err != nil {
		return false, err
	}
	tail, err := x.open(h, me, true)
	if err == ErrWouldBlock {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	before := p.done
	err = p.appendAll(tail)
	all := p.done == len(p.items)
	if !p.waits.IsZero() {
		p.starve(me, all || err != nil)
	}
	x.back.release(me, h.Token, false)
	if p.done > before {
		x.wake(x.getFlag, lineA)
	}
	return all, err
}

func (p *putter) appendAll(tail end) error {
	x := p.x
	for at, n := tail, p.done; ; {
		next, ok := at, false
		if n < len(p.items) {
			next, ok = x.append(at, &p.items[n])
		}
		if ok {
			at = next
			n++
			if at.pos()-tail.pos() < publish {
				continue
			}
		}
		if n == p.done {
			return nil
		}
		x.edge.pass()
		if err := x.publish(tail, at); err != nil {
			return err
		}
		p.done, tail = n, at
		if ok {
			x.wake(x.getFlag, lineA)
		}
	}
}

// starve lets nobody go before this one any more if it has waited for too long: a large
// item needs room that small ones would take up as fast as it comes. The claim stands as
// long as its slot is the first in line, so the dead and the stopped lose it with their
// place.
func (p *putter) starve(me int, over bool) {
	s := p.x.starving
	if over {
		if s.Load() == uint64(me) {
			s.Store(0)
		}
	} else if time.Since(p.waits) > patience && p.x.putLine.first() == me {
		s.Store(uint64(me))
	}
}

// append writes an item at an end that is not published yet, and returns the end behind
// it, or false if there is no room.
func (x *Queue) append(at end, it *Item) (end, bool) {
	n := it.Len()
	head := recItem | uint64(n)
	if n+8 > len(x.ring)/2 { // a larger record would not fit behind a filler even if nothing else were there
		if x.spilling(at) {
			return at, false
		}
		head |= recSpill
	}
	need := size(head)
	begin := x.place(at.pos(), need)
	if !x.fits(at, begin+need) {
		return at, false
	}
	if begin != at.pos() {
		x.head(at.pos()).Store(recFiller | uint64(begin-at.pos()-1)*8)
	}
	if head&recSpill != 0 {
		x.spilled.Store(uint64(begin))
		it.copyTo(x.spill)
	} else {
		it.copyTo(x.ring[(begin&(x.units-1))*8+8:])
	}
	storeRelease(x.head(begin), head)
	return at.at(begin+need, 1), true
}

// place returns where a record of so many units begins: at pos, or at the start of the
// ring if it would reach beyond its end, or if nothing else is in it.
func (x *Queue) place(pos, need uint32) uint32 {
	index := pos & (x.units - 1)
	rest := x.units - index
	if need > rest || index >= warm && index&(warm-1) < need && need <= index && x.freed() == pos {
		return pos + rest
	}
	return pos
}

// fits tells whether the ring may be filled up to a position, and with one more item.
func (x *Queue) fits(at end, to uint32) bool {
	if x.units == 0 {
		return false
	}
	for fresh := false; ; fresh = true {
		room := to-uint32(x.seenFree.Load()) <= x.units
		if room && x.items != 0 {
			room = at.since(end(x.seenNext.Load()))+uint32(x.returned.Load()) < x.items
		}
		if room || fresh {
			return room
		}
		x.seenNext.Store(x.next.Load())
		x.seenFree.Store(uint64(x.freed()))
	}
}

// spilling tells whether the spill area is in use: the record that last used it lies
// between the end that is free and this one. (After 32 GiB positions come again. Then
// the record there may be another one that uses it; it is waited for, too.)
func (x *Queue) spilling(at end) bool {
	mark, free := uint32(x.spilled.Load()), x.freed()
	return mark-free < at.pos()-free && x.head(mark).Load()&recSpill != 0
}

// publish moves the tail.
func (x *Queue) publish(from, to end) error {
	x.edge.pass()
	point(PointHeldBefore)
	ok := x.tail.CompareAndSwap(uint64(from), uint64(to))
	point(PointHeldAfter)
	if !ok {
		return ErrShut // under the mutex only the seal comes between
	}
	return nil
}

// ready: another one may have set the flag since the last try, and found room that was not
// for it.
func (p *putter) ready(int) bool { return asleep(p.x.putFlag) && p.told }

// depends: what a dead getter was about to take is still there, and makes no room. Who died
// finishing an item may have made some; see reclaim.
func (p *putter) depends(int) []int {
	if owner := int(p.x.front.word.Load() & ownerMask); p.x.keep && owner != 0 {
		return []int{owner}
	}
	return nil
}
