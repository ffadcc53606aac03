package ipc

import (
	"context"
	"testing"
)

func newTestEvent(t testing.TB) *Event {
	t.Helper()
	e, err := NewEvent("event")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func TestEventBetweenProcesses(t *testing.T) {
	checkLeaks(t)
	e := newTestEvent(t)
	k := tools{Event: e}
	procs := startActors(t, 3, k)
	setter := startActor(t, k)
	for range 5 {
		for _, p := range procs {
			p.send("wait")
		}
		untilIs(t, "waiting", e.Waiting, len(procs))
		setter.do("set", "set")
		setter.do("set", "set")
		for _, p := range procs {
			p.expect("woken")
			p.do("wait", "woken") // it is still set
		}
		if !e.IsSet() {
			t.Fatal("not set")
		}
		setter.do("clear", "cleared")
		if e.IsSet() {
			t.Fatal("set")
		}
		procs[0].do("wait a while", "context deadline exceeded")
	}
}

// Set and then Clear at once still wakes all who waited, in other processes and in this
// one, however late they look.
func TestEventPulse(t *testing.T) {
	checkLeaks(t)
	e := newTestEvent(t)
	k := tools{Event: e}
	procs := startActors(t, 3, k)
	for _, p := range procs {
		p.send("wait")
	}
	var here []<-chan error
	for range 10 {
		here = append(here, in(func() error { return e.Wait(context.Background()) }))
	}
	untilIs(t, "waiting", e.Waiting, 4)
	untilIs(t, "waiting here", e.x.Members, 10)
	procs[0].stop()
	if err := e.Set(); err != nil {
		t.Fatal(err)
	}
	if err := e.Clear(); err != nil {
		t.Fatal(err)
	}
	for _, w := range here {
		if err := result(t, "wait", w); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range procs[1:] {
		p.expect("woken")
	}
	procs[0].signal(sigcont)
	procs[0].expect("woken")
	procs[0].do("wait a while", "context deadline exceeded")
}

// Who began to wait before a set goes on, also when the goroutine that stands in line
// for the process began after it.
func TestEventManySets(t *testing.T) {
	e := newTestEvent(t)
	p := start(t, "pulser")
	p.send(e)
	for range 200 {
		var here []<-chan error
		for range 8 {
			here = append(here, in(func() error { return e.Wait(context.Background()) }))
		}
		p.send("pulse")
		p.expect("done")
		untilIs(t, "members", func() int {
			e.Set()
			e.Clear()
			return e.x.Members()
		}, 0)
		for _, w := range here {
			e.Set()
			if err := result(t, "wait", w); err != nil {
				t.Fatal(err)
			}
		}
		e.Clear()
	}
}

func init() {
	helpers["pulser"] = func(c *Conn) error {
		var e Event
		if err := c.Recv(context.Background(), &e); err != nil {
			return err
		}
		for {
			var op string
			if err := c.Recv(context.Background(), &op); err != nil {
				return err
			}
			for range 20 {
				e.Set()
				e.Clear()
			}
			if err := c.Send(context.Background(), "done"); err != nil {
				return err
			}
		}
	}
}

func TestEventContextAndClose(t *testing.T) {
	checkLeaks(t)
	e := newTestEvent(t)
	if err := e.Wait(overCtx()); err != context.Canceled {
		t.Fatalf("not set, with an ended context: %v", err)
	}
	a, b := startActor(t, tools{Event: e}), startActor(t, tools{Event: e})
	a.send("wait until told")
	untilIs(t, "waiting", e.Waiting, 1)
	b.send("wait")
	untilIs(t, "waiting", e.Waiting, 2)
	a.send("give up")
	a.expect("context canceled")
	a.do("set", "set")
	b.expect("woken")
	if err := e.Wait(overCtx()); err != nil {
		t.Fatalf("set, with an ended context: %v", err)
	}
	a.do("clear", "cleared")
	waits := in(func() error { return e.Wait(context.Background()) })
	untilIs(t, "waiting", e.Waiting, 1)
	e.Close()
	if err := result(t, "wait during Close", waits); err != ErrClosed {
		t.Fatalf("wait during Close: %v", err)
	}
	for what, err := range map[string]error{"Set": e.Set(), "Clear": e.Clear(), "Wait": e.Wait(within(t))} {
		if err != ErrClosed {
			t.Fatalf("%s after Close: %v", what, err)
		}
	}
	a.do("set", "set")
	b.do("wait", "woken")
}

// A waiter that dies is in nobody's way.
func TestEventDeadWaiter(t *testing.T) {
	checkLeaks(t)
	e := newTestEvent(t)
	for range 10 {
		dead, next := startActor(t, tools{Event: e}), startActor(t, tools{Event: e})
		dead.send("wait")
		untilIs(t, "waiting", e.Waiting, 1)
		next.send("wait")
		untilIs(t, "waiting", e.Waiting, 2)
		dead.kill()
		untilIs(t, "waiting", e.Waiting, 1)
		if err := e.Set(); err != nil {
			t.Fatal(err)
		}
		next.expect("woken")
		e.Clear()
		next.kill()
	}
}
