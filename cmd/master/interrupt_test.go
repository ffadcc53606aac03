package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// What master says at the three steps; each is said once however the signals arrive.
var steps = []string{"master: interrupted: finishing ", "master: interrupted: telling ", "master: interrupted: killing "}

// checkSteps checks how often each step was said.
func checkSteps(t *testing.T, text string, want ...int) {
	t.Helper()
	for i, step := range steps {
		if n := strings.Count(text, step); n != want[i] {
			t.Errorf("%q is said %d times, want %d:\n%s", step, n, want[i], text)
		}
	}
}

// alert is the beginning of a script that says so when it hears what only master should.
const alert = `trap "echo heard INT" INT; trap "echo heard HUP" HUP; `

// A person presses Ctrl-C at a terminal.
func TestCtrlC(t *testing.T) {
	t.Run("once", func(t *testing.T) {
		g := newGate(t)
		// Two run, and three wait.
		p, term, results := pressable(t, shell("a", alert+g.script("a")), shell("b", alert+g.script("b")))
		term.press(t, ctrlC)
		p.shows(&term.screen, "finishing 2 running tickets, starting no more; Ctrl-C again ends what runs", 1)
		g.open(t, 2)
		term.leave(p)
		checkSteps(t, term.screen.String(), 1, 0, 0)
		checkScreen(t, term, "held: interrupted; 5 tickets in ", ", 2 ok, 3 cancelled", "  3 cancelled, 3 of them before they began")
		checkRow(t, results()["a"], outcomeOK, 1)
		checkRow(t, results()["b"], outcomeOK, 1)
	})
	t.Run("twice", func(t *testing.T) {
		g := newGate(t)
		told := alert + `trap "echo ends as told; exit 0" TERM; `
		p, term, results := pressable(t, shell("a", told+g.script("a")), shell("b", told+g.script("b")))
		term.press(t, ctrlC)
		p.shows(&term.screen, steps[0], 1)
		term.press(t, ctrlC)
		term.leave(p)
		checkSteps(t, term.screen.String(), 1, 1, 0)
		checkScreen(t, term, "held: interrupted; 5 tickets in ", ", 0 ok, 5 cancelled", "  5 cancelled, 3 of them before they began")
		if n := strings.Count(term.screen.String(), "ends as told"); n != 2 {
			t.Errorf("%d commands were told to end, want 2, once each:\n%s", n, &term.screen)
		}
		checkFailure(t, results()["a"], outcomeCancelled, 1, "cancelled", "")
	})
	t.Run("three times", func(t *testing.T) {
		deaf := "trap '' TERM INT HUP; echo up deaf $$ $PPID; sleep 300; sleep 300"
		p, term, results := pressable(t, shell("a", deaf), shell("b", deaf)) // with a grace of an hour
		for i := range steps {
			term.press(t, ctrlC)
			p.shows(&term.screen, steps[i], 1)
		}
		term.leave(p)
		checkSteps(t, term.screen.String(), 1, 1, 1)
		checkScreen(t, term, "held: interrupted; 5 tickets in ", ", 0 ok, 5 cancelled")
		checkFailure(t, results()["a"], outcomeCancelled, 1, "cancelled", "signal: killed")
	})
	t.Run("SIGTERM", func(t *testing.T) {
		g := newGate(t)
		p, term, _ := pressable(t, shell("a", alert+g.script("a")), shell("b", alert+g.script("b")))
		p.signal(syscall.SIGTERM)
		term.leave(p)
		checkSteps(t, term.screen.String(), 0, 1, 0)
	})
	t.Run("the terminal is closed", func(t *testing.T) {
		g := newGate(t)
		p, term, results := pressable(t, g.ticket("a"), g.ticket("b"))
		term.Close()
		term.leave(p)
		checkFailure(t, results()["a"], outcomeCancelled, 1, "cancelled", "")
	})
	t.Run("Ctrl-\\", func(t *testing.T) { // the way out of the Go runtime: nobody is asked, and nobody is left
		g := newGate(t)
		p, term, _ := pressable(t, g.ticket("a"), g.ticket("b"))
		term.press(t, ctrlBackslash)
		p.waits()
		p.leavesNothing()
	})
}

// pressable runs two given tickets in two workers on a terminal, and three more wait. It returns when the two are up.
func pressable(t *testing.T, a, b ticket) (p *program, term *terminal, results func() map[string]row) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "results")
	job := jobFile(t, "held", a, b, nap("late-1", "1ms"), nap("late-2", "1ms"), nap("late-3", "1ms"))
	p, term = startOnTerminal(t, "-workers", "2", "-job", job, "-results", file, "-grace", "1h")
	p.shows(&term.screen, "up ", 2)
	return p, term, func() map[string]row {
		rows := readResults(t, file)
		for _, id := range []string{"late-1", "late-2", "late-3"} {
			checkNotBegun(t, rows[id], outcomeCancelled)
		}
		return rows
	}
}

// checkScreen checks that lines are on the screen, whole, and that no command or worker heard of the keys.
func checkScreen(t *testing.T, term *terminal, want ...string) {
	t.Helper()
	text := term.screen.String()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("no %q on the screen:\n%s", w, text)
		}
	}
	if strings.Contains(text, "heard") {
		t.Errorf("a command heard what was meant for master:\n%s", text)
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSuffix(line, "\r"); strings.Contains(line, "master:") && !strings.HasPrefix(line, "master:") {
			t.Errorf("a message in the middle of a line: %q", line)
		}
	}
}

// Before any worker is ready there is nothing to finish.
func TestInterruptBeforeReady(t *testing.T) {
	dir := t.TempDir()
	worker, up := filepath.Join(dir, "worker"), filepath.Join(dir, "up")
	if err := os.WriteFile(worker, []byte("#!/bin/sh\necho > "+up+"\nexec sleep 300\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	p := start(t, setup{}, "-workers", "2", "-worker", worker, "-job", jobFile(t, "early", nap("a", "1ms")))
	if !poll(func() bool { _, err := os.Stat(up); return err == nil }) {
		t.Fatal("no worker was started")
	}
	p.signal(syscall.SIGINT)
	p.exits(exitInterrupted)
	if got, want := p.stderr.String(), "master: interrupted before any ticket began\n"; got != want {
		t.Errorf("standard error: %q, want %q", got, want)
	}
}

// While the job is read, a signal has its usual effect, as if master were cat.
func TestInterruptWhileReading(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	p := start(t, setup{before: func(c *exec.Cmd) { c.Stdin = r }}, "-job", "-")
	r.Close()
	if _, err := io.WriteString(w, `{"tickets": [`); err != nil {
		t.Fatal(err)
	}
	awaitInPipe(t, w, "the beginning of the job is read", func(n int) bool { return n == 0 })
	p.signal(syscall.SIGINT)
	p.waits()
	if ws := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signal() != syscall.SIGINT {
		t.Errorf("master ended with %v, want SIGINT\n%s", p.cmd.ProcessState, p.output())
	}
}

// awaitInPipe waits for a number of bytes in a pipe.
func awaitInPipe(t *testing.T, f *os.File, what string, is func(n int) bool) {
	t.Helper()
	n := 0
	if !poll(func() bool {
		control(t, f, func(fd int) (err error) {
			n, err = unix.IoctlGetInt(fd, unix.TIOCINQ)
			return err
		})
		return is(n)
	}) {
		t.Fatalf("waited until %s; there are %d bytes in the pipe", what, n)
	}
}

// What was ignored when master was started stays so: under nohup it outlives its terminal.
func TestIgnoredSignals(t *testing.T) {
	g := newGate(t)
	script := fmt.Sprintf(`trap "" HUP INT; exec %s -workers 1 -job %s`, builtProgram(t, "master"), jobFile(t, "nohup", g.ticket("a")))
	p := start(t, setup{program: "/bin/sh"}, "-c", script)
	p.ups(1)
	p.signal(syscall.SIGHUP)
	p.signal(syscall.SIGINT)
	g.open(t, 1)
	p.exits(exitOK)
	checkSteps(t, p.stderr.String(), 0, 0, 0)
}

// Nobody reads what the tickets print, so nothing goes on. Three signals end it all the same.
func TestInterruptWithFullPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := start(t, setup{before: func(c *exec.Cmd) { c.Stdout = w }}, "-workers", "2", "-job",
		jobFile(t, "full", shell("a", "yes"), shell("b", "yes"), nap("c", "1ms")))
	w.Close()
	last := -1
	awaitInPipe(t, r, "the pipe is full", func(n int) bool { full := n > 60<<10 && n == last; last = n; return full })
	for _, step := range steps {
		p.signal(syscall.SIGINT)
		p.says(step)
	}
	p.exits(exitInterrupted)
	checkSteps(t, p.stderr.String(), 1, 1, 1)
}
