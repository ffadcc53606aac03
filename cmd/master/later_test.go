package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/supervisor"
)

// A4, S12: tickets run once, when their time has come, in that order, whatever the order of the file.
func TestLaterJob(t *testing.T) {
	begin := time.Now()
	p, rows := runShipped(t, 1, "later.json")
	var order []string
	for line := range strings.Lines(p.stdout.String()) {
		if id, rest, _ := strings.Cut(line, ": pid "); rest != "" {
			order = append(order, id)
		}
	}
	if want := []string{"now", "first", "second", "third"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v\n%s", order, want, &p.stdout)
	}
	for id, delay := range map[string]time.Duration{"first": 300, "second": 600, "third": 900} {
		started, err := time.Parse(time.RFC3339Nano, rows[id].Started)
		if after := started.Sub(begin); err != nil || after < delay*time.Millisecond {
			t.Errorf("%s began after %v, %v", id, after, err)
		}
	}
}

// S12: a timer that is cancelled before never runs.
func TestLaterIsCancelled(t *testing.T) {
	g := newGate(t)
	results := filepath.Join(t.TempDir(), "results")
	job := jobFile(t, "timer", nap("later", "1ms").with("delay", "1h"), g.ticket("now"))
	p := start(t, setup{}, "-workers", "2", "-job", job, "-results", results)
	p.ups(1) // so the one before is submitted
	p.signal(syscall.SIGINT)
	p.says(steps[0])
	g.open(t, 1)
	p.exits(exitInterrupted)
	rows := readResults(t, results)
	checkNotBegun(t, rows["later"], outcomeCancelled)
	checkRow(t, rows["now"], outcomeOK, 1)
}

// submitted runs the tickets of a job file in one worker, and returns their results when all that wait have been submitted and
// then has returned.
func submitted(t *testing.T, text string, out io.Writer, then func()) (all []supervisor.Result) {
	t.Helper()
	pool, err := supervisor.NewPool(t.Context(), supervisor.PoolOptions{Workers: 1, Stdout: out})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var waiting []*supervisor.Pending
	r := run{pool: pool, job: mustRead(t, text)}
	for k := range r.job.Tickets() {
		pending, err := r.submit(k)
		if err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, pending)
	}
	then()
	for _, pending := range waiting {
		result, err := pending.Result(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, result)
	}
	return all
}

func TestPriority(t *testing.T) {
	g := newGate(t)
	var out stream
	all := submitted(t, `{"tickets": [
		{"id": "gate", "task": "exec", "args": {"command": ["sh", "-c", "read x < `+g.path+`"]}},
		{"id": "low", "task": "print", "priority": -1, "args": {"lines": ["low"]}},
		{"id": "usual", "task": "print", "repeat": 2, "args": {"lines": ["usual"]}},
		{"id": "high", "task": "print", "priority": 7, "args": {"lines": ["high"]}}]}`,
		&out, func() { g.open(t, 1) })
	pid := all[0].PID
	want := fmt.Sprintf("high: pid %[1]d high\nusual-1: pid %[1]d usual\nusual-2: pid %[1]d usual\nlow: pid %[1]d low\n", pid)
	if !poll(func() bool { return out.String() == want }) { // a line may be later than its result
		t.Errorf("printed %q, want %q", &out, want)
	}
}

func TestBackoff(t *testing.T) {
	begin := time.Now()
	r := submitted(t, `{"tickets": [{"task": "exec", "attempts": 3, "backoff": "50ms", "args": {"command": ["false"]}}]}`, io.Discard, func() {})[0]
	if after := r.Started.Sub(begin); r.Attempts != 3 || after < 150*time.Millisecond {
		t.Errorf("%d attempts, the last after %v; want 3, the last 50 + 100 ms after the first", r.Attempts, after)
	}
}

// What a pool can say of a ticket has its line in the report.
func TestMemoryIsAnOutcome(t *testing.T) {
	rec := recordOf(supervisor.Result{ID: "big", Outcome: supervisor.OutcomeMemory, Attempts: 1, Worker: 1, PID: 7,
		Err: &supervisor.WorkerDiedError{Worker: 1, PID: 7, Ticket: "big", PeakMemory: 1 << 30}})
	s := &Summary{Job: "x", Tickets: 1}
	s.Add(rec)
	var b strings.Builder
	report(&b, s)
	if rec.Failure.Kind != outcomeMemory || !strings.Contains(b.String(), "\n  1 memory\n") {
		t.Errorf("%+v\n%s", rec.Failure, &b)
	}
}
