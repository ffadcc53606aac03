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
func (m *mapping) held(n int) *atomic.Uint64  { return m.u64(m.slot(n) + slotHeld) }
func (m *mapping) grave(n int) *atomic.Uint64 { return m.u64(m.slot(n) + slotGrave) }

func (m *mapping) order(line, n int) *atomic.Uint64 { return m.u64(m.slot(n) + slotOrder + 8*line) }
func (m *mapping) wake(line, n int) *atomic.Uint32  { return m.u32(m.slot(n) + slotWake + 4*line) }

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
	if n == 0 && m.kind == KindQueue {
		n = m.inherit(me.ident)
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

// leave gives back what this process holds, when the segment is closed, and wakes
// its waiters. The slot itself stays taken until [mapping.detach]: a goroutine may be
// just about to write its number into the state word.
func (m *mapping) leave() {
	m.attach.Lock()
	defer m.attach.Unlock()
	m.own.Store(0)
	if m.taken == 0 {
		return
	}
	if m.kind == KindBarrier {
		m.buryParty(m.taken, m.as)
	}
	if m.kind == KindQueue {
		m.leaveQueue() // a goroutine may be copying, which will release the mutex
	} else {
		m.disown(m.taken, m.as)
		m.empty(m.taken, m.as)
	}
	for line := range numLines {
		rouse(m.wake(line, m.taken))
		m.wakeFirst(line)
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
	if m.kind == KindBarrier {
		m.buryParty(n, id)
	}
	for line := range numLines {
		point(PointRepairBeforeOrder)
		// Somebody who still found it alive may be passing it over: then the order number
		// is another one now.
		order := m.order(line, n)
		for o := order.Load(); o != 0 && m.ident(n).Load() == uint64(id); o = order.Load() {
			order.CompareAndSwap(o, 0)
		}
		point(PointRepairAfterOrder)
	}
	if m.kind == KindQueue && !m.buryUser(n, id) {
		return
	}
	m.empty(n, id)
	m.ident(n).CompareAndSwap(uint64(id), 0)
	point(PointRepairAfterIdent)
	for line := range numLines {
		m.wakeFirst(line)
	}
}

// bury repairs the slots of a dead process.
func (m *mapping) bury(id ident) {
	for n := 1; n <= m.used(); n++ {
		if m.ident(n).Load() == uint64(id) {
			m.repair(n, id)
		}
	}
}

// empty takes back what the process id holds under slot n. The changes go on being
// counted: somebody may do this late, when the slot is that of another process, and
// must not find there the word that it has read before.
func (m *mapping) empty(n int, id ident) {
	held, shift := m.held(n), m.kind.changes()
	for h := held.Load(); m.ident(n).Load() == uint64(id); h = held.Load() {
		if h&(1<<shift-1) == 0 {
			return
		}
		if m.kind == KindCondition && h>>grantShift&waitMask > 0 {
			m.notifyOthers(n)
		}
		point(PointRepairBeforeHeld)
		if held.CompareAndSwap(h, (h>>shift+1)<<shift) {
			point(PointRepairAfterHeld)
			return
		}
	}
}

// dead tells whether the process of a slot is dead, and repairs the slot then. It is
// for who asks again and again: the process stays watched for a while, and asking is one
// cheap system call.
func (m *mapping) dead(n int) bool {
	id := ident(m.ident(n).Load())
	if id == 0 {
		return true
	}
	if n == int(m.own.Load()) {
		return false
	}
	dead, err := m.asked.ensure([]ident{id}, func(ident) {})
	if err != nil && alive(id) || err == nil && dead == 0 {
		return false
	}
	m.repair(n, id)
	return true
}

// nextOrder draws a number that nobody else has or will have.
func (m *mapping) nextOrder() uint64 { return m.u64(offOrder).Add(1) }
