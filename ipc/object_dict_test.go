package ipc

import (
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

// pairs are what the operations that return entries answer with.
func pairs(kv ...any) []any {
	all := []any{}
	for i := 0; i < len(kv); i += 2 {
		all = append(all, []any{kv[i], kv[i+1]})
	}
	return all
}

func ints(vs ...int64) []any {
	all := []any{}
	for _, v := range vs {
		all = append(all, v)
	}
	return all
}

func TestDict(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	d := a.create("dict", map[string]any{"a": 1})
	want(t, a.call(d, "set", "b", 2), nil)
	want(t, a.call(d, "set", "a", "one"), nil) // keeps its place
	want(t, b.call(d, "get", "a"), "one")
	want(t, b.call(d, "get", "x", 7), int64(7))
	want(t, b.call(d, "len"), int64(2))
	want(t, b.call(d, "contains", "b"), true)
	want(t, b.call(d, "contains", "c"), false)
	want(t, b.call(d, "setdefault", "c"), nil)
	want(t, b.call(d, "setdefault", "c", 5), nil)
	want(t, b.call(d, "setdefault", "d", 5), int64(5))
	want(t, b.call(d, "insert", "d", 6), false)
	want(t, b.call(d, "insert", "e", 6), true)
	want(t, b.call(d, "items"), pairs("a", "one", "b", int64(2), "c", nil, "d", int64(5), "e", int64(6)))
	want(t, b.call(d, "delete", "b"), nil)
	want(t, b.call(d, "keys"), []any{"a", "c", "d", "e"})
	want(t, b.call(d, "values"), []any{"one", nil, int64(5), int64(6)})
	want(t, b.call(d, "pop", "d"), int64(5))
	want(t, b.call(d, "pop", "d", nil), nil)
	want(t, b.call(d, "popitem"), []any{"e", int64(6)})
	want(t, b.call(d, "update", []any{[]any{"z", 1}, []any{"a", 2}}), nil)
	want(t, b.call(d, "copy"), pairs("a", int64(2), "c", nil, "z", int64(1)))
	want(t, b.call(d, "get_many", []any{"z", "a"}), ints(1, 2))
	want(t, b.call(d, "get_many", []any{"z", "y"}, 9), ints(1, 9))
	want(t, b.call(d, "add", "z", 4), int64(5))
	want(t, b.call(d, "add", "n", 1, 10), int64(11))
	want(t, b.call(d, "cas", "n", 11.0, 12), true)
	want(t, b.call(d, "cas", "n", 11, 13), false)
	want(t, b.call(d, "cas", "nobody", nil, 13), false)
	want(t, b.call(d, "delete_if", "n", 11), false)
	want(t, b.call(d, "delete_if", "n", 12), true)
	want(t, a.must(proto.MethodDescribe, d, none).(map[string]any)["text"], "{'a': 2, 'c': None, 'z': 5}")
	want(t, b.call(d, "clear"), nil)
	want(t, b.call(d, "len"), int64(0))
	want(t, a.must(proto.MethodDescribe, d, none).(map[string]any)["text"], "{}")
	endsClean(t, m, a, b)
}

// bytes is what all values count.
func (m *Manager) bytes() (n int) {
	m.look(func() bool { n = m.stats.bytes; return true })()
	return n
}

// endsClean closes the clients, after which nothing must be left of what they made.
func endsClean(t *testing.T, m *Manager, clients ...*foreign) {
	t.Helper()
	for _, f := range clients {
		f.conn.Close()
	}
	eventually(t, "no object is left", m.look(func() bool { return len(m.objects) == 0 && len(m.sessions) == 0 }))
	want(t, m.stats.leases, 0)
	want(t, m.stats.bytes, 0)
	want(t, m.stats.waiting, 0)
}

func TestDictFaults(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	d := a.create("dict", pairs("a", 1))
	before := m.bytes()
	for _, c := range []struct {
		kind, op string
		args     []any
	}{
		{proto.KindKeyError, "get", []any{"x"}}, {proto.KindKeyError, "delete", []any{1}}, {proto.KindKeyError, "pop", []any{1}},
		{proto.KindKeyError, "get_many", []any{[]any{"a", "x"}}}, {proto.KindKeyError, "add", []any{"x", 1}},
		{proto.KindTypeError, "get", []any{[]any{}}}, {proto.KindTypeError, "set", []any{map[string]any{}, 1}},
		{proto.KindTypeError, "get", []any{proto.Slice{}}}, {proto.KindTypeError, "get", []any{proto.Tuple{proto.Set{}}}},
		{proto.KindTypeError, "contains", []any{proto.Set{}}}, {proto.KindTypeError, "setdefault", []any{[]any{}}},
		{proto.KindTypeError, "update", []any{1}}, {proto.KindTypeError, "update", []any{[]any{1}}},
		{proto.KindTypeError, "update", []any{[]any{[]any{"k", 1}, []any{[]any{}, 1}}}}, {proto.KindValueError, "update", []any{[]any{[]any{1}}}},
		{proto.KindTypeError, "add", []any{"a", "x"}}, {proto.KindTypeError, "add", []any{"b", "x", 1}},
		{proto.KindTypeError, "get_many", []any{1}}, {proto.KindTypeError, "get_many", []any{[]any{[]any{}}}},
		{proto.KindTypeError, "scan", []any{"0", 1}}, {proto.KindTypeError, "scan", []any{0, 1, "x"}}, {proto.KindValueError, "scan", []any{0, 0}},
		{proto.KindValueError, "scan", []any{-1, 1}}, {proto.KindChanged, "scan", []any{0, 1, 99}},
		{proto.KindUnknownKind, "get_or_create", []any{"x", "nonsense", []any{}}}, {proto.KindTypeError, "get_or_create", []any{"x", 1, []any{}}},
		{proto.KindTypeError, "get_or_create", []any{"x", "list", 1}}, {proto.KindTypeError, "get_or_create", []any{"x", "list", []any{1}}},
		{proto.KindTypeError, "get_or_create", []any{[]any{}, "list", []any{}}},
		{proto.KindTypeError, "wait", []any{"a", 1}}, {proto.KindValueError, "wait", []any{"a", "~", 1}}, {proto.KindArguments, "wait", []any{"a", "=="}},
		{proto.KindTypeError, "wait", []any{"a", "newer", "x"}}, {proto.KindTypeError, "wait", []any{[]any{}, "present"}},
		{proto.KindTypeError, "watch", []any{"x"}}, {proto.KindTypeError, "watch", []any{-1}}, {proto.KindTypeError, "watch", []any{0, 1}},
		{proto.KindTypeError, "watch", []any{0, []any{[]any{}}}}, {proto.KindTypeError, "cas_version", []any{"a", "x", 1}},
		{proto.KindArguments, "get", nil}, {proto.KindArguments, "len", []any{1}}, {proto.KindArguments, "set", []any{1}},
		{proto.KindUnknownMethod, "append", []any{1}}, {proto.KindArguments, "watch", nil},
	} {
		v, err := a.do(proto.MethodCall, d, c.op, list(c.args), none)
		if err == nil {
			t.Errorf("%s%v: %v, want a fault of kind %s", c.op, c.args, v, c.kind)
		} else if f := err.(*proto.Fault); f.Kind != c.kind {
			t.Errorf("%s%v: %s: %v, want a fault of kind %s", c.op, c.args, f.Kind, err, c.kind)
		}
	}
	want(t, a.call(d, "items"), pairs("a", int64(1)))
	want(t, m.bytes(), before)
	_, err := a.do(proto.MethodCall, d, "get", []any{proto.Tuple{"x", 1}}, none)
	want(t, err.Error(), "('x', 1)")
	var key any
	proto.Unmarshal(proto.Payload{Bytes: err.(*proto.Fault).Value}, &key, proto.Limits{})
	want(t, key, proto.Tuple{"x", int64(1)})
	a.call(d, "clear")
	a.fails(proto.KindKeyError, d, "popitem")
	v, err := a.do(proto.MethodCreate, "dict", []any{1, 2}, none)
	wantFault(t, proto.KindArguments, v, err)
	v, err = a.do(proto.MethodCreate, "dict", []any{[]any{[]any{1, 2}, []any{[]any{}, 2}}}, none)
	wantFault(t, proto.KindTypeError, v, err)
	endsClean(t, m, a)
}

// Keys are the same by value, and the first stays.
func TestDictKeys(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	d := a.create("dict")
	four := []any{"1", []byte("1"), 1, proto.Tuple{1}}
	for i, k := range four {
		a.call(d, "set", k, i)
	}
	want(t, a.call(d, "len"), int64(4))
	for i, k := range []any{"1", []byte("1"), 1.0, proto.Tuple{true}} {
		want(t, a.call(d, "get", k), int64(i))
		a.call(d, "set", k, i+10)
	}
	want(t, a.call(d, "keys"), []any{"1", []byte("1"), int64(1), proto.Tuple{int64(1)}})
	want(t, a.call(d, "values"), ints(10, 11, 12, 13))
	a.call(d, "delete", true)
	a.call(d, "set", 1.0, "x") // a new key, at the end
	want(t, a.call(d, "keys"), []any{"1", []byte("1"), proto.Tuple{int64(1)}, 1.0})
	a.call(d, "update", pairs(2, "a", 2.0, "b"))
	want(t, a.call(d, "popitem"), []any{int64(2), "b"})
	endsClean(t, m, a)
}
