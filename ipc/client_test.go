package ipc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/proto"
)

// connect makes a client, which is closed when the test ends.
func connect(t testing.TB, path string, o ConnectOptions) *Client {
	t.Helper()
	c, err := Connect(within(t), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func mustCreate(t testing.TB, c *Client, kind string, o ManagedOptions, args ...any) Target {
	t.Helper()
	p, err := proto.Marshal(list(args))
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.Create(within(t), kind, p.Bytes, o)
	if err != nil {
		t.Fatal(err)
	}
	return Numbered(a.ID)
}

func TestClientCalls(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c := connect(t, path, ConnectOptions{})
	ctx := within(t)
	v := mustCreate(t, c, "value", ManagedOptions{Name: "v"}, "i", 7)
	if got, err := Ask[int](ctx, c, v, "get"); got != 7 || err != nil {
		t.Errorf("get: %d, %v", got, err)
	}
	if _, err := c.Call(ctx, Named("v"), "set", "a string"); err != nil {
		t.Error(err)
	}
	if got, err := Ask[string](ctx, c, Named("v"), "get"); got != "a string" || err != nil {
		t.Errorf("get: %q, %v", got, err)
	}
	if _, err := c.Call(ctx, v, "no such op"); !errors.Is(err, ErrUnknown) {
		t.Errorf("an unknown operation: %v", err)
	}
	var f *proto.Fault
	if _, err := c.Call(ctx, Numbered(1000), "get"); !errors.Is(err, ErrUnknown) || !errors.As(err, &f) || f.Kind != proto.KindUnknownObject {
		t.Errorf("an unknown object: %v", err)
	}
	if _, err := c.Call(ctx, v, "set", make(chan int)); !errors.Is(err, proto.ErrUnsupported) {
		t.Errorf("a channel: %v", err)
	}
	if got, err := Ask[string](ctx, c, v, "get"); got != "a string" || err != nil {
		t.Errorf("get after errors: %q, %v", got, err)
	}
	if _, err := Ask[int](ctx, c, v, "get"); !errors.Is(err, proto.ErrMismatch) {
		t.Errorf("a string as an int: %v", err)
	}
}

// Values of any size come back, those that do not fit the buffers too.
func TestClientSizes(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c := connect(t, path, ConnectOptions{})
	ctx := within(t)
	v := mustCreate(t, c, "value", ManagedOptions{})
	for _, n := range []int{0, 1, readBuffer - 100, readBuffer - 20, readBuffer - 12, readBuffer, readBuffer + 1, firstBody, firstBody + 1, 8 << 20} {
		want := make([]byte, n)
		for i := range want {
			want[i] = byte(i * 7)
		}
		if _, err := c.Call(ctx, v, "set", want); err != nil {
			t.Fatalf("set %d bytes: %v", n, err)
		}
		got, err := Ask[[]byte](ctx, c, v, "get")
		if err != nil || string(got) != string(want) {
			t.Fatalf("get %d bytes: %d, %v", n, len(got), err)
		}
	}
}

// Many goroutines ask over one connection, and each gets its own answer.
func TestClientTogether(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c := connect(t, path, ConnectOptions{})
	ctx := within(t)
	const goroutines, rounds = 16, 200
	var all sync.WaitGroup
	for g := range goroutines {
		v := mustCreate(t, c, "value", ManagedOptions{})
		all.Go(func() {
			for i := range rounds {
				want := fmt.Sprint(g, " ", i)
				if _, err := c.Call(ctx, v, "set", want); err != nil {
					t.Error(err)
					return
				}
				if got, err := Ask[string](ctx, c, v, "get"); got != want || err != nil {
					t.Errorf("got %q, %v, expected %q", got, err, want)
					return
				}
			}
		})
	}
	all.Wait()
}

// A call that waits holds up no other, and ends with its context.
func TestClientWaits(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c := connect(t, path, ConnectOptions{})
	e, v := mustCreate(t, c, "event", ManagedOptions{}), mustCreate(t, c, "value", ManagedOptions{}, "i", 1)
	ctx, cancel := context.WithCancel(within(t))
	waits := func(ctx context.Context) <-chan error {
		return in(func() error { _, err := c.Call(ctx, e, "wait"); return err })
	}
	waiting := func() int {
		d, err := c.Describe(within(t), e)
		if err != nil {
			t.Fatal(err)
		}
		return d.Waiting
	}
	first, second := waits(ctx), waits(within(t))
	untilIs(t, "calls that wait", waiting, 2)
	for range 100 {
		if got, err := Ask[int](within(t), c, v, "get"); got != 1 || err != nil {
			t.Fatal(got, err)
		}
	}
	cancel()
	if err := result(t, "the cancelled call", first); err != context.Canceled {
		t.Errorf("the cancelled call: %v", err)
	}
	untilIs(t, "calls that wait", waiting, 1)
	if _, err := c.Call(within(t), e, "set"); err != nil {
		t.Error(err)
	}
	if err := result(t, "the other call", second); err != nil {
		t.Errorf("the other call: %v", err)
	}
	if _, err := c.Call(within(t), e, "clear"); err != nil {
		t.Error(err)
	}
	if got, err := Ask[bool](overCtx(), c, e, "wait"); got || err != nil {
		t.Errorf("wait with a context that has ended: %v, %v", got, err)
	}
	if got, err := Ask[int](overCtx(), c, v, "get"); got != 1 || err != nil {
		t.Errorf("get with a context that has ended: %v, %v", got, err)
	}
	short, stop := context.WithTimeout(within(t), time.Millisecond)
	defer stop()
	if _, err := c.Call(short, e, "wait"); err != context.DeadlineExceeded {
		t.Errorf("wait for a millisecond: %v", err)
	}
}

// When the manager ends, all calls under way and all later ones tell so.
func TestClientGone(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	c := connect(t, path, ConnectOptions{})
	e := mustCreate(t, c, "event", ManagedOptions{Name: "e"})
	var waits []<-chan error
	for range 10 {
		waits = append(waits, in(func() error { _, err := c.Call(context.Background(), e, "wait"); return err }))
	}
	started := c.Start(e, "wait")
	untilIs(t, "calls that wait", func() int {
		d, err := c.Describe(within(t), e)
		if err != nil {
			t.Fatal(err)
		}
		return d.Waiting
	}, 11)
	m.Close()
	for _, w := range waits {
		if err := result(t, "a call under way", w); !errors.Is(err, ErrGone) {
			t.Errorf("a call under way: %v", err)
		}
	}
	if _, err := started.Wait(within(t)); !errors.Is(err, ErrGone) {
		t.Errorf("a call that was started: %v", err)
	}
	if err := c.Ping(within(t)); !errors.Is(err, ErrGone) {
		t.Errorf("a later call: %v", err)
	}
	if err := c.Shutdown(within(t)); !errors.Is(err, ErrGone) {
		t.Errorf("shutdown: %v", err)
	}
	if err := c.Err(); !errors.Is(err, ErrGone) {
		t.Errorf("the error of the client: %v", err)
	}
	c.Close()
	c.Close()
	if _, err := c.Call(within(t), e, "wait"); !errors.Is(err, ErrGone) && !errors.Is(err, ErrClosed) {
		t.Errorf("a call after Close: %v", err)
	}
}

// Close ends the calls under way.
func TestClientClose(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c, other := connect(t, path, ConnectOptions{}), connect(t, path, ConnectOptions{})
	e := mustCreate(t, c, "event", ManagedOptions{})
	wait := in(func() error { _, err := c.Call(context.Background(), e, "wait"); return err })
	untilIs(t, "calls that wait", func() int {
		s, err := other.Stats(within(t))
		if err != nil {
			t.Fatal(err)
		}
		return s.Waiting
	}, 1)
	c.Close()
	if err := result(t, "the call under way", wait); err != ErrClosed {
		t.Errorf("the call under way: %v", err)
	}
	if err := c.Ping(within(t)); err != ErrClosed {
		t.Errorf("a later call: %v", err)
	}
}

func TestClientPipelines(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c := connect(t, path, ConnectOptions{})
	v := mustCreate(t, c, "value", ManagedOptions{}, "i", 0)
	var window []*Pending
	next := 1
	for i := range 1000 {
		window = append(window, c.Start(v, "add", 1))
		if len(window) == 16 || i == 999 {
			for len(window) > 15 || i == 999 && len(window) > 0 {
				if got, err := Await[int](within(t), window[0]); got != next || err != nil {
					t.Fatalf("got %d, %v, expected %d", got, err, next)
				}
				next, window = next+1, window[1:]
			}
		}
	}
	p := c.Start(v, "get")
	c.Flush()
	if _, err := p.Wait(within(t)); err != nil {
		t.Error(err)
	}
	if _, err := p.Wait(within(t)); err != ErrClosed {
		t.Errorf("waited for twice: %v", err)
	}
}

func TestClientBatches(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c := connect(t, path, ConnectOptions{})
	v := mustCreate(t, c, "value", ManagedOptions{}, "i", 0)
	b := c.Batch()
	for range 3 {
		for i := range 100 {
			b.Add(v, "set", i)
			b.Add(v, "get")
		}
		b.Add(v, "nonsense")
		rs, err := b.Do(within(t))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			var got int
			if err := rs.Into(2*i+1, &got); got != i || err != nil {
				t.Errorf("result %d: %d, %v", i, got, err)
			}
		}
		if err := rs.Err(200); !errors.Is(err, ErrUnknown) {
			t.Errorf("a call that fails: %v", err)
		}
		b.Reset()
	}
	b.Add(v, "set", func() {})
	if _, err := b.Do(within(t)); !errors.Is(err, proto.ErrUnsupported) {
		t.Errorf("a function: %v", err)
	}
}

func TestClientDeposits(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c, d := connect(t, path, ConnectOptions{}), connect(t, path, ConnectOptions{})
	q := newTestQueue[string](t, QueueOptions{})
	if _, err := c.Deposit(within(t), q, ManagedOptions{Name: "q"}); err != nil {
		t.Fatal(err)
	}
	var same Queue[string]
	if err := d.Open(within(t), Named("q"), &same); err != nil {
		t.Fatal(err)
	}
	defer same.Detach()
	mustPut(t, q, "through memory")
	if got, err := same.Get(within(t)); got != "through memory" || err != nil {
		t.Error(got, err)
	}
	var lock Lock
	if err := d.Open(within(t), Named("q"), &lock); !errors.Is(err, ErrForeign) {
		t.Errorf("a queue as a lock: %v", err)
	}
}

// A context that has ended before ends a wait too, whoever has read meanwhile.
func TestClientOldContext(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c := connect(t, path, ConnectOptions{})
	e := mustCreate(t, c, "event", ManagedOptions{})
	ctx, cancel := context.WithCancel(within(t))
	p, q := c.Start(e, "wait"), c.Start(e, "wait")
	wait := in(func() error { _, err := p.Wait(ctx); return err })
	untilIs(t, "calls that wait", func() int {
		s, err := c.Stats(within(t))
		if err != nil {
			t.Fatal(err)
		}
		return s.Waiting
	}, 2)
	cancel()
	if err := result(t, "the first wait", wait); err != context.Canceled {
		t.Errorf("the first wait: %v", err)
	}
	if err := c.Ping(context.Background()); err != nil {
		t.Error(err)
	}
	wait = in(func() error { _, err := q.Wait(ctx); return err })
	if err := result(t, "the second wait", wait); err != context.Canceled {
		t.Errorf("the second wait: %v", err)
	}
}

// What a connection holds is held while there is a copy of it.
func TestClientDup(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	other := connect(t, path, ConnectOptions{})
	lock := mustCreate(t, other, "lock", ManagedOptions{Name: "l"})
	for name, end := range map[string]func(f *os.File){
		"close":    func(*os.File) {},
		"shutdown": func(f *os.File) { control(t, f, func(fd int) error { return unix.Shutdown(fd, unix.SHUT_RDWR) }) },
	} {
		c := connect(t, path, ConnectOptions{})
		if _, err := c.Call(within(t), lock, "acquire"); err != nil {
			t.Fatal(err)
		}
		f, err := c.Dup()
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		locked := func() bool {
			held, err := Ask[bool](within(t), other, lock, "locked")
			if err != nil {
				t.Fatal(err)
			}
			return held
		}
		if !locked() {
			t.Errorf("%s: the lock was given back while there was a copy", name)
		}
		end(f)
		if name == "close" {
			f.Close()
		}
		untilIs(t, "locked", func() int {
			if locked() {
				return 1
			}
			return 0
		}, 0)
		f.Close()
	}
}

func control(t *testing.T, f *os.File, do func(fd int) error) {
	t.Helper()
	rc, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if e := rc.Control(func(fd uintptr) { err = do(int(fd)) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
}
