package ipc

import (
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

func TestManagedEvent(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := b.create("event")
	want(t, text(a, id), "<Event(unset)>")
	want(t, a.call(id, "is_set"), false)
	want(t, a.callWith(poll(0), "", id, "wait"), false)
	want(t, a.callWith(map[string]any{"timeout_ms": 2}, "", id, "wait"), false)
	want(t, a.call(id, "set"), nil)
	want(t, a.call(id, "set"), nil)
	want(t, a.call(id, "is_set"), true)
	want(t, a.callWith(poll(0), "", id, "wait"), true)
	want(t, text(a, id), "<Event(set)>")
	want(t, a.call(id, "clear"), nil)
	want(t, a.call(id, "is_set"), false)
	a.fails(proto.KindUnknownMethod, id, "pulse", 1)
	a.fails(proto.KindArguments, id, "set", 1)
	m.nobody(t)
}

// A set that is followed at once by clear wakes all who wait, with true; who comes later waits.
func TestManagedEventPulse(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := b.create("event")
	for round := range 5 { // S10
		var calls []uint64
		for owner := range uint64(4) {
			calls = append(calls, a.start(id, "wait", nil, by(owner)), b.start(id, "wait", nil, map[string]any{"timeout_ms": 60_000}))
		}
		m.waits(t, 8)
		if round == 0 {
			want(t, text(a, id), "<Event(unset, waiting=8)>")
		}
		a.must(proto.MethodBatch, []any{[]any{id, "set", []any{}}, []any{id, "clear", []any{}}}, none)
		for i, call := range calls {
			[]*foreign{a, b}[i%2].gets(call, true)
		}
		want(t, b.callWith(poll(0), "", id, "wait"), false)
	}
	m.nobody(t)
}

// A wait that is cancelled leaves the event as it was; one whose connection has ended, too.
func TestManagedEventCancel(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b, c := dialManager(t, path), dialManager(t, path), dialManager(t, path)
	id := b.create("event")
	first := a.start(id, "wait", nil, none)
	second := b.start(id, "wait", nil, none)
	c.start(id, "wait", nil, none)
	m.waits(t, 3)
	a.cancels(first, true)
	a.faults(first, proto.KindCancelled)
	c.conn.Close()
	m.waits(t, 1)
	a.call(id, "set")
	b.gets(second, true)
	m.nobody(t)
}

func TestManagedEventGone(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("event")
	wait := b.start(id, "wait", nil, none)
	m.waits(t, 1)
	a.must(proto.MethodDecref, id, 1, none)
	b.faults(wait, proto.KindGone)
	m.nobody(t)
	m.check(t, 0, 0)
}
