package ipc

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

var noTime = map[string]any{"timeout_ms": 0}

// each runs a test for every kind of queue.
func eachQueue(t *testing.T, test func(t *testing.T, kind string, m *Manager, a, b *foreign)) {
	for _, kind := range queueKinds {
		t.Run(kind, func(t *testing.T) {
			checkLeaks(t)
			m, path := newTestManager(t, ManagerOptions{})
			test(t, kind, m, dialManager(t, path), dialManager(t, path))
		})
	}
}

// quits asks for an operation with options and expects this kind of fault.
func (f *foreign) quits(kind string, object any, op string, args []any, options map[string]any) {
	f.t.Helper()
	v, err := f.do(proto.MethodCall, object, op, list(args), options)
	wantFault(f.t, kind, v, err)
}

// gets waits for the answer to a call that was started, which must be v.
func (f *foreign) getsFault(kind string, id uint64) *proto.Fault {
	f.t.Helper()
	got, err := f.answer(id)
	wantFault(f.t, kind, got, err)
	fault, _ := errors.AsType[*proto.Fault](err)
	return fault
}

// stored returns how many bytes of values the manager holds.
func stored(m *Manager) (n int) {
	m.look(func() bool { n = m.stats.bytes; return true })()
	return n
}

func TestManagedQueueOrder(t *testing.T) {
	orders := map[string][]any{
		"lifo_queue":     {int64(5), int64(9), int64(1), int64(7)},
		"priority_queue": {int64(1), int64(5), int64(7), int64(9)},
	}
	eachQueue(t, func(t *testing.T, kind string, _ *Manager, a, b *foreign) {
		id := a.create(kind)
		for _, v := range []int{7, 1, 9, 5} {
			want(t, a.call(id, "put", v), nil)
		}
		want(t, b.call(id, "len"), int64(4))
		order := orders[kind]
		if order == nil {
			order = []any{int64(7), int64(1), int64(9), int64(5)}
		}
		want(t, b.call(id, "get"), order[0])
		want(t, b.call(id, "get_many", 2), order[1:3])
		want(t, b.call(id, "get_many", 100), order[3:])
		want(t, b.call(id, "empty"), true)
		want(t, b.call(id, "unfinished"), int64(4))
	})
}

func TestManagedQueueFaults(t *testing.T) {
	eachQueue(t, func(t *testing.T, kind string, m *Manager, a, _ *foreign) {
		v, err := a.do(proto.MethodCreate, kind, []any{"ten"}, none)
		wantFault(t, proto.KindTypeError, v, err)
		v, err = a.do(proto.MethodCreate, kind, []any{1, 2}, none)
		wantFault(t, proto.KindArguments, v, err)
		id := a.create(kind, 2)
		a.fails(proto.KindUnknownMethod, id, "push", 1)
		a.fails(proto.KindArguments, id, "put")
		a.fails(proto.KindArguments, id, "get", 1)
		a.fails(proto.KindTypeError, id, "put_many", 1)
		a.fails(proto.KindTypeError, id, "get_many", "all")
		a.fails(proto.KindTypeError, id, "get_many", 1.5)
		a.fails(proto.KindValueError, id, "get_many", 0)
		a.fails(proto.KindTypeError, id, "maxsize", nil)
		a.fails(proto.KindTypeError, id, "close", 1)
		a.fails(proto.KindValueError, id, "task_done")
		a.quits(proto.KindEmpty, id, "get", nil, noTime)
		a.quits(proto.KindEmpty, id, "get_many", []any{3}, map[string]any{"timeout_ms": 1})
		want(t, a.call(id, "put_many", []any{}), int64(0))
		want(t, a.call(id, "put_many", []any{1, 2}), int64(2))
		want(t, a.call(id, "put_many", []any{}), int64(0))
		a.quits(proto.KindFull, id, "put", []any{1}, noTime)
		a.quits(proto.KindFull, id, "put_many", []any{[]any{1}}, map[string]any{"timeout_ms": 1})
		want(t, a.call(id, "full"), true)
		a.fails(proto.KindValueError, id, "task_done") // nothing was got
		want(t, len(a.call(id, "get_many", 2).([]any)), 2)
		a.fails(proto.KindValueError, id, "task_done", 3)
		a.fails(proto.KindValueError, id, "task_done", 0)
		a.quits(proto.KindTimeout, id, "join", nil, noTime)
		want(t, a.call(id, "task_done", 2), nil)
		want(t, a.call(id, "join"), nil)
		want(t, stored(m), 0)
	})
}

// Those who wait are served in the order in which they came, and who gave up takes nothing.
func TestManagedQueueWaits(t *testing.T) {
	eachQueue(t, func(t *testing.T, kind string, m *Manager, a, b *foreign) {
		id := a.create(kind)
		first, second := a.start(id, "get", nil, none), a.start(id, "get", nil, none)
		many := a.start(id, "get_many", []any{5}, none)
		lost := b.start(id, "get", nil, none)
		third := a.start(id, "get", nil, none)
		m.waits(t, 5)
		want(t, a.call(id, "getting"), int64(5))
		want(t, a.must(proto.MethodCancel, second, none), true)
		a.getsFault(proto.KindCancelled, second)
		b.conn.Close()
		_ = lost
		a.call(id, "put", 1)
		a.gets(first, int64(1))
		a.call(id, "put_many", []any{2, 3})
		order := []any{int64(2), int64(3)}
		if kind == "lifo_queue" {
			order = []any{int64(3), int64(2)}
		}
		a.gets(many, order)
		a.call(id, "put", 4)
		a.gets(third, int64(4))
		want(t, a.call(id, "getting"), int64(0))
	})
}

// Putters that wait go in one after another; what they brought is let go if they do not.
func TestManagedQueuePutters(t *testing.T) {
	eachQueue(t, func(t *testing.T, kind string, m *Manager, a, b *foreign) {
		id := a.create(kind, 1)
		a.call(id, "put", 1)
		first := a.start(id, "put", []any{2}, none)
		cancelled := a.start(id, "put", []any{3}, none)
		b.start(id, "put", []any{4}, none)
		many := a.start(id, "put_many", []any{[]any{5, 6, 7}}, none)
		m.waits(t, 4)
		want(t, a.call(id, "putting"), int64(4))
		a.must(proto.MethodCancel, cancelled, none)
		a.getsFault(proto.KindCancelled, cancelled)
		b.conn.Close()
		eventually(t, "the putter that ended has left", m.look(func() bool { return m.stats.waiting == 2 }))
		want(t, a.call(id, "get"), int64(1))
		a.gets(first, nil)
		want(t, a.call(id, "get"), int64(2))
		want(t, a.call(id, "get"), int64(5))
		want(t, a.call(id, "len"), int64(1)) // 6 is in, 7 waits
		a.must(proto.MethodCancel, many, none)
		fault := a.getsFault(proto.KindCancelled, many)
		want(t, fault.Value, proto.Raw{2})
		want(t, a.call(id, "get"), int64(6))
		a.quits(proto.KindEmpty, id, "get", nil, noTime)
		want(t, a.must(proto.MethodCall, id, "put_many", []any{[]any{8, 9}}, noTime), int64(1))
		want(t, a.call(id, "get"), int64(8))
		want(t, stored(m), 0)
	})
}

func TestManagedQueueMaxsize(t *testing.T) {
	eachQueue(t, func(t *testing.T, kind string, m *Manager, a, _ *foreign) {
		id := a.create(kind, 1)
		many := a.start(id, "put_many", []any{[]any{1, 2, 3}}, none)
		m.waits(t, 1)
		want(t, a.call(id, "maxsize", 2), int64(1))
		want(t, a.call(id, "len"), int64(2))
		want(t, a.call(id, "maxsize", -1), int64(2))
		a.gets(many, int64(3))
		want(t, a.call(id, "maxsize"), int64(-1))
		want(t, a.call(id, "full"), false)
		want(t, a.call(id, "maxsize", 2), int64(-1))
		want(t, a.call(id, "full"), true)
		want(t, a.call(id, "len"), int64(3))
		a.call(id, "get")
		a.quits(proto.KindFull, id, "put", []any{1}, noTime)
	})
}

func TestManagedQueueClose(t *testing.T) {
	eachQueue(t, func(t *testing.T, kind string, m *Manager, a, b *foreign) {
		id := a.create(kind, 1)
		a.call(id, "put", 1)
		putter := b.start(id, "put_many", []any{[]any{2}}, none)
		m.waits(t, 1)
		want(t, a.call(id, "close"), nil)
		b.getsFault(proto.KindClosed, putter)
		a.fails(proto.KindClosed, id, "put", 1)
		a.fails(proto.KindClosed, id, "put_many", []any{1})
		want(t, a.call(id, "closed"), true)
		want(t, a.call(id, "get"), int64(1))
		a.fails(proto.KindClosed, id, "get")
		a.quits(proto.KindClosed, id, "get_many", []any{1}, noTime)
		want(t, a.call(id, "close"), nil)

		id = a.create(kind)
		getter := b.start(id, "get", nil, none)
		m.waits(t, 1)
		a.call(id, "close")
		b.getsFault(proto.KindClosed, getter)

		id = a.create(kind)
		a.call(id, "put_many", []any{1, 2, 3})
		a.call(id, "get")
		joiner := b.start(id, "join", nil, none)
		m.waits(t, 1)
		a.call(id, "close", true)
		a.fails(proto.KindClosed, id, "get")
		want(t, a.call(id, "unfinished"), int64(1))
		a.call(id, "task_done")
		b.gets(joiner, nil)
		want(t, stored(m), 0)
	})
}

func TestManagedQueueGone(t *testing.T) {
	eachQueue(t, func(t *testing.T, kind string, m *Manager, a, b *foreign) {
		id, full := a.create(kind), a.create(kind, 1)
		a.call(full, "put", 1)
		calls := []uint64{
			b.start(id, "get", nil, none), b.start(full, "put", []any{2}, none), b.start(full, "join", nil, none),
		}
		m.waits(t, 3)
		a.conn.Close()
		for _, c := range calls {
			b.getsFault(proto.KindGone, c)
		}
		eventually(t, "nothing is left", m.look(func() bool { return len(m.objects) == 0 && m.stats.bytes == 0 }))
	})
}

func TestManagedQueueLargeItems(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("priority_queue")
	big := bytes.Repeat([]byte("8 MiB of"), 1<<20)
	getter := b.start(id, "get", nil, none)
	m.waits(t, 1)
	a.call(id, "put", big)
	got, err := b.answer(getter)
	if err != nil || !bytes.Equal(got.([]byte), big) {
		t.Fatalf("got %d bytes, %v", len(got.([]byte)), err)
	}
	for range 9 {
		a.call(id, "put", big)
	}
	n := len(b.call(id, "get_many", 9).([]any)) // 72 MiB: more than a frame
	want(t, n, 7)
	want(t, len(b.call(id, "get_many", 9).([]any)), 2)
}

// Elements have a limit of their own, however few their bytes are.
func TestManagedQueueManyElements(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	id := a.create("queue")
	row := make([]bool, 1<<20)
	for range 5 {
		a.call(id, "put", row)
	}
	want(t, len(a.call(id, "get_many", 5).([]any)), 3)
	want(t, a.call(id, "len"), int64(2))
}

// In a batch the answers share one frame: what has no room stays in the queue.
func TestManagedQueueBatch(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{Limits: ManagerLimits{Frame: 1<<20 + 64<<10}})
	a := dialManager(t, path)
	id := a.create("queue", 9)
	big := make([]byte, 128<<10-1024)
	var gets []any
	for range 9 {
		a.call(id, "put", big)
		gets = append(gets, []any{id, "get", []any{}})
	}
	answers := a.must(proto.MethodBatch, gets, none).([]any)
	failed := 0
	for _, r := range answers {
		if fault := r.([]any)[0]; fault != nil {
			want(t, fault.([]any)[0], proto.KindTooLarge)
			failed++
		}
	}
	want(t, a.call(id, "len"), int64(failed))
	want(t, failed, 1)
	answers = a.must(proto.MethodBatch, []any{
		[]any{id, "close", []any{true}}, []any{id, "get", []any{}}, []any{id, "join", []any{}},
	}, none).([]any)
	want(t, answers[1].([]any)[0].([]any)[0], proto.KindClosed)
	want(t, answers[2].([]any)[0].([]any)[0], proto.KindTimeout)
}

// A reference in an item keeps its object while it is in the queue, and whoever gets it has a
// lease before the queue lets go.
func TestManagedQueueReferences(t *testing.T) {
	eachQueue(t, func(t *testing.T, kind string, m *Manager, a, b *foreign) {
		id := a.create(kind)
		for _, op := range []string{"get", "get_many"} {
			inner := a.create("value", nil, 7)
			a.call(id, "put", []any{proto.Ref{Instance: m.instance, ID: uint64(inner)}})
			a.must(proto.MethodDecref, inner, 1, none)
			want(t, a.call(inner, "get"), int64(7))
			var args []any
			if op == "get_many" {
				args = []any{2}
			}
			b.call(id, op, args...)
			want(t, b.call(inner, "get"), int64(7))
			b.must(proto.MethodDecref, inner, 1, none)
			b.fails(proto.KindGone, inner, "get")
		}
		// Dropped with the queue, or with a putter that gives up.
		inner := a.create("value", nil, 7)
		ref := proto.Ref{Instance: m.instance, ID: uint64(inner)}
		a.call(id, "maxsize", 1)
		a.call(id, "put", ref)
		putter := a.start(id, "put", []any{ref}, none)
		m.waits(t, 1)
		a.must(proto.MethodDecref, inner, 1, none)
		a.must(proto.MethodCancel, putter, none)
		a.getsFault(proto.KindCancelled, putter)
		want(t, a.must(proto.MethodDescribe, inner, none).(map[string]any)["stored"], int64(1))
		a.call(id, "close", true)
		a.fails(proto.KindGone, inner, "get")
	})
}

func TestManagedQueueDescribe(t *testing.T) {
	eachQueue(t, func(t *testing.T, kind string, _ *Manager, a, _ *foreign) {
		id := a.create(kind, 3)
		a.call(id, "put", 1)
		a.call(id, "close")
		d := a.must(proto.MethodDescribe, id, none).(map[string]any)
		want(t, fmt.Sprint(d["kind"], d["length"], d["text"]), kind+"1<"+kind+", 1 items of 3, closed>")
	})
}
