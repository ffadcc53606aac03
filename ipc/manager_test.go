package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// A foreign client of a manager, which knows only the page.
type foreign struct {
	t        testing.TB
	conn     *Conn
	last     uint64
	instance string
	got      map[uint64]proto.Message // answers that came before they were asked for
}

// newTestManager serves a manager at a path of its own until the test ends.
func newTestManager(t testing.TB, o ManagerOptions) (m *Manager, path string) {
	t.Helper()
	m, err := NewManager(o)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "manager.sock")
	l, err := Listen(path, ConnOptions{})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- m.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		l.Close()
		m.Close()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return m, path
}

// dialManager connects a foreign client, which has said hello.
func dialManager(t testing.TB, path string) *foreign {
	t.Helper()
	conn, err := Dial(within(t), path, ConnOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	f := &foreign{t: t, conn: conn, got: map[uint64]proto.Message{}}
	f.instance = fmt.Sprint(f.must(proto.MethodHello, 1, []any{}, map[string]any{}).([]any)[1].(map[string]any)["instance"])
	return f
}

// ask sends a request; answer waits for its answer.
func (f *foreign) ask(method string, params ...any) (id uint64) {
	f.t.Helper()
	p, err := proto.Marshal(params)
	if err != nil {
		f.t.Fatal(err)
	}
	f.last++
	if err := f.conn.WriteFrame(p.FDs, proto.AppendRequest(nil, f.last, method, p.Bytes)); err != nil {
		f.t.Fatalf("%s: %v", method, err)
	}
	CloseFDs(p.FDs)
	return f.last
}

func (f *foreign) answer(id uint64) (any, error) {
	f.t.Helper()
	ctx := within(f.t)
	for {
		if msg, ok := f.got[id]; ok {
			delete(f.got, id)
			if msg.Fault != nil {
				return nil, msg.Fault
			}
			var v any
			if _, err := proto.Unmarshal(proto.Payload{Bytes: msg.Result}, &v, proto.Limits{}); err != nil {
				f.t.Fatal(err)
			}
			return v, nil
		}
		fr, err := f.conn.recv(ctx)
		if err != nil {
			f.t.Fatalf("waiting for the answer to request %d: %v", id, err)
		}
		msg, err := proto.ParseMessage(fr.Body, proto.Limits{})
		if err != nil || msg.Kind != proto.Response {
			f.t.Fatalf("not a response: %v, %v", msg, err)
		}
		if _, twice := f.got[msg.ID]; twice {
			f.t.Fatalf("two answers to request %d", msg.ID)
		}
		f.got[msg.ID] = msg
	}
}

func (f *foreign) do(method string, params ...any) (any, error) {
	f.t.Helper()
	return f.answer(f.ask(method, params...))
}

func (f *foreign) must(method string, params ...any) any {
	f.t.Helper()
	v, err := f.do(method, params...)
	if err != nil {
		f.t.Fatalf("%s%v: %v", method, params, err)
	}
	return v
}

// create makes an object and returns its id.
func (f *foreign) create(kind string, args ...any) int64 {
	f.t.Helper()
	return f.must(proto.MethodCreate, kind, list(args), none).([]any)[0].(int64)
}

var none = map[string]any{}

func list(args []any) []any {
	if args == nil {
		return []any{}
	}
	return args
}

// call calls an operation, which must succeed; start only asks for it, with options.
func (f *foreign) call(object any, op string, args ...any) any {
	f.t.Helper()
	return f.must(proto.MethodCall, object, op, list(args), none)
}

func (f *foreign) start(object any, op string, args []any, options map[string]any) (id uint64) {
	f.t.Helper()
	return f.ask(proto.MethodCall, object, op, list(args), options)
}

// fails calls an operation, which must fail with this kind of fault.
func (f *foreign) fails(kind string, object any, op string, args ...any) {
	f.t.Helper()
	v, err := f.do(proto.MethodCall, object, op, list(args), none)
	f.t.Helper()
	wantFault(f.t, kind, v, err)
}

func wantFault(t testing.TB, kind string, v any, err error) {
	t.Helper()
	fault, ok := errors.AsType[*proto.Fault](err)
	if !ok || fault.Kind != kind {
		t.Fatalf("got %v, %v; want a fault of kind %s", v, err, kind)
	}
}

func want(t testing.TB, got, want any) {
	t.Helper()
	if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
		t.Fatalf("got %#v, want %#v", got, want)
	}
}

// eventually waits until a condition of a manager's state holds.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	ctx := within(t)
	for !f() {
		if ctx.Err() != nil {
			t.Fatalf("waited for: %s", what)
		}
	}
}

func (m *Manager) look(f func() bool) func() bool {
	return func() bool {
		m.lock()
		defer m.unlock()
		return f()
	}
}

// check compares what there is; without objects there are no values either.
func (m *Manager) check(t testing.TB, objects, leases int) {
	t.Helper()
	m.lock()
	defer m.unlock()
	want(t, len(m.objects), objects)
	want(t, m.stats.leases, leases)
	if objects == 0 {
		want(t, m.stats.bytes, 0)
	}
}

func TestManagerValue(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("value", "i", 7)
	want(t, b.call(id, "get"), int64(7))
	want(t, b.call(id, "add", 3), int64(10))
	want(t, a.call(id, "cas", 10, "ten"), true)
	want(t, a.call(id, "cas", 10, "ten"), false)
	want(t, a.call(id, "type"), "i")
	a.fails(proto.KindTypeError, id, "add", 1)
	a.fails(proto.KindUnknownMethod, id, "frobnicate")
	a.fails(proto.KindArguments, id, "set")
	a.fails(proto.KindUnknownObject, 99, "get")
	a.fails(proto.KindUnknownObject, "nobody", "get")
	want(t, b.call(id, "get"), "ten")
	m.check(t, 1, 1)
}

// References: an object lives as long as a lease or a stored reference.
func TestManagerReferences(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	inner := a.create("value", nil, 1)
	outer := a.create("value", nil, []any{map[string]any{"x": proto.Ref{Instance: m.instance, ID: uint64(inner)}}})
	want(t, a.must(proto.MethodDecref, inner, 1, none), int64(0))
	want(t, b.call(inner, "get"), int64(1)) // it is stored
	// What b got a reference to lives on when the container lets go.
	b.call(outer, "get")
	a.call(outer, "set", 0)
	want(t, a.call(inner, "get"), int64(1))
	v, err := a.do(proto.MethodDecref, inner, 1, none)
	wantFault(t, proto.KindValueError, v, err)
	want(t, b.must(proto.MethodDecref, inner, 1, none), int64(0))
	a.fails(proto.KindGone, inner, "get")
	a.fails(proto.KindGone, outer, "set", proto.Ref{Instance: m.instance, ID: uint64(inner)})
	want(t, a.call(outer, "get"), int64(0))
	a.conn.Close()
	eventually(t, "no object is left", m.look(func() bool { return len(m.objects) == 0 }))
	m.check(t, 0, 0)
}

func TestManagerNames(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	a.must(proto.MethodCreate, "value", []any{nil, 5}, map[string]any{"name": "count", "keep": true})
	v, err := a.do(proto.MethodCreate, "value", []any{}, map[string]any{"name": "count"})
	wantFault(t, proto.KindExists, v, err)
	v, err = a.do(proto.MethodCreate, "event", []any{}, map[string]any{"name": "count", "existing": true})
	wantFault(t, proto.KindExists, v, err)
	a.conn.Close()
	eventually(t, "the connection ended", m.look(func() bool { return len(m.sessions) == 0 }))
	b := dialManager(t, path)
	b.must(proto.MethodCreate, "value", []any{nil, 6}, map[string]any{"name": "count", "existing": true})
	want(t, b.call("count", "get"), int64(5))
	d := b.must(proto.MethodDescribe, "count", none).(map[string]any)
	want(t, fmt.Sprintf("%v %v %v %v %v", d["kind"], d["text"], d["refs"], d["leases"], d["kept"]), "value 5 2 1 true")
	want(t, len(b.must(proto.MethodList, map[string]any{"prefix": "co"}).([]any)), 1)
	want(t, b.must(proto.MethodKeep, "count", false, none), true)
	b.must(proto.MethodDecref, "count", 1, none)
	b.fails(proto.KindUnknownObject, "count", "get")
}

// Calls that wait do not hold up others, and end by what they wait for, by time, by cancel and
// with their connection.
// An object ends with the message that takes its last reference, also where the next one has come with it.
func TestManagerEndsInOrder(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	named := map[string]any{"name": "one"}
	old := a.must(proto.MethodCreate, "value", []any{}, named).([]any)[0]
	m.lock()
	a.ask(proto.MethodPing, none) // it is read, and waits for the lock while the others come
	a.ask(proto.MethodDecref, old, 1, none)
	again, stats := a.ask(proto.MethodCreate, "value", []any{}, named), a.ask(proto.MethodStats, none)
	get := a.start(old, "get", nil, none)
	m.unlock()
	fresh, err := a.answer(again)
	if err != nil {
		t.Fatal("its name is not free: ", err)
	}
	v, err := a.answer(stats)
	if err != nil {
		t.Fatal(err)
	}
	want(t, v.(map[string]any)["objects"], int64(1))
	v, err = a.answer(get)
	wantFault(t, proto.KindGone, v, err)
	a.must(proto.MethodDecref, fresh.([]any)[0], 1, none)
	endsClean(t, m, a)
}

func TestManagerWaits(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("event")
	first := a.start(id, "wait", nil, none)
	second := a.start(id, "wait", nil, map[string]any{"timeout_ms": 1})
	third := a.start(id, "wait", nil, none)
	poll := a.start(id, "wait", nil, map[string]any{"timeout_ms": 0})
	for _, call := range []uint64{poll, second} {
		v, err := a.answer(call)
		want(t, v, false)
		want(t, err, nil)
	}
	want(t, a.must(proto.MethodCancel, third, none), true)
	v, err := a.answer(third)
	wantFault(t, proto.KindCancelled, v, err)
	want(t, a.must(proto.MethodCancel, third, none), false)
	lost := b.start(id, "wait", nil, none)
	eventually(t, "two calls wait", m.look(func() bool { return m.stats.waiting == 2 }))
	b.conn.Close()
	eventually(t, "the wait of the dead has ended", m.look(func() bool { return m.stats.waiting == 1 }))
	a.call(id, "set")
	a.call(id, "clear")
	v, err = a.answer(first)
	want(t, v, true)
	want(t, err, nil)
	_ = lost
}

// A batch is one operation after another, with nothing between; an error is that of its own.
func TestManagerBatch(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	id, e := a.create("value", nil, 1), a.create("event")
	got := a.must(proto.MethodBatch, []any{
		[]any{id, "add", []any{1}}, []any{id, "nonsense", []any{}}, []any{e, "wait", []any{}}, []any{id, "get", []any{}}, []any{id},
	}, none).([]any)
	want(t, len(got), 5)
	want(t, got[0], []any{nil, int64(2)})
	want(t, got[1].([]any)[0].([]any)[0], proto.KindUnknownMethod)
	want(t, got[2], []any{nil, false})
	want(t, got[3], []any{nil, int64(2)})
	want(t, got[4].([]any)[0].([]any)[0], proto.KindArguments)
}

// An object that nobody refers to any more ends, and who waits on it is told.
func TestManagerGone(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("event")
	wait := b.start(id, "wait", nil, none)
	eventually(t, "a call waits", m.look(func() bool { return m.stats.waiting == 1 }))
	a.conn.Close()
	v, err := b.answer(wait)
	wantFault(t, proto.KindGone, v, err)
}

// A lock in shared memory is deposited, and opened by another client.
func TestManagerDeposit(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	l, err := NewLock(LockOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a.must(proto.MethodDeposit, l, map[string]any{"name": "mutex"})
	b.ask(proto.MethodCall, "mutex", "handle_kind", []any{}, none)
	b.ask(proto.MethodCall, "mutex", "open", []any{}, none)
	b.ask(proto.MethodCall, "mutex", "handle_kind", []any{}, none)
	for i, wantFDs := range []int{0, 1, 0} {
		f, err := b.conn.recv(within(t))
		if err != nil {
			t.Fatal(err)
		}
		want(t, len(f.FDs), wantFDs)
		if i != 1 {
			continue
		}
		msg, err := proto.ParseMessage(f.Body, proto.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		var same Lock
		if _, err := proto.Unmarshal(proto.Payload{Bytes: msg.Result, FDs: f.FDs}, &same, proto.Limits{}); err != nil {
			t.Fatal(err)
		}
		h, err := same.Acquire(within(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok, err := l.TryAcquire(); ok || err != nil {
			t.Fatalf("the lock that was deposited is another: %v, %v", ok, err)
		}
		h.Release()
		same.Close()
	}
}

// A client that does not read its answers is not read from, and others are served.
func TestManagerSlowReader(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{Limits: ManagerLimits{Unread: 1 << 20}})
	slow, quick := dialManager(t, path), dialManager(t, path)
	id := quick.create("value", nil, make([]byte, 1<<20))
	asked := 0
	slow.conn.SetWriteDeadline(deadlineSoon())
	for asked < 1_000_000 {
		p, _ := proto.Marshal([]any{id, "get", []any{}, none})
		if err := slow.conn.WriteFrame(nil, proto.AppendRequest(nil, uint64(asked+2), proto.MethodCall, p.Bytes)); err != nil {
			break
		}
		asked++
	}
	if asked == 1_000_000 {
		t.Fatal("the manager reads whatever comes from a client that does not read")
	}
	want(t, quick.call(id, "set", 1), nil)
	want(t, quick.call(id, "get"), int64(1))
	m.look(func() bool {
		for s := range m.sessions {
			if len(s.out) > 4<<20 {
				t.Errorf("%d bytes wait for a client that does not read", len(s.out))
			}
		}
		return true
	})()
}

// A client that asks for many large answers at once, and reads them all, is not one that does not read.
func TestManagerLargeAnswers(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{Limits: ManagerLimits{Unread: 1 << 20, Frame: 1 << 20}})
	a := dialManager(t, path)
	id := a.create("value", nil, make([]byte, 512<<10))
	var calls []uint64
	for range 2 * maxBatch {
		calls = append(calls, a.start(id, "get", nil, none))
	}
	for _, call := range calls {
		v, err := a.answer(call)
		want(t, err, nil)
		want(t, len(v.([]byte)), 512<<10)
	}
}

// deadlineSoon is for a write that must come to stand.
func deadlineSoon() time.Time { return time.Now().Add(time.Second) }

// Who calls shutdown gets the answer, also when the manager ends at once.
func TestManagerShutdown(t *testing.T) {
	checkLeaks(t)
	for range 10 {
		m, path := newTestManager(t, ManagerOptions{})
		a := dialManager(t, path)
		go func() {
			<-m.ShutDown()
			m.Close()
		}()
		id := a.create("value", nil, make([]byte, 1<<20))
		last := a.start(id, "get", nil, none)
		stop := a.ask(proto.MethodShutdown, none)
		for _, call := range []uint64{last, stop} {
			if _, err := a.answer(call); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := a.conn.recv(within(t)); err != io.EOF {
			t.Fatalf("after shutdown: %v", err)
		}
	}
	_, path := newTestManager(t, ManagerOptions{RefuseShutdown: true})
	v, err := dialManager(t, path).do(proto.MethodShutdown, none)
	wantFault(t, proto.KindDenied, v, err)
}
