package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/supervisor"
)

// proc is a process that runs a shell script.
func proc(name, script string) ticket {
	return ticket{"name": name, "command": []any{"sh", "-c", script}}
}

// processJob writes a job with processes called p, and tickets.
func processJob(t *testing.T, processes []ticket, tickets ...ticket) string {
	t.Helper()
	job := map[string]any{"name": "p", "processes": processes}
	if tickets != nil {
		job["tickets"] = tickets
	}
	return writeJob(t, job)
}

func (p *program) reports(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		if !strings.Contains(p.stdout.String(), text) {
			p.t.Errorf("no %q in the report\n%s", text, p.output())
		}
	}
}

func TestProcessReport(t *testing.T) {
	s := &Summary{Job: "shop", Elapsed: 2 * time.Second, Processes: []ProcessSummary{
		{Name: "web", PID: 4711, Restarts: 2, Ended: "signal: terminated", Told: true},
		{Name: "never", Told: true},
		{Name: "producer-1", PID: 4712, Ended: "exit status 3", Failed: true, Stderr: []string{"oops\x1b"}},
		{Name: "crash", PID: 4713, Restarts: 5, Ended: "signal: killed", Failed: true, GaveUp: true},
	}}
	table := `  process     restarts      pid  ended
  web                2     4711  signal: terminated, told to end
  never              0        -  told to end
  producer-1         0     4712  exit status 3
  crash              5     4713  signal: killed, given up

process producer-1: exit status 3 (pid 4712)
  last lines of its standard error:
    oops?

process crash: signal: killed, given up after 5 restarts, the last (pid 4713)
`
	checkReport(t, s, "\nshop: 4 processes in 2.00 s, 2 failed\n\n"+table)
	if s.ExitStatus() != exitFailed {
		t.Errorf("exit status %d", s.ExitStatus())
	}
	s.Tickets = 1
	s.Add(Record{Outcome: outcomeOK, Attempts: 1, Worker: 1, PID: 1, Elapsed: time.Second})
	s.Seat(1, []int{1}, 1)
	checkReport(t, s, `
shop: 1 ticket in 2.00 s, all ok; 4 processes, 2 failed

  1 ok

  1 attempt, 0 restarts

  worker  tickets          busy  pid
       1        1        1.00 s  1

`+table)
	s.Processes = s.Processes[:2]
	if s.ExitStatus() != exitOK {
		t.Errorf("exit status %d", s.ExitStatus())
	}
}

// What ends as it should not makes the job fail, and the report says which, how and its last words. Nobody else minds.
func TestProcessFails(t *testing.T) {
	results := filepath.Join(t.TempDir(), "results")
	p := start(t, setup{}, "-workers", "1", "-results", results, "-job", processJob(t, []ticket{
		proc("status", "echo oops >&2; exit 3"),
		proc("killed", "kill -9 $$"),
		{"name": "missing", "command": []string{"no-such-program"}},
		{"name": "args", "task": "print", "args": map[string]any{"lins": []string{"a"}}},
		proc("often", "exit 7").with("restart", "transient"),
		proc("again", "echo x >> $0; [ $(wc -l < $0) = 3 ]").with("restart", "transient"),
		proc("good", "echo good $A; pwd").with("env", map[string]any{"A": "morning"}).with("dir", "/usr"),
	}, nap("nap", "1ms")))
	p.exits(exitFailed)
	for name, how := range map[string]string{
		"status": "exit status 3", "killed": "exit status 137", "missing": "exit status 1", "args": "exit status 1",
		"often": "exit status 7, given up", "good": "exit status 0",
	} {
		p.tells(name, how)
	}
	p.reports("; 7 processes, 5 failed\n", "good morning\n/usr\n", "    oops\n", "    sh: signal: killed\n", `start no-such-program: `,
		"unknown field \"lins\"; did you mean \"lines\"?", "\nprocess often: exit status 7, given up after 5 restarts, the last (pid ")
	checkRow(t, readResults(t, results)["nap"], outcomeOK, 1)
	if want := "[ERROR] master: process ends too often, and is given up: process=often end=\"exit status 7\"\n"; !strings.Contains(p.stderr.String(), want) {
		t.Errorf("standard error: %s, want %s", &p.stderr, want)
	}
}

// A transient process is started again until it ends well; a permanent one that somebody kills too, and what it had begun dies
// with it. ps shows their names.
func TestProcessIsRestarted(t *testing.T) {
	g := newGate(t)
	file := map[string]string{"$scratch": "lines"}
	p := start(t, setup{}, "-workers", "1", "-job", processJob(t, []ticket{
		{"name": "again", "restart": "transient", "command": []any{"sh", "-c", "echo x >> $0; [ $(wc -l < $0) = 3 ]", file}},
		proc("web", `(setsid sleep 300 &); echo web $$ $PPID; exec sleep 300`).with("restart", "permanent").with("daemon", true).with("count", 2),
	}, g.ticket("gate")))
	p.prints("web ", 2)
	first := p.childNamed("web-1: p")
	if !poll(func() bool { return count300(p) == 4 }) {
		t.Errorf("two of each are there, and not %d: %v", count300(p), marked(p.mark))
	}
	for _, c := range marked(p.mark) {
		if above, _ := readProcess(c.ppid); c.args == "sleep 300" && !strings.HasPrefix(above.args, "web-") {
			t.Errorf("%v is not below its process", c)
		}
	}
	syscall.Kill(first.pid, syscall.SIGKILL)
	p.prints("web ", 3)
	if second := p.childNamed("web-1: p"); second.pid == first.pid || second.ppid != p.pid() || second.comm != "web-1" {
		t.Errorf("%+v after %+v", second, first)
	}
	if !poll(func() bool { return count300(p) == 4 }) {
		t.Errorf("two of each are left, and not %d: %v", count300(p), marked(p.mark))
	}
	p.says("process=web-1")
	g.open(t, 1)
	p.exits(exitOK)
	p.tells("again", "exit status 0")
	p.tells("web-1", asTold)
	p.tells("web-2", asTold)
	p.reports("; 3 processes, all ok\n", "  again           2  ", "  web-1           1  ", "  web-2           0  ")
}

// count300 counts the commands that a web has started.
func count300(p *program) (n int) {
	for _, c := range marked(p.mark) {
		if c.args == "sleep 300" {
			n++
		}
	}
	return n
}

// What a process has left behind dies with it, and everything with a master that is killed.
func TestProcessLeavesNobody(t *testing.T) {
	g := newGate(t)
	p := start(t, setup{}, "-workers", "1", "-job", processJob(t, []ticket{
		proc("fork", `setsid sleep 300 >/dev/null 2>&1 & echo forked`),
		proc("stays", `trap "" TERM; (setsid sh -c "trap '' TERM HUP; sleep 300" &); sleep 300; sleep 300`),
	}, g.ticket("gate")))
	p.prints("forked", 1)
	p.childGone("fork: p")
	p.ups(1)
	if !poll(func() bool { return count300(p) == 2 }) {
		t.Errorf("what fork has left is not gone: %v", marked(p.mark))
	}
	p.kill()
	p.leavesNothing()
}

// Ctrl-C once: who runs finishes, and is not started again. Daemons are told to end after that.
func TestCtrlCWithProcesses(t *testing.T) {
	for _, tickets := range []int{0, 1} {
		g := newGate(t)
		var list []ticket
		if tickets > 0 {
			list = []ticket{g.ticket("ticket")}
		}
		p := start(t, setup{}, "-workers", "1", "-job", processJob(t, []ticket{
			proc("awaited", g.script("awaited")).with("restart", "permanent"),
			proc("often", "exit 1").with("restart", "transient"),
			proc("second", g.script("second")),
		}, list...))
		p.ups(2 + tickets)
		p.says("process=often end=") // it is given up
		p.signal(syscall.SIGINT)
		p.says([]string{"finishing 2 processes, starting no more;", "finishing 1 running ticket and 2 processes, starting no more;"}[tickets])
		g.open(t, 2+tickets)
		p.exits(exitInterrupted)
		p.tells("awaited", "exit status 0")
		p.reports("\np: interrupted; ", "  awaited         0  ")
		checkSteps(t, p.stderr.String(), 1, 0, 0)
	}
}

// Twice: all are told to end; three times: they are killed.
func TestCtrlCTwiceWithProcesses(t *testing.T) {
	t.Run("twice", func(t *testing.T) {
		p := start(t, setup{}, "-grace", "1h", "-job", processJob(t, []ticket{
			proc("heeds", `trap "echo ends as told; exit 0" TERM; echo up; while :; do sleep 0.01; done`),
			{"name": "task", "task": "print", "args": map[string]any{"lines": []string{"up"}, "endless": true, "every": "1h"}},
		}))
		p.prints("up", 2)
		p.signal(syscall.SIGINT)
		p.says(steps[0])
		p.signal(syscall.SIGINT)
		p.exits(exitInterrupted)
		p.tells("heeds", asTold)
		p.tells("task", asTold)
		p.reports("ends as told\n", "\np: interrupted; 2 processes in ", ", all ok\n")
		checkSteps(t, p.stderr.String(), 1, 1, 0)
	})
	t.Run("three times", func(t *testing.T) {
		p := start(t, setup{}, "-grace", "1h", "-job", processJob(t, []ticket{
			proc("deaf", `trap "" TERM INT; echo up; sleep 300; sleep 300`),
		}))
		p.prints("up", 1)
		for _, step := range steps {
			p.signal(syscall.SIGINT)
			p.says(step)
		}
		p.exits(exitInterrupted)
		p.tells("deaf", "signal: killed, told to end")
	})
	t.Run("grace", func(t *testing.T) {
		p := start(t, setup{}, "-grace", "200ms", "-job", processJob(t, []ticket{
			proc("deaf", `trap "" TERM INT; echo up; sleep 300; sleep 300`),
		}))
		p.prints("up", 1)
		p.signal(syscall.SIGTERM)
		p.exits(exitInterrupted)
		p.reports(", told to end\n") // it had killed its command, or was killed with it
	})
}

// Nobody reads what the processes print: that ends them, as SIGPIPE would.
func TestProcessesWithBrokenPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, setup{before: func(c *exec.Cmd) { c.Stdout = w }}, "-job", processJob(t, []ticket{
		{"name": "endless", "restart": "permanent", "task": "print", "args": map[string]any{"lines": []string{"tick"}, "endless": true, "every": "1ms"}},
		proc("silent", "exec sleep 300"),
	}))
	w.Close()
	if _, err := r.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	r.Close()
	p.exits(exitFailed)
	if got, want := p.stderr.String(), "master: standard output: broken pipe\n"; got != want {
		t.Errorf("standard error: %q, want %q", got, want)
	}
}

// What cannot be started is told before any ticket, and nothing runs on.
func TestProcessIsRefused(t *testing.T) {
	for _, c := range []struct {
		bad    ticket
		status int
		want   string
	}{
		{proc("b", "true").with("dir", "/no/such"), exitFailed, "master: process b: working directory: stat /no/such: no such file or directory\n"},
		{ticket{"name": "b", "task": "pront"}, exitUsage, `: unknown task "pront"; expected `},
	} {
		p := start(t, setup{}, "-workers", "1", "-job", processJob(t, []ticket{proc("a", "exec sleep 300"), c.bad}, shell("t", "echo ran")))
		p.exits(c.status)
		if !strings.Contains(p.stderr.String(), c.want) || p.stdout.String() != "" {
			t.Errorf("want %s\n%s", c.want, p.output())
		}
	}
}

func init() {
	if os.Getenv(moreTasks) == "" {
		return
	}
	supervisor.NewEntry("test.entry", func(_ context.Context, in struct{ Say string }) error {
		fmt.Println(in.Say, supervisor.Current().Name)
		return supervisor.ExitCode(len(in.Say))
	})
}

// Tasks and entries are those of the worker program, and commands need none.
func TestProcessesOfAnotherProgram(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(builtProgram(t, "worker"), filepath.Join(dir, "w")); err != nil {
		t.Fatal(err)
	}
	job := processJob(t, []ticket{
		{"name": "task", "task": "print", "args": map[string]any{"lines": []string{"by task"}}, "dir": "/usr"},
		{"name": "entry", "entry": "test.entry", "args": map[string]any{"say": "abc"}},
		proc("command", "echo by command"),
	})
	p := start(t, setup{dir: dir}, "-worker", "./w", "-job", job)
	p.exits(exitFailed)
	p.tells("entry", "exit status 100")
	p.reports("by task\n", "by command\n", `this program has none called "test.entry"`)
	p = start(t, setup{env: []string{moreTasks + "=1"}}, "-job", job)
	p.exits(exitFailed)
	p.tells("entry", "exit status 3")
	p.reports("by task\n", "by command\n", "abc entry\n")
}

// Processes that wait for each other's locks are told by their names.
func TestDeadlockOfProcesses(t *testing.T) {
	locks := func(a, b string) map[string]any {
		both := []any{map[string]string{"$shared": a}, map[string]string{"$shared": b}}
		return map[string]any{"lock": both, "between": map[string]string{"$shared": "meet"}, "command": []string{"true"}}
	}
	p := start(t, setup{}, "-job", writeJob(t, map[string]any{
		"shared": map[string]any{"a": map[string]any{"kind": "lock"}, "b": map[string]any{"kind": "lock"}, "meet": map[string]any{"kind": "barrier", "parties": 2}},
		"processes": []ticket{
			{"name": "left", "task": "lock.exec", "args": locks("a", "b")},
			{"name": "right", "task": "lock.exec", "args": locks("b", "a")},
		},
	}))
	p.says("master: deadlock, nobody here can go on: process ")
	for _, who := range []string{"process left (pid ", "process right (pid "} {
		p.says(who)
	}
	p.signal(syscall.SIGTERM)
	p.exits(exitInterrupted)
}
