package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// taskTiny does next to nothing, unless it is told otherwise: a task of which the pool expects to be short.
var taskTiny = NewTask("test.tiny", func(ctx context.Context, what string) (int, error) {
	switch what {
	case "":
		return os.Getpid(), nil
	case "kill":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "panic":
		panic("tiny")
	case "goexit":
		runtime.Goexit()
	case "wait":
		<-ctx.Done()
		return 0, context.Cause(ctx)
	}
	return strconv.Atoi(what)
})

// tinyPool returns a pool that has learned that the task is short.
func tinyPool(t *testing.T, o PoolOptions) *Pool {
	t.Helper()
	p := newTestPool(t, o)
	for range 5 {
		getTiny(t, tinyBatch(t, p, 200))
	}
	return p
}

func tinyBatch(t *testing.T, p *Pool, n int) (fs []*Future[int]) {
	t.Helper()
	for range n {
		fs = append(fs, submit(t, taskTiny, p, ""))
	}
	return fs
}

func getTiny(t *testing.T, fs []*Future[int]) {
	t.Helper()
	for _, f := range fs {
		if r := result(t, f); r.Outcome != OutcomeOK || r.Attempts != 1 {
			t.Fatalf("ticket %s: %+v", r.ID, r)
		}
	}
}

// Who dies with tickets that it was handed ahead takes its own along and no other: those before it are answered, though their
// answers may have been kept back, and those behind it begin elsewhere, with no attempt lost.
func TestCrashAmongMany(t *testing.T) {
	p := tinyPool(t, testOptions(2))
	for round := range 30 {
		how := []string{"kill", "panic", "goexit"}[round%3]
		before := tinyBatch(t, p, round)
		bad := submit(t, taskTiny, p, how)
		behind := tinyBatch(t, p, 50)
		want := []Outcome{OutcomeSignal, OutcomePanic, OutcomeError}[round%3]
		if r := result(t, bad); r.Outcome != want || r.Attempts != 1 {
			t.Fatalf("%s: %+v", how, r)
		}
		getTiny(t, before)
		getTiny(t, behind)
	}
}

// Nothing waits behind a task that lasts, though the pool had thought it to be short.
func TestNothingBehindALongOne(t *testing.T) {
	p := tinyPool(t, testOptions(2))
	for range 20 {
		long := submit(t, taskTiny, p, "wait")
		getTiny(t, tinyBatch(t, p, 300))
		select {
		case <-long.Done():
			t.Fatal("it did not last")
		default:
		}
		long.Cancel(errTest)
		if _, err := long.Get(within(t)); !errors.Is(err, errTest) {
			t.Fatal(err)
		}
	}
}

// What a stopped process had not begun begins elsewhere.
func TestStoppedProcessGivesBack(t *testing.T) {
	p := tinyPool(t, testOptions(2))
	for round := range 10 {
		pid := p.Status()[round%2].PID
		syscall.Kill(pid, syscall.SIGSTOP)
		fs := tinyBatch(t, p, 300)
		done := func() (n int) {
			for _, f := range fs {
				if f.p.kept.Load() {
					n++
				}
			}
			return n
		}
		// It may have begun some whose answers it keeps back, and may have been handed one more that nobody else asked for.
		eventually(t, func() bool { return done() >= len(fs)-1-begunBy(p, pid) },
			"%d results, beside a stopped process that has begun %d: %d", len(fs), begunBy(p, pid), done())
		syscall.Kill(pid, syscall.SIGCONT)
		getTiny(t, fs)
	}
}

// begunBy returns how many tickets a process has begun and not answered.
func begunBy(p *Pool, pid int) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, q := range p.places {
		if q.w == nil || q.w.proc.PID() != pid {
			continue
		}
		for _, f := range q.flight {
			if q.begun(q.w, f) {
				n++
			}
		}
	}
	return n
}

// With one process alone, stopped, tickets wait for it, and can be cancelled at once.
func TestCancelBehindAStoppedProcess(t *testing.T) {
	p := tinyPool(t, testOptions(1))
	pid := p.Status()[0].PID
	syscall.Kill(pid, syscall.SIGSTOP)
	defer syscall.Kill(pid, syscall.SIGCONT)
	eventually(t, func() bool { s, _ := readStat(pid); return s.state == 'T' }, "process %d is stopped", pid)
	fs := tinyBatch(t, p, 300)
	for _, f := range fs[100:200] {
		f.Cancel(errTest)
	}
	for _, f := range fs[100:200] {
		if r := result(t, f); r.Outcome != OutcomeCancelled || r.Attempts != 0 || !errors.Is(r.Err, errTest) {
			t.Fatalf("%+v", r)
		}
	}
	syscall.Kill(pid, syscall.SIGCONT)
	getTiny(t, fs[:100])
	getTiny(t, fs[200:])
}

// A task that locks its thread, blocks it, or starts goroutines keeps nobody from hearing a cancel.
func TestCancelOfATinyTaskThatLasts(t *testing.T) {
	p := tinyPool(t, testOptions(1))
	for range 20 {
		f := submit(t, taskTiny, p, "wait", Ticket{Timeout: 5 * time.Millisecond})
		if r := result(t, f); r.Outcome != OutcomeTimeout || !errors.Is(r.Err, ErrTimeout) {
			t.Fatalf("%+v", r)
		}
	}
}

// Several at a time in one process: they run at once, and die together.
func TestSlots(t *testing.T) {
	o := testOptions(1)
	o.Slots = 3
	p := newTestPool(t, o)
	first, a, pid := meet(t, p)
	second, b, pid2 := meet(t, p)
	third, _, pid3 := meet(t, p)
	if pid2 != pid || pid3 != pid {
		t.Fatalf("processes %d, %d and %d, expected one", pid, pid2, pid3)
	}
	if err := errors.Join(a.Send(within(t), "go"), b.Send(within(t), "go")); err != nil {
		t.Fatal(err)
	}
	for _, f := range []*Future[string]{first, second} {
		if r := result(t, f); r.Outcome != OutcomeOK {
			t.Errorf("%+v", r)
		}
	}
	fourth, _, _ := meet(t, p)
	syscall.Kill(pid, syscall.SIGKILL)
	for _, f := range []*Future[string]{third, fourth} {
		if r := result(t, f); r.Outcome != OutcomeSignal || r.PID != pid {
			t.Errorf("%+v", r)
		}
	}
}

// Tickets of a higher priority begin first, among equals the older one; later ones not before their time.
func TestPriorityAndDelay(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	_, c, _ := meet(t, p)
	begin := time.Now()
	order := make(chan string, 10)
	note := func(name string, with Ticket) {
		f := submit(t, taskSquare, p, 1, with)
		f.OnResult(func(int) { order <- name })
		f.OnError(func(err error) { order <- fmt.Sprint(name, ": ", err) })
	}
	note("later", Ticket{At: begin.Add(300 * time.Millisecond), Priority: 9})
	note("low", Ticket{Priority: -1})
	note("urgent", Ticket{Priority: 5})
	cancelled := submit(t, taskSquare, p, 1, Ticket{At: begin.Add(time.Hour)})
	if err := c.Send(within(t), "go"); err != nil {
		t.Fatal(err)
	}
	cancelled.Cancel(errTest)
	if r := result(t, cancelled); r.Outcome != OutcomeCancelled {
		t.Errorf("%+v", r)
	}
	got := map[string]bool{}
	for range 2 {
		got[receive(t, order, "the first two")] = true
	}
	if !got["urgent"] || !got["low"] {
		t.Errorf("%v came first", got)
	}
	if name := receive(t, order, "the later one"); name != "later" || time.Since(begin) < 300*time.Millisecond {
		t.Errorf("%q after %v", name, time.Since(begin))
	}
}

// TrySubmit does not wait.
func TestTrySubmit(t *testing.T) {
	o := testOptions(1)
	o.Backlog = 2
	p := newTestPool(t, o)
	_, c, _ := meet(t, p)
	for n := range 4 {
		_, err := taskSquare.TrySubmit(t.Context(), p, n)
		if full := errors.Is(err, ErrFull); full != (n >= 2) || err != nil && !full {
			t.Errorf("ticket %d: %v", n, err)
		}
	}
	if err := c.Send(within(t), "go"); err != nil {
		t.Fatal(err)
	}
}

// A ticket waits before it is tried again, and others go by.
func TestTicketBackoff(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	begin := time.Now()
	bad := submit(t, taskEnd, p, "exit 3", Ticket{Attempts: 3, Backoff: 100 * time.Millisecond})
	eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.backlog.later.waiting == 1
	}, "the ticket waits for its second attempt")
	if v, err := taskSquare.Call(within(t), p, 3); v != 9 || err != nil {
		t.Errorf("%d, %v", v, err)
	}
	if r := result(t, bad); r.Outcome != OutcomeExit || r.Attempts != 3 || time.Since(begin) < 300*time.Millisecond {
		t.Errorf("after %v: %+v", time.Since(begin), r)
	}
}

// The results of one process tell when each ran: one after the other.
func TestStartedInOrder(t *testing.T) {
	p := tinyPool(t, testOptions(1))
	var before Result
	for i, f := range tinyBatch(t, p, 200) {
		r := result(t, f)
		if i > 0 && r.Started.Before(before.Started.Add(before.Elapsed)) {
			t.Fatalf("ticket %s began %v before ticket %s had ended", r.ID, before.Started.Add(before.Elapsed).Sub(r.Started), before.ID)
		}
		before = r
	}
}
