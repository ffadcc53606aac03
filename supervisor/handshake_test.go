package supervisor

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// greetFrom runs the master's part against what a worker writes.
func greetFrom(t *testing.T, worker func(*ipc.Conn)) (proto.Hello, error) {
	t.Helper()
	ours, theirs, err := ipc.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	board, err := newBoard()
	if err != nil {
		t.Fatal(err)
	}
	defer board.Close()
	done := make(chan bool)
	go func() { defer close(done); defer theirs.Close(); worker(theirs) }()
	ours.SetReadDeadline(time.Now().Add(patience))
	h, err := greet(ours, proto.Welcome{Place: 1, Pool: "p", Title: "t"}, board)
	ours.Close()
	<-done
	return h, err
}

func TestHandshake(t *testing.T) {
	checkLeaks(t)
	hello := func(min, max int, caps ...string) []byte {
		h := proto.Hello{Min: min, Max: max, Tasks: []string{"a", "b"}, PID: 5, Caps: caps}
		return proto.AppendRequest(nil, helloID, proto.MethodHello, proto.AppendHelloParams(nil, h))
	}
	ready := func(f *proto.Fault) []byte {
		return proto.AppendNotify(nil, proto.MethodReady, proto.AppendReadyParams(nil, proto.Ready{Fault: f}))
	}
	for _, c := range []struct {
		name string
		says [][]byte // the worker's messages; after the first it reads the answer
		is   error
		text string
	}{
		{"good", [][]byte{hello(1, 1), ready(nil)}, nil, ""},
		{"of a range that fits", [][]byte{hello(1, 9), ready(nil)}, nil, ""},
		{"too new", [][]byte{hello(7, 9)}, proto.ErrVersion, "this side speaks 1 to 1, the peer 7 to 9"},
		{"nothing", nil, nil, "ended before it said hello"},
		{"no ready", [][]byte{hello(1, 1)}, nil, "ended before it said ready"},
		{"ready first", [][]byte{ready(nil)}, ErrProtocol, `expected hello as the first request, found "ready"`},
		{"another method", [][]byte{proto.AppendRequest(nil, 1, "run", []byte{0x90})}, ErrProtocol, `found "run"`},
		{"another id", [][]byte{proto.AppendRequest(nil, 2, "hello", proto.AppendHelloParams(nil, proto.Hello{Min: 1, Max: 1}))}, ErrProtocol, "first request"},
		{"hello twice", [][]byte{hello(1, 1), hello(1, 1)}, ErrProtocol, `expected ready, found "hello"`},
		{"params of another shape", [][]byte{proto.AppendRequest(nil, 1, "hello", []byte{0x91, 0xc0})}, proto.ErrProtocol, "hello"},
		{"no message", [][]byte{{0xc1}}, proto.ErrProtocol, ""},
		{"initializer failed", [][]byte{hello(1, 1), ready(&proto.Fault{Kind: "error", Text: "no licence"})}, nil, "initializer failed: no licence"},
	} {
		h, err := greetFrom(t, func(conn *ipc.Conn) {
			for i, b := range c.says {
				conn.WriteFrame(nil, b)
				if i == 0 {
					if f, err := conn.ReadFrame(); err == nil {
						f.Close()
					}
				}
			}
		})
		if c.name == "good" {
			if err != nil || len(h.Tasks) != 2 || h.PID != 5 {
				t.Errorf("%s: %+v, %v", c.name, h, err)
			}
			continue
		}
		if (err == nil) != (c.is == nil && c.text == "") || c.is != nil && !errors.Is(err, c.is) || err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v; expected %v and %q", c.name, err, c.is, c.text)
		}
	}
}

// The page is sent only to a worker that asks for it.
func TestScoreboardIsOffered(t *testing.T) {
	checkLeaks(t)
	for _, caps := range [][]string{nil, {proto.CapScoreboard}, {"acme.magic"}} {
		var board *ipc.Block
		_, err := greetFrom(t, func(c *ipc.Conn) {
			var w proto.Welcome
			var err error
			if w, board, err = sayHello(c, proto.Hello{Min: 1, Max: 1, Caps: caps}); err != nil || w.Place != 1 || w.Version != 1 {
				t.Errorf("%v: %+v, %v", caps, w, err)
			}
			sayReady(c, nil)
		})
		if err != nil {
			t.Errorf("%v: %v", caps, err)
		}
		if want := len(caps) == 1 && caps[0] == proto.CapScoreboard; (board != nil) != want {
			t.Errorf("%v: page %v, expected %v", caps, board != nil, want)
		}
		if board != nil {
			board.Close()
		}
	}
}

var (
	sayNothing = fakeWorker("say nothing", func(*fake) { select {} })

	// As serve does it: a program of a later version.
	tooNew = fakeWorker("too new", func(f *fake) {
		_, _, err := sayHello(f.Conn, proto.Hello{Min: 7, Max: 9})
		fault, ok := errors.AsType[*proto.Fault](err)
		check(ok && fault.Kind == proto.KindVersion, "%v", err)
		os.Stderr.WriteString("too new: " + fault.Text + "\n")
		os.Exit(exitMisuse)
	})

	// Good as long as its place is young.
	flaky = fakeWorker("flaky", func(f *fake) {
		f.hello(proto.Hello{Min: 1, Max: 1, Tasks: taskNames(), Caps: []string{proto.CapScoreboard}})
		if f.welcome.Incarnation > 1 {
			sayReady(f.Conn, &proto.Fault{Kind: "error", Text: "no licence any more"})
			os.Exit(exitFailed)
		}
		f.ready()
		f.serve(func(fakeRun) { syscall.Kill(os.Getpid(), syscall.SIGKILL) })
	})
)

func TestPoolHandshake(t *testing.T) {
	for _, c := range []struct {
		fake string
		is   error
		says string
	}{
		{sayNothing, os.ErrDeadlineExceeded, "did not say hello in time"},
		{tooNew, proto.ErrVersion, "on stderr: too new: "},
	} {
		checkLeaks(t)
		o := fakeOptions(2, c.fake)
		o.StartTimeout = 100 * time.Millisecond
		if c.fake == tooNew {
			o.StartTimeout = patience
		}
		_, err := NewPool(context.Background(), o)
		if !errors.Is(err, ErrRestartLimit) || !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; expected %v and %q", c.fake, err, c.is, c.says)
		}
	}
}

// Once a pool has worked, a place that cannot be filled again ends it: tickets are lost, none waits for ever.
func TestPoolThatCannotRestart(t *testing.T) {
	o := fakeOptions(1, flaky)
	o.restart = restartPolicy{intensity: 3, period: time.Minute, min: time.Millisecond, max: time.Millisecond}
	p := newTestPool(t, o)
	var futures []*Future[int]
	for n := range 5 {
		futures = append(futures, submit(t, echoTask, p, n, Ticket{Attempts: 2}))
	}
	for n, f := range futures {
		r := result(t, f)
		if r.Outcome != OutcomeLost || !errors.Is(r.Err, ErrRestartLimit) || !strings.Contains(r.Err.Error(), "no licence any more") {
			t.Errorf("ticket %d: %s, %v", n, r.Outcome, r.Err)
		}
	}
	if err := p.Join(within(t)); !errors.Is(err, ErrRestartLimit) {
		t.Errorf("join: %v", err)
	}
	if _, err := echoTask.Submit(within(t), p, 1); !errors.Is(err, ErrRestartLimit) {
		t.Errorf("submit: %v", err)
	}
}

// NewPool does not wait for a worker that says nothing when its context ends.
func TestPoolWhoseStartIsCancelled(t *testing.T) {
	checkLeaks(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	o := fakeOptions(2, sayNothing)
	o.StartTimeout = time.Hour
	gaveUp := errors.New("gave up")
	time.AfterFunc(50*time.Millisecond, func() { cancel(gaveUp) })
	if _, err := NewPool(ctx, o); !errors.Is(err, gaveUp) {
		t.Errorf("%v", err)
	}
}
