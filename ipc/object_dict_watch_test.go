package ipc

import (
	"math"
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

// answered is what a call that has waited is answered with.
func (f *foreign) answered(id uint64) any {
	f.t.Helper()
	v, err := f.answer(id)
	if err != nil {
		f.t.Fatal(err)
	}
	return v
}

func TestDictWait(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	d := a.create("dict", pairs("n", 5, "nan", math.NaN()))
	// What holds already is answered at once.
	for _, c := range []struct {
		want any
		args []any
	}{
		{int64(5), []any{"n", "present"}}, {nil, []any{"x", "absent"}}, {int64(5), []any{"n", "==", 5.0}}, {int64(5), []any{"n", "!=", 6}},
		{int64(5), []any{"n", "<", 5.5}}, {int64(5), []any{"n", "<=", 5}}, {int64(5), []any{"n", ">", 4}}, {int64(5), []any{"n", ">=", 5}},
		{int64(5), []any{"n", "newer", 0}}, {math.NaN(), []any{"nan", "!=", math.NaN()}},
	} {
		want(t, a.must(proto.MethodCall, d, "wait", c.args, map[string]any{"timeout_ms": 0}), c.want)
	}
	// What does not is not, with no time.
	for _, args := range [][]any{
		{"x", "present"}, {"n", "absent"}, {"n", "==", 6}, {"n", "!=", 5}, {"n", "<", 5}, {"n", "<=", 4}, {"n", ">", 5}, {"n", ">=", 6},
		{"n", "newer", 1}, {"x", "!=", 1}, {"x", "<", 1}, {"x", "newer", 0}, {"n", "<", "a"}, {"n", ">", "a"}, {"nan", ">", 1}, {"nan", "==", math.NaN()},
		{"nan", ">=", math.NaN()}, {"n", "<", math.NaN()},
	} {
		v, err := a.do(proto.MethodCall, d, "wait", args, map[string]any{"timeout_ms": 0})
		wantFault(t, proto.KindTimeout, v, err)
	}
	present := b.start(d, "wait", []any{"x", "present"}, none)
	six := b.start(d, "wait", []any{"n", "==", 6}, none)
	gone := b.start(d, "wait", []any{"n", "absent"}, none)
	never := b.start(d, "wait", []any{"never", "present"}, none)
	soon := b.start(d, "wait", []any{proto.Tuple{1, make([]byte, 1000)}, "==", 1}, map[string]any{"timeout_ms": 1})
	v, err := b.answer(soon)
	wantFault(t, proto.KindTimeout, v, err)
	m.waits(t, 4)
	a.call(d, "update", pairs("x", 1, "x", 2, "n", 7)) // seen when all of it is done
	want(t, b.answered(present), int64(2))
	a.call(d, "add", "n", -1)
	want(t, b.answered(six), int64(6))
	a.call(d, "popitem") // x
	m.waits(t, 2)
	a.call(d, "clear")
	want(t, b.answered(gone), nil)
	want(t, b.must(proto.MethodCancel, never, none), true)
	v, err = b.answer(never)
	wantFault(t, proto.KindCancelled, v, err)
	want(t, m.look(func() bool { return len(m.objects[uint64(d)].thing.(*managedDict).waits) == 0 })(), true)
	last := b.start(d, "wait", []any{"never", "present"}, none)
	m.waits(t, 1)
	a.conn.Close()
	v, err = b.answer(last)
	wantFault(t, proto.KindGone, v, err)
	endsClean(t, m, b)
}

func TestDictVersions(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	empty := a.create("dict")
	want(t, a.call(empty, "version"), int64(0))
	want(t, a.call(empty, "get_version", "x"), []any{nil, int64(0)})
	d := a.create("dict", pairs("a", 1, "b", 2))
	want(t, a.call(d, "version"), int64(2))
	want(t, a.call(d, "get_version", "a"), []any{int64(1), int64(1)})
	want(t, a.call(d, "cas_version", "a", 2, "no"), int64(0))
	want(t, a.call(d, "cas_version", "a", 1, "yes"), int64(3))
	want(t, a.call(d, "cas_version", "c", 1, "no"), int64(0))
	want(t, a.call(d, "cas_version", "a", 0, "no"), int64(0))
	want(t, a.call(d, "cas_version", "c", 0, "new"), int64(4))
	a.call(d, "delete", "c")
	want(t, a.call(d, "version"), int64(5))
	want(t, a.call(d, "cas_version", "c", 0, "again"), int64(6))
	endsClean(t, m, a)
}

func TestDictWatch(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	d := a.create("dict", pairs("a", 1, "b", 2))
	want(t, a.call(d, "watch", nil), []any{int64(2), true, []any{}})
	want(t, a.call(d, "watch", 0), []any{int64(2), true, []any{[]any{"a", int64(1), true, int64(1)}, []any{"b", int64(2), true, int64(2)}}})
	any1 := b.start(d, "watch", []any{2}, none)
	keyed := b.start(d, "watch", []any{2, []any{"b", "z"}}, none)
	m.waits(t, 2)
	a.call(d, "set", "a", 3)
	want(t, b.answered(any1), []any{int64(3), true, []any{[]any{"a", int64(3), true, int64(3)}}})
	m.waits(t, 1)
	a.call(d, "delete", "b")
	want(t, b.answered(keyed), []any{int64(4), true, []any{[]any{"b", int64(4), false, nil}}})
	a.call(d, "set", "b", "back")
	a.call(d, "set", "a", 6)
	want(t, a.call(d, "watch", 2), []any{int64(6), true, []any{[]any{"b", int64(5), true, "back"}, []any{"a", int64(6), true, int64(6)}}})
	a.call(d, "pop", "a")
	want(t, a.call(d, "watch", 5), []any{int64(7), true, []any{[]any{"a", int64(7), false, nil}}})
	// More removals than are remembered.
	for i := range maxRemoved + 10 {
		a.call(d, "set", i, i)
	}
	a.call(d, "clear")
	got := a.call(d, "watch", 7).([]any)
	want(t, got[1], false)
	want(t, len(got[2].([]any)), maxRemoved)
	version := got[0]
	w := b.start(d, "watch", []any{version}, none)
	poll, err := a.do(proto.MethodCall, d, "watch", []any{version}, map[string]any{"timeout_ms": 0})
	wantFault(t, proto.KindTimeout, poll, err)
	m.waits(t, 1)
	b.must(proto.MethodCancel, w, none)
	v, err := b.answer(w)
	wantFault(t, proto.KindCancelled, v, err)
	// A key with a reference is forgotten at once: it must not keep the object.
	inner := a.create("list")
	a.call(d, "set", m.ref(inner), 1)
	a.decref(inner)
	a.call(d, "delete", m.ref(inner))
	objectsAre(t, m, 1)
	want(t, a.call(d, "watch", version).([]any)[1], false)
	endsClean(t, m, a, b)
}

// A watch that has much to tell tells it in parts; a scan as well.
func TestDictInParts(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{Limits: ManagerLimits{Frame: 256 << 10}})
	a := dialManager(t, path)
	d := a.create("dict")
	const n = 10
	for i := range n {
		a.call(d, "set", i, make([]byte, 100<<10))
	}
	version, told := any(0), 0
	for told < n {
		got := a.call(d, "watch", version).([]any)
		want(t, got[1], true)
		version = got[0]
		told += len(got[2].([]any))
		want(t, version, int64(told))
	}
	position, seen := any(0), 0
	shape := any(nil)
	for position != nil {
		got := a.call(d, "scan", position, 100, shape).([]any)
		shape, position = got[0], got[1]
		seen += len(got[2].([]any))
	}
	want(t, seen, n)
	for _, op := range []string{"items", "values", "copy"} {
		a.fails(proto.KindTooLarge, d, op)
	}
	a.fails(proto.KindTooLarge, d, "get_many", []any{1, 2, 3, 1, 2, 3})
	want(t, len(a.call(d, "keys").([]any)), n)
	endsClean(t, m, a)
}

func TestDictScan(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	d := a.create("dict")
	want(t, a.call(d, "scan", 0, 10).([]any)[1], nil)
	for i := range 100 {
		a.call(d, "set", i, i)
	}
	for i := range 70 {
		a.call(d, "delete", i)
	}
	first := a.call(d, "scan", 0, 20).([]any)
	shape := first[0]
	want(t, len(first[2].([]any)), 20)
	a.call(d, "set", 80, "overwritten")
	rest := a.call(d, "scan", first[1], 20, shape).([]any)
	want(t, rest[1], nil)
	want(t, rest[2].([]any)[0], []any{int64(90), int64(90)})
	a.call(d, "set", "new", 1)
	a.fails(proto.KindChanged, d, "scan", first[1], 20, shape)
	a.call(d, "delete", "new") // as many as before, and yet
	a.fails(proto.KindChanged, d, "scan", first[1], 20, shape)
	want(t, a.call(d, "scan", 1<<40, 1).([]any)[1], nil)
	endsClean(t, m, a)
}

func TestDictGetOrCreate(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	d := a.create("dict")
	ref := a.call(d, "get_or_create", "jobs", "list", []any{ints(1, 2)}).(proto.Ref)
	want(t, b.call(d, "get_or_create", "jobs", "list", []any{}), ref)
	want(t, b.call(ref.ID, "copy"), ints(1, 2))
	want(t, a.must(proto.MethodDecref, ref.ID, 1, none), int64(0)) // one lease, that of the result
	want(t, b.must(proto.MethodDecref, ref.ID, 1, none), int64(0))
	want(t, a.call(ref.ID, "len"), int64(2))
	want(t, a.call(d, "pop", "jobs"), ref)
	objectsAre(t, m, 2) // the pop lent it
	a.decref(int64(ref.ID))
	objectsAre(t, m, 1)
	// What fails leaves nothing behind.
	a.fails(proto.KindArguments, d, "get_or_create", "x", "list", []any{1, 2, 3})
	objectsAre(t, m, 1)
	want(t, a.call(d, "len"), int64(0))
	endsClean(t, m, a, b)
}

// What a watch waits for counts key by key, as it takes memory.
func TestManagedDictWatchCounts(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	d := a.create("dict")
	keys := make([]int, 100)
	for i := range keys {
		keys[i] = i
	}
	m.lock()
	before := m.stats.bytes
	m.unlock()
	watch := a.start(d, "watch", []any{0, keys}, none)
	eventually(t, "it waits", m.look(func() bool { return m.stats.waiting == 1 }))
	m.lock()
	counted := m.stats.bytes - before
	m.unlock()
	want(t, counted, 100*(1+valueBytes))
	a.call(d, "set", 200, 1)
	a.call(d, "set", 99, 1)
	if _, err := a.answer(watch); err != nil {
		t.Fatal(err)
	}
	endsClean(t, m, a)
}
