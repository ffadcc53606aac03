package shm

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
)

// Slots are numbered from 1, so that 0 can mean nobody in the state word.

func (m *mapping) slot(n int) int { return offTable + (n-1)*slotSize }

func (m *mapping) ident(n int) *atomic.Uint64 { return m.u64(m.slot(n) + slotIdent) }
func (m *mapping) order(n int) *atomic.Uint64 { return m.u64(m.slot(n) + slotOrder) }
func (m *mapping) wake(n int) *atomic.Uint32  { return m.u32(m.slot(n) + slotWake) }

// used returns the number of the highest slot that was ever taken.
func (m *mapping) used() int { return min(int(m.u32(offUsed).Load()), m.slots) }

// takeSlot returns the number of the slot of this process, and takes one if it
// has none. It fails with ErrClosed or ErrFull.
func (m *mapping) takeSlot() (int, error) {
	if n := m.own.Load(); n != 0 {
		return int(n), nil
	}
	m.attach.Lock()
	defer m.attach.Unlock()
	if m.closed.Load() {
		return 0, ErrClosed
	}
	if n := m.own.Load(); n != 0 {
		return int(n), nil
	}
	me, err := self()
	if err != nil {
		return 0, err
	}
	n := m.claim(me.ident)
	if n == 0 {
		// The dead leave their slots behind; somebody has to look.
		m.sweep()
		n = m.claim(me.ident)
	}
	for try := 0; n == 0 && try < 100 && m.mine(me.ident); try++ {
		runtime.GC()
		time.Sleep(time.Millisecond)
		n = m.claim(me.ident)
	}
	if n == 0 {
		return 0, fmt.Errorf("%w: all %d slots are taken", ErrFull, m.slots)
	}
	m.taken, m.as = n, me.ident
	m.own.Store(uint32(n))
	return n, nil
}

// claim takes the lowest free slot. The mark of used slots is raised first: a
// slot behind the mark would be seen by nobody.
func (m *mapping) claim(id ident) int {
	for n := 1; n <= m.slots; n++ {
		for used := m.u32(offUsed).Load(); int(used) < n; used = m.u32(offUsed).Load() {
			point(PointAttachBeforeUsed)
			m.u32(offUsed).CompareAndSwap(used, uint32(n))
		}
		point(PointAttachBeforeIdent)
		if m.ident(n).CompareAndSwap(0, uint64(id)) {
			point(PointAttachAfterIdent)
			return n
		}
	}
	return 0
}

// mine tells whether this process has a slot already: that of a mapping that was
// closed, and waits for the garbage collector.
func (m *mapping) mine(id ident) bool {
	for n := 1; n <= m.used(); n++ {
		if m.ident(n).Load() == uint64(id) {
			return true
		}
	}
	return false
}

// sweep repairs the slots of all processes that are dead.
func (m *mapping) sweep() {
	for n := 1; n <= m.used(); n++ {
		if id := ident(m.ident(n).Load()); id != 0 && !alive(id) {
			m.repair(n, id)
		}
	}
}

// leave gives back what this process holds and waits for, when the segment is
// closed. The slot itself stays taken until [mapping.detach]: a goroutine may be
// just about to write its number into the state word.
func (m *mapping) leave() {
	m.attach.Lock()
	defer m.attach.Unlock()
	m.own.Store(0)
	if m.taken != 0 {
		m.disown(m.taken, m.as)
		rouse(m.wake(m.taken))
		m.wakeFirst()
	}
}

// detach frees the slot of this process, when no goroutine can use it any more.
func (m *mapping) detach() {
	if m.taken == 0 {
		return
	}
	point(PointDetachBefore)
	m.repair(m.taken, m.as)
	point(PointDetachAfter)
}

// repair takes back all that the process id held and waited for under slot n,
// and frees the slot last: a new process under the same number must not inherit
// anything. Any number of processes may do this at once, and each may die in the
// middle: every step is one store that is right for whoever comes first and fails
// or changes nothing for the others. Only a slot whose process is dead, or is
// giving it up itself, may be repaired.
func (m *mapping) repair(n int, id ident) {
	m.disown(n, id)
	point(PointRepairBeforeOrder)
	// Somebody who still found it alive may be passing it over: then the order number is
	// another one now.
	for order := m.order(n).Load(); order != 0 && m.ident(n).Load() == uint64(id); order = m.order(n).Load() {
		m.order(n).CompareAndSwap(order, 0)
	}
	point(PointRepairAfterOrder)
	m.ident(n).CompareAndSwap(uint64(id), 0)
	point(PointRepairAfterIdent)
	m.wakeFirst()
}

// nextOrder draws a number that nobody else has or will have.
func (m *mapping) nextOrder() uint64 { return m.u64(offOrder).Add(1) }

// passOver is called by a sleeper, me, that nobody has woken for a while. If the
// first of the queue was woken and has not come, it is stopped, and goes to the
// end of the queue; or it is dead, and goes.
func (m *mapping) passOver(me int) {
	n := m.first()
	if n == 0 || n == me || m.wake(n).Load() == 0 {
		return
	}
	order, id := m.order(n).Load(), ident(m.ident(n).Load())
	if id != 0 && !alive(id) {
		m.repair(n, id)
		return
	}
	point(PointPassOverBefore)
	if order != 0 && m.order(n).CompareAndSwap(order, m.nextOrder()) {
		point(PointPassOverAfter)
		m.wakeFirst() // it depended on the one that went
	}
}

// first returns the slot that has waited longest, 0 if nobody waits.
func (m *mapping) first() int { return m.following(0) }

// following returns the slot that waits next after the order number given.
func (m *mapping) following(order uint64) (slot int) {
	var best uint64
	for n := 1; n <= m.used(); n++ {
		if o := m.order(n).Load(); o > order && (best == 0 || o < best) {
			slot, best = n, o
		}
	}
	return slot
}

// preceding returns the slot that waits just before the order number given.
func (m *mapping) preceding(order uint64) (slot int) {
	var best uint64
	for n := 1; n <= m.used(); n++ {
		if o := m.order(n).Load(); o != 0 && o < order && o > best {
			slot, best = n, o
		}
	}
	return slot
}

// wakeFirst wakes the first of the queue, and tells whether there is one.
func (m *mapping) wakeFirst() bool {
	n := m.first()
	if n != 0 {
		rouse(m.wake(n))
	}
	return n != 0
}
