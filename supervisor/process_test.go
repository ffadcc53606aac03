package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var ctxEnded = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

func TestExitStatus(t *testing.T) {
	checkLeaks(t)
	for _, test := range []struct {
		script string
		status int
		text   string
	}{
		{"exit 0", 0, "exit status 0"},
		{"exit 3", 3, "exit status 3"},
		{"exit 255", 255, "exit status 255"},
		{"kill -TERM $$", -15, "signal: terminated"},
		{"kill -KILL $$", -9, "signal: killed"},
		{"kill -STOP $$ & wait; kill -INT $$", -2, "signal: interrupt"},
	} {
		p := begin(t, sh(test.script))
		if strings.Contains(test.script, "STOP") { // a stop is no end
			eventually(t, func() bool { return mustStat(t, p.PID()).state == 'T' }, "stopped")
			if _, dead := p.Exit(); dead {
				t.Errorf("%q: an exit status before the end", test.script)
			}
			p.Signal(syscall.SIGCONT)
		}
		exit := ended(t, p)
		if exit.Status() != test.status || exit.String() != test.text {
			t.Errorf("%q: %d (%v), want %d (%s)", test.script, exit.Status(), exit, test.status, test.text)
		}
		if again, dead := p.Exit(); !dead || again != exit {
			t.Errorf("%q: Exit says %v, %v", test.script, again, dead)
		}
	}
}

func TestExitOfStolenChild(t *testing.T) {
	checkLeaks(t)
	p := begin(t, sh("exec sleep 300"))
	children.mu.Lock() // keeps the waiter from reaping
	p.Kill()
	if _, err := syscall.Wait4(p.PID(), nil, 0, nil); err != nil {
		t.Error(err)
	}
	children.mu.Unlock()
	if exit := ended(t, p); !exit.Lost || exit.Success() {
		t.Errorf("a child reaped by somebody else: %v", exit)
	}
}

func TestStartErrors(t *testing.T) {
	checkLeaks(t)
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := write("plain", "no program", 0o644)
	script := write("script", "#!/no/such/interpreter\n", 0o755)
	nothing := func([]byte, bool) {}
	for _, test := range []struct {
		name string
		spec Spec
		is   error
		says []string
	}{
		{"no such file", Spec{Path: "/no/such/file"}, fs.ErrNotExist, []string{"supervisor: start file: ", "/no/such/file", "no such file"}},
		{"no such command", Spec{Path: "no-such-command"}, exec.ErrNotFound, []string{`"no-such-command"`, "not found in $PATH"}},
		{"PATH of the child", Spec{Path: "sh", Env: []string{"PATH=" + dir}}, exec.ErrNotFound, []string{`"sh"`}},
		{"not executable", Spec{Path: plain}, fs.ErrPermission, []string{plain, "permission denied"}},
		{"no interpreter", Spec{Path: script}, fs.ErrNotExist, []string{script, "interpreter"}},
		{"no such directory", Spec{Path: "true", Dir: "/no/such/dir"}, fs.ErrNotExist, []string{"working directory", "/no/such/dir"}},
		{"directory is a file", Spec{Path: "true", Dir: plain}, syscall.ENOTDIR, []string{"working directory", plain}},
		{"two outputs", Spec{Path: "true", Stdout: Output{Inherit: true, Lines: nothing}}, nil, []string{"stdout: only one of"}},
		{"piped and missing", Spec{Path: "/no/such/file", Stdout: Output{Lines: nothing}, Stderr: Output{Lines: nothing}}, fs.ErrNotExist, nil},
	} {
		p, err := Start(test.spec)
		if p != nil || err == nil {
			t.Errorf("%s: started", test.name)
			continue
		}
		if test.is != nil && !errors.Is(err, test.is) {
			t.Errorf("%s: %v is not %v", test.name, err, test.is)
		}
		for _, s := range test.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %q does not contain %q", test.name, err, s)
			}
		}
	}
}

func TestEnvironment(t *testing.T) {
	checkLeaks(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.Open("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for _, test := range []struct {
		name, script, want string
		change             func(*Spec)
	}{
		{"stdin is /dev/null", "readlink /proc/self/fd/0; read x || echo end", "/dev/null\nend\n", func(*Spec) {}},
		{"stdin given", "readlink /proc/self/fd/0 | grep -c comm", "1\n", func(s *Spec) { s.Stdin = in }},
		{"directory", "pwd; echo $PWD", dir + "\n" + dir + "\n", func(s *Spec) { s.Dir = dir }},
		{"environment", "echo $A $B", "2\n", func(s *Spec) { s.Env = []string{"PATH=" + os.Getenv("PATH"), "A=1", "A=2"} }},
		{"argv[0]", "echo $0", "sh\n", func(*Spec) {}},
		{"descriptors", "ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 ", func(*Spec) {}}, // 3 is the directory
		{"leads a group", "set -- $(cut -d' ' -f1,5 /proc/$$/stat); [ $1 = $2 ] && echo yes", "yes\n", func(*Spec) {}},
		{"is our child", "echo $PPID", fmt.Sprintln(os.Getpid()), func(*Spec) {}},
	} {
		var stdout Capture
		s := sh(test.script)
		s.Stdout = Output{Capture: &stdout}
		test.change(&s)
		p := begin(t, s)
		if exit := ended(t, p); !exit.Success() {
			t.Errorf("%s: %v %q", test.name, exit, p.StderrTail())
		}
		if got := string(stdout.Bytes()); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestInheritedDescriptor(t *testing.T) {
	checkLeaks(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := sh("echo hello >&3")
	s.Inherit = w
	begin(t, s)
	w.Close()
	var got [64]byte
	r.SetReadDeadline(time.Now().Add(patience))
	if n, err := r.Read(got[:]); string(got[:n]) != "hello\n" {
		t.Errorf("%q, %v", got[:n], err)
	}
}

// A child's descriptors do not depend on how many siblings it has (SEMANTICS 10), and none of theirs leaks
// into it (PITFALLS 12): otherwise end of file would not be seen when one of them dies.
func TestDescriptorsDoNotGrowWithSiblings(t *testing.T) {
	checkLeaks(t)
	count := func() string {
		var stdout Capture
		s := Spec{Path: "ls", Args: []string{"ls", "/proc/self/fd"}}
		s.Stdout = Output{Capture: &stdout}
		ended(t, begin(t, s))
		return string(stdout.Bytes())
	}
	before := count()
	for range 20 {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		s := sh("exec sleep 300")
		s.Inherit, s.Stdout = w, Output{Lines: func([]byte, bool) {}}
		begin(t, s)
		w.Close()
	}
	if after := count(); after != before {
		t.Errorf("%q descriptors with 20 siblings, %q with none", after, before)
	}
}

// PITFALLS 23: one waiter, whose finding is published once, to all.
func TestJoinFromManyGoroutines(t *testing.T) {
	checkLeaks(t)
	stdin, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	s := sh("read x; exit 7")
	s.Stdin = stdin
	p := begin(t, s)
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if exit, err := p.Join(short(t)); err != nil || exit.Status() != 7 {
				t.Errorf("%v, %v", exit, err)
			}
			<-p.Done()
		})
	}
	w.Close() // ends it
	all.Wait()
	if exit, err := p.Join(ctxEnded); err != nil || exit.Status() != 7 {
		t.Errorf("polled after the end: %v, %v", exit, err)
	}
}

func TestJoinWithDeadline(t *testing.T) {
	checkLeaks(t)
	p := begin(t, sh("exec sleep 300"))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := p.Join(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if _, err := p.Join(ctxEnded); !errors.Is(err, context.Canceled) {
		t.Errorf("polled: %v", err)
	}
	if _, dead := p.Exit(); dead {
		t.Error("Join has killed it")
	}
}

func TestChildWithoutOutput(t *testing.T) {
	checkLeaks(t)
	for _, script := range []string{"exec 1>&-; exit 7", "exec 1>&- 2>&-; exit 7", "exec 2>&-; echo x; exit 7"} {
		s := sh(script)
		s.Stdout = Output{Lines: func([]byte, bool) {}}
		if exit := ended(t, begin(t, s)); exit.Status() != 7 {
			t.Errorf("%q: %v", script, exit)
		}
	}
}

func TestDaemonMayNotStartChildren(t *testing.T) {
	checkLeaks(t)
	daemonProcess = true
	defer func() { daemonProcess = false }()
	if _, err := Start(sh("exit 0")); !errors.Is(err, ErrDaemonChild) {
		t.Errorf("%v", err)
	}
	s := sh("exit 0")
	s.Command = true
	ended(t, begin(t, s))
}

func TestHookMissed(t *testing.T) {
	checkLeaks(t)
	t.Setenv(workerEnv, "")
	for _, command := range []bool{false, true} {
		s := sh("exit 0")
		s.Command = command
		if _, err := Start(s); !errors.Is(err, ErrHookMissed) {
			t.Errorf("command %v: %v", command, err)
		}
	}
}

// Nothing grows with the number of processes started, and no thread waits for one that runs.
func TestManyProcesses(t *testing.T) {
	checkLeaks(t)
	const n = 200
	var list []*Process
	before := threads(t)
	for range n {
		s := sh("exec sleep 300")
		s.Stdout = Output{Lines: func([]byte, bool) {}}
		list = append(list, begin(t, s))
	}
	if after := threads(t); after > before+20 {
		t.Errorf("%d threads before, %d with %d children", before, after, n)
	}
	active := ActiveChildren()
	if !slices.Equal(active, list) {
		t.Errorf("%d active children, want %d in order of start", len(active), n)
	}
	var all sync.WaitGroup
	for _, p := range list {
		all.Go(func() { p.Stop(short(t), 0); ended(t, p) })
	}
	all.Wait()
	if after := threads(t); after > before+40 {
		t.Errorf("%d threads before, %d after %d children", before, after, n)
	}
}

func TestStartFromManyGoroutines(t *testing.T) {
	checkLeaks(t)
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			p, err := Start(Spec{Path: "sh", Args: []string{"sh", "-c", fmt.Sprintf("exit %d", i)}})
			if err != nil {
				t.Error(err)
				return
			}
			defer p.Close()
			if exit := ended(t, p); exit.Status() != i {
				t.Errorf("%v, want %d", exit, i)
			}
		})
	}
	all.Wait()
}

func threads(t *testing.T) int {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}

// PITFALLS 33: the death signal belongs to the thread that started the child (golang/go#27505). A child started the
// ordinary way, from a thread that is retired, is the control: without it this test would prove nothing.
func TestDeathSignalWaitsForTheProcess(t *testing.T) {
	checkLeaks(t)
	var list []procStat
	for range 50 {
		list = append(list, mustStat(t, begin(t, sh("exec sleep 300")).PID()))
	}
	control := exec.Command("sleep", "300")
	control.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var tids []int
	for i := range 100 {
		tid := make(chan int)
		go func() {
			runtime.LockOSThread() // and return locked, which ends the thread
			if i == 0 {
				if err := control.Start(); err != nil {
					t.Error(err)
				}
			}
			tid <- unix.Gettid()
		}()
		tids = append(tids, <-tid)
	}
	if control.Process == nil {
		t.FailNow()
	}
	if err := control.Wait(); control.ProcessState.Success() {
		t.Errorf("the control has survived: %v", err)
	}
	for _, tid := range tids {
		if tid != os.Getpid() { // the main thread is parked, not ended
			eventually(t, func() bool { return !exists(fmt.Sprintf("/proc/self/task/%d", tid)) }, "thread %d gone", tid)
		}
	}
	for _, s := range list {
		if !alive(s) {
			t.Errorf("%d has been killed when a thread ended", s.pid)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

var parentHelper = helper("parent", func([]string) {
	for range 3 {
		p, err := Start(sh("exec sleep 300"))
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(p.PID())
	}
	select {}
})

func TestKilledParentTakesChildrenAlong(t *testing.T) {
	checkLeaks(t)
	line, lines := lineChan()
	s := parentHelper.spec()
	s.Stdout = Output{Lines: line}
	p := begin(t, s)
	below := pids(t, lines, 3)
	for _, c := range below {
		if c.ppid != p.PID() {
			t.Errorf("parent of %d is %d, want %d", c.pid, c.ppid, p.PID())
		}
	}
	p.Signal(syscall.SIGKILL)
	ended(t, p)
	for _, c := range below {
		eventually(t, func() bool { return !alive(c) }, "child %d of the killed parent dead", c.pid)
	}
}

// A process that shares our group is alone when it is told to end.
func TestShareGroup(t *testing.T) {
	checkLeaks(t)
	spec := sh("sleep 1000 & echo $!; wait")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	spec.ShareGroup, spec.Stdout = true, Output{File: w}
	p := begin(t, spec)
	w.Close()
	var pid int
	if _, err := fmt.Fscan(r, &pid); err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{p.PID(), pid} {
		if group, err := unix.Getpgid(pid); group != unix.Getpgrp() || err != nil {
			t.Errorf("process %d is in group %d, %v; want %d", pid, group, err, unix.Getpgrp())
		}
	}
	if err := p.Terminate(); err != nil {
		t.Error(err)
	}
	if exit := ended(t, p); exit.Status() != -15 {
		t.Errorf("got %v", exit)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Errorf("its child has ended with it: %v", err)
	}
}
