package ipc

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// Options of a call.
func by(owner uint64) map[string]any { return map[string]any{"owner": owner} }

func poll(owner uint64) map[string]any { return map[string]any{"owner": owner, "timeout_ms": 0} }

// callWith calls an operation with options; fault is how that must end, empty for well.
func (f *foreign) callWith(options map[string]any, fault string, object any, op string, args ...any) any {
	f.t.Helper()
	v, err := f.answer(f.start(object, op, args, options))
	if fault != "" {
		wantFault(f.t, fault, v, err)
		return nil
	}
	if err != nil {
		f.t.Fatalf("%s: %v", op, err)
	}
	return v
}

// gets waits for the answer to a call that must go well.
func (f *foreign) gets(id uint64, is ...any) {
	f.t.Helper()
	v, err := f.answer(id)
	if err != nil {
		f.t.Fatalf("request %d: %v", id, err)
	}
	if len(is) == 1 {
		want(f.t, v, is[0])
	}
}

// faults waits for the answer to a call that must fail.
func (f *foreign) faults(id uint64, kind string) {
	f.t.Helper()
	v, err := f.answer(id)
	wantFault(f.t, kind, v, err)
}

// cancels cancels a call, which waits or not.
func (f *foreign) cancels(id uint64, waited bool) {
	f.t.Helper()
	want(f.t, f.must(proto.MethodCancel, id, none), waited)
}

// waits waits until so many calls wait in the whole manager.
func (m *Manager) waits(t testing.TB, n int) {
	t.Helper()
	until(t, fmt.Sprintf("%d calls wait", n), m.look(func() bool { return m.stats.waiting == n }))
}

// open waits until so many connections are left.
func (m *Manager) open(t testing.TB, n int) {
	t.Helper()
	until(t, fmt.Sprintf("%d connections are left", n), m.look(func() bool { return len(m.sessions) == n }))
}

// nobody checks that nobody waits, and that nobody holds anything.
func (m *Manager) nobody(t testing.TB) {
	t.Helper()
	m.lock()
	defer m.unlock()
	want(t, m.stats.waiting, 0)
	for _, o := range m.objects {
		want(t, o.waiting, 0)
	}
	for s := range m.sessions {
		want(t, len(s.waiting), 0)
		want(t, len(s.holds), 0)
	}
}

func text(f *foreign, object any) string {
	f.t.Helper()
	return f.must(proto.MethodDescribe, object, none).(map[string]any)["text"].(string)
}

func TestManagedLock(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("lock")
	want(t, text(a, id), "<Lock(owner=None)>")
	a.fails(proto.KindNotLocked, id, "release")
	want(t, a.call(id, "locked"), false)
	want(t, a.call(id, "acquire"), []any{int64(1), false})
	want(t, b.call(id, "locked"), true)
	// The owner is the connection and the owner id.
	b.fails(proto.KindNotOwner, id, "release")
	a.callWith(by(1), proto.KindNotOwner, id, "release")
	// It is not re-entrant.
	a.callWith(poll(0), proto.KindTimeout, id, "acquire")
	a.callWith(map[string]any{"timeout_ms": 2}, proto.KindTimeout, id, "acquire")
	if got := text(a, id); !strings.HasPrefix(got, "<Lock(owner=pid ") || !strings.HasSuffix(got, "/0)>") {
		t.Errorf("text is %q", got)
	}
	// Who waits gets it in turn, whoever it is.
	first := b.start(id, "acquire", nil, by(1))
	m.waits(t, 1)
	second := a.start(id, "acquire", nil, by(2))
	m.waits(t, 2)
	want(t, a.call(id, "release"), nil)
	b.gets(first, []any{int64(2), false})
	b.fails(proto.KindNotOwner, id, "release")
	want(t, b.callWith(by(1), "", id, "release"), nil)
	a.gets(second, []any{int64(3), false})
	want(t, a.callWith(by(2), "", id, "release"), nil)
	for _, op := range []string{"owned", "count", "wait"} {
		a.fails(proto.KindUnknownMethod, id, op, 1)
	}
	a.fails(proto.KindArguments, id, "acquire", 1)
	a.fails(proto.KindArguments, id, "release", 1)
	m.nobody(t)
}

func TestManagedLockCreate(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	for _, x := range []struct {
		kind  string
		args  []any
		fault string
	}{
		{"lock", []any{1}, proto.KindTypeError},
		{"lock", []any{nil}, proto.KindTypeError},
		{"lock", []any{map[string]any{"handoff": 1}}, proto.KindTypeError},
		{"lock", []any{none, none}, proto.KindArguments},
		{"rlock", []any{none}, proto.KindArguments},
		{"event", []any{none}, proto.KindArguments},
	} {
		v, err := a.do(proto.MethodCreate, x.kind, x.args, none)
		wantFault(t, x.fault, v, err)
	}
	a.create("lock", map[string]any{"acme.colour": "red", "handoff": nil})
	m.check(t, 1, 1)
}

// A cancelled acquire takes nothing, and the answer to the cancel is not that to the call.
func TestManagedLockCancel(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("lock")
	a.call(id, "acquire")
	first := b.start(id, "acquire", nil, none)
	second := b.start(id, "acquire", nil, by(2))
	m.waits(t, 2)
	b.cancels(first, true)
	b.faults(first, proto.KindCancelled)
	b.cancels(first, false)
	a.cancels(second, false) // another connection's
	a.call(id, "release")
	b.gets(second, []any{int64(2), false})
	b.cancels(second, false)
	b.callWith(by(2), "", id, "release")
	want(t, a.callWith(poll(0), "", id, "acquire"), []any{int64(3), false})
	a.call(id, "release")
	m.nobody(t)
}

// A time limit that is over takes nothing either, and leaves the line as it was.
func TestManagedLockTimeout(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("lock")
	a.call(id, "acquire")
	short := b.start(id, "acquire", nil, map[string]any{"timeout_ms": 5})
	long := b.start(id, "acquire", nil, map[string]any{"timeout_ms": 60_000})
	b.faults(short, proto.KindTimeout)
	a.call(id, "release")
	b.gets(long, []any{int64(2), false})
	b.call(id, "release")
	m.nobody(t)
}

// A batch does not wait: its acquires are polls.
func TestManagedLockBatch(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	id := a.create("lock")
	got := a.must(proto.MethodBatch, []any{
		[]any{id, "acquire", []any{}}, []any{id, "acquire", []any{}}, []any{id, "release", []any{}}, []any{id, "release", []any{}},
	}, by(3)).([]any)
	want(t, got[0], []any{nil, []any{int64(1), false}})
	want(t, got[1].([]any)[0].([]any)[0], proto.KindTimeout)
	want(t, got[2], []any{nil, nil})
	want(t, got[3].([]any)[0].([]any)[0], proto.KindNotLocked)
	m.nobody(t)
}

// The lock of a connection that ends passes on, and the next owner is told, whether it waited
// already or comes later.
func TestManagedLockOwnerDies(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := b.create("lock")
	a.callWith(by(7), "", id, "acquire")
	dead := a.start(id, "acquire", nil, none)
	next := b.start(id, "acquire", nil, none)
	third := b.start(id, "acquire", nil, by(3))
	m.waits(t, 3)
	a.conn.Close()
	b.gets(next, []any{int64(2), true})
	b.call(id, "release")
	b.gets(third, []any{int64(3), false}) // told once
	b.callWith(by(3), "", id, "release")
	_ = dead

	c := dialManager(t, path)
	c.call(id, "acquire")
	c.conn.Close()
	m.open(t, 1)
	want(t, b.call(id, "locked"), false)
	want(t, b.call(id, "acquire"), []any{int64(5), true})
	b.call(id, "release")
	want(t, b.call(id, "acquire"), []any{int64(6), false})
	b.call(id, "release")
	m.nobody(t)
}

// The dead get nothing, even before the manager has heard that they are dead.
func TestManagedLockDeadWaiter(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("lock")
	for range 50 {
		a.call(id, "acquire")
		dead := dialManager(t, path)
		dead.start(id, "acquire", nil, none)
		m.waits(t, 1)
		next := b.start(id, "acquire", nil, none)
		m.waits(t, 2)
		dead.conn.Close()
		a.call(id, "release")
		if v, err := b.answer(next); err != nil || v.([]any)[1] != false {
			t.Fatalf("the one behind a dead waiter got %v, %v", v, err)
		}
		b.call(id, "release")
		m.open(t, 2)
	}
	m.nobody(t)
}

// With handoff anybody may release, and the end of a connection gives nothing back.
func TestManagedLockHandoff(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := b.create("lock", map[string]any{"handoff": true})
	b.fails(proto.KindNotLocked, id, "release")
	a.call(id, "acquire")
	want(t, b.call(id, "release"), nil)
	a.call(id, "acquire")
	wait := b.start(id, "acquire", nil, none)
	m.waits(t, 1)
	a.conn.Close()
	m.open(t, 1)
	want(t, b.call(id, "locked"), true)
	want(t, text(b, id), "<Lock(owner=gone, waiting=1)>")
	want(t, b.callWith(by(9), "", id, "release"), nil)
	b.gets(wait, []any{int64(3), false})
	b.call(id, "release")
	m.nobody(t)
}

// The end of the object ends the waits on it.
func TestManagedLockGone(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	for _, kind := range []string{"lock", "rlock"} {
		id := a.create(kind)
		a.call(id, "acquire")
		wait := b.start(id, "acquire", nil, none)
		m.waits(t, 1)
		a.must(proto.MethodDecref, id, 1, none)
		b.faults(wait, proto.KindGone)
		b.fails(proto.KindGone, id, "acquire")
		m.nobody(t)
	}
	m.check(t, 0, 0)
}

func TestManagedRLock(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := b.create("rlock")
	want(t, text(a, id), "<RLock(owner=None, count=0)>")
	a.fails(proto.KindNotLocked, id, "release")
	want(t, a.call(id, "acquire"), []any{int64(1), false, int64(1)})
	want(t, a.call(id, "acquire"), []any{int64(1), false, int64(2)})
	want(t, a.callWith(poll(0), "", id, "acquire"), []any{int64(1), false, int64(3)})
	for _, other := range []*foreign{b, a} {
		o := by(uint64(1))
		want(t, other.callWith(o, "", id, "owned"), false)
		want(t, other.callWith(o, "", id, "count"), int64(0))
		want(t, other.callWith(o, "", id, "locked"), true)
		other.callWith(o, proto.KindNotOwner, id, "release")
		other.callWith(poll(1), proto.KindTimeout, id, "acquire")
	}
	want(t, a.call(id, "owned"), true)
	want(t, a.call(id, "count"), int64(3))
	wait := b.start(id, "acquire", nil, none)
	m.waits(t, 1)
	want(t, a.call(id, "acquire").([]any)[2], int64(4)) // though somebody waits
	for left := range 4 {
		want(t, b.call(id, "owned"), false)
		want(t, a.call(id, "release"), int64(3-left))
	}
	b.gets(wait, []any{int64(2), false, int64(1)})
	a.fails(proto.KindNotOwner, id, "release")
	want(t, b.call(id, "release"), int64(0))
	want(t, b.call(id, "owned"), false)

	// All levels of a dead owner are gone with it.
	c := dialManager(t, path)
	c.call(id, "acquire")
	c.call(id, "acquire")
	wait = b.start(id, "acquire", nil, none)
	m.waits(t, 1)
	c.conn.Close()
	b.gets(wait, []any{int64(4), true, int64(1)})
	want(t, b.call(id, "acquire"), []any{int64(4), true, int64(2)}) // as the first
	b.call(id, "release")
	b.call(id, "release")
	want(t, b.call(id, "acquire"), []any{int64(5), false, int64(1)})
	b.call(id, "release")
	m.nobody(t)
}

// S6 and a token that fences: it grows with every acquisition, of any owner.
func TestManagedLockTokens(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	id := int64(0)
	last := int64(0)
	for i := range 20 {
		f := dialManager(t, path)
		if i == 0 {
			id = f.create("lock")
			f.must(proto.MethodKeep, id, true, none)
		}
		got := f.callWith(map[string]any{"timeout_ms": int(deadline / time.Millisecond)}, "", id, "acquire").([]any)
		if got[0].(int64) <= last || got[1] != (i > 0) {
			t.Fatalf("acquisition %d: %v after token %d", i, got, last)
		}
		last = got[0].(int64)
		f.conn.Close()
	}
}
