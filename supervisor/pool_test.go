package supervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// This binary is its own worker.
func init() {
	beforeMain = append(beforeMain, func() {
		if strings.HasPrefix(os.Args[0], helperPrefix) {
			return // a worker program of its own, or no worker
		}
		if p, err := inherited(); err != nil || p != nil {
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(exitMisuse)
			}
			os.Exit(p.serve())
		}
	})
}

var (
	taskSquare = NewTask("test.square", func(_ context.Context, n int) (int, error) { return n * n, nil })
	taskPID    = NewTask("test.pid", func(context.Context, struct{}) (int, error) { return os.Getpid(), nil })
	taskEcho   = NewTask("test.echo", func(_ context.Context, b []byte) ([]byte, error) { return b, nil })
	taskFail   = NewTask("test.fail", func(_ context.Context, text string) (int, error) { return 0, errors.New(text) })
	taskPrint  = NewTask("test.print", func(_ context.Context, text string) (int, error) { return fmt.Print(text) })
	taskInfo   = NewTask("test.info", func(ctx context.Context, _ struct{}) (TicketInfo, error) { return TicketFrom(ctx), nil })
	taskChan   = NewTask("test.chan", func(context.Context, struct{}) (any, error) { return make(chan int), nil })

	// Says on a Conn where it is, and waits there until told what to do.
	taskMeet = NewTask("test.meet", func(ctx context.Context, m meeting) (string, error) {
		if err := m.Conn.Send(ctx, os.Getpid()); err != nil {
			return "", err
		}
		var answer string
		if err := m.Conn.Recv(ctx, &answer); err != nil {
			return "", fmt.Errorf("meet: %w", err)
		}
		return answer, nil
	})

	taskEnd = NewTask("test.end", func(ctx context.Context, how string) (int, error) {
		switch how {
		case "panic":
			panic("at the disco")
		case "panic elsewhere":
			go panic("in another goroutine")
			select {}
		case "goexit":
			runtime.Goexit()
		case "exit 3":
			os.Exit(3)
		case "exit 0":
			os.Exit(0)
		case "fatal":
			fmt.Fprintln(os.Stderr, "about to break a map")
			m := map[int]int{}
			go func() {
				for {
					m[1]++
				}
			}()
			for {
				m[1]++
			}
		case "kill":
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		select {}
	})
)

type meeting struct{ Conn *ipc.Conn }

// quiet options for tests.
func testOptions(workers int) PoolOptions {
	return PoolOptions{Workers: workers, Name: "test", Grace: 2 * time.Second, StartTimeout: patience, Stdout: &bytes.Buffer{}}
}

// newTestPool starts a pool that must have ended, without anything left, when the
// test has.
func newTestPool(t *testing.T, o PoolOptions) *Pool {
	t.Helper()
	checkLeaks(t)
	p, err := NewPool(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Terminate()
		if err := p.Join(within(t)); err != nil && !t.Failed() && p.failure() == nil {
			t.Error(err)
		}
		checkPool(t, p)
	})
	return p
}

// checkPool checks that a pool that has ended has kept nothing.
func checkPool(t *testing.T, p *Pool) {
	t.Helper()
	p.mu.Lock()
	if n := p.backlog.waiting(); n != 0 || p.atPlaces != 0 || p.granted != 0 || len(p.waiters) != 0 {
		t.Errorf("the pool has ended with %d tickets that wait, %d at places, %d promised rooms and %d submitters",
			n, p.atPlaces, p.granted, len(p.waiters))
	}
	p.mu.Unlock()
	for _, s := range p.Status() {
		if s.State != PlaceEnded || s.PID != 0 || s.Ticket != "" {
			t.Errorf("the pool has ended with place %+v", s)
		}
	}
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func submit[A, R any](t *testing.T, task *Task[A, R], p *Pool, arg A, with ...Ticket) *Future[R] {
	t.Helper()
	f, err := task.Submit(within(t), p, arg, with...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// result waits for what became of a ticket.
func result[R any](t *testing.T, f *Future[R]) Result {
	t.Helper()
	r, err := f.p.Result(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// meet submits a task that meets, and returns when it is there.
func meet(t *testing.T, p *Pool, with ...Ticket) (f *Future[string], c *ipc.Conn, pid int) {
	t.Helper()
	ours, theirs, err := ipc.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	f = submit(t, taskMeet, p, meeting{theirs}, with...)
	theirs.Close()
	return f, ours, metPID(t, ours)
}

func metPID(t *testing.T, c *ipc.Conn) (pid int) {
	t.Helper()
	if err := c.Recv(within(t), &pid); err != nil {
		t.Fatalf("waiting for the task to begin: %v", err)
	}
	return pid
}

func TestPoolCall(t *testing.T) {
	p := newTestPool(t, testOptions(2))
	for n := range 100 {
		got, err := taskSquare.Call(within(t), p, n)
		if err != nil || got != n*n {
			t.Fatalf("square of %d: %d, %v", n, got, err)
		}
	}
	if !strings.Contains(strings.Join(p.Tasks(), " "), "test.square") {
		t.Errorf("the pool knows the tasks %v", p.Tasks())
	}
}

func TestPoolRunsSideBySide(t *testing.T) {
	p := newTestPool(t, testOptions(4))
	var conns []*ipc.Conn
	var futures []*Future[string]
	seen := map[int]bool{}
	for range 4 {
		f, c, pid := meet(t, p) // returns when it is inside
		futures, conns = append(futures, f), append(conns, c)
		seen[pid] = true
		if stat, ok := readStat(pid); !ok || stat.ppid != os.Getpid() || stat.pgrp != pid {
			t.Errorf("worker %d: parent %d, group %d", pid, stat.ppid, stat.pgrp)
		}
	}
	if len(seen) != 4 {
		t.Errorf("four at once in %d processes", len(seen))
	}
	for i, c := range conns {
		if err := c.Send(within(t), "go"); err != nil {
			t.Fatal(err)
		}
		if got, err := futures[i].Get(within(t)); got != "go" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func TestPoolErrors(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	_, err := taskFail.Call(within(t), p, "no luck today")
	if f, ok := errors.AsType[*proto.Fault](err); !ok || f.Kind != proto.KindError || f.Text != "no luck today" {
		t.Errorf("an error of a task: %#v", err)
	}
	_, err = taskChan.Call(within(t), p, struct{}{})
	if f, ok := errors.AsType[*proto.Fault](err); !ok || f.Kind != proto.KindResult {
		t.Errorf("a result that cannot be encoded: %v", err)
	}
	unknown := &Task[int, int]{name: "test.sqare"}
	f := submit(t, unknown, p, 1, Ticket{Attempts: 3})
	if r := result(t, f); r.Outcome != OutcomeError || r.Attempts != 1 {
		t.Errorf("a task that the worker does not know: %+v", r)
	}
	wrong := &Task[string, int]{name: "test.square"}
	f = submit(t, wrong, p, "seven", Ticket{Attempts: 3})
	if r := result(t, f); r.Outcome != OutcomeError || r.Attempts != 1 || !strings.Contains(r.Err.Error(), `"seven"`) {
		t.Errorf("wrong arguments: %+v", r)
	}
	if _, err := (&Task[chan int, int]{name: "test.square"}).Call(within(t), p, nil); err == nil {
		t.Error("an argument that cannot be encoded")
	}
	if status := p.Status(); status[0].Started != 1 {
		t.Errorf("errors of tasks cost %d processes", status[0].Started-1)
	}
}

// PITFALLS 9: every way to end becomes the ticket's result.
func TestPoolEndings(t *testing.T) {
	p := newTestPool(t, testOptions(2))
	for _, c := range []struct {
		how     string
		outcome Outcome
		status  int // of the process that died; 0 for a fault
		says    string
	}{
		{"panic", OutcomePanic, 0, "at the disco"},
		{"panic elsewhere", OutcomeExit, 2, "in another goroutine"},
		{"goexit", OutcomeError, 0, "ended its goroutine"},
		{"exit 3", OutcomeExit, 3, "exit status 3"},
		{"exit 0", OutcomeExit, 0, "exit status 0"},
		{"fatal", OutcomeExit, 2, "concurrent map"},
		{"kill", OutcomeSignal, -9, "killed"},
	} {
		r := result(t, submit(t, taskEnd, p, c.how))
		if r.Outcome != c.outcome || r.Attempts != 1 || r.PID == 0 || r.Worker == 0 {
			t.Errorf("%s: %+v", c.how, r)
		}
		if r.Err == nil {
			t.Errorf("%s: no error", c.how)
			continue
		}
		all := r.Err.Error()
		if died, ok := errors.AsType[*WorkerDiedError](r.Err); ok {
			if died.Exit.Status() != c.status || died.PID != r.PID || died.Ticket != r.ID || died.Attempt != 1 {
				t.Errorf("%s: %+v", c.how, died)
			}
			all += strings.Join(died.Stderr, "\n")
		} else if c.status != 0 {
			t.Errorf("%s: %T", c.how, r.Err)
		}
		if f, ok := errors.AsType[*proto.Fault](r.Err); ok && !strings.Contains(f.Stack, "pool_test.go") {
			t.Errorf("%s: the stack is\n%s", c.how, f.Stack)
		}
		if !strings.Contains(all, c.says) {
			t.Errorf("%s: error says %q, expected %q in it", c.how, all, c.says)
		}
		if got, err := taskSquare.Call(within(t), p, 3); got != 9 || err != nil {
			t.Fatalf("after %s: %d, %v", c.how, got, err)
		}
	}
}

func TestPoolAttempts(t *testing.T) {
	p := newTestPool(t, testOptions(2))
	for _, c := range []struct {
		how     string
		outcome Outcome
	}{{"kill", OutcomeSignal}, {"panic", OutcomePanic}, {"goexit", OutcomeError}} {
		if r := result(t, submit(t, taskEnd, p, c.how, Ticket{Attempts: 3})); r.Attempts != 3 || r.Outcome != c.outcome {
			t.Errorf("%s with three attempts: %+v", c.how, r)
		}
	}
	f, c, pid := meet(t, p, Ticket{ID: "again", Attempts: 2})
	syscall.Kill(pid, syscall.SIGKILL)
	second := metPID(t, c)
	if second == pid {
		t.Fatal("the same process again")
	}
	if err := c.Send(within(t), "fine"); err != nil {
		t.Fatal(err)
	}
	if r := result(t, f); r.Outcome != OutcomeOK || r.Attempts != 2 || r.PID != second || r.ID != "again" {
		t.Errorf("killed once, with two attempts: %+v", r)
	}
}

func TestPoolTimeout(t *testing.T) {
	o := testOptions(1)
	o.Grace = time.Second
	p := newTestPool(t, o)
	f, _, _ := meet(t, p, Ticket{Timeout: 50 * time.Millisecond})
	if r := result(t, f); r.Outcome != OutcomeTimeout || !errors.Is(r.Err, ErrTimeout) {
		t.Errorf("a task that heeds its context: %+v", r)
	}
	if s := p.Status()[0]; s.Started != 1 {
		t.Errorf("a task that heeds its context cost a process")
	}
	r := result(t, submit(t, taskEnd, p, "deaf", Ticket{Timeout: 50 * time.Millisecond}))
	if r.Outcome != OutcomeTimeout || !errors.Is(r.Err, ErrTimeout) {
		t.Errorf("a deaf task: %+v", r)
	}
	if d, ok := errors.AsType[*WorkerDiedError](r.Err); !ok || d.Exit.Status() != -15 {
		t.Errorf("a deaf task ends with %v", r.Err)
	}
}

func TestPoolCancel(t *testing.T) {
	o := testOptions(1)
	o.Grace = 200 * time.Millisecond
	p := newTestPool(t, o)
	ctx, cancel := context.WithCancel(within(t))
	running, _, _ := meet(t, p)
	waiting, err := taskSquare.Submit(ctx, p, 2)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if r := result(t, waiting); r.Outcome != OutcomeCancelled || r.Attempts != 0 || !errors.Is(r.Err, context.Canceled) {
		t.Errorf("cancelled while it waits: %+v", r)
	}
	select {
	case <-running.Done():
		t.Error("the other ticket ended too")
	default:
	}
	p.Terminate()
	if r := result(t, running); r.Outcome != OutcomeCancelled || !errors.Is(r.Err, ErrTerminated) {
		t.Errorf("terminated while it runs: %+v", r)
	}
}

func TestPoolCancelRunning(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	ctx, cancel := context.WithCancelCause(within(t))
	ours, theirs, err := ipc.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	f, err := taskMeet.Submit(ctx, p, meeting{theirs}, Ticket{Attempts: 5})
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	metPID(t, ours)
	why := errors.New("changed my mind")
	cancel(why)
	if r := result(t, f); r.Outcome != OutcomeCancelled || !errors.Is(r.Err, why) || r.Attempts != 1 {
		t.Errorf("cancelled while it runs: %+v", r)
	}
}

func TestPoolIdleDeathCostsNothing(t *testing.T) {
	p := newTestPool(t, testOptions(2))
	for range 5 {
		pid, err := taskPID.Call(within(t), p, struct{}{})
		if err != nil {
			t.Fatal(err)
		}
		syscall.Kill(pid, syscall.SIGKILL)
	}
	for n := range 20 {
		if r := result(t, submit(t, taskSquare, p, n, Ticket{Attempts: 2})); r.Outcome != OutcomeOK {
			t.Fatalf("after idle deaths: %+v", r)
		}
	}
}

func TestPoolClose(t *testing.T) {
	p := newTestPool(t, testOptions(2))
	if err := p.Join(within(t)); err != ErrOpen {
		t.Errorf("join of an open pool: %v", err)
	}
	var futures []*Future[int]
	for n := range 50 {
		futures = append(futures, submit(t, taskSquare, p, n))
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	for n, f := range futures {
		if got, err := f.Get(within(t)); got != n*n || err != nil {
			t.Errorf("accepted before Close: %d, %v", got, err)
		}
	}
	if _, err := taskSquare.Submit(within(t), p, 1); err != ErrClosed {
		t.Errorf("submit after Close: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestPoolDrain(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	running, c, _ := meet(t, p)
	waiting := submit(t, taskSquare, p, 2)
	p.Drain()
	if r := result(t, waiting); r.Outcome != OutcomeCancelled || !errors.Is(r.Err, ErrDrained) {
		t.Errorf("waiting when drained: %+v", r)
	}
	if err := c.Send(within(t), "done"); err != nil {
		t.Fatal(err)
	}
	if r := result(t, running); r.Outcome != OutcomeOK {
		t.Errorf("running when drained: %+v", r)
	}
	if err := p.Join(within(t)); err != nil {
		t.Error(err)
	}
}

func TestPoolKill(t *testing.T) {
	p := newTestPool(t, testOptions(2))
	f, _, pid := meet(t, p)
	p.Kill()
	r := result(t, f)
	if d, ok := errors.AsType[*WorkerDiedError](r.Err); r.Outcome != OutcomeCancelled || !ok || d.PID != pid || d.Exit.Status() != -9 {
		t.Errorf("killed with the pool: %+v", r)
	}
}

func TestPoolContext(t *testing.T) {
	checkLeaks(t)
	ctx, cancel := context.WithCancel(context.Background())
	p, err := NewPool(ctx, testOptions(1))
	if err != nil {
		t.Fatal(err)
	}
	f, _, _ := meet(t, p)
	cancel()
	if r := result(t, f); r.Outcome != OutcomeCancelled || !errors.Is(r.Err, context.Canceled) {
		t.Errorf("when the pool's context ends: %+v", r)
	}
	if err := p.Join(within(t)); err != nil {
		t.Error(err)
	}
}

func TestPoolBacklog(t *testing.T) {
	o := testOptions(1)
	o.Backlog = 2
	p := newTestPool(t, o)
	_, c, _ := meet(t, p)
	a, b := submit(t, taskSquare, p, 1), submit(t, taskSquare, p, 2)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := taskSquare.Submit(ctx, p, 3); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("submit to a full backlog: %v", err)
	}
	if err := c.Send(within(t), "go"); err != nil {
		t.Fatal(err)
	}
	submit(t, taskSquare, p, 4)
	for _, f := range []*Future[int]{a, b} {
		if _, err := f.Get(within(t)); err != nil {
			t.Error(err)
		}
	}
}

func TestPoolBigValues(t *testing.T) {
	p := newTestPool(t, testOptions(2))
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<19) // 8 MiB
	got, err := taskEcho.Call(within(t), p, big)
	if err != nil || !bytes.Equal(got, big) {
		t.Fatalf("%d bytes came back, %v", len(got), err)
	}
	if _, err := taskEcho.Call(within(t), p, make([]byte, 65<<20)); !errors.Is(err, proto.ErrTooLarge) {
		t.Errorf("65 MiB: %v", err)
	}
	if n, err := taskSquare.Call(within(t), p, 5); n != 25 || err != nil {
		t.Errorf("afterwards: %d, %v", n, err)
	}
}

func TestPoolTicketInfo(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	f := submit(t, taskInfo, p, struct{}{}, Ticket{ID: "me", Attempts: 4})
	got, err := f.Get(within(t))
	want := TicketInfo{ID: "me", Attempt: 1, Attempts: 4, Place: 1, Pool: "test", Grace: 1500 * time.Millisecond}
	if err != nil || got != want {
		t.Errorf("%+v, %v; expected %+v", got, err, want)
	}
}

func TestPoolStdoutLines(t *testing.T) {
	var out bytes.Buffer
	o := testOptions(4)
	o.Stdout = &out
	p := newTestPool(t, o)
	line := strings.Repeat("x", 5000)
	var all sync.WaitGroup
	for range 40 {
		f := submit(t, taskPrint, p, line+"\n")
		all.Go(func() { f.Get(context.Background()) })
	}
	all.Wait()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if want := strings.Repeat(line+"\n", 40); out.String() != want {
		t.Errorf("%d bytes of output, expected %d", out.Len(), len(want))
	}
}

func TestPoolThatCannotStart(t *testing.T) {
	for _, c := range []struct {
		program string
		args    []string
		says    string
	}{
		{"/no/such/program", nil, "no such file"},
		{"sh", []string{"sh", "-c", "echo no idea >&2; exit 100"}, "no idea"},
		{"sh", []string{"sh", "-c", "exit 1"}, "failure 6"},
		{"sh", []string{"sh", "-c", "exit 0"}, "failure 1"},
		{"sh", []string{"sh", "-c", "echo not the protocol >&3; sleep 300"}, "failure 1"},
	} {
		checkLeaks(t)
		o := testOptions(2)
		o.Program, o.Args = c.program, c.args
		o.restart = restartPolicy{intensity: 5, period: time.Minute, min: time.Millisecond, max: time.Millisecond}
		p, err := NewPool(context.Background(), o)
		if err == nil {
			p.Close()
			t.Fatalf("a pool of %v", c)
		}
		if !errors.Is(err, ErrRestartLimit) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("a pool of %v: %v, expected %q in it", c, err, c.says)
		}
	}
}

func TestPoolOptions(t *testing.T) {
	checkLeaks(t)
	for _, o := range []PoolOptions{{Workers: -1}, {Backlog: -1}, {Grace: -1}, {Args: []string{"x"}}} {
		if _, err := NewPool(context.Background(), o); err == nil {
			t.Errorf("options %+v are accepted", o)
		}
	}
}
