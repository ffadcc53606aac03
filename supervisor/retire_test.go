package supervisor

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"
)

// taskHold keeps so many bytes of memory for as long as its process lives.
var taskHold = NewTask("test.hold", func(_ context.Context, n int) (int, error) {
	b := make([]byte, n)
	for i := 0; i < n; i += os.Getpagesize() {
		b[i] = 1
	}
	heldMemory = append(heldMemory, b)
	return os.Getpid(), nil
})

var heldMemory [][]byte

// A process is replaced after so many tickets, also when it is handed several ahead, and no ticket notices.
func TestMaxTickets(t *testing.T) {
	for _, most := range []int{1, 7, 50} {
		o := testOptions(2)
		o.MaxTickets = most
		t.Run("", func(t *testing.T) {
			p := newTestPool(t, o)
			runs := map[int]int{}
			for range 3 {
				fs := tinyBatch(t, p, 100)
				for _, f := range fs {
					r := result(t, f)
					if r.Outcome != OutcomeOK || r.Attempts != 1 {
						t.Fatalf("%+v", r)
					}
					runs[r.PID]++
				}
			}
			for pid, n := range runs {
				if n > most {
					t.Errorf("process %d had %d tickets, expected %d at most", pid, n, most)
				}
			}
		})
	}
}

// replaced waits until the place has another process than pid.
func replaced(t *testing.T, p *Pool, pid int) {
	t.Helper()
	eventually(t, func() bool { s := p.Status()[0]; return s.PID != 0 && s.PID != pid }, "process %d is replaced", pid)
}

// One that is too old is replaced when it has finished its ticket, not before.
func TestMaxAge(t *testing.T) {
	o := testOptions(1)
	o.MaxAge = 100 * time.Millisecond
	p := newTestPool(t, o)
	f, c, pid := meet(t, p)
	eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.places[0].retire != ""
	}, "the process is old")
	next := submit(t, taskPID, p, struct{}{})
	if err := c.Send(within(t), "go"); err != nil {
		t.Fatal(err)
	}
	if r := result(t, f); r.Outcome != OutcomeOK || r.PID != pid {
		t.Errorf("%+v", r)
	}
	if r := result(t, next); r.Outcome != OutcomeOK || r.PID == pid {
		t.Errorf("%+v", r)
	}
}

// One that was idle for long after a ticket is replaced; a fresh one that never had any is left alone.
func TestMaxIdle(t *testing.T) {
	for _, slots := range []int{1, 3} {
		o := testOptions(1)
		o.MaxIdle, o.Slots = 100*time.Millisecond, slots
		t.Run("", func(t *testing.T) {
			p := newTestPool(t, o)
			fresh := p.Status()[0].PID
			f, c, _ := meet(t, p)
			eventually(t, func() bool { return time.Since(p.startOfPlace()) > 3*keepEvery }, "the process is not young")
			if err := c.Send(within(t), "go"); err != nil {
				t.Fatal(err)
			}
			if r := result(t, f); r.PID != fresh {
				t.Errorf("%+v: a process that had no ticket was replaced", r)
			}
			begin := time.Now()
			replaced(t, p, fresh)
			if d := time.Since(begin); d < o.MaxIdle {
				t.Errorf("replaced after %v", d)
			}
			second := p.Status()[0].PID
			eventually(t, func() bool { return time.Since(p.startOfPlace()) > 3*keepEvery }, "the second is not young")
			if got := p.Status()[0].PID; got != second {
				t.Errorf("process %d, expected %d: it has had no ticket", got, second)
			}
		})
	}
}

func (p *Pool) startOfPlace() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.places[0].since
}

// One that has become large is replaced between two tickets; one that is larger than it may be is killed, and its ticket ends.
func TestMaxMemory(t *testing.T) {
	o := testOptions(1)
	o.MaxMemory, o.KillMemory = 100<<20, 500<<20 // the race detector takes as much again
	p := newTestPool(t, o)
	pid, err := taskHold.Call(within(t), p, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := taskHold.Call(within(t), p, 120<<20); got != pid || err != nil {
		t.Fatalf("process %d, %v, expected %d", got, err, pid)
	}
	replaced(t, p, pid)
	f := submit(t, taskHoldOn, p, 600<<20, Ticket{Attempts: 2})
	if r := result(t, f); r.Outcome != OutcomeMemory || !errors.Is(r.Err, ErrMemory) || r.Attempts != 2 {
		t.Errorf("%+v", r)
	}
	if v, err := taskSquare.Call(within(t), p, 3); v != 9 || err != nil {
		t.Errorf("%d, %v", v, err)
	}
}

// taskHoldOn takes memory and does not return.
var taskHoldOn = NewTask("test.hold.on", func(ctx context.Context, n int) (int, error) {
	b := make([]byte, n)
	for i := 0; i < n; i += os.Getpagesize() {
		b[i] = 1
	}
	<-ctx.Done()
	return len(b), context.Cause(ctx)
})

// Tickets go by while the pool grows and shrinks, is rolled over, and processes are killed: each has one result.
func TestResizeAndRollUnderLoad(t *testing.T) {
	p := newTestPool(t, testOptions(2))
	done := make(chan struct{})
	tiny := Ticket{Attempts: 50}
	var fs []*Future[int]
	go func() {
		defer close(done)
		for n := range 20000 {
			f, err := taskSquare.Submit(context.Background(), p, n, tiny)
			if err != nil {
				t.Error(err)
				return
			}
			fs = append(fs, f)
		}
	}()
	for round := 0; ; round++ {
		select {
		case <-done:
		default:
			if err := p.Resize(within(t), []int{5, 1, 3, 2}[round%4]); err != nil {
				t.Fatal(err)
			}
			if round%3 == 0 {
				if err := p.Roll(within(t)); err != nil {
					t.Fatal(err)
				}
			}
			for _, s := range p.Status()[:1] {
				if s.PID != 0 && round%2 == 0 {
					syscall.Kill(s.PID, syscall.SIGKILL)
				}
			}
			p.mu.Lock()
			if err := p.audit(); err != nil {
				t.Error(err)
			}
			p.mu.Unlock()
			continue
		}
		break
	}
	for n, f := range fs {
		if v, err := f.Get(within(t)); v != n*n || err != nil {
			t.Fatalf("ticket %d: %d, %v", n, v, err)
		}
	}
	if err := p.Resize(within(t), 2); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.places) == 2 && p.audit() == nil
	}, "two places, and the books are right")
}

// Places that come and go leave nothing behind.
func TestResizeLeavesNothing(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	for range 10 {
		for _, n := range []int{3, 1} {
			if err := p.Resize(within(t), n); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() bool { return len(p.Status()) == n }, "%d places", n)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) > 1 {
		t.Errorf("%d idle places of a pool of one", len(p.idle))
	}
}

// The initializer comes before the first ticket of every process, the finalizer after the last.
func TestInitializerAndFinalizer(t *testing.T) {
	o := testOptions(1)
	o.MaxTickets = 2
	dir := t.TempDir()
	var err error
	if o.Initializer, err = taskNote.Ticket(dir + "/i"); err == nil {
		o.Finalizer, err = taskNote.Ticket(dir + "/f")
	}
	if err != nil {
		t.Fatal(err)
	}
	p := newTestPool(t, o)
	for range 6 {
		if r := result(t, submit(t, taskPID, p, struct{}{})); r.Outcome != OutcomeOK {
			t.Fatalf("%+v", r)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/i", "/f"} {
		b, err := os.ReadFile(dir + name)
		if n := len(b); n != p.Status()[0].Started || err != nil {
			t.Errorf("%s ran %d times, %v, expected %d", name, n, err, p.Status()[0].Started)
		}
	}
}

var taskNote = NewTask("test.note", func(_ context.Context, path string) (int, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.WriteString("x")
})
