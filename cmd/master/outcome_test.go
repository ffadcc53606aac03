package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/supervisor"
)

// moreTasks in the environment adds tasks that end in ways that no stock task does.
const moreTasks = "MULTIPROC_TEST_TASKS"

func init() {
	if os.Getenv(moreTasks) == "" {
		return
	}
	supervisor.NewTask("test.end", func(_ context.Context, in struct{ How string }) (any, error) {
		switch in.How {
		case "panic":
			panic("at the disco")
		case "exit":
			os.Stderr.WriteString("last words\n")
			os.Exit(7)
		case "goexit":
			runtime.Goexit()
		case "error":
			return nil, errors.New("no luck")
		}
		return map[string]any{"none": nil, "big": uint64(1 << 63)}, nil
	})
}

func end(how string) ticket {
	return ticket{"id": how, "task": "test.end", "args": map[string]any{"how": how}}
}

// checkRow checks what must hold for every ticket that began.
func checkRow(t *testing.T, r row, outcome string, attempts int) {
	t.Helper()
	started, err := time.Parse(time.RFC3339Nano, r.Started)
	if err != nil || time.Since(started) < 0 || time.Since(started) > 10*time.Minute || r.Seconds <= 0 || r.Seconds > 60 {
		t.Errorf("%s: started %q, seconds %v", r.ID, r.Started, r.Seconds)
	}
	if r.Outcome != outcome || r.Attempts != attempts || r.Worker < 1 || r.PID < 2 || r.Task == "" {
		t.Errorf("%+v; want %s after %d attempts", r, outcome, attempts)
	}
	if (r.Error == nil) != (outcome == outcomeOK) || (r.Value == nil) != (r.Error != nil) {
		t.Errorf("%s: value %s, error %+v", r.ID, r.Value, r.Error)
	}
}

func checkFailure(t *testing.T, r row, outcome string, attempts int, kind, text string) {
	t.Helper()
	checkRow(t, r, outcome, attempts)
	if r.Error != nil && (r.Error.Kind != kind || !strings.Contains(r.Error.Text, text)) {
		t.Errorf("%s: kind %q, text %q; want %q, %q", r.ID, r.Error.Kind, r.Error.Text, kind, text)
	}
}

// checkNotBegun checks a ticket that no worker has seen.
func checkNotBegun(t *testing.T, r row, outcome string) {
	t.Helper()
	if r.Outcome != outcome || r.Attempts != 0 || r.Worker != 0 || r.PID != 0 || r.Started != "" || r.Seconds != 0 || r.Error == nil || r.Error.Kind != outcome {
		t.Errorf("%+v, %+v; want one that is %s and never ran", r, r.Error, outcome)
	}
}

func TestOutcomes(t *testing.T) {
	results := filepath.Join(t.TempDir(), "results")
	job := jobFile(t, "outcomes",
		end("ok"), end("error").with("attempts", 2), end("panic"), end("exit"), end("goexit"),
		shell("status", "echo out; echo err >&2; exit 3"),
		shell("segv", "kill -SEGV $$"),
		ticket{"id": "missing", "task": "exec", "args": map[string]any{"command": []string{"no-such-program"}}},
		ticket{"id": "arguments", "task": "exec", "attempts": 5, "args": map[string]any{"comand": []string{"true"}}},
		nap("slow", "1h").with("timeout", "50ms").with("attempts", 2),
		shell("deaf", "trap '' TERM; sleep 300; sleep 300").with("timeout", "50ms"),
		shell("suicide", "kill -9 $PPID; sleep 300").with("attempts", 2),
	)
	p := start(t, setup{env: []string{moreTasks + "=1"}}, "-workers", "3", "-job", job, "-results", results, "-grace", "200ms")
	p.exits(exitFailed)
	rows := readResults(t, results)
	if len(rows) != 12 {
		t.Errorf("%d results, want 12", len(rows))
	}

	checkRow(t, rows["ok"], outcomeOK, 1)
	if got := string(rows["ok"].Value); got != `{"big":9223372036854775808,"none":null}` {
		t.Errorf("value %s", got)
	}
	checkFailure(t, rows["error"], outcomeError, 2, "error", "no luck")
	checkFailure(t, rows["panic"], outcomePanic, 1, "panic", "at the disco")
	if e := rows["panic"].Error; !strings.Contains(e.Stack, "outcome_test.go") {
		t.Errorf("stack of the panic: %q", e.Stack)
	}
	checkFailure(t, rows["exit"], outcomeExit, 1, "exit", "exit status 7")
	if e := rows["exit"].Error; e.Exit != "exit status 7" || !slices.Contains(e.Stderr, "last words") || e.PeakMemory == 0 {
		t.Errorf("post-mortem: %+v", e)
	}
	checkFailure(t, rows["goexit"], outcomeError, 1, "goexit", "")
	checkFailure(t, rows["status"], outcomeError, 1, "exit_status", "exit status 3")
	var value struct {
		Exit           int
		Stdout, Stderr string
		PID            int
	}
	if e := rows["status"].Error; true {
		text, _ := json.Marshal(e.Value)
		if err := json.Unmarshal(text, &value); err != nil || value.Exit != 3 || value.Stdout != "out\n" || value.Stderr != "err\n" || value.PID == 0 {
			t.Errorf("value of the error: %s", text)
		}
	}
	checkFailure(t, rows["segv"], outcomeError, 1, "exit_status", "segmentation fault")
	checkFailure(t, rows["missing"], outcomeError, 1, "error", `start no-such-program: `)
	checkFailure(t, rows["arguments"], outcomeError, 1, "arguments", `did you mean "command"?`)
	checkFailure(t, rows["slow"], outcomeTimeout, 2, "timeout", "50ms")
	checkFailure(t, rows["deaf"], outcomeTimeout, 1, "timeout", "50ms")
	checkFailure(t, rows["suicide"], outcomeSignal, 2, "signal", "signal: killed")

	// The report shows some of it.
	for _, want := range []string{
		"\noutcomes: 12 tickets in ", ", 1 ok, 11 failed\n", "\n  1 ok\n", "\n  6 error\n", "\n  2 timeout\n",
		"\nand 6 more like these\n", "\nresults: " + results + "\n",
	} {
		if !strings.Contains(p.stdout.String(), want) {
			t.Errorf("no %q in the report:\n%s", want, &p.stdout)
		}
	}
}

// P13: a worker dies with its ticket. The others go on, it is replaced, and its death is told, or made good.
func TestWorkerKilled(t *testing.T) {
	for _, attempts := range []int{1, 2} {
		g := newGate(t)
		results := filepath.Join(t.TempDir(), "results")
		victim := shell("victim", "echo last words >&2; "+g.script("victim")).with("attempts", attempts)
		job := jobFile(t, "kill", victim, g.ticket("a"), g.ticket("b"), g.ticket("c"), g.ticket("d"))
		p := start(t, setup{}, "-workers", "3", "-job", job, "-results", results, "-log-level", "info")
		p.says("last words")
		killed := named(t, p.ups(3), "victim")
		syscall.Kill(killed.worker, syscall.SIGKILL)
		at := p.ups(4) // the next ticket is there, or the same once more: in another process
		p.leavesNot(killed.command)
		g.open(t, 3+attempts)

		var rows map[string]row
		if attempts == 1 {
			p.exits(exitFailed)
			rows = readResults(t, results)
			r := rows["victim"]
			checkFailure(t, r, outcomeSignal, 1, "signal", "died with ticket victim")
			if r.PID != killed.worker || r.Error.Exit != "signal: killed" || r.Error.PeakMemory < 1<<20 || !slices.Contains(r.Error.Stderr, "last words") {
				t.Errorf("%+v, %+v; want pid %d", r, r.Error, killed.worker)
			}
		} else {
			p.exits(exitOK)
			rows = readResults(t, results)
			again := named(t, at, "victim")
			checkRow(t, rows["victim"], outcomeOK, 2)
			if again.worker == killed.worker || rows["victim"].PID != again.worker {
				t.Errorf("the second attempt ran in %d, the first in %d; the results say %d", again.worker, killed.worker, rows["victim"].PID)
			}
		}
		for _, id := range []string{"a", "b", "c", "d"} {
			checkRow(t, rows[id], outcomeOK, 1)
		}
		if !strings.Contains(p.stdout.String(), ", 1 restart\n") {
			t.Errorf("the report has not 1 restart:\n%s", &p.stdout)
		}
	}
}

// leavesNot waits until a process is gone while master runs.
func (p *program) leavesNot(pid int) {
	p.t.Helper()
	if !poll(func() bool {
		for _, m := range marked(p.mark) {
			if m.pid == pid {
				return false
			}
		}
		return true
	}) {
		p.t.Fatalf("process %d is still there", pid)
	}
}

// A worker program that stops working while the job runs: tickets are lost, and that is told once.
func TestWorkerProgramBreaks(t *testing.T) {
	g := newGate(t)
	dir := t.TempDir()
	worker, broken, results := filepath.Join(dir, "worker"), filepath.Join(dir, "broken"), filepath.Join(dir, "results")
	script := "#!/bin/sh\n[ -e " + broken + " ] && { echo out of order >&2; exit 1; }\nexec " + builtProgram(t, "worker") + "\n"
	if err := os.WriteFile(worker, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	job := jobFile(t, "break", g.ticket("a").with("attempts", 3), nap("b", "1ms"), nap("c", "1ms"))
	p := start(t, setup{}, "-workers", "1", "-job", job, "-results", results, "-worker", worker)
	at := p.ups(1)
	if err := os.WriteFile(broken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	syscall.Kill(at[0].worker, syscall.SIGKILL)
	p.exits(exitFailed)
	rows := readResults(t, results)
	checkFailure(t, rows["a"], outcomeLost, 1, "lost", "out of order")
	checkNotBegun(t, rows["b"], outcomeLost)
	checkNotBegun(t, rows["c"], outcomeLost)
	if text := p.stderr.String(); !strings.Contains(text, "\nmaster: worker does not start: ") || !strings.Contains(text, "out of order") {
		t.Errorf("standard error: %s", text)
	}
}
