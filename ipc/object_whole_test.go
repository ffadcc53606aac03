package ipc

import "testing"

// whole checks what must hold whenever no operation is under way.
func (m *Manager) whole(t testing.TB) {
	t.Helper()
	m.lock()
	defer m.unlock()
	w := &wholeness{t: t, m: m, holds: map[*session]map[leaver]int{}, waiting: map[*object]int{}}
	for _, o := range m.objects {
		switch x := o.thing.(type) {
		case *managedLock:
			w.lock(x)
		case *managedCondition:
			w.line(&x.waiters)
			w.must(m.objects[x.lockObj.id] == x.lockObj && x.lockObj.stored > 0, "the lock of a condition lives")
		case *managedSemaphore:
			w.semaphore(x)
		case *managedEvent:
			w.line(&x.waiters)
			w.must(!x.flag || x.waiters.n == 0, "nobody waits for an event that is set")
		case *managedBarrier:
			w.barrier(x)
		}
	}
	w.sums()
}

// A wholeness is what the objects say of the sessions.
type wholeness struct {
	t       testing.TB
	m       *Manager
	holds   map[*session]map[leaver]int
	waiting map[*object]int
	parked  int
}

func (w *wholeness) must(ok bool, what string) {
	w.t.Helper()
	if !ok {
		w.t.Fatalf("not so: %s", what)
	}
}

func (w *wholeness) hold(s *session, h leaver) {
	if w.holds[s] == nil {
		w.holds[s] = map[leaver]int{}
	}
	w.holds[s][h]++
}

func (w *wholeness) line(l *line) {
	w.t.Helper()
	n, prev := 0, (*parked)(nil)
	for p := l.first; p != nil; p = p.next {
		w.must(p.line == l && p.prev == prev && !p.gone, "who stands in a line waits")
		w.must(p.s.waiting[p.id] == p && !p.s.ended, "the session knows of it")
		w.waiting[p.obj]++
		prev, n = p, n+1
	}
	w.must(l.last == prev && l.n == n, "a line has an end, and knows its length")
	w.parked += n
}

func (w *wholeness) lock(l *managedLock) {
	w.t.Helper()
	w.line(&l.waiters)
	w.must(l.level > 0 || l.waiters.n == 0, "nobody waits for a lock that is free")
	w.must(l.level > 0 || l.owner == caller{}, "a lock that is free has no owner")
	w.must(l.level == 0 || l.handoff || l.owner.s != nil, "a lock that is held has an owner")
	w.must(l.level <= 1 || l.reentrant, "a lock has one level")
	if l.owner.s != nil {
		w.must(!l.owner.s.ended, "the owner's connection stands")
		w.hold(l.owner.s, l)
	}
}

func (w *wholeness) semaphore(x *managedSemaphore) {
	w.t.Helper()
	w.line(&x.waiters)
	w.must(x.free == 0 || x.waiters.n == 0, "nobody waits while a permit is free")
	out := 0
	for s, n := range x.held {
		w.must(n > 0 && !s.ended, "who holds permits stands")
		w.hold(s, x)
		out += n
	}
	w.must(x.out == out, "the permits that are held are counted")
	w.must(x.bound < 0 || x.free+x.out <= x.bound, "a bounded semaphore is bounded")
}

func (w *wholeness) barrier(b *managedBarrier) {
	w.t.Helper()
	w.line(&b.inside)
	w.line(&b.waiters)
	w.must(!b.broken || !b.running && b.inside.n+b.waiters.n == 0, "nobody waits at a broken barrier")
	w.must(b.running || b.waiters.n < b.parties, "no round waits that could go on")
	if b.running {
		w.must(b.inside.n == b.parties-1, "all others wait for an action")
		w.hold(b.runner.s, b)
	} else {
		w.must(b.inside.n == 0, "nobody waits for an action that is not under way")
	}
	for _, r := range b.relieved {
		w.hold(r.s, b)
	}
}

// sums compares that with what the sessions and the manager say.
func (w *wholeness) sums() {
	w.t.Helper()
	parked := 0
	for s := range w.m.sessions {
		parked += len(s.waiting)
		w.must(len(s.holds) == len(w.holds[s]), "a session holds what has it as holder")
		for h, n := range s.holds {
			w.must(w.holds[s][h] == n, "and as often")
		}
	}
	w.must(parked == w.parked && w.m.stats.waiting == parked, "who waits stands in a line")
	for _, o := range w.m.objects {
		w.must(o.waiting == w.waiting[o], "an object counts who waits on it")
	}
}
