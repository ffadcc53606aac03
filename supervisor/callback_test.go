package supervisor

import (
	"context"
	"errors"
	"os"
	"testing"
)

// SEMANTICS 38: the callback comes on success only, the other one otherwise, both in this process.
func TestCallbacks(t *testing.T) {
	p := newTestPool(t, testOptions(2))
	type call struct {
		value int
		err   error
		pid   int
	}
	calls := make(chan call, 8)
	watch := func(f *Future[int]) {
		f.OnResult(func(v int) { calls <- call{value: v, pid: os.Getpid()} })
		f.OnError(func(err error) { calls <- call{err: err, pid: os.Getpid()} })
	}
	good := submit(t, taskSquare, p, 7)
	watch(good)
	if c := receive(t, calls, "the callback"); c.value != 49 || c.err != nil || c.pid != os.Getpid() {
		t.Errorf("%+v", c)
	}
	watch(good) // there is a result already
	if c := receive(t, calls, "the callback"); c.value != 49 {
		t.Errorf("%+v", c)
	}
	bad := submit(t, taskEnd, p, "exit 3")
	watch(bad)
	if c := receive(t, calls, "the error callback"); c.err == nil {
		t.Errorf("%+v", c)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	select {
	case c := <-calls:
		t.Errorf("called once more: %+v", c)
	default:
	}
}

// PITFALLS 8: a callback that panics harms nobody, and one may end the pool.
func TestCallbackPanicsAndTerminates(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	first, second := submit(t, taskSquare, p, 2), submit(t, taskSquare, p, 3)
	first.OnResult(func(int) { panic("not a good callback") })
	if v, err := second.Get(within(t)); v != 9 || err != nil {
		t.Errorf("%d, %v", v, err)
	}
	joined := make(chan error, 1)
	third := submit(t, taskSquare, p, 4)
	third.OnResult(func(int) {
		p.Terminate()
		joined <- p.Join(context.Background())
	})
	if err := receive(t, joined, "the end of the pool, from a callback"); err != nil {
		t.Error(err)
	}
}

// Cancel is the end of the ticket's context, for one ticket alone.
func TestFutureCancel(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	_, c, _ := meet(t, p) // keeps the only place busy
	waiting := submit(t, taskSquare, p, 2)
	other := submit(t, taskSquare, p, 3)
	cause := errors.New("not wanted any more")
	waiting.Cancel(cause)
	waiting.Cancel(nil)
	if _, err := waiting.Get(within(t)); !errors.Is(err, cause) {
		t.Errorf("%v, expected %v", err, cause)
	}
	if err := c.Send(within(t), "go"); err != nil {
		t.Fatal(err)
	}
	if v, err := other.Get(within(t)); v != 9 || err != nil {
		t.Errorf("%d, %v", v, err)
	}
	other.Cancel(cause) // too late: nothing happens
	if v, err := other.Get(within(t)); v != 9 || err != nil {
		t.Errorf("%d, %v", v, err)
	}
}
