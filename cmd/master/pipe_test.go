package main

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// piped gives master a pipe as a stream, and the test the other end.
func piped(t *testing.T, into func(*exec.Cmd, *os.File)) (s setup, r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return setup{before: func(c *exec.Cmd) { into(c, w) }}, r, w
}

// Whoever reads what the tickets print goes away: the job ends in good order.
func TestReaderOfStdoutGone(t *testing.T) {
	g := newGate(t)
	s, r, w := piped(t, func(c *exec.Cmd, f *os.File) { c.Stdout = f })
	job := writeJob(t, map[string]any{"name": "gone", "tickets": []ticket{
		g.ticket("a"), shell("b", "echo up b; exec sleep 300"), nap("c", "1ms"),
		{"task": "exec", "args": map[string]any{"command": []any{"true", map[string]string{"$scratch": "there is a directory"}}}},
	}})
	p := start(t, s, "-workers", "2", "-job", job)
	w.Close()
	lines := bufio.NewScanner(r)
	for range 2 {
		if !lines.Scan() {
			t.Fatalf("no second line: %v\n%s", lines.Err(), p.output())
		}
	}
	r.Close()
	g.open(t, 1) // prints a line
	p.exits(exitFailed)
	if got, want := p.stderr.String(), "master: standard output: broken pipe\n"; got != want {
		t.Errorf("standard error: %q, want %q", got, want)
	}
}

// With a real shell, which may run `head` to its end at any moment.
func TestHead(t *testing.T) {
	for range 3 {
		script := builtProgram(t, "master") + " -workers 4 -job " + shippedJob(t, "tickets.json") + " | head -1"
		p := start(t, setup{program: "/bin/sh"}, "-c", script)
		p.exits(0) // of head
		if n := strings.Count(p.stdout.String(), "\n"); n != 1 {
			t.Errorf("%d lines, want 1\n%s", n, p.output())
		}
	}
}

// A log that cannot be written is no reason to end.
func TestReaderOfStderrGone(t *testing.T) {
	s, r, w := piped(t, func(c *exec.Cmd, f *os.File) { c.Stderr = f })
	r.Close()
	p := start(t, s, "-workers", "2", "-log-level", "trace", "-job", jobFile(t, "deaf", shell("a", "echo a >&2"), shell("b", "kill -9 $PPID").with("attempts", 2)))
	w.Close()
	p.exits(exitFailed)
	if !strings.Contains(p.stdout.String(), ", 1 ok, 1 failed") {
		t.Errorf("printed:\n%s", &p.stdout)
	}
}

func TestClosedStreams(t *testing.T) {
	for _, closed := range []string{"<&-", ">&-", "2>&-", "<&- >&- 2>&-"} {
		script := builtProgram(t, "master") + " -workers 2 -job " + jobFile(t, "closed", shell("a", "echo a; echo b >&2; cat")) + " " + closed
		p := start(t, setup{program: "/bin/sh"}, "-c", script)
		p.exits(exitOK)
		if got := strings.Contains(p.stdout.String(), "1 ticket in "); got != !strings.Contains(" "+closed, " >&-") {
			t.Errorf("with %s the report is printed: %v\n%s", closed, got, p.output())
		}
	}
}
