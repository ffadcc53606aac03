package ipc

import (
	"fmt"
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

func ref(m *Manager, id int64) proto.Ref { return proto.Ref{Instance: m.instance, ID: uint64(id)} }

func limited(owner uint64, ms int) map[string]any {
	return map[string]any{"owner": owner, "timeout_ms": ms}
}

// inLine waits until n calls wait on an object, for whatever.
func (m *Manager) inLine(t testing.TB, id int64, n int) {
	t.Helper()
	until(t, fmt.Sprintf("%d calls wait on object %d", n, id), m.look(func() bool { return m.objects[uint64(id)].waiting == n }))
}

// conditionOf is the state of a condition, to be looked at in look.
func conditionOf(m *Manager, id int64) *managedCondition {
	return m.objects[uint64(id)].thing.(*managedCondition)
}

// retaking waits until n calls wait for the lock of a condition.
func (m *Manager) retaking(t testing.TB, id int64, n int) {
	t.Helper()
	until(t, fmt.Sprintf("%d calls wait for the lock", n), m.look(func() bool { return conditionOf(m, id).lock.waiters.n == n }))
}

// waitsFor has an owner wait on a condition: it acquires the lock so many times, and waits.
func (f *foreign) waitsFor(id int64, options map[string]any, levels int) (call uint64) {
	f.t.Helper()
	for range levels {
		f.callWith(by(options["owner"].(uint64)), "", id, "acquire")
	}
	call = f.start(id, "wait", nil, options)
	f.must(proto.MethodPing, none)
	return call
}

func TestManagedCondition(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("condition")
	want(t, text(a, id), "<Condition(<RLock(owner=None, count=0)>)>")
	for _, op := range []string{"wait", "notify", "notify_all", "release"} {
		a.fails(proto.KindNotLocked, id, op)
	}
	want(t, a.call(id, "acquire"), []any{int64(1), false, int64(1)})
	for _, op := range []string{"wait", "notify", "notify_all", "release"} {
		b.fails(proto.KindNotOwner, id, op)
		a.callWith(by(1), proto.KindNotOwner, id, op)
	}
	want(t, a.call(id, "notify"), int64(0))
	want(t, a.call(id, "notify_all"), int64(0))
	want(t, a.call(id, "locked"), true)
	want(t, a.call(id, "owned"), true)
	want(t, a.call(id, "count"), int64(1))
	want(t, b.call(id, "count"), int64(0))
	want(t, a.call(id, "release"), int64(0))
	a.fails(proto.KindArguments, id, "notify", 1, 2)
	a.fails(proto.KindTypeError, id, "notify", "all")
	a.fails(proto.KindUnknownMethod, id, "wait_for", 1)
	m.nobody(t)
}

// notify(n) goes to the oldest n who wait now, and to nobody twice; S11: 1, then 2, then all of 5.
func TestManagedConditionNotify(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("condition")
	var calls []uint64
	for owner := range uint64(5) {
		calls = append(calls, b.waitsFor(id, by(owner), 1))
	}
	want(t, a.call(id, "waiting"), int64(5))
	a.call(id, "acquire")
	want(t, text(a, id)[len(text(a, id))-len(", count=1)>, waiting=5)>"):], ", count=1)>, waiting=5)>")
	want(t, a.call(id, "notify", 0), int64(0))
	want(t, a.call(id, "notify", -3), int64(0))
	next := 0
	for _, n := range []int{1, 2, 5} {
		woken := min(n, 5-next)
		op, args := "notify", []any{n}
		if n == 5 {
			op, args = "notify_all", nil
		}
		want(t, a.call(id, op, args...), int64(woken))
		want(t, a.call(id, "waiting"), int64(5-next-woken))
		a.call(id, "release")
		for range woken { // in the order in which they came
			v, err := b.answer(calls[next])
			if err != nil || v.([]any)[0] != true {
				t.Fatalf("wait %d: %v, %v", next, v, err)
			}
			m.nobodyBut(t, 5-next-1)
			b.callWith(by(uint64(next)), "", id, "release")
			next++
		}
		a.call(id, "acquire")
	}
	a.call(id, "release")
	m.nobody(t)
}

// nobodyBut checks how many calls wait.
func (m *Manager) nobodyBut(t testing.TB, n int) {
	t.Helper()
	m.look(func() bool { want(t, m.stats.waiting, n); return true })()
}

// A wait gives back all levels and takes them all again, as one operation.
func TestManagedConditionLevels(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("condition")
	wait := a.waitsFor(id, by(4), 3)
	want(t, b.call(id, "locked"), false)
	want(t, a.callWith(by(4), "", id, "count"), int64(0))
	b.call(id, "acquire")
	b.call(id, "acquire")
	want(t, b.call(id, "notify"), int64(1))
	b.call(id, "release")
	want(t, a.callWith(by(4), "", id, "count"), int64(0)) // not yet
	b.call(id, "release")
	a.gets(wait, []any{true, int64(3), false})
	want(t, a.callWith(by(4), "", id, "count"), int64(3))
	for left := range 3 {
		want(t, a.callWith(by(4), "", id, "release"), int64(2-left))
	}
	m.nobody(t)
}

// The limit bounds the wait for the notify, not that for the lock.
func TestManagedConditionTimeout(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("condition")
	for _, ms := range []int{0, 2} {
		a.callWith(by(0), "", id, "acquire")
		a.callWith(by(0), "", id, "acquire")
		wait := a.start(id, "wait", nil, limited(0, ms))
		v, err := a.answer(wait)
		want(t, fmt.Sprint(v.([]any)[0], v.([]any)[2], err), "false false <nil>")
		want(t, a.call(id, "count"), int64(2))
		a.call(id, "release")
		a.call(id, "release")

		// It waits for the lock as long as that takes, whatever the limit, and is not woken then.
		a.call(id, "acquire")
		got := b.start(id, "acquire", nil, none)
		m.inLine(t, id, 1)
		wait = a.start(id, "wait", nil, limited(0, ms))
		b.gets(got)
		m.retaking(t, id, 1)
		want(t, b.call(id, "notify_all"), int64(0))
		a.cancels(wait, true) // too late
		b.call(id, "release")
		v, err = a.answer(wait)
		want(t, fmt.Sprint(v.([]any)[0], v.([]any)[2], err), "false false <nil>")
		a.call(id, "release")
	}
	m.nobody(t)
}

// A cancelled wait first takes the lock again, at its old depth. One that is notified and then
// cancelled was notified.
func TestManagedConditionCancel(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("condition")
	wait := a.waitsFor(id, by(0), 2)
	a.cancels(wait, true) // the lock is free
	v, err := a.answer(wait)
	wantFault(t, proto.KindCancelled, v, err)
	want(t, string(err.(*proto.Fault).Value), "\x92\x02\xc2") // [2, false]
	want(t, a.call(id, "count"), int64(2))

	again := a.start(id, "wait", nil, none)
	b.call(id, "acquire")
	a.cancels(again, true)
	m.retaking(t, id, 1)
	a.cancels(again, true) // it still waits
	want(t, b.call(id, "notify"), int64(0))
	want(t, b.call(id, "waiting"), int64(0))
	b.call(id, "release")
	a.faults(again, proto.KindCancelled)
	a.cancels(again, false)
	want(t, a.call(id, "count"), int64(2))

	both := a.start(id, "wait", nil, none)
	b.call(id, "acquire")
	want(t, b.call(id, "notify"), int64(1))
	a.cancels(both, true)
	b.call(id, "release")
	v, err = a.answer(both)
	want(t, fmt.Sprint(v.([]any)[0], err), "true <nil>")
	want(t, a.call(id, "release"), int64(1))
	want(t, a.call(id, "release"), int64(0))
	m.nobody(t)
}

// A cancel does not cost who is notified its place in the line of the lock.
func TestManagedConditionOrder(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("condition")
	wait := a.waitsFor(id, by(0), 1)
	b.call(id, "acquire")
	b.call(id, "notify")
	late := a.start(id, "acquire", nil, by(1))
	m.retaking(t, id, 2)
	a.cancels(wait, true)
	b.call(id, "release")
	a.gets(wait)
	a.call(id, "release")
	a.gets(late)
	a.callWith(by(1), "", id, "release")
	m.nobody(t)
}

// The notify of a dead waiter goes to nobody: who is dead does not count.
func TestManagedConditionDeadWaiter(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("condition")
	for range 50 {
		dead := dialManager(t, path)
		dead.waitsFor(id, by(0), 2)
		live := b.waitsFor(id, by(0), 1)
		a.call(id, "acquire")
		dead.conn.Close()
		want(t, a.call(id, "notify"), int64(1))
		want(t, a.call(id, "notify"), int64(0))
		a.call(id, "release")
		b.gets(live)
		b.call(id, "release")
		m.open(t, 2)
		m.nobody(t)
	}
}

// A connection that ends while it waits for the lock again never gets it; one that ends with the
// lock gives it to who waits for it again, who is told.
func TestManagedConditionDeaths(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b, c := dialManager(t, path), dialManager(t, path), dialManager(t, path)
	id := b.create("condition")
	a.waitsFor(id, by(0), 2)
	wait := b.waitsFor(id, by(0), 3)
	c.call(id, "acquire")
	want(t, c.call(id, "notify_all"), int64(2))
	m.retaking(t, id, 2)
	a.conn.Close()
	c.conn.Close()
	v, err := b.answer(wait)
	want(t, fmt.Sprint(v.([]any)[0], v.([]any)[2], err), "true true <nil>")
	want(t, b.call(id, "count"), int64(3))
	m.open(t, 1)
	for range 3 {
		b.call(id, "release")
	}
	m.nobody(t)
}

// A lock that is given is shared, by two conditions too, and lives as long as they.
func TestManagedConditionSharedLock(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	lock := a.create("lock")
	empty, full := a.create("condition", ref(m, lock)), a.create("condition", ref(m, lock))
	want(t, a.must(proto.MethodDecref, lock, 1, none), int64(0))
	want(t, a.call(lock, "acquire"), []any{int64(1), false})
	b.callWith(poll(0), proto.KindTimeout, empty, "acquire")
	b.fails(proto.KindNotOwner, full, "notify")
	want(t, a.call(full, "owned"), true)
	want(t, a.call(full, "count"), int64(1))
	// It is not re-entrant.
	a.callWith(poll(0), proto.KindTimeout, full, "acquire")
	first := a.start(empty, "wait", nil, none)
	want(t, b.call(full, "acquire"), []any{int64(2), false})
	second := b.start(full, "wait", nil, none)
	want(t, a.callWith(by(1), "", lock, "acquire"), []any{int64(3), false})
	want(t, a.callWith(by(1), "", empty, "notify_all"), int64(1))
	want(t, a.callWith(by(1), "", full, "waiting"), int64(1))
	want(t, a.callWith(by(1), "", lock, "release"), nil)
	a.gets(first, []any{true, int64(4), false})
	want(t, a.call(full, "notify"), int64(1))
	want(t, a.call(empty, "release"), nil)
	b.gets(second, []any{true, int64(5), false})
	b.call(lock, "release")

	got := a.call(empty, "lock").(proto.Ref)
	want(t, got.ID, uint64(lock))
	want(t, a.must(proto.MethodDecref, lock, 1, none), int64(0)) // the lease of the answer
	m.check(t, 3, 2)
	a.must(proto.MethodDecref, empty, 1, none)
	a.call(lock, "locked")
	a.must(proto.MethodDecref, full, 1, none)
	a.fails(proto.KindGone, lock, "locked")
	m.check(t, 0, 0)
}

// The end of a condition is the end of the calls on it, whatever they wait for; others of the
// lock go on.
func TestManagedConditionGone(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	lock := a.create("rlock")
	id := a.create("condition", ref(m, lock))
	var gone []uint64
	for owner := range uint64(3) {
		gone = append(gone, b.waitsFor(id, by(owner), 1))
	}
	a.call(id, "acquire")
	a.call(id, "notify")
	gone = append(gone, b.start(id, "acquire", nil, by(9)))
	other := b.start(lock, "acquire", nil, by(10))
	m.waits(t, 5)
	a.must(proto.MethodDecref, id, 1, none)
	for _, call := range gone {
		b.faults(call, proto.KindGone)
	}
	a.call(lock, "release")
	b.gets(other)
	b.callWith(by(10), "", lock, "release")
	m.nobody(t)
	a.must(proto.MethodDecref, lock, 1, none)
	m.check(t, 0, 0)

	// Its own lock ends with it, also if it is held and waited for.
	id = a.create("condition")
	wait := b.waitsFor(id, by(0), 1)
	a.call(id, "acquire")
	a.call(id, "notify")
	second := b.start(id, "acquire", nil, by(1))
	m.waits(t, 2)
	a.must(proto.MethodDecref, id, 1, none)
	b.faults(wait, proto.KindGone)
	b.faults(second, proto.KindGone)
	m.nobody(t)
	m.check(t, 0, 0)
}

// Over a lock with handoff anybody may wait and notify while it is held.
func TestManagedConditionHandoff(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	given := a.create("lock", map[string]any{"handoff": true})
	for _, id := range []int64{
		a.create("condition", nil, map[string]any{"handoff": true}),
		a.create("condition", ref(m, given)),
	} {
		want(t, text(a, id), "<Condition(<Lock(owner=None)>)>")
		b.fails(proto.KindNotLocked, id, "notify")
		b.fails(proto.KindNotLocked, id, "wait")
		a.call(id, "acquire")
		wait := b.start(id, "wait", nil, none) // it gives back what a holds
		m.waits(t, 1)
		want(t, a.call(id, "owned"), false)
		a.call(id, "acquire")
		want(t, b.callWith(by(3), "", id, "notify"), int64(1))
		want(t, b.callWith(by(3), "", id, "release"), nil)
		b.gets(wait)
		want(t, b.call(id, "owned"), true)
		c := dialManager(t, path)
		b.call(id, "release")
		c.call(id, "acquire")
		c.conn.Close()
		m.open(t, 2)
		want(t, a.call(id, "locked"), true)
		want(t, a.call(id, "notify_all"), int64(0))
		a.call(id, "release")
	}
	m.nobody(t)
}

func TestManagedConditionCreate(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	event := a.create("event")
	for _, x := range []struct {
		lock  any
		fault string
	}{
		{ref(m, event), proto.KindTypeError},
		{event, proto.KindTypeError},
		{"lock", proto.KindTypeError},
		{ref(m, 999), proto.KindUnknownObject},
		{proto.Ref{Instance: m.instance + 1, ID: 1}, proto.KindUnknownObject},
	} {
		v, err := a.do(proto.MethodCreate, "condition", []any{x.lock}, none)
		wantFault(t, x.fault, v, err)
	}
	old := a.create("lock")
	a.must(proto.MethodDecref, old, 1, none)
	v, err := a.do(proto.MethodCreate, "condition", []any{ref(m, old)}, none)
	wantFault(t, proto.KindGone, v, err)
	m.check(t, 1, 1)
	id := a.create("condition", nil, none)
	own := a.call(id, "lock").(proto.Ref)
	d := a.must(proto.MethodDescribe, own.ID, none).(map[string]any)
	want(t, fmt.Sprintf("%v %v %v %v", d["kind"], d["stored"], d["leases"], d["refs"]), "rlock 1 1 2")
	m.check(t, 3, 3)
}

// In a batch a wait does not wait, and nobody comes between.
func TestManagedConditionBatch(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("condition")
	a.call(id, "acquire")
	a.call(id, "acquire")
	other := b.start(id, "acquire", nil, none)
	m.waits(t, 1)
	got := a.must(proto.MethodBatch, []any{
		[]any{id, "wait", []any{}}, []any{id, "count", []any{}}, []any{id, "notify", []any{}},
		[]any{id, "release", []any{}}, []any{id, "release", []any{}}, []any{id, "wait", []any{}},
	}, none).([]any)
	want(t, got[0], []any{nil, []any{false, int64(2), false}})
	want(t, got[1], []any{nil, int64(2)})
	want(t, got[2], []any{nil, int64(0)})
	want(t, got[4], []any{nil, int64(0)})
	want(t, got[5].([]any)[0].([]any)[0], proto.KindNotOwner)
	b.gets(other)
	b.call(id, "release")
	m.nobody(t)
}

// A wait that cannot be parked keeps the lock.
func TestManagedConditionTooMany(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{Limits: ManagerLimits{Pending: 1}})
	a := dialManager(t, path)
	id := a.create("condition")
	wait := a.waitsFor(id, by(1), 1)
	a.call(id, "acquire")
	a.fails(proto.KindTooMany, id, "wait")
	want(t, a.call(id, "owned"), true)
	a.call(id, "notify")
	a.call(id, "release")
	a.gets(wait)
	a.callWith(by(1), "", id, "release")
	m.nobody(t)
}

// S11: two clients wake each other in turn.
func TestManagedConditionTurns(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("condition")
	players := []*foreign{a, b}
	waits := [2]uint64{}
	waits[1] = b.waitsFor(id, by(0), 1)
	a.call(id, "acquire")
	for turn := range 200 {
		me, other := turn%2, 1-turn%2
		want(t, players[me].call(id, "notify"), int64(1))
		waits[me] = players[me].start(id, "wait", nil, none)
		players[other].gets(waits[other], []any{true, int64(turn + 3), false})
	}
	m.nobodyBut(t, 1)
}

// What is kept of a condition comes back with its own lock, under the same id: it may be stored.
func TestManagedConditionPersists(t *testing.T) {
	checkLeaks(t)
	dir := t.TempDir()
	m, err := NewManager(ManagerOptions{Persist: dir})
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]any{"keep": true}
	locks := map[int64]uint64{}
	serveOnce(t, m, func(f *foreign) {
		for _, handoff := range []bool{false, true} {
			args := []any{nil, map[string]any{"handoff": handoff}}
			id := f.must(proto.MethodCreate, "condition", args, kept).([]any)[0].(int64)
			lock := f.call(id, "lock").(proto.Ref)
			f.must(proto.MethodCreate, "value", []any{nil, lock}, kept)
			locks[id] = lock.ID
			f.call(id, "acquire")
		}
		f.call(f.create("condition"), "acquire") // ends with its connection, and its lock too
	})
	if m, err = NewManager(ManagerOptions{Persist: dir}); err != nil {
		t.Fatal(err)
	}
	m.check(t, 6, 0)
	serveOnce(t, m, func(f *foreign) {
		for id, lock := range locks {
			want(t, f.call(id, "lock").(proto.Ref).ID, lock)
			want(t, f.call(lock, "locked"), false)
			f.call(id, "acquire")
			f.callWith(by(1), "", lock, "locked")
		}
	})
}

// serveOnce serves m to one client, and closes it.
func serveOnce(t testing.TB, m *Manager, do func(f *foreign)) {
	t.Helper()
	c, err := m.Pair()
	if err != nil {
		t.Fatal(err)
	}
	f := &foreign{t: t, conn: c, got: map[uint64]proto.Message{}}
	f.must(proto.MethodHello, 1, []any{}, map[string]any{})
	do(f)
	c.Close()
	m.open(t, 0)
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
