package supervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Whole programs, run through Main. Each prints to one pipe, as do its children.

// children of these programs are shells that print to the program's own stdout.
func child(script string, change func(*Spec)) *Process {
	s := sh(script)
	s.Stdout, s.Stderr = Output{Inherit: true}, Output{Inherit: true}
	if change != nil {
		change(&s)
	}
	return helperStart(s)
}

func daemon(s *Spec) { s.Daemon = true }

// whenThere returns a script that goes on when the file is there.
func whenThere(file string) string { return "while ! [ -e " + file + " ]; do sleep 0.01; done; " }

// mainReturned waits until the function given to Main, or the entry, has returned, and its goroutines are waited for.
func mainReturned() {
	check(poll(func() bool {
		waited.mu.Lock()
		defer waited.mu.Unlock()
		return waited.none != nil
	}), "main has not returned")
}

var programs = map[string]func(ctx context.Context, dir string) error{
	// P7: the parent waits for its non-daemonic children.
	"P7": func(_ context.Context, dir string) error {
		child(whenThere(dir+"/ended")+"echo child is done", nil)
		AtExit(func() { fmt.Println("finalizer") })
		fmt.Println("main is done")
		return os.WriteFile(dir+"/ended", nil, 0o600)
	},
	// P8: a daemon is not waited for.
	"P8": func(_ context.Context, dir string) error {
		child("echo is running; touch "+dir+"/running; sleep 300; echo is done", daemon)
		check(poll(func() bool { return exists(dir + "/running") }), "the daemon does not run")
		fmt.Println("main is done")
		return nil
	},
	// P9: daemons stop when main's code ends, even while others run. The other one ends when the daemon is dead.
	"P9": func(_ context.Context, dir string) error {
		p1 := child("echo 123; touch "+dir+"/1; sleep 300; echo end123", daemon)
		child(fmt.Sprintf("echo 456; touch %s/2; while [ -e /proc/%d ]; do sleep 0.01; done; echo end456", dir, p1.PID()), nil)
		check(poll(func() bool { return exists(dir+"/1") && exists(dir+"/2") }), "they do not run")
		fmt.Println("main is done")
		return nil
	},
	"order": func(context.Context, string) error {
		AtExit(func() { fmt.Println("first registered") })
		AtExit(func() { fmt.Println("second registered") })
		pool, err := NewPool(context.Background(), PoolOptions{Workers: 2, Grace: 100 * time.Millisecond})
		if err != nil {
			return err
		}
		AtExit(func() { fmt.Println("pool:", pool.Join(context.Background()), "children:", len(ActiveChildren())) })
		_, err = taskEnd.Submit(context.Background(), pool, "never") // it has no time to end by itself
		return err
	},
	// Supervisors stop their children in reverse start order, down the tree.
	"supervisors": func(_ context.Context, dir string) error {
		says := func(id string) ChildSpec {
			s := sh("trap 'echo " + id + " stops; exit' TERM; touch " + dir + "/" + id + "; while :; do sleep 0.01; done")
			s.Stdout = Output{Inherit: true}
			return ChildSpec{ID: id, Program: s, Ready: Readiness{Check: func(context.Context) error {
				_, err := os.Stat(dir + "/" + id)
				return err
			}}}
		}
		_, err := NewSupervisor(context.Background(), SupervisorOptions{Children: []ChildSpec{
			says("a"), {Tree: &SupervisorOptions{Children: []ChildSpec{says("b"), says("c")}}}, says("d"),
		}})
		AtExit(func() { fmt.Println("children:", len(ActiveChildren())) })
		return err
	},
	"hanging finalizer": func(context.Context, string) error {
		exitGrace = 100 * time.Millisecond
		AtExit(func() { fmt.Println("not reached") })
		AtExit(func() { select {} })
		return ExitCode(3)
	},
	"code":   func(context.Context, string) error { return ExitCode(7) },
	"code 0": func(context.Context, string) error { return fmt.Errorf("all is well: %w", ExitCode(0)) },
	"error":  func(context.Context, string) error { return errors.New("no luck today") },
	"context": func(ctx context.Context, _ string) error {
		AtExit(func() { fmt.Println("context:", ctx.Err()) })
		return nil
	},
	"panic": func(_ context.Context, dir string) error {
		child("touch "+dir+"/running; exec sleep 300", nil)
		pool, err := NewPool(context.Background(), PoolOptions{Workers: 2})
		check(err == nil && pool != nil && poll(func() bool { return exists(dir + "/running") }), "start")
		panic("at the top")
	},
	// P11: a child that loops is terminated.
	"P11": func(_ context.Context, dir string) error {
		p := child("echo loops; touch "+dir+"/loops; while :; do sleep 0.01; done", nil)
		check(poll(func() bool { return exists(dir + "/loops") }), "it does not loop")
		exit, err := p.Stop(context.Background(), 0)
		fmt.Println("exit code", exit.Status())
		return err
	},
	// P10: a daemonic process tries to start a child, in every way it can.
	"P10": func(ctx context.Context, _ string) error {
		pool, err := NewPool(ctx, PoolOptions{Workers: 1})
		if err != nil {
			return err
		}
		text, err := taskStarts.Call(ctx, pool, struct{}{})
		fmt.Println(text)
		return err
	},
	// P17: the process ends when the goroutine that is waited for has ended; the daemon one is cut off.
	"P17": func(context.Context, string) error {
		begun := make(chan struct{})
		GoDaemon(func() {
			fmt.Println("123")
			close(begun)
			select {}
		})
		Go(func() {
			<-begun
			fmt.Println("456")
			mainReturned()
			fmt.Println("end456")
		})
		return nil
	},
	// P17, the confusing one: end123 appears, because the other goroutine runs longer.
	"P17 confusing": func(context.Context, string) error {
		ended := make(chan struct{})
		GoDaemon(func() {
			fmt.Println("123")
			mainReturned()
			fmt.Println("end123")
			close(ended)
		})
		Go(func() {
			fmt.Println("456")
			<-ended
			fmt.Println("end456")
		})
		fmt.Println("main is done")
		return nil
	},
	"goroutines": func(ctx context.Context, _ string) error {
		Go(func() {
			Go(func() {
				defer fmt.Println("context:", ctx.Err())
				mainReturned()
				fmt.Println("nested")
				runtime.Goexit()
			})
		})
		return errors.New("no luck")
	},
	// SIGTERM from outside, to a program with a pool that heeds it.
	"signal": func(ctx context.Context, dir string) error {
		ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
		defer stop()
		pool, err := NewPool(ctx, PoolOptions{Workers: 2})
		if err != nil {
			return err
		}
		f, err := taskWaits.Submit(context.Background(), pool, dir+"/running")
		if err != nil {
			return err
		}
		_, err = f.Get(context.Background())
		return err
	},
}

var taskStarts = NewTask("test.starts", func(ctx context.Context, _ struct{}) (string, error) {
	_, err := Start(Spec{Path: "true"})
	_, poolErr := NewPool(ctx, PoolOptions{Workers: 1})
	return fmt.Sprint(errors.Is(err, ErrDaemonChild), errors.Is(poolErr, ErrDaemonChild), err), nil
})

var taskWaits = NewTask("test.waits", func(ctx context.Context, file string) (int, error) {
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return 0, err
	}
	<-ctx.Done()
	return 0, ctx.Err()
})

var programHelper = helper("program", func(args []string) {
	Main(func(ctx context.Context) error {
		if name, ok := strings.CutPrefix(args[0], inEntry); ok {
			return runInEntry(ctx, name, args[1])
		}
		return programs[args[0]](ctx, args[1])
	})
})

// ran is what a program has printed, and how it ended.
type ran struct {
	out, err string
	exit     Exit
}

// runProgram runs one. Nobody of its may be left when it has ended: that is found by a variable in the environment.
func runProgram(t *testing.T, name string, while func(dir string, p *Process)) ran {
	t.Helper()
	dir := t.TempDir()
	marker := fmt.Sprintf("MULTIPROC_TEST_PROGRAM=%s-%d", strings.ReplaceAll(name, " ", "-"), time.Now().UnixNano())
	s := programHelper.spec(name, dir)
	var out, errs Capture
	s.Env = append(os.Environ(), marker)
	s.Stdout, s.Stderr = Output{Capture: &out}, Output{Capture: &errs}
	p := begin(t, s)
	if while != nil {
		while(dir, p)
	}
	exit := ended(t, p)
	eventually(t, func() bool { return len(marked(marker)) == 0 }, "%s: nobody is left: %v", name, marked(marker))
	return ran{string(out.Bytes()), string(errs.Bytes()), exit}
}

// marked lists the living processes that have a variable in their environment.
func marked(marker string) (list []string) {
	for _, siblings := range allProcesses() {
		for _, s := range siblings {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.pid))
			if err == nil && bytes.Contains(b, []byte(marker)) && s.state != 'Z' {
				list = append(list, describe([]procStat{s}))
			}
		}
	}
	return list
}

type programCase struct {
	name   string
	out    string // lines in any order, unless there is one order
	sorted bool
	err    string // in it
	status int
}

func TestMainPrograms(t *testing.T) {
	for _, c := range []programCase{
		{"P7", "main is done\nchild is done\nfinalizer\n", true, "", 0},
		{"P8", "is running\nmain is done\n", true, "", 0},
		{"P9", "123\n456\nend456\nmain is done\n", false, "", 0},
		{"P11", "loops\nexit code -15\n", false, "", 0},
		{"P10", "true true supervisor: a daemonic process may not start children\n", true, "", 0},
		{"P17", "123\n456\nend456\n", true, "", 0},
		{"P17 confusing", "123\n456\nmain is done\nend123\nend456\n", false, "", 0},
		{"goroutines", "nested\ncontext: <nil>\n", true, "no luck\n", 1},
		{"order", "pool: <nil> children: 0\nsecond registered\nfirst registered\n", true, "", 0},
		{"supervisors", "d stops\nc stops\nb stops\na stops\nchildren: 0\n", true, "", 0},
		{"hanging finalizer", "", true, "finalizers at exit: context deadline exceeded", 3},
		{"code", "", true, "", 7},
		{"code 0", "", true, "", 0},
		{"error", "", true, "no luck today\n", 1},
		{"context", "context: context canceled\n", true, "", 0},
		{"panic", "", true, "panic: at the top", 2},
	} {
		t.Run(c.name, c.test)
	}
}

func (c programCase) test(t *testing.T) {
	checkLeaks(t)
	r := runProgram(t, c.name, nil)
	got, want := strings.SplitAfter(r.out, "\n"), strings.SplitAfter(c.out, "\n")
	if !c.sorted {
		slices.Sort(got)
		slices.Sort(want)
	}
	if strings.Join(got, "") != strings.Join(want, "") {
		t.Errorf("printed %q, want %q", r.out, c.out)
	}
	if r.exit.Status() != c.status || !strings.Contains(r.err, c.err) || c.err == "" && r.err != "" {
		t.Errorf("%v, %q; want %d, %q", r.exit, r.err, c.status, c.err)
	}
}

// inEntry begins the name of a program that is run in the process of an entry.
const inEntry = "entry: "

var entryRuns = NewEntry("test.entry.runs", func(ctx context.Context, in [2]string) error { return programs[in[0]](ctx, in[1]) })

func runInEntry(ctx context.Context, name, dir string) error {
	p, err := entryRuns.Start([2]string{name, dir}, Spec{Name: "inner", Stdout: Output{Inherit: true}, Stderr: Output{Inherit: true}})
	if err != nil {
		return err
	}
	exit, err := p.Join(ctx)
	if err != nil {
		return err
	}
	return ExitCode(exit.Status())
}

// The exit rules of Main hold in the process of an entry too, and it may start what it likes.
func TestEntryPrograms(t *testing.T) {
	for _, c := range []programCase{
		{"P7", "main is done\nchild is done\nfinalizer\n", true, "", 0},
		{"P8", "is running\nmain is done\n", true, "", 0},
		{"P9", "123\n456\nend456\nmain is done\n", false, "", 0},
		{"P11", "loops\nexit code -15\n", false, "", 0},
		{"P10", "true true supervisor: a daemonic process may not start children\n", true, "", 0},
		{"P17", "123\n456\nend456\n", true, "", 0},
		{"order", "pool: <nil> children: 0\nsecond registered\nfirst registered\n", true, "", 0},
		{"hanging finalizer", "", true, "finalizers at exit: context deadline exceeded", 3},
		{"error", "", true, "inner: no luck today\n", 1},
		{"context", "context: context canceled\n", true, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.name = inEntry + c.name
			c.test(t)
		})
	}
}

func TestMainIsTerminated(t *testing.T) {
	checkLeaks(t)
	r := runProgram(t, "signal", func(dir string, p *Process) {
		eventually(t, func() bool { return exists(dir + "/running") }, "the task runs")
		p.Signal(syscall.SIGTERM)
	})
	if r.exit.Status() != 1 || !strings.Contains(r.err, "terminated") {
		t.Errorf("%v, %q", r.exit, r.err)
	}
}

// A program that is started as a worker and does not pass through Main would start its own workers, each of which
// would do the same (PITFALLS 31).
var hooklessHelper = helper("hookless", func([]string) {
	_, err := NewPool(context.Background(), PoolOptions{Workers: 2})
	fmt.Fprintln(os.Stderr, err)
	if _, e := Start(Spec{Path: "true", Command: true}); errors.Is(err, ErrHookMissed) && errors.Is(e, ErrHookMissed) {
		os.Exit(exitMisuse)
	}
})

func TestHookMissedByProgram(t *testing.T) {
	checkLeaks(t)
	o := testOptions(2)
	o.Program, o.Args = "/proc/self/exe", hooklessHelper.spec().Args
	_, err := NewPool(context.Background(), o)
	if !errors.Is(err, ErrRestartLimit) || !strings.Contains(err.Error(), "supervisor.Main was not reached") {
		t.Errorf("%v", err)
	}
}

// The hook's variable is gone in a worker: what a task runs does not take itself for a worker, nor does a process
// that has the variable but not the socket.
func TestHookIsForOneProcess(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	if got, err := taskEnviron.Call(within(t), p, struct{}{}); err != nil || got != "" {
		t.Errorf("a command of a task has %q, %v", got, err)
	}
	t.Setenv(workerEnv, "3:1")
	if parent, err := inherited(); parent != nil || err != nil {
		t.Errorf("%v, %v", parent, err)
	}
	if v, ok := os.LookupEnv(workerEnv); ok {
		t.Errorf("the variable stays: %q", v)
	}
}

var taskEnviron = NewTask("test.environ", func(context.Context, struct{}) (string, error) {
	out, err := exec.Command("sh", "-c", "env | grep ^"+workerEnv+"; :").Output()
	return string(out), err
})
