package ipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/proto"
)

// What the helpers of this file are sent first.
type wires struct {
	In, Out *Conn
	Next    *Conn // one that is passed on
}

func init() {
	// "echo" sends back what it receives, over another wire if it has one.
	helpers["echo"] = func(c *Conn) error {
		var w wires
		if err := c.Recv(context.Background(), &w); err != nil {
			return err
		}
		c.Send(context.Background(), "ready")
		for {
			var v any
			if err := w.In.Recv(context.Background(), &v); err != nil {
				if err == io.EOF {
					c.Send(context.Background(), "end of file")
				}
				return err
			}
			if err := w.Out.Send(context.Background(), v); err != nil {
				return err
			}
		}
	}
	// "middle" passes an end on to the process at another, and keeps nothing.
	helpers["middle"] = func(c *Conn) error {
		var w wires
		if err := c.Recv(context.Background(), &w); err != nil {
			return err
		}
		if err := w.Out.Send(context.Background(), wires{In: w.Next, Out: w.Next}); err != nil {
			return err
		}
		w.Next.Close()
		w.Out.Close()
		c.Send(context.Background(), "passed on")
		var v any
		return c.Recv(context.Background(), &v)
	}
}

func newTestPipeOneWay(t testing.TB) (receiver, sender *Conn) {
	t.Helper()
	r, w, err := PipeOneWay()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		w.Close()
	})
	return r, w
}

// SEMANTICS 18 and 19, with another process at the other end.
func TestPipeBetweenProcesses(t *testing.T) {
	for name, ways := range map[string]func(t *testing.T) (out, in *Conn, theirs wires){
		"duplex": func(t *testing.T) (*Conn, *Conn, wires) {
			a, b := newTestPipe(t)
			return a, a, wires{In: b, Out: b}
		},
		"one-way": func(t *testing.T) (*Conn, *Conn, wires) {
			r1, s1 := newTestPipeOneWay(t)
			r2, s2 := newTestPipeOneWay(t)
			return s1, r2, wires{In: r1, Out: s2}
		},
	} {
		t.Run(name, func(t *testing.T) {
			checkLeaks(t)
			out, in, theirs := ways(t)
			c := start(t, "echo")
			c.send(theirs)
			theirs.In.Close()
			theirs.Out.Close()
			c.expect("ready")
			values := []any{int64(1), "", []byte{}, []byte("bytes"), nil, "text", []any{}, map[string]any{}, bytes.Repeat([]byte("x"), 1<<20)}
			for _, v := range values {
				if err := out.Send(within(t), v); err != nil {
					t.Fatal(err)
				}
				var got any
				if err := in.Recv(within(t), &got); err != nil || fmt.Sprint(got) != fmt.Sprint(v) {
					t.Fatalf("%T came back as %T, %v", v, got, err)
				}
			}
			for _, v := range values[:8] { // all under way at once
				if err := out.Send(within(t), v); err != nil {
					t.Fatal(err)
				}
			}
			for _, v := range values[:8] {
				var got any
				if err := in.Recv(within(t), &got); err != nil || fmt.Sprint(got) != fmt.Sprint(v) {
					t.Fatalf("%T came back as %T, %v", v, got, err)
				}
			}
			out.Close()
			c.expect("end of file")
			var v any
			if in == out {
				return
			}
			if err := in.Recv(within(t), &v); err != io.EOF {
				t.Errorf("the other process has ended: %v", err)
			}
		})
	}
}

func TestPipeOneWayDirection(t *testing.T) {
	checkLeaks(t)
	r, s := newTestPipeOneWay(t)
	var v any
	for name, err := range map[string]error{
		"receive":       s.Recv(within(t), &v),
		"receive bytes": second(s.RecvBytes(within(t))),
		"receive into":  second(s.RecvBytesInto(within(t), nil)),
		"receive frame": second(s.ReadFrame()),
		"wait":          s.WaitReady(within(t)),
		"poll":          second(s.Poll(within(t))),
		"send":          r.Send(within(t), 1),
		"send bytes":    r.SendBytes(within(t), nil),
		"send frame":    r.WriteFrame(nil, []byte{1}),
	} {
		if !errors.Is(err, ErrDirection) {
			t.Errorf("%s the wrong way: %v", name, err)
		}
	}
	l := newTestLock(t, LockOptions{})
	for name, v := range map[string]any{"a lock": l, "a file in a list": []any{1, &File{os.Stdin}}, "a conn in a map": map[string]*Conn{"r": r}} {
		if err := s.Send(within(t), v); !errors.Is(err, ErrHandle) {
			t.Errorf("%s over a pipe: %v", name, err)
		}
	}
	if err := s.Send(within(t), "fine"); err != nil {
		t.Fatal(err)
	}
	if err := r.Recv(within(t), &v); err != nil || v != "fine" {
		t.Errorf("after that: %v, %v", v, err)
	}
}

func second[T any](_ T, err error) error { return err }

// SEMANTICS 20: the end of file comes when every other end is closed, in whatever
// process, and what was sent before is read first.
func TestPipeEndOfFile(t *testing.T) {
	for _, way := range []string{"duplex", "one-way"} {
		t.Run(way, func(t *testing.T) {
			checkLeaks(t)
			r, s := newTestPipe(t)
			if way == "one-way" {
				r, s = newTestPipeOneWay(t)
			}
			c := start(t, "echo")
			back, unused := newTestPipe(t)
			c.send(wires{In: back, Out: s})
			c.expect("ready")
			back.Close()
			if err := s.Send(within(t), "last words"); err != nil {
				t.Fatal(err)
			}
			s.Close()
			var v any
			if err := r.Recv(within(t), &v); err != nil || v != "last words" {
				t.Fatalf("%v, %v", v, err)
			}
			if ready, err := r.Poll(ended); ready || err != nil {
				t.Fatalf("the end, while another process has an open end: %v, %v", ready, err)
			}
			if err := unused.Send(within(t), "more"); err != nil {
				t.Fatal(err)
			}
			if err := r.Recv(within(t), &v); err != nil || v != "more" {
				t.Fatalf("%v, %v", v, err)
			}
			c.kill()
			if err := r.WaitReady(within(t)); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := r.Recv(within(t), &v); err != io.EOF {
					t.Fatalf("all other ends are closed: %v", err)
				}
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if err := r.Recv(within(t), &v); err != ErrClosed {
				t.Errorf("closed after the end: %v", err)
			}
		})
	}
}

// An end goes through a second process to a third.
func TestPipePassedOnTwice(t *testing.T) {
	for _, way := range []string{"duplex", "one-way"} {
		t.Run(way, func(t *testing.T) {
			checkLeaks(t)
			ours, theirs := newTestPipe(t)
			middle, last := start(t, "middle"), start(t, "echo")
			// The middle one gets the wire to the last one, and is its parent so to say.
			from, to := newTestPipe(t)
			middle.send(wires{Next: theirs, Out: from})
			theirs.Close()
			from.Close()
			middle.expect("passed on")
			var w wires
			if err := to.Recv(within(t), &w); err != nil {
				t.Fatal(err)
			}
			last.send(w)
			w.In.Close()
			w.Out.Close()
			last.expect("ready")
			middle.kill()
			if err := ours.Send(within(t), "round"); err != nil {
				t.Fatal(err)
			}
			var v any
			if err := ours.Recv(within(t), &v); err != nil || v != "round" {
				t.Fatalf("%v, %v", v, err)
			}
			last.kill()
			if err := ours.Recv(within(t), &v); err != io.EOF {
				t.Errorf("after the third process: %v", err)
			}
		})
	}
}

// A message over the receiver's limit is an error, and the last one.
func TestPipeOverTheLimit(t *testing.T) {
	checkLeaks(t)
	f, g, err := Socketpair()
	if err != nil {
		t.Fatal(err)
	}
	small, err := NewConn(f, ConnOptions{Limits: proto.Limits{Frame: 100}})
	if err != nil {
		t.Fatal(err)
	}
	defer small.Close()
	big, err := NewConn(g, ConnOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer big.Close()
	for _, n := range []int{90, 200, 10} {
		if err := big.SendBytes(within(t), make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := small.RecvBytes(within(t)); err != nil || len(b) != 90 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	for range 2 {
		if _, err := small.RecvBytes(within(t)); !errors.Is(err, proto.ErrTooLarge) {
			t.Errorf("over the limit: %v", err)
		}
	}
	if ready, err := small.Poll(ended); !ready || err != nil {
		t.Errorf("a receive would not wait, and yet Poll says %v, %v", ready, err)
	}
}

func TestConnUseAfterClose(t *testing.T) {
	checkLeaks(t)
	closed, _ := newTestPipe(t)
	closed.Close()
	r, s := newTestPipeOneWay(t)
	r.Close()
	s.Close()
	for name, c := range map[string]*Conn{"closed": closed, "zero": new(Conn), "receiver": r, "sender": s} {
		var v any
		for call, err := range map[string]error{
			"Recv": c.Recv(within(t), &v), "RecvBytes": second(c.RecvBytes(within(t))), "RecvBytesInto": second(c.RecvBytesInto(within(t), nil)),
			"ReadFrame": second(c.ReadFrame()), "WaitReady": c.WaitReady(within(t)), "Poll": second(c.Poll(within(t))), "Poll once": second(c.Poll(ended)),
			"Send": c.Send(within(t), 1), "SendBytes": c.SendBytes(within(t), nil), "WriteFrame": c.WriteFrame(nil, nil),
			"Wait": second(Wait(within(t), c)),
		} {
			if err != ErrClosed {
				t.Errorf("%s of a %s conn: %v", call, name, err)
			}
		}
		if _, _, err := c.EncodeHandle(); err != ErrClosed {
			t.Errorf("a %s conn is passed on: %v", name, err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("close of a %s conn: %v", name, err)
		}
	}
}

// Whatever waits ends with Close.
func TestConnCloseEndsCalls(t *testing.T) {
	checkLeaks(t)
	a, _ := newTestPipe(t)
	calls := []func() error{
		func() error { return a.Recv(context.Background(), new(any)) },
		func() error { return a.Recv(within(t), new(any)) },
		func() error { return second(a.RecvBytesInto(within(t), make([]byte, 9))) },
		func() error { return a.WaitReady(within(t)) },
		func() error { return second(Wait(within(t), a)) },
		func() error { return a.SendBytes(within(t), make([]byte, 8<<20)) },
		func() error { return a.WriteFrame(nil, make([]byte, 8<<20)) },
	}
	errs := make(chan error, len(calls))
	for _, call := range calls {
		go func() { errs <- call() }()
	}
	untilTaken(t, &a.rmu)
	untilTaken(t, &a.wmu)
	a.Close()
	for range calls {
		select {
		case err := <-errs:
			if err != ErrClosed {
				t.Error(err)
			}
		case <-time.After(deadline):
			t.Fatal("a call goes on after Close")
		}
	}
}

// What is decoded into a Conn that was closed begins anew.
func TestConnDecodedIntoAClosedOne(t *testing.T) {
	checkLeaks(t)
	a, b := newTestPipe(t)
	var c Conn
	for range 3 {
		inner, other := newTestPipe(t)
		if err := a.Send(within(t), inner); err != nil {
			t.Fatal(err)
		}
		inner.Close()
		if err := b.Recv(within(t), &c); err != nil {
			t.Fatal(err)
		}
		other.Send(within(t), 5)
		var n int
		if err := c.Recv(within(t), &n); err != nil || n != 5 {
			t.Fatalf("%d, %v", n, err)
		}
		c.Close()
	}
}

// A pipe's end whose other holder made it blocking is still ended by a context.
func TestConnOfABlockingDescriptor(t *testing.T) {
	checkLeaks(t)
	r, s := newTestPipeOneWay(t)
	h, fds, err := r.EncodeHandle()
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fds[0], false); err != nil {
		t.Fatal(err)
	}
	var c Conn
	if err := c.DecodeHandle(h, fds); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := c.WaitReady(ctx); err != context.DeadlineExceeded {
		t.Errorf("nothing comes: %v", err)
	}
	s.Close()
	if _, err := c.RecvBytes(within(t)); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestConnForeignHandles(t *testing.T) {
	checkLeaks(t)
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, meta := range [][]byte{{1}, {2}, {3}, {0, 0}, {0}} {
		_, fds, err := (&File{f}).EncodeHandle()
		if err != nil {
			t.Fatal(err)
		}
		var c Conn
		if err := c.DecodeHandle(proto.Handle{Kind: handleConn, Meta: meta}, fds); !errors.Is(err, ErrForeign) {
			t.Errorf("a file as a conn of sort %x: %v", meta, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := f.Stat(); errors.Is(err, syscall.EBADF) {
		t.Error("the file was closed")
	}
}
