package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-185a7250/multiproc/ipc"
)

// A family is a process that is no daemon, and what it may start: entries, a command that detaches itself, and a pool
// whose worker has the worst that a task can start.
var entryFamily = NewEntry("test.entry.family", func(ctx context.Context, dir string) error {
	if _, err := entryLeaf.Start(dir+"/leaf", Spec{}); err != nil {
		return err
	}
	if _, err := entryLeaf.Start(dir+"/daemon", Spec{Daemon: true}); err != nil {
		return err
	}
	if _, err := Start(sh("setsid sh -c 'setsid sleep 300 & sleep 300' & sleep 300")); err != nil {
		return err
	}
	pool, err := NewPool(ctx, PoolOptions{Workers: 2})
	if err != nil {
		return err
	}
	if _, err := taskTree.Submit(ctx, pool, dir+"/task"); err != nil {
		return err
	}
	check(poll(func() bool { return exists(dir+"/leaf") && exists(dir+"/daemon") && exists(dir+"/task") }), "the tree does not stand")
	if err := os.WriteFile(dir+"/running", []byte(fmt.Sprint(os.Getpid())), 0o600); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
})

// A leaf ends by no request of its own.
var entryLeaf = NewEntry("test.entry.leaf", func(_ context.Context, file string) error {
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return err
	}
	select {}
})

func init() {
	programs["family"] = func(ctx context.Context, dir string) error {
		if err := SetSubreaper(); err != nil {
			return err
		}
		p, err := entryFamily.Start(dir, Spec{Grace: 2 * patience})
		if err != nil {
			return err
		}
		exit, err := p.Join(ctx)
		fmt.Println("family:", exit.Status(), "children:", hasChildren())
		return err
	}
}

// PITFALLS 12 and 13: with a process goes everybody below it, whoever is killed: the program, or the family in the middle,
// when nobody is left by the time that it can be joined. And when it is asked to end, it ends by that, in time.
func TestFamilyLeavesNobody(t *testing.T) {
	checkLeaks(t)
	for _, test := range []struct {
		sig    syscall.Signal
		middle bool
		out    string
	}{
		{syscall.SIGKILL, false, ""},
		{syscall.SIGKILL, true, "family: -9 children: false\n"},
		{syscall.SIGSEGV, true, "family: 2 children: false\n"},
		{syscall.SIGTERM, true, "family: -15 children: false\n"},
	} {
		r := runProgram(t, "family", func(dir string, p *Process) {
			eventually(t, func() bool { return exists(dir + "/running") }, "the family runs")
			if !test.middle {
				p.Signal(test.sig)
				return
			}
			b, err := os.ReadFile(dir + "/running")
			var pid int
			if _, scanErr := fmt.Sscan(string(b), &pid); err != nil || scanErr != nil {
				t.Fatal(err, scanErr)
			}
			syscall.Kill(pid, test.sig)
		})
		if r.out != test.out {
			t.Errorf("%v, in the middle %v: %q %v %q", test.sig, test.middle, r.out, r.exit, r.err)
		}
	}
}

var entryStarts = NewEntry("test.entry.starts", func(ctx context.Context, in meeting) error {
	_, err := Start(Spec{Path: "true"})
	_, poolErr := NewPool(ctx, PoolOptions{Workers: 1})
	_, entryErr := entryEnd.Start("well")
	s := sh("exit 0")
	s.Command = true
	p, commandErr := Start(s)
	if commandErr != nil {
		return commandErr
	}
	return in.Conn.Send(ctx, fmt.Sprint(errors.Is(err, ErrDaemonChild), errors.Is(poolErr, ErrDaemonChild), errors.Is(entryErr, ErrDaemonChild),
		Current().Daemon, p.Daemon(), " ", entryErr))
})

// SEMANTICS 1 and 2, P10: a daemonic process may not start children, in any way; a command of its is daemonic as it is.
func TestDaemonicEntryStartsNobody(t *testing.T) {
	checkLeaks(t)
	ours, theirs, err := ipc.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	p := startEntry(t, entryStarts, meeting{theirs}, Spec{Daemon: true, Stderr: Output{Tail: true}})
	theirs.Close()
	var got string
	if err := ours.Recv(short(t), &got); err != nil {
		t.Fatalf("%v %q", err, p.StderrTail())
	}
	if want := "true true true true true supervisor: a daemonic process may not start children"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if exit := ended(t, p); !exit.Success() {
		t.Errorf("%v %q", exit, p.StderrTail())
	}
}

var entryReady = NewEntry("test.entry.ready", func(ctx context.Context, in meeting) error {
	var word string
	if err := in.Conn.Recv(ctx, &word); err != nil {
		return err
	}
	for range 3 {
		Ready()
	}
	return in.Conn.Recv(ctx, &word)
})

func TestEntryIsReady(t *testing.T) {
	checkLeaks(t)
	ours, theirs, err := ipc.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	Ready() // does nothing here
	p := startEntry(t, entryReady, meeting{theirs})
	theirs.Close()
	select {
	case <-p.Ready():
		t.Error("ready before it said so")
	default:
	}
	ours.Send(short(t), "on")
	receive(t, p.Ready(), "ready")
	if _, dead := p.Exit(); dead {
		t.Error("it is dead")
	}
	ours.Send(short(t), "off")
	if exit := ended(t, p); !exit.Success() {
		t.Errorf("%v %q", exit, p.StderrTail())
	}
	if begin(t, sh("exit 0")).Ready() != nil {
		t.Error("a command can be ready")
	}
}

// SEMANTICS 9: a child sees that its parent died, before it dies of that itself.
var entrySees = NewEntry("test.entry.sees", func(_ context.Context, in [2]string) error {
	check(os.WriteFile(in[0], nil, 0o600) == nil, "write")
	<-Parent().Done()
	f, err := os.OpenFile(in[1], os.O_WRONLY|os.O_CREATE, 0o600)
	check(err == nil, "%v", err)
	f.WriteString("seen")
	select {}
})

func init() {
	programs["sees"] = func(ctx context.Context, dir string) error {
		if _, err := entrySees.Start([2]string{dir + "/running", dir + "/seen"}); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	}
}

func TestChildSeesParentDie(t *testing.T) {
	checkLeaks(t)
	var file string
	seen := poll(func() bool { // it has only a moment, and may miss it
		runProgram(t, "sees", func(dir string, p *Process) {
			file = dir + "/seen"
			eventually(t, func() bool { return exists(dir + "/running") }, "the child runs")
			p.Signal(syscall.SIGKILL)
		})
		b, _ := os.ReadFile(file)
		return string(b) == "seen"
	})
	if !seen {
		t.Error("no child has seen it")
	}
}

var entryPrints = NewEntry("test.entry.prints", func(_ context.Context, n int) error {
	for range n {
		fmt.Println(strings.Repeat("out ", 1000))
		fmt.Fprintln(os.Stderr, strings.Repeat("err ", 1000))
	}
	return ExitCode(7)
})

// SEMANTICS 11: a child whose stdout and stderr are broken, or closed, still works.
func TestEntryWithBrokenOutput(t *testing.T) {
	checkLeaks(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, f := range []*os.File{w, full, nil} {
		p := startEntry(t, entryPrints, 100, Spec{Stdout: Output{File: f}, Stderr: Output{File: f}})
		if exit := ended(t, p); exit.Status() != 7 {
			t.Errorf("%v: %v", f, exit)
		}
	}
}

var entryCounts = NewEntry("test.entry.counts", func(context.Context, struct{}) error {
	return ExitCode(len(openFiles()))
})

// SEMANTICS 10, for entries: what they have open does not depend on their siblings.
func TestEntryDescriptorsDoNotGrow(t *testing.T) {
	checkLeaks(t)
	count := func() int { return ended(t, startEntry(t, entryCounts, struct{}{})).Status() }
	before := count()
	for range 20 {
		startEntry(t, entryLeaf, "/dev/null", Spec{Stdout: Output{Lines: func([]byte, bool) {}}})
	}
	if after := count(); after != before || before < 4 {
		t.Errorf("%d descriptors with 20 siblings, %d with none", after, before)
	}
}

type greeting struct {
	Name string
	Age  int
}

var entryGreets = NewEntry("test.entry.greets", func(_ context.Context, in struct {
	Position []int
	Named    greeting
}) error {
	fmt.Println(in.Position, in.Named.Name, in.Named.Age)
	return nil
})

// P5: arguments by position and by name. A misspelt name is refused. (Go's compiler does that; this is for what comes from elsewhere.)
func TestEntryArgumentsByName(t *testing.T) {
	checkLeaks(t)
	for _, test := range []struct {
		named       map[string]any
		status      int
		out, stderr string
	}{
		{map[string]any{"name": "bob", "age": 7}, 0, "[1 2] bob 7\n", ""},
		{map[string]any{"nmae": "bob", "age": 7}, 1, "", `unknown field "nmae"; did you mean "name"?`},
	} {
		var out Capture
		p := startEntry(t, &Entry[map[string]any]{name: entryGreets.Name()}, map[string]any{"position": []int{1, 2}, "named": test.named},
			Spec{Stdout: Output{Capture: &out}, Stderr: Output{Tail: true}})
		exit, said := ended(t, p), quote(p.StderrTail())
		if exit.Status() != test.status || string(out.Bytes()) != test.out || !strings.Contains(said, test.stderr) {
			t.Errorf("%v: %v, %q, %q", test.named, exit, out.Bytes(), said)
		}
	}
}

var taskGoes = NewTask("test.goes", func(_ context.Context, in meeting) (int, error) {
	GoDaemon(func() { select {} })
	Go(func() {
		mainReturned()
		in.Conn.Send(context.Background(), "done")
	})
	return os.Getpid(), nil
})

// A worker that is told to stop waits for the goroutines of Go.
func TestWorkerWaitsForGoroutines(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	ours, theirs, err := ipc.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	if _, err := taskGoes.Call(within(t), p, meeting{theirs}); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	var word string
	if err := ours.Recv(within(t), &word); err != nil || word != "done" {
		t.Errorf("%q, %v", word, err)
	}
}

var taskKin = NewTask("test.kin", func(context.Context, struct{}) (string, error) {
	return fmt.Sprint(Current(), " ", Parent().PID(), " ", Parent().Name()), nil
})

// What a worker knows of itself.
func TestWorkerKnowsItself(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	got, err := taskKin.Call(within(t), p, struct{}{})
	pid := p.Status()[0].PID
	if want := fmt.Sprint(ProcessInfo{"worker-1", pid, os.Getpid(), true}, " ", os.Getpid(), " main"); got != want || err != nil {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}
