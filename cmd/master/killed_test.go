package main

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// rounds is how often a test that depends on the moment is repeated: scripts/stress.sh asks for more.
func rounds(t *testing.T, otherwise int) int {
	t.Helper()
	text := os.Getenv("MULTIPROC_ROUNDS")
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("MULTIPROC_ROUNDS: found %q; expected a number from 1", text)
	}
	return n
}

// A tally collects how long after the death of its master the last process was gone.
type tally []time.Duration

// soon is what is promised. The promise is about a machine that has time; here others may take it, so single rounds over it
// are counted and only many of them are a failure. Every round has the deadline of leavesNothing, too.
const soon = time.Second

func (all tally) check(t *testing.T) {
	t.Helper()
	slices.Sort(all)
	late := 0
	for _, d := range all {
		if d > soon {
			late++
		}
	}
	t.Logf("nothing is left after: median %v, 99%% %v, max %v; %d of %d over %v",
		all[len(all)/2], all[len(all)*99/100], all[len(all)-1], late, len(all), soon)
	if late > 1+len(all)/20 {
		t.Errorf("in %d of %d rounds something was left for more than %v", late, len(all), soon)
	}
}

// hardToKill are tickets whose processes nobody finds by following parents, groups or sessions alone. They come up when they are so.
func hardToKill() []ticket {
	return []ticket{
		shell("pair", "sleep 300 & echo up pair $$ $PPID; sleep 300"),
		shell("session", `(setsid sh -c "setsid sleep 300 & sleep 300" &); echo up session $$ $PPID; exec sleep 300`),
		shell("deaf", "trap '' TERM INT HUP; echo up deaf $$ $PPID; sleep 300; sleep 300"),
	}
}

// stopped is a ticket that stops its worker.
func stopped() ticket { return shell("stopped", "kill -STOP $PPID; exec sleep 300") }

// upHard waits until those are there, and the worker that one of them stops is stopped.
func (p *program) upHard() {
	p.t.Helper()
	p.prints("up ", 3)
	if !poll(func() bool {
		return slices.ContainsFunc(p.children(), func(c process) bool { return c.state == "T" })
	}) {
		p.t.Fatalf("no worker is stopped: %v", marked(p.mark))
	}
}

// The master is killed at random moments: nobody survives, and the file that was being changed is whole.
//
// Not so a worker that somebody stops in the moment between the master's death and its noticing: then it cannot notice, and nobody is
// left to wake it. A worker that is stopped already is woken by the kernel. So only those rounds have one that begin late.
func TestMasterKilled(t *testing.T) {
	const stock = 500
	for _, c := range []struct {
		name string
		args []string
	}{
		{"its own worker", nil},
		{"another program as worker", []string{"-worker", builtProgram(t, "worker")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var all tally
			sold := 0
			for round := range rounds(t, 8) {
				db := filepath.Join(t.TempDir(), "db.json")
				tickets, late := hardToKill(), round%2 == 1
				if late {
					tickets = append(tickets, stopped())
				}
				job := writeJob(t, map[string]any{
					"name":   "killed",
					"shared": map[string]any{"m": map[string]any{"kind": "lock"}},
					"tickets": append(tickets, ticket{"task": "tickets.buy", "repeat": stock + 100, "attempts": 5, "args": map[string]any{
						"stock": stock, "db": db, "lock": map[string]string{"$shared": "m"}, "max_delay": "2ms", "hold": "100us"}}),
				})
				p := start(t, setup{program: builtProgram(t, "master")}, append([]string{"-workers", "7", "-job", job}, c.args...)...)
				if late { // else while things begin
					p.upHard()
				}
				time.Sleep(rand.N(150 * time.Millisecond)) // not to wait for anything: this is the random moment
				p.kill()
				all = append(all, p.leavesNothing())
				sold += checkBook(t, db, stock)
			}
			all.check(t)
			if sold == 0 {
				t.Error("nothing was sold in any round")
			}
		})
	}
}

// Workers that were stopped before they could say hello.
func TestMasterKilledWithWorkersStoppedAtBirth(t *testing.T) {
	worker := filepath.Join(t.TempDir(), "worker")
	if err := os.WriteFile(worker, []byte("#!/bin/sh\nkill -STOP $$\nexec "+builtProgram(t, "worker")+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	p := start(t, setup{}, "-workers", "3", "-worker", worker, "-job", jobFile(t, "birth", nap("a", "1ms")))
	if !poll(func() bool {
		list := p.children()
		return len(list) == 3 && !slices.ContainsFunc(list, func(c process) bool { return c.state != "T" })
	}) {
		t.Fatalf("not all of 3 workers are stopped: %v", p.children())
	}
	p.kill()
	p.leavesNothing()
}

// Whoever inherits the workers may be of their session (a shell's init in a container, this test): then their groups are not orphaned,
// and the kernel does not wake a stopped one for that.
func TestMasterKilledWithHeirInSession(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	var heirlooms []process
	t.Cleanup(func() { // runs last: all are dead
		unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
		for _, h := range heirlooms {
			syscall.Wait4(h.pid, nil, 0, nil) // an error for those that others have reaped
		}
	})
	p := start(t, setup{}, "-workers", "4", "-job", jobFile(t, "heir", append(hardToKill(), stopped())...))
	p.upHard()
	heirlooms = slices.DeleteFunc(marked(p.mark), func(m process) bool { return m.pid == p.pid() })
	p.kill()
	p.leavesNothing()
}

// When the master runs in the same session as whoever inherits its workers, the kernel does not wake the stopped. The worker of
// an outer master is such an heir, and kills them.
func TestMasterKilledUnderSubreaper(t *testing.T) {
	g := newGate(t)
	inner := jobFile(t, "inner", append(hardToKill(), stopped(), g.ticket("gate"))...)
	master := []string{testBinary(t), "-workers", "5", "-job", inner}
	nested := ticket{"id": "nested", "task": "exec", "attempts": 1,
		"args": map[string]any{"command": master, "env": map[string]string{asMaster: "1"}}}
	p := start(t, setup{}, "-workers", "2", "-job", jobFile(t, "outer", nested, nap("nap", "1ms")))
	at := p.ups(4)
	p.upHardBelow(at[0].worker)
	innerMaster := mustProcess(t, mustProcess(t, at[0].worker).ppid)
	p.killed = time.Now()
	syscall.Kill(innerMaster.pid, syscall.SIGKILL)
	p.exits(exitFailed) // the outer one goes on, and its report says so
	if !strings.Contains(p.stdout.String(), "\nouter: 2 tickets in ") || !strings.Contains(p.stdout.String(), "signal: killed") {
		t.Errorf("the report of the outer master:\n%s", &p.stdout)
	}
	p.leavesNothing()
}

// upHardBelow waits until the sibling of a worker is stopped.
func (p *program) upHardBelow(worker int) {
	p.t.Helper()
	parent := mustProcess(p.t, worker).ppid
	if !poll(func() bool {
		return slices.ContainsFunc(marked(p.mark), func(m process) bool { return m.ppid == parent && m.state == "T" })
	}) {
		p.t.Fatalf("no worker is stopped: %v", marked(p.mark))
	}
}

// A master that a ticket runs does not take itself for a worker, and dies with the outer one.
func TestNestedMaster(t *testing.T) {
	var all tally
	for round := range 4 {
		g := newGate(t)
		inner := jobFile(t, "inner", append(hardToKill(), g.ticket("a"))...)
		if round == 0 {
			inner = jobFile(t, "inner", g.ticket("a"), g.ticket("b"))
		}
		command := []string{testBinary(t), "-workers", "4", "-job", inner}
		outer := jobFile(t, "outer",
			ticket{"id": "nested", "task": "exec", "args": map[string]any{"command": command, "env": map[string]string{asMaster: "1"}}})
		p := start(t, setup{}, "-workers", "2", "-job", outer)
		if round == 0 {
			at := p.ups(2)
			w := mustProcess(t, at[0].worker)
			if m := mustProcess(t, w.ppid); m.ppid == p.pid() || !strings.HasSuffix(w.args, ": inner") {
				t.Errorf("worker %v of the inner master %v of %d", w, m, p.pid())
			}
			g.open(t, 2)
			p.exits(exitOK)
			if n := strings.Count(p.stdout.String(), ", all ok\n"); n != 2 {
				t.Errorf("%d reports, want 2:\n%s", n, &p.stdout)
			}
			continue
		}
		p.ups(4)
		p.kill()
		all = append(all, p.leavesNothing())
	}
	all.check(t)
}

// The directory of a master that was killed is removed by the next start, once it is a minute old.
func TestScratchOfKilledMaster(t *testing.T) {
	tmp := t.TempDir()
	g := newGate(t)
	job := jobFile(t, "scratch", ticket{"id": "x", "task": "exec", "args": map[string]any{
		"command": []any{"sh", "-c", g.script("x") + "; echo > $1", "sh", map[string]string{"$scratch": "file"}}}})
	run := func() *program {
		return start(t, setup{before: func(c *exec.Cmd) { c.Env = append(c.Env, "TMPDIR="+tmp) }}, "-workers", "1", "-job", job)
	}
	first := run()
	first.ups(1)
	first.kill()
	first.leavesNothing()
	left := dirNames(t, tmp)
	if len(left) != 1 {
		t.Fatalf("left: %v", left)
	}
	old := time.Now().Add(-2 * sweepAge)
	if err := os.Chtimes(filepath.Join(tmp, left[0]), old, old); err != nil {
		t.Fatal(err)
	}
	second := run()
	second.ups(1)
	own := dirNames(t, tmp)
	if len(own) != 1 || own[0] == left[0] {
		t.Fatalf("the second start found %v and left %v", left, own)
	}
	if err := os.Chtimes(filepath.Join(tmp, own[0]), old, old); err != nil {
		t.Fatal(err)
	}
	third := run() // finds a directory that is old, but whose master lives
	third.ups(1)
	if got := dirNames(t, tmp); len(got) != 2 || !slices.Contains(got, own[0]) {
		t.Errorf("the third start found %v and left %v", own, got)
	}
	g.open(t, 2)
	second.exits(exitOK)
	third.exits(exitOK)
	if got := dirNames(t, tmp); len(got) != 0 {
		t.Errorf("at the end: %v", got)
	}
}
