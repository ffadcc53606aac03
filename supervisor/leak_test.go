package supervisor

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience is the deadline of every wait in these tests: generous, since it only has to end a hang. (Beside the tests of
// another package a process has got no processor for six seconds, and a test has many processes.) Helper programs have half
// of it, so that they can still say what hangs.
var patience = time.Minute

// checkLeaks makes the test fail if, at its end, it has left a child, a descriptor or a goroutine behind. Call
// it first. It compares with the beginning, so nothing else may run beside the test.
func checkLeaks(t testing.TB) {
	t.Helper()
	warmUp()
	fds, goroutines := openFiles(), runtime.NumGoroutine()
	if hasChildren() {
		t.Fatalf("children before the test has begun: %s", describe(ownChildren()))
	}
	t.Cleanup(func() {
		if t.Failed() {
			return // it had no chance to clean up; do not hide the cause
		}
		ok := poll(func() bool { return !hasChildren() })
		if !ok {
			t.Errorf("children left: %s", describe(ownChildren()))
		}
		extra := func() (list []string) {
			for fd, target := range openFiles() {
				if fds[fd] != target {
					list = append(list, fd+" → "+target)
				}
			}
			return list
		}
		if !poll(func() bool { return len(extra()) == 0 }) {
			t.Errorf("descriptors left: %v", extra())
		}
		if !poll(func() bool { return runtime.NumGoroutine() <= goroutines }) {
			buf := make([]byte, 1<<20)
			t.Errorf("goroutines: %d before, %d after:\n%s", goroutines, runtime.NumGoroutine(),
				buf[:runtime.Stack(buf, true)])
		}
		if n := len(ActiveChildren()); n != 0 {
			t.Errorf("%d children still recorded", n)
		}
	})
}

// warmUp makes what is made once and stays: the netpoller's descriptors, the launch thread and the reaper.
func warmUp() {
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
	onLaunchThread(func() {})
	startReaper()
}

func openFiles() map[string]string {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil
	}
	m := map[string]string{}
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && !strings.HasSuffix(target, "/fd") { // not the one that lists
			m[e.Name()] = target
		}
	}
	return m
}

// poll looks until it is true, or patience is at its end. It is for what nobody announces: that a process
// which is not our child has ended, that a thread is gone.
func poll(cond func() bool) bool {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-end:
			return cond()
		}
	}
	return true
}

// eventually fails the test if cond does not become true.
func eventually(t testing.TB, cond func() bool, format string, args ...any) {
	t.Helper()
	if !poll(cond) {
		t.Fatalf("not within %v: %s", patience, fmt.Sprintf(format, args...))
	}
}

// receive waits for a channel.
func receive[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("not within %v: %s", patience, what)
		panic("not reached")
	}
}

// short is a context for one wait.
func short(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// begin starts a process that does not outlive the test.
func begin(t testing.TB, s Spec) *Process {
	t.Helper()
	return beginProgram(t, s)
}

func beginProgram(t testing.TB, program Program) *Process {
	t.Helper()
	p, err := Start(program)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		p.Join(short(t))
		if err := p.Close(); err != nil {
			t.Errorf("close %s: %v", p.Name(), err)
		}
	})
	return p
}

// ended waits for the end of a process and its output.
func ended(t testing.TB, p *Process) Exit {
	t.Helper()
	exit, err := p.Join(short(t))
	if err != nil {
		t.Fatal(err)
	}
	receive(t, p.OutputDone(), "output of "+p.Name())
	return exit
}

// sh is a shell command. Its stderr is kept.
func sh(script string) Spec {
	return Spec{Name: "sh", Path: "sh", Args: []string{"sh", "-c", script}, Stderr: Output{Tail: true}}
}

// lineChan delivers lines to a channel with plenty of room.
func lineChan() (LineFunc, <-chan string) {
	c := make(chan string, 10000)
	return func(b []byte, _ bool) { c <- string(b) }, c
}

// alive tells whether exactly this process still runs; a zombie does not.
func alive(s procStat) bool {
	now, ok := readStat(s.pid)
	return ok && now.start == s.start && now.state != 'Z' && now.state != 'X'
}

// mustStat identifies a process that is certainly there.
func mustStat(t testing.TB, pid int) procStat {
	t.Helper()
	s, ok := readStat(pid)
	if !ok {
		t.Fatalf("no process has pid %d", pid)
	}
	return s
}

// pids reads n lines, each the pid of a process that runs and shall not outlive the test.
func pids(t testing.TB, lines <-chan string, n int) []procStat {
	t.Helper()
	var list []procStat
	for range n {
		var pid int
		line := receive(t, lines, "a line with a pid")
		if _, err := fmt.Sscan(line, &pid); err != nil {
			t.Fatalf("not a pid: %q", line)
		}
		list = append(list, mustStat(t, pid))
	}
	t.Cleanup(func() {
		for _, s := range list {
			s.kill()
		}
	})
	return list
}
