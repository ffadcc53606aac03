package ipc

import (
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

func TestNamespace(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	ns := a.create("namespace", map[string]any{"b": 1})
	want(t, a.call(ns, "set", "a", "x"), nil)
	want(t, a.call(ns, "set", "b", 2), nil)
	want(t, a.call(ns, "get", "a"), "x")
	want(t, a.call(ns, "names"), []any{"a", "b"})
	want(t, a.call(ns, "items"), pairs("b", int64(2), "a", "x"))
	want(t, a.call(ns, "contains", "a"), true)
	want(t, a.call(ns, "contains", "c"), false)
	want(t, a.call(ns, "add", "b", 3), int64(5))
	want(t, a.call(ns, "add", "n", 3, 4), int64(7))
	want(t, a.call(ns, "cas", "n", 7, 8), true)
	want(t, a.call(ns, "cas", "n", 7, 8), false)
	want(t, a.call(ns, "cas", "none", 7, 8), false)
	want(t, a.must(proto.MethodDescribe, ns, none).(map[string]any)["text"], "Namespace(b=5, a='x', n=8)")
	want(t, a.call(ns, "delete", "b"), nil)
	before := m.bytes()
	for _, c := range []struct {
		kind, op string
		args     []any
	}{
		{proto.KindAttributeError, "get", []any{"b"}}, {proto.KindAttributeError, "delete", []any{"b"}}, {proto.KindAttributeError, "add", []any{"b", 1}},
		{proto.KindTypeError, "get", []any{1}}, {proto.KindTypeError, "set", []any{[]byte("b"), 1}}, {proto.KindTypeError, "contains", []any{nil}},
		{proto.KindTypeError, "add", []any{"a", 1}}, {proto.KindArguments, "get", nil}, {proto.KindUnknownMethod, "pop", []any{"a"}},
		{proto.KindUnknownMethod, "restore", []any{[]any{}}},
	} {
		a.fails(c.kind, ns, c.op, c.args...)
	}
	want(t, m.bytes(), before)
	_, err := a.do(proto.MethodCall, ns, "get", []any{"zzz"}, none)
	want(t, string(err.(*proto.Fault).Value), "\xa3zzz")
	for kind, args := range map[string][]any{proto.KindArguments: {1, 2}, proto.KindTypeError: {map[any]any{"a": 1, 1: 1}}} {
		v, err := a.do(proto.MethodCreate, "namespace", args, none)
		wantFault(t, kind, v, err)
	}
	endsClean(t, m, a)
}
