package supervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
)

var entryEnd = NewEntry("test.entry.end", func(ctx context.Context, how string) error {
	switch how {
	case "error":
		return errors.New("no luck today")
	case "code 7":
		return fmt.Errorf("quietly: %w", ExitCode(7))
	case "panic":
		panic("at the disco")
	case "panic elsewhere":
		go panic("in another goroutine")
		select {}
	case "goexit":
		runtime.Goexit()
	case "os.Exit 3":
		os.Exit(3)
	case "kill":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "SIGTERM":
		syscall.Kill(os.Getpid(), syscall.SIGTERM)
		<-ctx.Done()
		return errors.New("this is no failure")
	}
	return nil
})

// SEMANTICS 4: the exit status; what failed is on stderr.
func TestEntryExit(t *testing.T) {
	checkLeaks(t)
	for _, test := range []struct {
		how    string
		status int
		says   string
	}{
		{"well", 0, ""},
		{"error", 1, "test.entry.end: no luck today"},
		{"code 7", 7, ""},
		{"panic", 1, "panic: at the disco|entry_test.go"},
		{"panic elsewhere", 2, "panic: in another goroutine"},
		{"goexit", 1, "Goexit"},
		{"os.Exit 3", 3, ""},
		{"kill", -9, ""},
		{"SIGTERM", -15, ""},
	} {
		p := startEntry(t, entryEnd, test.how)
		exit := ended(t, p)
		said := strings.Join(p.StderrTail(), "\n")
		if exit.Status() != test.status || test.says == "" && said != "" {
			t.Errorf("%s: %v, %q; want %d", test.how, exit, said, test.status)
		}
		for _, word := range strings.Split(test.says, "|") {
			if !strings.Contains(said, word) {
				t.Errorf("%s: %q does not say %q", test.how, said, word)
			}
		}
	}
}

// startEntry starts an entry that does not outlive the test. Its stderr is kept.
func startEntry[A any](t testing.TB, e *Entry[A], arg A, with ...Spec) *Process {
	t.Helper()
	s := Spec{Stderr: Output{Tail: true}}
	if len(with) > 0 {
		s = with[0]
	}
	return beginProgram(t, e.With(arg, s))
}

type entryArgs struct {
	Lock   *ipc.Lock
	Queue  *ipc.Queue[string]
	File   *ipc.File
	Conn   *ipc.Conn
	Text   string
	Nested map[string][]*ipc.Event
}

var entryUses = NewEntry("test.entry.uses", func(ctx context.Context, in entryArgs) error {
	held, err := in.Lock.Acquire(ctx)
	if err != nil {
		return err
	}
	defer held.Release()
	if _, err := in.File.WriteString(in.Text + "\n"); err != nil {
		return err
	}
	return errors.Join(in.Queue.Put(ctx, in.Text), in.Conn.Send(ctx, os.Getpid()), in.Nested["a"][0].Set())
})

// An argument holds what it likes, and one program is started several times: every start has descriptors of its own.
func TestEntryArguments(t *testing.T) {
	checkLeaks(t)
	lock := made(t)(ipc.NewLock(ipc.LockOptions{}))
	queue, err := ipc.NewQueue[string](ipc.QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Detach()
	defer lock.Close()
	event, err := ipc.NewEvent("set")
	if err != nil {
		t.Fatal(err)
	}
	defer event.Close()
	ours, theirs, err := ipc.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	program := entryUses.With(entryArgs{lock, queue, &ipc.File{File: w}, theirs, "hello", map[string][]*ipc.Event{"a": {event}}},
		Spec{Name: "user", Stderr: Output{Tail: true}})
	for range 3 {
		p := beginProgram(t, program)
		var pid int
		if err := ours.Recv(short(t), &pid); err != nil || pid != p.PID() {
			t.Errorf("from the Conn: %d, %v", pid, err)
		}
		if exit := ended(t, p); !exit.Success() || p.Name() != "user" {
			t.Errorf("%s: %v %q", p.Name(), exit, p.StderrTail())
		}
		if s, err := queue.Get(short(t)); s != "hello" || err != nil {
			t.Errorf("from the queue: %q, %v", s, err)
		}
		buf := make([]byte, 6)
		if _, err := r.Read(buf); err != nil || string(buf) != "hello\n" || !event.IsSet() {
			t.Errorf("from the file: %q, %v; event: %v", buf, err, event.IsSet())
		}
	}
	theirs.Close()
	w.Close()
	if _, err := r.Read(make([]byte, 1)); err == nil {
		t.Error("somebody still has the file")
	}
}

func made(t *testing.T) func(*ipc.Lock, error) *ipc.Lock {
	return func(l *ipc.Lock, err error) *ipc.Lock {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
}

var entryBig = NewEntry("test.entry.big", func(_ context.Context, b []byte) error {
	if len(b) != 40<<20 || bytes.Count(b, []byte{7}) != len(b) {
		return fmt.Errorf("%d bytes, %d right", len(b), bytes.Count(b, []byte{7}))
	}
	return nil
})

// A long argument does not hold up Start, and a process that dies before it has read it leaves nothing behind.
func TestEntryWithLongArgument(t *testing.T) {
	checkLeaks(t)
	long := bytes.Repeat([]byte{7}, 40<<20)
	p := startEntry(t, entryBig, long)
	q := startEntry(t, entryBig, long)
	q.Kill()
	if exit := ended(t, p); !exit.Success() {
		t.Errorf("%v %q", exit, p.StderrTail())
	}
	if exit := ended(t, q); exit.Status() != -9 {
		t.Errorf("%v", exit)
	}
}

func TestEntryErrors(t *testing.T) {
	checkLeaks(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	anything := &Entry[any]{name: "test.entry.end"}
	for _, test := range []struct {
		name string
		p    Program
		is   error
		says string
	}{
		{"no value", anything.With(make(chan int)), nil, "start test.entry.end: arguments: "},
		{"no value behind a file", anything.With([]any{&ipc.File{File: r}, make(chan int)}), nil, "arguments: "},
		{"too long", anything.With(make([]byte, 65<<20)), nil, "too large"},
		{"inherits", anything.With("well", Spec{Inherit: w}), nil, "inherit"},
		{"command", anything.With("well", Spec{Command: true}), nil, "no command"},
		{"no program", anything.With("well", Spec{Name: "x", Path: "/no/such/file"}), os.ErrNotExist, "start x: "},
		{"a process", anything.With(begin(t, sh("exit 0"))), ErrNotParent, "arguments: "},
	} {
		p, err := Start(test.p)
		if p != nil || err == nil || !strings.HasPrefix(err.Error(), "supervisor: start ") || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, %v", test.name, p, err)
		}
		if test.is != nil && !errors.Is(err, test.is) {
			t.Errorf("%s: %v is not %v", test.name, err, test.is)
		}
	}
	hooked.Store(false)
	_, err = entryEnd.Start("well")
	hooked.Store(true)
	if !errors.Is(err, ErrNoMain) {
		t.Errorf("without Main: %v", err)
	}
}

// What a program that is not ours, or is another version, finds is on its stderr.
func TestEntryOfAnotherProgram(t *testing.T) {
	checkLeaks(t)
	p := startEntry(t, &Entry[int]{name: "test.entry.none"}, 1)
	exit := ended(t, p)
	if said := strings.Join(p.StderrTail(), "\n"); exit.Status() != exitMisuse || !strings.Contains(said, `none called "test.entry.none"`) {
		t.Errorf("%v %q", exit, said)
	}
	p = startEntry(t, &Entry[int]{name: "test.entry.end"}, 1)
	exit = ended(t, p)
	if said := strings.Join(p.StderrTail(), "\n"); exit.Status() != 1 || !strings.Contains(said, "test.entry.end: arguments: ") {
		t.Errorf("%v %q", exit, said)
	}
}

var entryWhere = NewEntry("test.entry.where", func(context.Context, struct{}) error {
	dir, err := os.Getwd()
	_, variable := os.LookupEnv(workerEnv)
	fmt.Println(dir, os.Getenv("PWD"), os.Getenv("A"), variable)
	return err
})

// Directory and environment are those of the Spec, for an entry too.
func TestEntryEnvironment(t *testing.T) {
	checkLeaks(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		spec Spec
		want string
	}{
		{Spec{}, here + " " + os.Getenv("PWD") + "  false\n"},
		{Spec{Dir: dir}, dir + " " + dir + "  false\n"},
		{Spec{Dir: dir, Env: []string{"A=1", "A=2"}}, dir + "  2 false\n"},
	} {
		var out Capture
		test.spec.Stdout = Output{Capture: &out}
		ended(t, startEntry(t, entryWhere, struct{}{}, test.spec))
		if got := string(out.Bytes()); got != test.want {
			t.Errorf("%+v: %q, want %q", test.spec.Dir, got, test.want)
		}
	}
}

// Names belong to one entry each.
func TestEntryNames(t *testing.T) {
	for _, name := range []string{"", strings.Repeat("x", 256), "test.entry.end"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%.20q was registered", name)
				}
			}()
			NewEntry(name, func(context.Context, int) error { return nil })
		}()
	}
}

var entryMeets = NewEntry("test.entry.meets", func(ctx context.Context, in struct {
	Conn *ipc.Conn
	How  string
}) error {
	switch in.How {
	case "obeys":
	case "deaf":
		ctx = context.Background()
	}
	if err := in.Conn.Send(ctx, os.Getpid()); err != nil {
		return err
	}
	var word string
	return in.Conn.Recv(ctx, &word)
})

// SIGTERM ends the context, and the process by the signal: also when the entry does not listen, within the grace.
func TestEntryIsTerminated(t *testing.T) {
	checkLeaks(t)
	for _, test := range []struct {
		how   string
		end   func(*Process) error
		grace time.Duration
		want  int
	}{
		{"obeys", (*Process).Terminate, patience, -15},
		{"obeys", (*Process).Interrupt, patience, -2},
		{"deaf", (*Process).Terminate, 400 * time.Millisecond, -15},
	} {
		ours, theirs, err := ipc.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer ours.Close()
		p := startEntry(t, entryMeets, struct {
			Conn *ipc.Conn
			How  string
		}{theirs, test.how}, Spec{Grace: test.grace, Stderr: Output{Tail: true}})
		metPID(t, ours)
		theirs.Close()
		if err := test.end(p); err != nil {
			t.Fatal(err)
		}
		if exit := ended(t, p); exit.Status() != test.want || len(p.StderrTail()) != 0 {
			t.Errorf("%s: %v %q, want %d", test.how, exit, p.StderrTail(), test.want)
		}
	}
}

var taskAsEntry = NewTask("test.entry.task", func(ctx context.Context, word string) (*ipc.Lock, error) {
	info := TicketFrom(ctx)
	if word == "fail" {
		return nil, errors.New("no luck today")
	}
	fmt.Println(word, info.ID, info.Attempt, info.Grace)
	return ipc.NewLock(ipc.LockOptions{})
})

// A task is an entry too, and a process tells of what it does not know.
func TestRemoteEntry(t *testing.T) {
	checkLeaks(t)
	lines, c := lineChan()
	how := Spec{Name: "teller", Grace: time.Minute, Stdout: Output{Lines: lines}, Stderr: Output{Tail: true}}
	for _, test := range []struct {
		entry, word, says, told string
		status                  int
	}{
		{taskAsEntry.Name(), "well", "well teller 1 30s", "", 0},
		{taskAsEntry.Name(), "fail", "", "teller: no luck today", 1},
		{"test.no.such", "", "", `this program has none called "test.no.such"`, 100},
	} {
		p := startEntry(t, RemoteEntry[string](test.entry), test.word, how)
		exit := ended(t, p)
		if said := strings.Join(p.StderrTail(), "\n"); exit.Status() != test.status || !strings.Contains(said, test.told) {
			t.Errorf("%s %s: %v, %q; want %d, %q", test.entry, test.word, exit, said, test.status, test.told)
		}
		if test.says != "" {
			if line := receive(t, c, "a line"); line != test.says {
				t.Errorf("printed %q, want %q", line, test.says)
			}
		}
	}
}
