package supervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// A guestCall is what a task that guests submit does: it puts Name into a queue of the manager, and
// waits until an event is set, or its context ends.
type guestCall struct{ Path, Name string }

var _ = NewTask("test.guest", func(ctx context.Context, in guestCall) (string, error) {
	c, err := ipc.Connect(ctx, in.Path, ipc.ConnectOptions{})
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := ipc.Ask[any](ctx, c, ipc.Named("began"), "put", in.Name); err != nil {
		return "", err
	}
	defer ipc.Ask[any](context.WithoutCancel(ctx), c, ipc.Named("ended"), "put", in.Name)
	set, err := ipc.Ask[bool](ctx, c, ipc.Named("go"), "wait")
	if err == nil && !set {
		err = ctx.Err() // an event answers false when the time is over
	}
	return in.Name, err
})

// An inn is a pool that is offered, and its manager.
type inn struct {
	t    *testing.T
	pool *Pool
	path string
	home *ipc.Client
}

func newInn(t *testing.T, o PoolOptions) *inn {
	t.Helper()
	b := &inn{t: t, pool: newTestPool(t, o), path: filepath.Join(t.TempDir(), "s")}
	m, err := ipc.NewManager(ipc.ManagerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := ipc.Listen(b.path, ipc.ConnOptions{})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- m.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		l.Close()
		m.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	if err := b.pool.Offer(m); err != nil {
		t.Fatal(err)
	}
	if err := b.pool.Offer(m); !errors.Is(err, ipc.ErrExists) {
		t.Errorf("offered twice: %v", err)
	}
	b.home = b.connect()
	for name, kind := range map[string]string{"began": "queue", "ended": "queue", "go": "event"} {
		if _, err := b.home.Create(within(t), kind, nil, ipc.ManagedOptions{Name: name, Keep: true}); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func (b *inn) connect() *ipc.Client {
	b.t.Helper()
	c, err := ipc.Connect(within(b.t), b.path, ipc.ConnectOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	return c
}

func (b *inn) enter(c *ipc.Client) *ipc.ManagedPool {
	b.t.Helper()
	p, err := ipc.OpenManagedPool(within(b.t), c)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { p.Close() })
	return p
}

// waitFor takes the next name out of a queue, which must be this one.
func (b *inn) waitFor(queue, name string) {
	b.t.Helper()
	got, err := ipc.Ask[string](within(b.t), b.home, ipc.Named(queue), "get")
	if err != nil || got != name {
		b.t.Fatalf("%s: got %q, %v; want %q", queue, got, err, name)
	}
}

func wantKind(t *testing.T, err error, kind string) {
	t.Helper()
	f, ok := errors.AsType[*proto.Fault](err)
	if !ok || f.Kind != kind {
		t.Fatalf("got error %v, want a fault of kind %s", err, kind)
	}
}

func TestOfferedPool(t *testing.T) {
	b := newInn(t, PoolOptions{Workers: 2})
	p := b.enter(b.connect())
	ctx := within(t)
	if n, err := ipc.RunTask[int](ctx, p, "test.square", 7, ipc.TicketOptions{}); n != 49 || err != nil {
		t.Errorf("run: %v, %v", n, err)
	}
	big := bytes.Repeat([]byte("x"), 8<<20)
	if got, err := ipc.RunTask[[]byte](ctx, p, "test.echo", big, ipc.TicketOptions{}); !bytes.Equal(got, big) || err != nil {
		t.Errorf("8 MiB: %d bytes, %v", len(got), err)
	}
	id, err := p.Submit(ctx, "test.square", 8, ipc.TicketOptions{Attempts: 2, Timeout: time.Minute, Priority: -3, Delay: time.Millisecond})
	if id != 1 || err != nil {
		t.Fatalf("submit: %d, %v", id, err)
	}
	if n, err := ipc.TicketResult[int](ctx, p, id); n != 64 || err != nil {
		t.Errorf("result: %v, %v", n, err)
	}
	_, err = ipc.TicketResult[int](ctx, p, id)
	wantKind(t, err, proto.KindKeyError)
	ids, err := ipc.SubmitAll(ctx, p, "test.square", []int{1, 2, 3}, ipc.TicketOptions{})
	if err != nil || !slices.Equal(ids, []uint64{2, 3, 4}) {
		t.Fatalf("submit_many: %v, %v", ids, err)
	}
	other := b.enter(b.connect())
	_, err = ipc.TicketResult[int](ctx, other, ids[0])
	wantKind(t, err, proto.KindKeyError)
	for i, id := range ids {
		if n, err := ipc.TicketResult[int](ctx, p, id); n != (i+1)*(i+1) || err != nil {
			t.Errorf("result %d: %v, %v", i, n, err)
		}
	}
	if names, err := p.Tasks(ctx); err != nil || !slices.Contains(names, "test.square") {
		t.Errorf("tasks: %v, %v", names, err)
	}
	if s, err := p.Status(ctx); err != nil || s.Workers != 2 || s.Idle+s.Busy > 2 || s.Waiting != 0 {
		t.Errorf("status: %+v, %v", s, err)
	}
}

func TestOfferedPoolFaults(t *testing.T) {
	b := newInn(t, PoolOptions{Workers: 1})
	c := b.connect()
	p := b.enter(c)
	ctx := within(t)
	runs := func(task string, args any, kind, text string) {
		t.Helper()
		_, err := ipc.RunTask[int](ctx, p, task, args, ipc.TicketOptions{})
		wantKind(t, err, kind)
		if text != "" && !bytes.Contains([]byte(err.Error()), []byte(text)) {
			t.Errorf("%s: %v, expected %q", task, err, text)
		}
	}
	runs("test.fail", "this is why", proto.KindError, "this is why")
	runs("test.end", "panic", proto.KindPanic, "at the disco")
	runs("test.end", "exit 3", proto.KindDied, "")
	runs("test.square", "seven", proto.KindArguments, "")
	runs("test.nothing", 1, proto.KindUnknownTask, "test.nothing")
	_, err := ipc.RunTask[string](ctx, p, "test.guest", guestCall{b.path, "a"}, ipc.TicketOptions{Timeout: time.Millisecond})
	wantKind(t, err, proto.KindTimeout)
	for _, bad := range []struct {
		op   string
		args []any
		kind string
	}{
		{"submit", []any{"test.square"}, proto.KindArguments},
		{"submit", []any{7, 1}, proto.KindTypeError},
		{"submit", []any{"", 1}, proto.KindTypeError},
		{"submit", []any{"test.square", 1, 2}, proto.KindTypeError},
		{"submit", []any{"test.square", 1, map[string]any{"attempts": 0}}, proto.KindValueError},
		{"submit", []any{"test.square", 1, map[string]any{"timeout_ms": -1}}, proto.KindValueError},
		{"submit", []any{"test.square", 1, map[string]any{"priority": "high"}}, proto.KindTypeError},
		{"submit_many", []any{"test.square", 1}, proto.KindTypeError},
		{"result", []any{99}, proto.KindKeyError},
		{"result", []any{"x"}, proto.KindTypeError},
		{"cancel", []any{99}, proto.KindKeyError},
		{"sing", []any{}, proto.KindUnknownMethod},
	} {
		_, err := c.Call(ctx, ipc.Named("pool"), bad.op, bad.args...)
		wantKind(t, err, bad.kind)
	}
	if _, err := ipc.Ask[any](ctx, c, ipc.Named("pool"), "submit", "test.square", 1, map[string]any{"sauce": true}); err != nil {
		t.Errorf("an option that is not known: %v", err)
	}
	b.pool.Close()
	_, err = p.Submit(ctx, "test.square", 1, ipc.TicketOptions{})
	wantKind(t, err, proto.KindClosed)
	_, err = ipc.SubmitAll(ctx, p, "test.square", []int{1, 2}, ipc.TicketOptions{})
	wantKind(t, err, proto.KindClosed)
}

// A wait for a result that is given up leaves the ticket alone; a run that is, cancels it.
func TestOfferedPoolWaits(t *testing.T) {
	b := newInn(t, PoolOptions{Workers: 1})
	p := b.enter(b.connect())
	ctx := within(t)
	soon := func() context.Context {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	id, err := p.Submit(ctx, "test.guest", guestCall{b.path, "a"}, ipc.TicketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.waitFor("began", "a")
	if _, err := ipc.TicketResult[string](soon(), p, id); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("result in no time: %v", err)
	}
	if _, err := ipc.RunTask[string](soon(), p, "test.guest", guestCall{b.path, "b"}, ipc.TicketOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("run in no time: %v", err)
	}
	if _, err := ipc.Ask[any](ctx, b.home, ipc.Named("go"), "set"); err != nil {
		t.Fatal(err)
	}
	if s, err := ipc.TicketResult[string](ctx, p, id); s != "a" || err != nil {
		t.Errorf("result: %q, %v", s, err)
	}
	b.waitFor("ended", "a")
	if s, err := ipc.RunTask[string](ctx, p, "test.guest", guestCall{b.path, "c"}, ipc.TicketOptions{}); s != "c" || err != nil {
		t.Errorf("run: %q, %v", s, err)
	}
	b.waitFor("began", "c") // b never began
}

func TestOfferedPoolCancel(t *testing.T) {
	b := newInn(t, PoolOptions{Workers: 1})
	p := b.enter(b.connect())
	ctx := within(t)
	ids, err := ipc.SubmitAll(ctx, p, "test.guest", []guestCall{{b.path, "a"}, {b.path, "b"}}, ipc.TicketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.waitFor("began", "a")
	for _, id := range []uint64{ids[1], ids[0]} {
		if runs, err := p.Cancel(ctx, id); !runs || err != nil {
			t.Errorf("cancel: %v, %v", runs, err)
		}
		_, err := ipc.TicketResult[string](ctx, p, id)
		wantKind(t, err, proto.KindCancelled)
	}
	id, err := p.Submit(ctx, "test.square", 3, ipc.TicketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return b.pool.State().Finished[OutcomeOK] == 1 }, "the square is done")
	if runs, err := p.Cancel(ctx, id); runs || err != nil {
		t.Errorf("cancel of what is done: %v, %v", runs, err)
	}
	if n, err := ipc.TicketResult[int](ctx, p, id); n != 9 || err != nil {
		t.Errorf("result: %v, %v", n, err)
	}
}

// The tickets of a connection that ends are cancelled: what runs, and what waits.
func TestOfferedPoolLeft(t *testing.T) {
	b := newInn(t, PoolOptions{Workers: 1})
	c := b.connect()
	p := b.enter(c)
	ctx := within(t)
	calls := []guestCall{{b.path, "a"}}
	for i := range 2000 { // more than the backlog has room for
		calls = append(calls, guestCall{b.path, fmt.Sprint(i)})
	}
	if _, err := ipc.SubmitAll(ctx, p, "test.guest", calls, ipc.TicketOptions{}); err != nil {
		t.Fatal(err)
	}
	b.waitFor("began", "a")
	c.Close()
	b.waitFor("ended", "a")
	eventually(t, func() bool { return b.pool.State().Finished[OutcomeCancelled] == 2001 }, "all tickets are cancelled")
	stats, err := b.home.Stats(ctx)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		stats, err = b.home.Stats(ctx)
		return err == nil && stats.Bytes < 1000
	}, "the arguments are let go: %+v, %v", stats, err)
	if n, err := ipc.RunTask[int](ctx, b.enter(b.connect()), "test.square", 3, ipc.TicketOptions{}); n != 9 || err != nil {
		t.Errorf("run: %v, %v", n, err)
	}
}

// The results of several connections do not mix, however many are under way.
func TestOfferedPoolTogether(t *testing.T) {
	b := newInn(t, PoolOptions{Workers: 2})
	done := make(chan error)
	for g := range 4 {
		p := b.enter(b.connect())
		go func() { done <- squareAll(within(t), p, g*1000) }()
	}
	for range 4 {
		if err := receive(t, done, "a client has its results"); err != nil {
			t.Error(err)
		}
	}
}

func squareAll(ctx context.Context, p *ipc.ManagedPool, from int) error {
	var list []int
	for i := range 500 {
		list = append(list, from+i)
	}
	ids, err := ipc.SubmitAll(ctx, p, "test.square", list, ipc.TicketOptions{})
	for i := 0; i < len(ids) && err == nil; i++ {
		var n int
		if n, err = ipc.TicketResult[int](ctx, p, ids[i]); err == nil && n != list[i]*list[i] {
			err = fmt.Errorf("%d squared is %d", list[i], n)
		}
	}
	return err
}
