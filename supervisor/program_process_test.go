package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/supervisor"
)

// The tutorials' programs about processes: each child is an entry in a process of its own.

// printed collects the lines that processes print.
type printed struct {
	mu    sync.Mutex
	lines []string
}

func (p *printed) output() supervisor.Output {
	return supervisor.Output{Lines: func(line []byte, _ bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.lines = append(p.lines, string(line))
	}}
}

// run starts an entry that does not outlive the test.
func run[A any](t *testing.T, e *supervisor.Entry[A], arg A, with ...supervisor.Spec) *supervisor.Process {
	t.Helper()
	p := must[*supervisor.Process](t)(e.Start(arg, with...))
	t.Cleanup(func() {
		p.Kill()
		<-p.OutputDone()
		p.Close()
	})
	return p
}

// join waits for the end of a process and checks how it was.
func join(t *testing.T, ctx context.Context, p *supervisor.Process, status int) {
	t.Helper()
	exit, err := p.Join(ctx)
	if err != nil || exit.Status() != status {
		t.Errorf("%s: %v, %v, want %d; stderr: %q", p.Name(), exit, err, status, p.StderrTail())
	}
}

// limited begins a test: nothing is left when it ends, and it ends.
func limited(t *testing.T) context.Context {
	supervisor.CheckLeaks(t)
	ctx, cancel := context.WithTimeout(context.Background(), atMost)
	t.Cleanup(cancel)
	return ctx
}

// until looks until it is so, or the test's time is over.
func until(t *testing.T, ctx context.Context, cond func() bool, what func() string) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(what())
		}
	}
}

var tail = supervisor.Output{Tail: true}

var twoThreads = supervisor.NewEntry("program.two_threads", func(_ context.Context, n int) error {
	for i := range 2 {
		supervisor.Go(func() { fmt.Println(os.Getpid(), os.Getppid(), n, i) })
	}
	return nil
})

// P1: 4 processes with an argument, each of which starts 2 goroutines.
func TestFourProcesses(t *testing.T) {
	ctx := limited(t)
	var out printed
	var all []*supervisor.Process
	for n := range 4 {
		all = append(all, run(t, twoThreads, n, supervisor.Spec{Stdout: out.output(), Stderr: tail}))
	}
	var want []string
	for n, p := range all {
		join(t, ctx, p, 0)
		for i := range 2 {
			want = append(want, fmt.Sprint(p.PID(), os.Getpid(), n, i))
		}
	}
	slices.Sort(out.lines)
	slices.Sort(want)
	if !slices.Equal(out.lines, want) || len(slices.Compact(pidsOf(all))) != 4 {
		t.Errorf("printed %q, want %q", out.lines, want)
	}
}

func pidsOf(all []*supervisor.Process) (pids []int) {
	for _, p := range all {
		pids = append(pids, p.PID())
	}
	slices.Sort(pids)
	return pids
}

type info struct {
	Current             supervisor.ProcessInfo
	Parent              int
	ParentName          string
	ParentGone, NoChild bool
}

// whoami says who it is, and waits until nobody asks any more.
var whoami = supervisor.NewEntry("program.whoami", func(ctx context.Context, in struct{ Conn *ipc.Conn }) error {
	i := info{Current: supervisor.Current(), Parent: supervisor.Parent().PID(), ParentName: supervisor.Parent().Name()}
	select {
	case <-supervisor.Parent().Done():
		i.ParentGone = true
	default:
	}
	i.NoChild = len(supervisor.ActiveChildren()) == 0
	if err := in.Conn.Send(ctx, i); err != nil {
		return err
	}
	var word string
	return in.Conn.Recv(ctx, &word)
})

// P2: parent process, process id and name, from here and from a child, and what the system says.
func TestProcessInfo(t *testing.T) {
	ctx := limited(t)
	me := supervisor.Current()
	if me.Name != "main" || me.PID != os.Getpid() || me.PPID != os.Getppid() || me.Daemon || supervisor.Parent() != nil {
		t.Errorf("main: %+v, %v", me, supervisor.Parent())
	}
	for _, daemon := range []bool{false, true} {
		ours, theirs, err := ipc.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer ours.Close()
		p := run(t, whoami, struct{ Conn *ipc.Conn }{theirs}, supervisor.Spec{Name: "bob", Daemon: daemon, Stderr: tail})
		theirs.Close()
		var got info
		if err := ours.Recv(ctx, &got); err != nil {
			t.Fatal(err)
		}
		want := info{supervisor.ProcessInfo{Name: "bob", PID: p.PID(), PPID: os.Getpid(), Daemon: daemon}, os.Getpid(), "main", false, true}
		if got != want || p.Name() != "bob" || p.Daemon() != daemon {
			t.Errorf("child: %+v, want %+v", got, want)
		}
		ps, err := exec.Command("ps", "-o", "pid=,ppid=,comm=,args=", "-p", fmt.Sprint(p.PID())).Output()
		if f := strings.Fields(string(ps)); err != nil || fmt.Sprint(f) != fmt.Sprintf("[%d %d bob bob]", p.PID(), os.Getpid()) {
			t.Errorf("ps: %q, %v", ps, err)
		}
		ours.Send(ctx, "thanks")
		join(t, ctx, p, 0)
	}
}

type performance struct {
	Line  string
	Begin *ipc.Barrier
}

var perform = supervisor.NewEntry("program.perform", func(ctx context.Context, in performance) error {
	if _, err := in.Begin.Wait(ctx); err != nil {
		return err
	}
	for n := range 10 {
		fmt.Println(in.Line, n)
	}
	_, err := in.Begin.Wait(ctx)
	return err
})

// P3: sing and dance at the same time: each begins when both are there, and ends when both have done.
func TestSingAndDance(t *testing.T) {
	ctx := limited(t)
	both := must[*ipc.Barrier](t)(ipc.NewBarrier("both", 2))
	defer both.Close()
	var out printed
	sing := run(t, perform, performance{"sing", both}, supervisor.Spec{Name: "sing", Stdout: out.output(), Stderr: tail})
	dance := run(t, perform, performance{"dance", both}, supervisor.Spec{Name: "dance", Stdout: out.output(), Stderr: tail})
	join(t, ctx, sing, 0)
	join(t, ctx, dance, 0)
	for _, line := range []string{"sing", "dance"} {
		n := 0
		for _, got := range out.lines {
			if got == fmt.Sprint(line, " ", n) {
				n++
			}
		}
		if n != 10 || len(out.lines) != 20 {
			t.Errorf("%d lines of %s, in order, of %d", n, line, len(out.lines))
		}
	}
}

type steps struct {
	Line  string
	Begin *ipc.Barrier // nil: at once
	Times *ipc.Array[int64]
	Slot  int
}

// now is a clock that all processes share.
func now() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

var fiveSteps = supervisor.NewEntry("program.five_steps", func(ctx context.Context, in steps) error {
	in.Times.Set(2*in.Slot, now())
	for n := range 5 {
		fmt.Printf("%s %d\n", in.Line, n)
		if n == 2 && in.Begin != nil {
			if _, err := in.Begin.Wait(ctx); err != nil {
				return err
			}
		}
	}
	in.Times.Set(2*in.Slot+1, now())
	return nil
})

// P4 and P14: joined one by one, their times do not overlap; all started first, they do. No line is torn, though all
// write to one pipe.
func TestSerialAndParallel(t *testing.T) {
	ctx := limited(t)
	for _, parallel := range []bool{false, true} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		times := must[*ipc.Array[int64]](t)(ipc.NewArray[int64]("times", 6))
		defer times.Close()
		in := steps{Times: times}
		if parallel {
			in.Begin = must[*ipc.Barrier](t)(ipc.NewBarrier("all", 3))
			defer in.Begin.Close()
		}
		var all []*supervisor.Process
		for in.Slot = range 3 {
			in.Line = strings.Repeat(string(rune('a'+in.Slot)), 1000)
			p := run(t, fiveSteps, in, supervisor.Spec{Stdout: supervisor.Output{File: w}, Stderr: tail})
			if !parallel {
				join(t, ctx, p, 0)
			}
			all = append(all, p)
		}
		for _, p := range all {
			join(t, ctx, p, 0)
		}
		w.Close()
		checkLines(t, r)
		for a := range 3 {
			for b := range a { // b was started before a
				if overlap := times.Get(2*a) < times.Get(2*b+1); overlap != parallel {
					t.Errorf("parallel %v: %d and %d overlap: %v", parallel, b, a, overlap)
				}
			}
		}
	}
}

func checkLines(t *testing.T, r *os.File) {
	t.Helper()
	buf := make([]byte, 1<<16)
	n := 0
	for {
		k, err := r.Read(buf[n:])
		if n += k; err != nil {
			break
		}
	}
	lines := strings.Split(strings.TrimSpace(string(buf[:n])), "\n")
	for _, line := range lines {
		if len(line) != 1002 || strings.Trim(line[:1000], line[:1]) != "" {
			t.Errorf("a torn line: %q", line)
		}
	}
	if len(lines) != 15 {
		t.Errorf("%d lines, want 15", len(lines))
	}
}

// global is a list that every process has for itself.
var global []int

var writer = supervisor.NewEntry("program.writer", func(context.Context, struct{}) error {
	for n := range 15 {
		global = append(global, n)
	}
	fmt.Println(global)
	return nil
})

var reader = supervisor.NewEntry("program.reader", func(context.Context, struct{}) error {
	fmt.Println(global)
	return nil
})

// P6: no globals are shared.
func TestNoSharedGlobals(t *testing.T) {
	ctx := limited(t)
	var out printed
	for _, e := range []*supervisor.Entry[struct{}]{writer, reader} {
		join(t, ctx, run(t, e, struct{}{}, supervisor.Spec{Stdout: out.output(), Stderr: tail}), 0)
	}
	want := []string{"[0 1 2 3 4 5 6 7 8 9 10 11 12 13 14]", "[]"}
	if !slices.Equal(out.lines, want) || global != nil {
		t.Errorf("printed %q; here: %v", out.lines, global)
	}
}

type onQueue struct {
	Queue *ipc.Queue[int]
	Seen  *ipc.Value[int64]
}

var putsForEver = supervisor.NewEntry("program.puts_for_ever", func(ctx context.Context, in onQueue) error {
	for n := 0; ; n++ {
		if err := in.Queue.Put(context.WithoutCancel(ctx), n); err != nil {
			return err
		}
	}
})

var getsForEver = supervisor.NewEntry("program.gets_for_ever", func(ctx context.Context, in onQueue) error {
	for {
		n, err := in.Queue.Get(context.WithoutCancel(ctx))
		if err != nil {
			return err
		}
		in.Seen.Set(int64(n))
	}
})

// P12: reader and writer on one queue are terminated in the middle of it, deaf as they are. The queue is whole, and a new reader goes on.
func TestTerminatedOnAQueue(t *testing.T) {
	ctx := limited(t)
	in := onQueue{
		Queue: must[*ipc.Queue[int]](t)(ipc.NewQueue[int](ipc.QueueOptions{Items: 100})),
		Seen:  must[*ipc.Value[int64]](t)(ipc.NewValue[int64]("seen", 0)),
	}
	defer in.Queue.Detach()
	defer in.Seen.Close()
	spec := supervisor.Spec{Grace: 2 * time.Second, Stderr: tail}
	w, r := run(t, putsForEver, in, spec), run(t, getsForEver, in, spec)
	until(t, ctx, func() bool { return in.Seen.Get() >= 1000 }, func() string { return fmt.Sprint("items have come: ", in.Seen.Get()) })
	for _, p := range []*supervisor.Process{r, w} {
		if err := p.Terminate(); err != nil {
			t.Error(err)
		}
		join(t, ctx, p, -15)
	}
	last := int64(-1)
	for in.Queue.Len() > 0 {
		n, err := in.Queue.TryGet()
		if err != nil || last >= 0 && int64(n) != last+1 {
			t.Fatalf("after %d: %d, %v", last, n, err)
		}
		last = int64(n)
	}
	if seen := in.Seen.Get(); last < seen {
		t.Errorf("the queue ended with %d, the reader had seen %d", last, seen)
	}
	run(t, getsForEver, in, spec)
	for _, n := range []int{1 << 20, 1<<20 + 1} {
		if err := in.Queue.Put(ctx, n); err != nil {
			t.Fatal(err)
		}
	}
	until(t, ctx, func() bool { return in.Seen.Get() == 1<<20+1 }, func() string { return fmt.Sprint("the new reader has seen ", in.Seen.Get()) })
}

var crashes = supervisor.NewEntry("program.crashes", func(ctx context.Context, in struct {
	How  string
	Gate *ipc.Barrier
}) error {
	if _, err := in.Gate.Wait(ctx); err != nil {
		return err
	}
	switch in.How {
	case "panic":
		panic("now")
	case "kill":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	fmt.Println("still here")
	return nil
})

// P15: a crash reaches neither the parent nor the siblings. (For the master's death see TestKilledMasterLeavesNobody.)
func TestCrashReachesNobody(t *testing.T) {
	ctx := limited(t)
	gate := must[*ipc.Barrier](t)(ipc.NewBarrier("gate", 4))
	defer gate.Close()
	var out printed
	want := map[string]int{"panic": 1, "kill": -9, "well": 0, "well too": 0}
	all := map[string]*supervisor.Process{}
	for how := range want {
		all[how] = run(t, crashes, struct {
			How  string
			Gate *ipc.Barrier
		}{how, gate}, supervisor.Spec{Name: how, Stdout: out.output(), Stderr: tail})
	}
	for how, p := range all {
		join(t, ctx, p, want[how])
	}
	if !slices.Equal(out.lines, []string{"still here", "still here"}) {
		t.Errorf("printed %q", out.lines)
	}
}

var attends = supervisor.NewEntry("program.attends", func(ctx context.Context, in struct {
	Here *ipc.Semaphore
	End  *ipc.Event
}) error {
	return errors.Join(in.Here.Release(), in.End.Wait(ctx))
})

// P16: 200 processes at once.
func TestTwoHundredProcesses(t *testing.T) {
	supervisor.CheckLeaks(t)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // under the race detector, on a busy machine
	t.Cleanup(cancel)
	in := struct {
		Here *ipc.Semaphore
		End  *ipc.Event
	}{must[*ipc.Semaphore](t)(ipc.NewSemaphore(ipc.SemaphoreOptions{})), must[*ipc.Event](t)(ipc.NewEvent("end"))}
	defer in.Here.Close()
	defer in.End.Close()
	var all []*supervisor.Process
	for range 200 {
		all = append(all, run(t, attends, in, supervisor.Spec{Stderr: tail}))
	}
	for n := range all {
		if err := in.Here.Acquire(ctx); err != nil {
			t.Fatalf("%d of %d are here: %v", n, len(all), err)
		}
	}
	if n := len(supervisor.ActiveChildren()); n != 200 || len(slices.Compact(pidsOf(all))) != 200 {
		t.Errorf("%d children", n)
	}
	if err := in.End.Set(); err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		join(t, ctx, p, 0)
	}
	if left := supervisor.ActiveChildren(); len(left) != 0 {
		t.Errorf("%d children are left", len(left))
	}
}
