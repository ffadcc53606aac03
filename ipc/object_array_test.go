package ipc

import (
	"math"
	"math/big"
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

func TestArray(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	x := a.create("array", "i", []any{1, -2, true})
	want(t, a.call(x, "copy"), ints(1, -2, 1))
	want(t, a.call(x, "len"), int64(3))
	want(t, a.call(x, "type"), "i")
	want(t, a.call(x, "get", -2), int64(-2))
	want(t, a.call(x, "get", slice(nil, nil, -2)), ints(1, 1))
	want(t, a.call(x, "set", 0, 1<<31-1), nil)
	want(t, a.call(x, "set", slice(1, nil), []any{8, 9}), nil)
	want(t, a.call(x, "set", slice(nil, nil, -1), []any{3, 2, 1}), nil)
	want(t, a.call(x, "copy"), ints(1, 2, 3))
	want(t, a.call(x, "add", 0, 41), int64(42))
	want(t, a.call(x, "cas", 0, 42.0, 7), true)
	want(t, a.call(x, "cas", 0, 42, 8), false)
	want(t, a.must(proto.MethodDescribe, x, none).(map[string]any)["text"], "[7, 2, 3]")
	before := m.bytes()
	for _, c := range []struct {
		kind, op string
		args     []any
	}{
		{proto.KindIndexError, "get", []any{3}}, {proto.KindIndexError, "set", []any{-4, 1}}, {proto.KindTypeError, "get", []any{"0"}},
		{proto.KindOverflow, "set", []any{0, 1 << 31}}, {proto.KindOverflow, "set", []any{0, -1<<31 - 1}}, {proto.KindTypeError, "set", []any{0, 1.0}},
		{proto.KindTypeError, "set", []any{0, "1"}}, {proto.KindTypeError, "set", []any{0, nil}}, {proto.KindOverflow, "add", []any{0, 1<<31 - 1}},
		{proto.KindTypeError, "add", []any{0, 0.5}}, {proto.KindTypeError, "add", []any{0, "x"}}, {proto.KindOverflow, "cas", []any{0, 7, 1 << 40}},
		{proto.KindValueError, "set", []any{slice(1, nil), []any{1}}}, {proto.KindTypeError, "set", []any{slice(1, nil), []any{1, "x"}}},
		{proto.KindOverflow, "set", []any{slice(), []any{1, 2, 1 << 31}}}, {proto.KindTypeError, "set", []any{slice(), 1}},
		{proto.KindValueError, "get", []any{slice(0, 1, 0)}}, {proto.KindUnknownMethod, "append", []any{1}}, {proto.KindUnknownMethod, "delete", []any{1}},
		{proto.KindArguments, "len", []any{1}}, {proto.KindUnknownMethod, "restore", []any{[]byte{}}},
	} {
		a.fails(c.kind, x, c.op, c.args...)
	}
	want(t, a.call(x, "copy"), ints(7, 2, 3))
	want(t, m.bytes(), before)
	endsClean(t, m, a)
}

func TestArrayTypes(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	most := uint64(math.MaxUint64)
	beyond := new(big.Int).Lsh(big.NewInt(1), 64)
	for code, c := range map[string]struct{ good, over, bad []any }{
		"b": {[]any{int64(-128), int64(127)}, []any{-129, 128}, []any{1.0}},
		"B": {[]any{int64(0), int64(255)}, []any{-1, 256}, []any{"a"}},
		"h": {[]any{int64(-1 << 15), int64(1<<15 - 1)}, []any{-1<<15 - 1, 1 << 15}, []any{nil}},
		"H": {[]any{int64(0), int64(1<<16 - 1)}, []any{-1, 1 << 16}, []any{[]byte{1}}},
		"i": {[]any{int64(math.MinInt32), int64(math.MaxInt32)}, []any{math.MinInt32 - 1, math.MaxInt32 + 1}, []any{1i}},
		"I": {[]any{int64(0), int64(math.MaxUint32)}, []any{-1, math.MaxUint32 + 1}, []any{0.5}},
		"l": {[]any{int64(math.MinInt64), int64(math.MaxInt64)}, []any{most, beyond}, []any{0.5}},
		"q": {[]any{int64(math.MinInt64), int64(math.MaxInt64)}, []any{most, new(big.Int).Neg(beyond)}, []any{0.5}},
		"L": {[]any{int64(0), most}, []any{-1, beyond}, []any{0.5}},
		"Q": {[]any{int64(0), most}, []any{math.MinInt64, beyond}, []any{0.5}},
		"f": {[]any{0.5, float64(float32(0.1)), math.Inf(1), -3.0}, []any{1e300, new(big.Int).Lsh(beyond, 1000)}, []any{"x", 1i}},
		"d": {[]any{0.1, 1e300, math.Inf(-1), 4.0}, []any{new(big.Int).Lsh(beyond, 1000)}, []any{"x", nil}},
		"u": {[]any{"a", "é", "𝄞", "\x00"}, nil, []any{"", "ab", "\xff", 1, []byte("a")}},
	} {
		x := a.create("array", code, c.good)
		want(t, a.call(x, "copy"), c.good)
		for _, v := range c.over {
			a.fails(proto.KindOverflow, x, "set", 0, v)
		}
		for _, v := range c.bad {
			a.fails(proto.KindTypeError, x, "set", 0, v)
		}
		want(t, a.call(x, "copy"), c.good)
	}
	f := a.create("array", "f", []any{0.1, 2, true})
	want(t, a.call(f, "copy"), []any{float64(float32(0.1)), 2.0, 1.0})
	want(t, a.call(a.create("array", "u", 2), "copy"), []any{"\x00", "\x00"})
	want(t, a.call(a.create("array", "h", 3), "copy"), ints(0, 0, 0))
	want(t, a.call(a.create("array", "d", 0), "copy"), []any{})
	for _, c := range []struct {
		kind string
		args []any
	}{
		{proto.KindArguments, nil}, {proto.KindArguments, []any{"i"}}, {proto.KindValueError, []any{"x", 1}}, {proto.KindTypeError, []any{1, 1}},
		{proto.KindTypeError, []any{"i", "x"}}, {proto.KindValueError, []any{"i", -1}}, {proto.KindTooLarge, []any{"i", 1 << 60}},
		{proto.KindTooLarge, []any{"b", beyond}}, {proto.KindTypeError, []any{"i", []any{1, "x"}}}, {proto.KindOverflow, []any{"b", []any{1, 128}}},
	} {
		v, err := a.do(proto.MethodCreate, "array", list(c.args), none)
		wantFault(t, c.kind, v, err)
	}
	endsClean(t, m, a)
}
