package ipc

import (
	"math"
	"math/big"
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

// slice is a slice of Python; nil for what is left out.
func slice(parts ...any) proto.Slice {
	var s proto.Slice
	for i, at := range []**int64{&s.Start, &s.Stop, &s.Step} {
		if i < len(parts) && parts[i] != nil {
			n := int64(parts[i].(int))
			*at = &n
		}
	}
	return s
}

func TestList(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	l := a.create("list", []any{1, 2, 3})
	want(t, b.call(l, "append", 4), nil)
	want(t, b.call(l, "extend", []any{5, 6}), nil)
	want(t, b.call(l, "get", -1), int64(6))
	want(t, b.call(l, "get", slice(1, nil, 2)), ints(2, 4, 6))
	want(t, b.call(l, "get", slice(nil, nil, -1)), ints(6, 5, 4, 3, 2, 1))
	want(t, b.call(l, "set", 0, "x"), nil)
	want(t, b.call(l, "set", slice(1, 3), []any{}), nil)
	want(t, b.call(l, "copy"), []any{"x", int64(4), int64(5), int64(6)})
	want(t, b.call(l, "delete", slice(nil, nil, 2)), nil)
	want(t, b.call(l, "copy"), ints(4, 6))
	want(t, b.call(l, "insert", 1, 5), nil)
	want(t, b.call(l, "insert", -100, 3), nil)
	want(t, b.call(l, "insert", new(big.Int).Lsh(big.NewInt(1), 70), 7), nil)
	want(t, b.call(l, "copy"), ints(3, 4, 5, 6, 7))
	want(t, b.call(l, "get", slice(math.MinInt, math.MaxInt, math.MaxInt)), ints(3))
	want(t, b.call(l, "pop"), int64(7))
	want(t, b.call(l, "pop", 0), int64(3))
	want(t, b.call(l, "pop", -2), int64(5))
	want(t, b.call(l, "delete", -1), nil)
	want(t, b.call(l, "extend", []any{1.0, true, "1", 1}), nil)
	want(t, b.call(l, "count", 1), int64(3))
	want(t, b.call(l, "index", 1), int64(1))
	want(t, b.call(l, "index", 1, 2), int64(2))
	want(t, b.call(l, "index", 1, -1, 99), int64(4))
	want(t, b.call(l, "contains", "1"), true)
	want(t, b.call(l, "contains", []byte("1")), false)
	want(t, b.call(l, "remove", true), nil)
	want(t, b.call(l, "copy"), []any{int64(4), true, "1", int64(1)})
	want(t, b.call(l, "reverse"), nil)
	want(t, b.call(l, "delete", 1), nil)
	want(t, b.call(l, "concat", []any{9}), []any{int64(1), true, int64(4), int64(9)})
	want(t, b.call(l, "repeat", 2), []any{int64(1), true, int64(4), int64(1), true, int64(4)})
	want(t, b.call(l, "repeat", -1), []any{})
	want(t, b.call(l, "imul", 2), nil)
	want(t, b.call(l, "len"), int64(6))
	want(t, b.call(l, "sort"), nil)
	want(t, b.call(l, "copy"), []any{int64(1), true, int64(1), true, int64(4), int64(4)})
	want(t, b.call(l, "sort", true), nil)
	want(t, b.call(l, "copy"), []any{int64(4), int64(4), int64(1), true, int64(1), true})
	want(t, b.call(l, "add", 0, 0.5), 4.5)
	want(t, b.call(l, "cas", 0, 4.5, "y"), true)
	want(t, b.call(l, "cas", 0, 4.5, "z"), false)
	want(t, a.must(proto.MethodDescribe, l, none).(map[string]any)["text"], "['y', 4, 1, True, 1, True]")
	want(t, b.call(l, "push_trim", "last", 3), []any{"y", int64(4), int64(1), true})
	want(t, b.call(l, "push_trim", "only", 0), []any{int64(1), true, "last", "only"})
	want(t, b.call(l, "push_trim", "a", 5), []any{})
	want(t, b.call(l, "imul", 0), nil)
	want(t, b.call(l, "imul", 1<<60), nil)
	want(t, b.call(l, "clear"), nil)
	want(t, b.call(l, "copy"), []any{})
	endsClean(t, m, a, b)
}

func TestListFaults(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	l := a.create("list", []any{1, "x", 3})
	plain := a.create("dict")
	before := m.bytes()
	huge := new(big.Int).Lsh(big.NewInt(1), 100)
	for _, c := range []struct {
		kind, op string
		args     []any
	}{
		{proto.KindIndexError, "get", []any{3}}, {proto.KindIndexError, "get", []any{-4}}, {proto.KindIndexError, "get", []any{huge}},
		{proto.KindIndexError, "set", []any{3, 1}}, {proto.KindIndexError, "delete", []any{3}}, {proto.KindIndexError, "pop", []any{3}},
		{proto.KindIndexError, "add", []any{3, 1}}, {proto.KindIndexError, "cas", []any{-4, 1, 2}}, {proto.KindIndexError, "move", []any{l, 3}},
		{proto.KindTypeError, "get", []any{"0"}}, {proto.KindTypeError, "get", []any{1.0}}, {proto.KindTypeError, "get", []any{nil}},
		{proto.KindTypeError, "set", []any{"0", 1}}, {proto.KindTypeError, "set", []any{slice(), 1}}, {proto.KindTypeError, "extend", []any{1}},
		{proto.KindTypeError, "pop", []any{nil}}, {proto.KindTypeError, "insert", []any{"0", 1}}, {proto.KindTypeError, "concat", []any{"x"}},
		{proto.KindTypeError, "repeat", []any{1.0}}, {proto.KindTypeError, "imul", []any{"2"}}, {proto.KindTypeError, "sort", nil},
		{proto.KindTypeError, "sort", []any{1}}, {proto.KindTypeError, "add", []any{0, "x"}}, {proto.KindTypeError, "index", []any{1, nil}},
		{proto.KindTypeError, "get", []any{proto.Ext{Code: proto.ExtSlice, Data: []byte{0x93, 0xc0, 0xa1, 'x', 0xc0}}}},
		{proto.KindTypeError, "move", []any{plain}}, {proto.KindTypeError, "move", []any{1.5}}, {proto.KindUnknownObject, "move", []any{999}},
		{proto.KindUnknownObject, "move", []any{proto.Ref{Instance: 1, ID: 1}}}, {proto.KindTypeError, "move", []any{l, 0, "x"}},
		{proto.KindTypeError, "wait", []any{1, 1}}, {proto.KindTypeError, "wait", []any{"==", "x"}}, {proto.KindValueError, "wait", []any{"=", 1}},
		{proto.KindValueError, "get", []any{slice(nil, nil, 0)}}, {proto.KindValueError, "set", []any{slice(nil, nil, 0), []any{}}},
		{proto.KindValueError, "delete", []any{slice(nil, nil, 0)}}, {proto.KindValueError, "set", []any{slice(nil, nil, 2), []any{1}}},
		{proto.KindValueError, "set", []any{slice(nil, nil, -1), []any{1, 2, 3, 4}}}, {proto.KindValueError, "remove", []any{2}},
		{proto.KindValueError, "index", []any{2}}, {proto.KindValueError, "index", []any{1, 1}}, {proto.KindValueError, "push_trim", []any{1, -1}},
		{proto.KindTooLarge, "repeat", []any{1 << 60}}, {proto.KindTooLarge, "imul", []any{1 << 60}}, {proto.KindTooLarge, "imul", []any{huge}},
		{proto.KindTooLarge, "repeat", []any{1 << 23}}, {proto.KindArguments, "get", nil}, {proto.KindArguments, "append", nil},
		{proto.KindArguments, "clear", []any{1}}, {proto.KindUnknownMethod, "popitem", nil},
	} {
		v, err := a.do(proto.MethodCall, l, c.op, list(c.args), none)
		if err == nil {
			t.Errorf("%s%v: %v, want a fault of kind %s", c.op, c.args, v, c.kind)
		} else if f := err.(*proto.Fault); f.Kind != c.kind {
			t.Errorf("%s%v: %s: %v, want a fault of kind %s", c.op, c.args, f.Kind, err, c.kind)
		}
	}
	want(t, a.call(l, "copy"), []any{int64(1), "x", int64(3)})
	want(t, m.bytes(), before)
	a.call(l, "clear")
	a.fails(proto.KindIndexError, l, "pop")
	a.fails(proto.KindIndexError, l, "pop", 0)
	a.fails(proto.KindIndexError, l, "move", l)
	v, err := a.do(proto.MethodCreate, "list", []any{1}, none)
	wantFault(t, proto.KindTypeError, v, err)
	v, err = a.do(proto.MethodCreate, "list", []any{[]any{}, 2}, none)
	wantFault(t, proto.KindArguments, v, err)
	endsClean(t, m, a)
}

func TestListMove(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	l, k := a.create("list", ints(1, 2, 3, 4)), a.create("list")
	ref := proto.Ref{Instance: m.instance, ID: uint64(k)}
	want(t, a.call(l, "move", ref), int64(1))
	want(t, a.call(l, "move", k, -1), int64(4))
	want(t, a.call(l, "move", k, 0, 1), int64(2))
	want(t, a.call(k, "copy"), ints(1, 2, 4))
	want(t, a.call(k, "move", k, 0), int64(1))
	want(t, a.call(k, "copy"), ints(2, 4, 1))
	want(t, a.call(k, "move", k, 0, 1), int64(2))
	want(t, a.call(k, "copy"), ints(4, 2, 1))
	want(t, a.call(k, "move", k, 2, -100), int64(1))
	want(t, a.call(k, "copy"), ints(1, 4, 2))
	want(t, a.call(l, "copy"), ints(3))
	w := a.start(l, "wait", []any{"==", 0}, none)
	full := a.start(k, "wait", []any{">", 3}, none)
	a.call(l, "move", k)
	for call, n := range map[uint64]int64{w: 0, full: 4} {
		v, err := a.answer(call)
		want(t, v, n)
		want(t, err, nil)
	}
	endsClean(t, m, a)
}
