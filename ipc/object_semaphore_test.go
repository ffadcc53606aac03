package ipc

import (
	"math"
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

func TestManagedSemaphore(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("semaphore", 2)
	want(t, text(a, id), "<Semaphore(value=2)>")
	want(t, a.call(id, "acquire"), nil)
	want(t, b.callWith(poll(5), "", id, "acquire"), nil)
	want(t, a.call(id, "value"), int64(0))
	a.callWith(poll(0), proto.KindTimeout, id, "acquire")
	a.callWith(map[string]any{"timeout_ms": 2}, proto.KindTimeout, id, "acquire")
	first := b.start(id, "acquire", nil, none)
	m.waits(t, 1)
	second := a.start(id, "acquire", nil, none)
	m.waits(t, 2)
	want(t, text(a, id), "<Semaphore(value=0, waiting=2)>")
	want(t, a.callWith(by(8), "", id, "release", 2), nil) // one that it holds, and one more
	b.gets(first, nil)
	a.gets(second, nil)
	want(t, a.call(id, "value"), int64(0))
	a.call(id, "release", 5)
	want(t, a.call(id, "value"), int64(5))
	b.call(id, "release", 2)
	want(t, a.call(id, "value"), int64(7))
	for _, n := range []int{0, -1} {
		a.fails(proto.KindValueError, id, "release", n)
	}
	a.fails(proto.KindTypeError, id, "release", "2")
	a.fails(proto.KindTypeError, id, "release", 1.0)
	a.fails(proto.KindTypeError, id, "release", nil)
	a.fails(proto.KindValueError, id, "release", uint64(math.MaxUint64))
	a.fails(proto.KindValueError, id, "release", math.MaxInt)
	a.fails(proto.KindArguments, id, "release", 1, 2)
	a.fails(proto.KindUnknownMethod, id, "locked")
	want(t, a.call(id, "value"), int64(7))
	m.nobody(t)
}

func TestManagedSemaphoreCreate(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	for _, x := range []struct {
		args  []any
		fault string
	}{
		{[]any{-1}, proto.KindValueError},
		{[]any{nil}, proto.KindTypeError},
		{[]any{"1"}, proto.KindTypeError},
		{[]any{1, false}, proto.KindTypeError},
		{[]any{uint64(math.MaxUint64)}, proto.KindValueError},
		{[]any{1, none, 1}, proto.KindArguments},
	} {
		for _, kind := range []string{"semaphore", "bounded_semaphore"} {
			v, err := a.do(proto.MethodCreate, kind, x.args, none)
			wantFault(t, x.fault, v, err)
		}
	}
	want(t, a.call(a.create("semaphore"), "value"), int64(1))
	want(t, a.call(a.create("bounded_semaphore", 0), "value"), int64(0))
}

// A bounded one never has more permits than at first, whoever holds them.
func TestManagedBoundedSemaphore(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("bounded_semaphore", 2)
	want(t, text(a, id), "<BoundedSemaphore(value=2, maxvalue=2)>")
	a.fails(proto.KindValueError, id, "release")
	a.call(id, "acquire")
	a.fails(proto.KindValueError, id, "release", 2)
	b.fails(proto.KindValueError, id, "release") // it holds none
	want(t, a.call(id, "value"), int64(1))
	a.call(id, "acquire")
	wait := b.start(id, "acquire", nil, none)
	m.waits(t, 1)
	a.call(id, "release", 2)
	b.gets(wait, nil)
	want(t, a.call(id, "value"), int64(1))
	b.call(id, "release")
	a.fails(proto.KindValueError, id, "release")

	free := a.create("bounded_semaphore", 1, map[string]any{"handoff": true})
	a.call(free, "acquire")
	b.call(free, "release")
	b.fails(proto.KindValueError, free, "release")
	m.nobody(t)
}

// Permits of a connection that ends come back, and go to who waits.
func TestManagedSemaphoreHolderDies(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := b.create("semaphore", 3)
	for owner := range uint64(3) {
		a.callWith(by(owner), "", id, "acquire")
	}
	first, second := b.start(id, "acquire", nil, none), b.start(id, "acquire", nil, none)
	dead := dialManager(t, path)
	m.waits(t, 2)
	dead.start(id, "acquire", nil, none)
	m.waits(t, 3)
	dead.conn.Close()
	a.conn.Close()
	b.gets(first, nil)
	b.gets(second, nil)
	m.open(t, 1)
	want(t, b.call(id, "value"), int64(1))
	b.call(id, "release", 2)
	want(t, b.call(id, "value"), int64(3))
	m.nobody(t)
}

func TestManagedSemaphoreHandoff(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := b.create("semaphore", 1, map[string]any{"handoff": true})
	a.call(id, "acquire")
	a.conn.Close()
	m.open(t, 1)
	want(t, b.call(id, "value"), int64(0))
	wait := b.start(id, "acquire", nil, none)
	m.waits(t, 1)
	b.call(id, "release")
	b.gets(wait, nil)
	m.nobody(t)
}

// A cancelled acquire takes no permit.
func TestManagedSemaphoreCancel(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("semaphore", 0)
	first, second := b.start(id, "acquire", nil, none), b.start(id, "acquire", nil, none)
	m.waits(t, 2)
	b.cancels(first, true)
	b.faults(first, proto.KindCancelled)
	a.call(id, "release", 2)
	b.gets(second, nil)
	want(t, a.call(id, "value"), int64(1))
	b.call(id, "release")
	m.nobody(t)
}
