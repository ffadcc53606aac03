package ipc

import (
	"strings"
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

var action = map[string]any{"action": true}

func seat(n int, run bool) []any { return []any{int64(n), run} }

// comes has an owner wait at a barrier, where others have to come too.
func (f *foreign) comes(id int64, options map[string]any) (call uint64) {
	f.t.Helper()
	call = f.start(id, "wait", nil, options)
	f.must(proto.MethodPing, none)
	return call
}

// S9: nine parties at a Barrier(3) are released in threes, each place once; many rounds.
func TestManagedBarrier(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("barrier", 3)
	want(t, a.call(id, "parties"), int64(3))
	want(t, a.call(id, "waiting"), int64(0))
	want(t, a.call(id, "broken"), false)
	want(t, text(a, id), "<Barrier(parties=3, waiting=0)>")
	for range 100 {
		first := b.comes(id, by(1))
		want(t, a.call(id, "waiting"), int64(1))
		second := a.comes(id, by(1))
		want(t, b.callWith(poll(2), "", id, "wait"), seat(2, false)) // it need not wait
		b.gets(first, seat(0, false))
		a.gets(second, seat(1, false))
		want(t, a.call(id, "waiting"), int64(0))
	}
	var calls []uint64
	for owner := range uint64(9) {
		calls = append(calls, a.start(id, "wait", nil, by(owner)))
	}
	for i, call := range calls {
		a.gets(call, seat(i%3, false))
	}
	for _, op := range []string{"done", "failed"} {
		a.fails(proto.KindNotOwner, id, op)
	}
	a.fails(proto.KindArguments, id, "wait", 1)
	a.fails(proto.KindUnknownMethod, id, "acquire", 1)
	m.nobody(t)
}

func TestManagedBarrierCreate(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	for _, x := range []struct {
		args  []any
		fault string
	}{
		{[]any{}, proto.KindArguments},
		{[]any{1, none, 1}, proto.KindArguments},
		{[]any{0}, proto.KindValueError},
		{[]any{-1}, proto.KindValueError},
		{[]any{nil}, proto.KindTypeError},
		{[]any{2, 5}, proto.KindTypeError},
		{[]any{2, map[string]any{"timeout_ms": "1"}}, proto.KindTypeError},
		{[]any{2, map[string]any{"timeout_ms": -1}}, proto.KindValueError},
		{[]any{2, map[string]any{"action": 1}}, proto.KindTypeError},
	} {
		v, err := a.do(proto.MethodCreate, "barrier", x.args, none)
		wantFault(t, x.fault, v, err)
	}
	m.check(t, 0, 0)
	id := a.create("barrier", 1, map[string]any{"timeout_ms": nil, "action": nil})
	for range 5 { // alone
		want(t, a.callWith(poll(0), "", id, "wait"), seat(0, false))
	}
}

// A time that is over breaks the barrier for all; so it stays until reset.
func TestManagedBarrierTimeout(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("barrier", 3)
	for _, ms := range []int{0, 2} {
		first := b.comes(id, none)
		a.callWith(limited(0, ms), proto.KindBrokenBarrier, id, "wait")
		b.faults(first, proto.KindBrokenBarrier)
		want(t, a.call(id, "broken"), true)
		a.fails(proto.KindBrokenBarrier, id, "wait")
		want(t, text(a, id), "<Barrier(parties=3, waiting=0, broken)>")
		want(t, b.call(id, "reset"), nil)
		want(t, a.call(id, "broken"), false)
	}
	// The limit of its own is for waits that name none.
	id = a.create("barrier", 2, map[string]any{"timeout_ms": 2})
	a.fails(proto.KindBrokenBarrier, id, "wait")
	b.call(id, "reset")
	long := a.start(id, "wait", nil, limited(0, 60_000))
	m.waits(t, 1)
	want(t, b.call(id, "wait"), seat(1, false))
	a.gets(long, seat(0, false))
	id = a.create("barrier", 2, map[string]any{"timeout_ms": 0})
	a.fails(proto.KindBrokenBarrier, id, "wait")
	m.nobody(t)
}

func TestManagedBarrierAbortAndReset(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("barrier", 3)
	for _, op := range []string{"abort", "reset"} {
		first, second := b.comes(id, by(1)), b.comes(id, by(2))
		want(t, a.call(id, op), nil)
		b.faults(first, proto.KindBrokenBarrier)
		b.faults(second, proto.KindBrokenBarrier)
		want(t, a.call(id, "broken"), op == "abort")
		want(t, a.call(id, op), nil)
		a.call(id, "reset")
		first, second = b.comes(id, by(1)), b.comes(id, by(2))
		want(t, a.call(id, "wait"), seat(2, false))
		b.gets(first, seat(0, false))
		b.gets(second, seat(1, false))
	}
	m.nobody(t)
}

// Who is cancelled gets cancelled, and the others a barrier that is broken.
func TestManagedBarrierCancel(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("barrier", 3)
	first, second := a.comes(id, none), b.comes(id, none)
	a.cancels(first, true)
	a.faults(first, proto.KindCancelled)
	b.faults(second, proto.KindBrokenBarrier)
	b.cancels(second, false)
	want(t, a.call(id, "broken"), true)
	m.nobody(t)
}

// A party whose connection ends breaks the barrier, at the latest when the others are all there.
func TestManagedBarrierDeadParty(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("barrier", 3)
	for range 50 {
		a.call(id, "reset")
		dead := dialManager(t, path)
		first := b.comes(id, none)
		dead.comes(id, none)
		dead.conn.Close()
		a.fails(proto.KindBrokenBarrier, id, "wait")
		b.faults(first, proto.KindBrokenBarrier)
		want(t, a.call(id, "broken"), true)
		m.open(t, 2)
	}
	m.nobody(t)
}

// With an action the last to come runs it, and the others go on when it is done.
func TestManagedBarrierAction(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("barrier", 3, action)
	for range 50 {
		first, second := b.comes(id, by(1)), a.comes(id, by(2))
		want(t, a.call(id, "wait"), seat(2, true))
		m.nobodyBut(t, 2)
		want(t, b.call(id, "waiting"), int64(2))
		if got := text(b, id); !strings.Contains(got, ", action of pid ") {
			t.Errorf("text is %q", got)
		}
		b.fails(proto.KindNotOwner, id, "done")
		a.callWith(by(2), proto.KindNotOwner, id, "failed")
		want(t, a.call(id, "done"), nil)
		b.gets(first, seat(0, false))
		a.gets(second, seat(1, false))
		a.fails(proto.KindNotOwner, id, "done")
		m.nobody(t)
	}
	first, second := b.comes(id, by(1)), b.comes(id, by(2))
	want(t, a.call(id, "wait"), seat(2, true))
	want(t, a.call(id, "failed"), nil)
	b.faults(first, proto.KindBrokenBarrier)
	b.faults(second, proto.KindBrokenBarrier)
	want(t, a.call(id, "broken"), true)
	a.fails(proto.KindNotOwner, id, "failed")
	m.nobody(t)
}

// Alone, with an action: it still has to be done.
func TestManagedBarrierAlone(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("barrier", 1, action)
	for range 10 {
		want(t, a.call(id, "wait"), seat(0, true))
		wait := b.comes(id, none)
		want(t, a.call(id, "done"), nil)
		b.gets(wait, seat(0, true))
		want(t, b.call(id, "done"), nil)
	}
	got := a.must(proto.MethodBatch, []any{[]any{id, "wait", []any{}}, []any{id, "done", []any{}}}, none)
	want(t, got, []any{[]any{nil, seat(0, true)}, []any{nil, nil}})
	m.nobody(t)
}

// Who comes during an action waits for the round after it; the last of that runs the next.
func TestManagedBarrierNextRounds(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("barrier", 2, action)
	first := b.comes(id, none)
	want(t, a.call(id, "wait"), seat(1, true))
	var calls []uint64
	for owner := range uint64(5) {
		calls = append(calls, b.comes(id, by(10+owner)))
	}
	m.nobodyBut(t, 6)
	a.call(id, "done")
	b.gets(first, seat(0, false))
	b.gets(calls[1], seat(1, true))
	m.nobodyBut(t, 4)
	b.callWith(by(11), "", id, "done")
	b.gets(calls[0], seat(0, false))
	b.gets(calls[3], seat(1, true))
	// A time that is over breaks them all, also the round that is under way.
	a.callWith(poll(0), proto.KindBrokenBarrier, id, "wait")
	b.faults(calls[2], proto.KindBrokenBarrier)
	b.faults(calls[4], proto.KindBrokenBarrier)
	b.callWith(by(13), proto.KindBrokenBarrier, id, "done")
	b.callWith(by(13), proto.KindNotOwner, id, "done")
	m.nobody(t)
}

// What happens to a round while its action is under way.
func TestManagedBarrierDuringAction(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("barrier", 2, action)
	for _, x := range []struct {
		name   string
		limit  int // of the other party
		do     func(run *foreign, wait uint64)
		broken bool
		first  string // what the other party gets
	}{
		{"abort", 60_000, func(*foreign, uint64) { a.call(id, "abort") }, true, proto.KindBrokenBarrier},
		{"abort by the runner", 60_000, func(run *foreign, _ uint64) { run.call(id, "abort") }, true, proto.KindBrokenBarrier},
		{"reset", 60_000, func(*foreign, uint64) { a.call(id, "reset") }, false, proto.KindBrokenBarrier},
		{"reset by the runner", 60_000, func(run *foreign, _ uint64) { run.call(id, "reset") }, false, proto.KindBrokenBarrier},
		{"cancel", 60_000, func(_ *foreign, wait uint64) { b.cancels(wait, true) }, true, proto.KindCancelled},
		{"time", 500, func(*foreign, uint64) { m.waits(t, 0) }, true, proto.KindBrokenBarrier},
		{"the runner waits", 60_000, func(run *foreign, _ uint64) { run.fails(proto.KindBrokenBarrier, id, "wait") }, true, proto.KindBrokenBarrier},
		{"the runner looks", 60_000, func(run *foreign, _ uint64) { want(t, run.call(id, "parties"), int64(2)) }, true, proto.KindBrokenBarrier},
	} {
		run := dialManager(t, path)
		first := b.start(id, "wait", nil, limited(0, x.limit))
		eventually(t, "the party waits, or its time is over", m.look(func() bool {
			return m.stats.waiting == 1 || m.objects[uint64(id)].thing.(*managedBarrier).broken
		}))
		got, err := run.answer(run.start(id, "wait", nil, none))
		if x.limit == 500 && err != nil { // too late for an action
			b.faults(first, x.first)
			a.call(id, "reset")
			run.conn.Close()
			m.open(t, 2)
			continue
		}
		want(t, got, seat(1, true))
		x.do(run, first)
		b.faults(first, x.first)
		want(t, a.call(id, "broken"), x.broken)
		run.fails(proto.KindBrokenBarrier, id, "done")
		run.fails(proto.KindNotOwner, id, "failed")
		a.call(id, "reset")
		m.nobody(t)
		run.conn.Close()
		m.open(t, 2)
	}
}

// The end of the runner's connection, or of a party's during the action, breaks the barrier.
func TestManagedBarrierDeathDuringAction(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("barrier", 3, action)
	for round := range 50 {
		dead := dialManager(t, path)
		first := b.comes(id, none)
		if round%2 == 0 {
			second := a.comes(id, none)
			want(t, dead.call(id, "wait"), seat(2, true))
			dead.conn.Close()
			a.faults(second, proto.KindBrokenBarrier)
		} else {
			dead.comes(id, none)
			want(t, a.call(id, "wait"), seat(2, true))
			dead.conn.Close()
			a.fails(proto.KindBrokenBarrier, id, "done")
		}
		b.faults(first, proto.KindBrokenBarrier)
		want(t, a.call(id, "broken"), true)
		a.call(id, "reset")
		m.open(t, 2)
		m.nobody(t)
	}
}

// A reset barrier is usable while the old runner has not heard of it, who may run again.
func TestManagedBarrierRelieved(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("barrier", 1, action)
	want(t, a.call(id, "wait"), seat(0, true))
	b.call(id, "reset")
	want(t, b.call(id, "wait"), seat(0, true))
	a.fails(proto.KindBrokenBarrier, id, "failed")
	want(t, a.call(id, "broken"), false)
	b.call(id, "reset")
	want(t, b.call(id, "wait"), seat(0, true)) // told again: what was before does not count
	want(t, b.call(id, "done"), nil)
	b.fails(proto.KindNotOwner, id, "done")
	m.nobody(t)
	// It does not remember any number of them.
	for owner := range uint64(3 * maxRelieved) {
		a.callWith(by(owner), "", id, "wait")
		b.call(id, "reset")
	}
	m.look(func() bool {
		want(t, len(m.objects[uint64(id)].thing.(*managedBarrier).relieved), maxRelieved)
		return true
	})()
	a.callWith(by(0), proto.KindNotOwner, id, "done")
	a.callWith(by(3*maxRelieved-1), proto.KindBrokenBarrier, id, "done")
	a.callWith(by(5), "", id, "wait")
	a.must(proto.MethodDecref, id, 1, none) // the action is under way
	m.nobody(t)
	m.check(t, 0, 0)
}

func TestManagedBarrierGone(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("barrier", 2, action)
	first := b.comes(id, none)
	want(t, b.callWith(by(1), "", id, "wait"), seat(1, true))
	second := b.comes(id, by(2))
	a.must(proto.MethodDecref, id, 1, none)
	b.faults(first, proto.KindGone)
	b.faults(second, proto.KindGone)
	m.nobody(t)
	m.check(t, 0, 0)
}
