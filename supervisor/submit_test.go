package supervisor

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A ticket whose context ends while it is being submitted is cancelled at once, not when a place comes to it.
func TestCancelDuringSubmit(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	_, c, _ := meet(t, p) // keeps the only place busy
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	early, err := p.Submit(ctx, Ticket{ID: "early", Task: taskSquare.Name()})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := early.Result(within(t)); err != nil || r.Outcome != OutcomeCancelled || !errors.Is(r.Err, context.Canceled) {
		t.Errorf("%+v, %v", r, err)
	}
	if err := c.Send(within(t), "go"); err != nil {
		t.Fatal(err)
	}
}

// When there are no descriptors for a pool, none stay behind of the attempt.
func TestPoolWithoutDescriptors(t *testing.T) {
	checkLeaks(t)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	for _, more := range []int{3, 20} { // not enough for the pages; not enough for the processes
		little := limit
		little.Cur = uint64(len(openFiles()) + 3 + more)
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &little); err != nil {
			t.Fatal(err)
		}
		_, err := NewPool(context.Background(), testOptions(16))
		if e := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); e != nil {
			t.Fatal(e)
		}
		if !errors.Is(err, syscall.EMFILE) {
			t.Errorf("%d descriptors more: %v", more, err)
		}
	}
}

// A place whose process dies when nothing is left to do gets no other.
func TestNoProcessForNothing(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	f, _, pid := meet(t, p)
	closed := make(chan error, 1)
	go func() { closed <- p.Close() }()
	<-p.closing
	syscall.Kill(pid, syscall.SIGKILL)
	if r := result(t, f); r.Outcome != OutcomeSignal {
		t.Errorf("%+v", r)
	}
	if err := receive(t, closed, "Close"); err != nil {
		t.Error(err)
	}
	if s := p.Status()[0]; s.Started != 1 {
		t.Errorf("%d processes", s.Started)
	}
}

// PITFALLS 25: idle, busy and starting places are all there are, at every moment of a pool whose workers die.
func TestPlacesAddUp(t *testing.T) {
	p := newTestPool(t, testOptions(3))
	var futures []*Future[int]
	for range 60 {
		futures = append(futures, submit(t, taskEnd, p, "kill"))
	}
	for _, f := range futures {
		for waiting := true; waiting; {
			select {
			case <-f.Done():
				waiting = false
			default:
			}
			for _, s := range p.Status() {
				switch s.State {
				case PlaceIdle, PlaceBusy:
					if s.PID == 0 {
						t.Fatalf("a place without a process: %+v", s)
					}
				case PlaceStarting:
					if s.PID != 0 {
						t.Fatalf("a process that is not ready: %+v", s)
					}
				default:
					t.Fatalf("%+v", s)
				}
			}
		}
	}
	if got, err := taskSquare.Call(within(t), p, 4); got != 16 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
}

// A ticket that cannot be carried hurts neither its worker nor others.
func TestTicketTooLarge(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	for _, large := range []Ticket{
		{ID: strings.Repeat("i", 65<<20)},
		{Attempts: 3, ID: strings.Repeat("i", 65<<20)},
	} {
		f := submit(t, taskSquare, p, 1, large)
		if r := result(t, f); r.Outcome != OutcomeError || r.Attempts != 1 || r.Err == nil {
			t.Errorf("%s after %d attempts", r.Outcome, r.Attempts)
		}
	}
	if got, err := taskPID.Call(within(t), p, struct{}{}); err != nil || got == os.Getpid() || p.Status()[0].Started != 1 {
		t.Errorf("%v, %d processes", err, p.Status()[0].Started)
	}
}

// A program that always times out at its start must not be started for ever: as many
// failures as make a place give up fall into one period.
func TestRestartPeriodHoldsTimeouts(t *testing.T) {
	o, err := PoolOptions{StartTimeout: time.Minute}.filled()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	var failures []time.Time
	for n := range o.restart.intensity + 1 {
		failures = append(failures, now.Add(time.Duration(n)*(o.StartTimeout+o.restart.max)))
	}
	last := failures[len(failures)-1]
	if _, _, giveUp := o.restart.next(failures, last); !giveUp {
		t.Errorf("%d starts timed out one after another, and the place does not give up", len(failures))
	}
}
