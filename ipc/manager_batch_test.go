package ipc

import (
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

// What has no room in the answer of a batch is not done; what came before is.
func TestManagerBatchRoom(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{Limits: ManagerLimits{Frame: 256 << 10}})
	a := dialManager(t, path)
	l := a.create("list")
	for range 3 {
		a.call(l, "append", make([]byte, 100<<10))
	}
	a.call(l, "append", 7)
	calls := []any{}
	for range 4 {
		calls = append(calls, []any{l, "pop", []any{0}})
	}
	got := a.must(proto.MethodBatch, calls, none).([]any)
	want(t, len(got), 4)
	want(t, len(got[1].([]any)[1].([]byte)), 100<<10)
	want(t, got[2].([]any)[0].([]any)[0], proto.KindTooLarge)
	want(t, got[3].([]any)[0].([]any)[0], proto.KindTooLarge)
	want(t, a.call(l, "len"), int64(2)) // what had no room is there
	for len(calls) < 10_000 {
		calls = append(calls, []any{l, "pop", []any{0}})
	}
	v, err := a.do(proto.MethodBatch, calls, none)
	wantFault(t, proto.KindTooLarge, v, err)
	want(t, a.call(l, "len"), int64(2))
	// Faults give up their words when there are many.
	for i := range calls {
		calls[i] = []any{l, "nonsense", []any{}}
	}
	got = a.must(proto.MethodBatch, calls[:8000], none).([]any)
	want(t, got[0].([]any)[0].([]any)[1].(string) != "", true)
	want(t, got[7999].([]any)[0].([]any)[1], "")
	endsClean(t, m, a)
}

// The elements of all answers of a batch are bounded like those of one, by PROTOCOL.md: what has no room for
// its elements is not taken.
func TestManagerBatchElements(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	l, d := a.create("list"), a.create("dict")
	many := make([]any, 1_500_000) // each is one byte
	calls := []any{}
	for i := range 3 {
		a.call(l, "append", many)
		a.call(d, "set", i, many)
		calls = append(calls, []any{l, "pop", []any{}})
	}
	calls = append(calls, []any{d, "pop", []any{0}}, []any{d, "get", []any{1}}, []any{l, "len", []any{}})
	got := a.must(proto.MethodBatch, calls, none).([]any)
	want(t, len(got[1].([]any)[1].([]any)), len(many))
	for _, i := range []int{2, 3, 4} {
		want(t, got[i].([]any)[0].([]any)[0], proto.KindTooLarge)
	}
	want(t, got[5], []any{nil, int64(1)})
	want(t, a.call(d, "len"), int64(3))
	want(t, len(a.call(l, "pop").([]any)), len(many))
	calls = calls[:0]
	for range maxBatchCalls + 1 {
		calls = append(calls, []any{l, "append", []any{1}})
	}
	v, err := a.do(proto.MethodBatch, calls, none)
	wantFault(t, proto.KindTooLarge, v, err)
	want(t, a.call(l, "len"), int64(0))
	want(t, len(a.must(proto.MethodBatch, calls[:maxBatchCalls], none).([]any)), maxBatchCalls)
	endsClean(t, m, a)
}

// A value counts more than its bytes, so that many small ones are bounded too.
func TestManagerMemory(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{Limits: ManagerLimits{Memory: 100 << 10}})
	a, b := dialManager(t, path), dialManager(t, path)
	l := a.create("list")
	n := int64(0)
	for range 10_000 {
		if _, err := a.do(proto.MethodCall, l, "append", []any{1}, none); err != nil {
			wantFault(t, proto.KindTooMany, nil, err)
			break
		}
		n++
	}
	want(t, n, int64((100<<10-objectBytes)/65))
	want(t, a.call(l, "len"), n)
	want(t, b.call(l, "append", 1), nil) // each connection for itself
	a.fails(proto.KindTooLarge, l, "imul", 3)
	want(t, a.call(l, "len"), n+1)
	want(t, a.call(l, "delete", slice(0, 3)), nil)
	a.fails(proto.KindTooMany, l, "imul", 2)
	want(t, a.call(l, "append", 1), nil)
	endsClean(t, m, a, b)
}
