package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The job files of scripts/jobs that have processes, or are the tutorials' programs about them, each run as a person runs it.

var saidLine = regexp.MustCompile(`^(\S+): pid (\d+) (.+)$`)

// A said is a line that a task has printed.
type said struct {
	who, pid, what string
}

// saids are those lines, in order.
func (p *program) saids() (list []said) {
	for line := range strings.Lines(p.stdout.String()) {
		if m := saidLine.FindStringSubmatch(strings.TrimSuffix(line, "\n")); m != nil {
			list = append(list, said{m[1], m[2], m[3]})
		}
	}
	return list
}

func says(list []said, who string) (all []string) {
	for _, s := range list {
		if s.who == who {
			all = append(all, s.what)
		}
	}
	return all
}

// tells checks the line of a process in the report.
func (p *program) tells(name, how string) {
	p.t.Helper()
	line := regexp.MustCompile(`(?m)^  ` + regexp.QuoteMeta(name) + ` +\d+ +(\d+|-)  ` + regexp.QuoteMeta(how) + `$`)
	if !line.MatchString(p.stdout.String()) {
		p.t.Errorf("the report does not say that %s ended by %q\n%s", name, how, p.output())
	}
}

const asTold = "signal: terminated, told to end"

// P3: both are on the stage before the first line and after the last, in two processes.
func TestSingJob(t *testing.T) {
	p, _ := runShipped(t, 4, "sing.json")
	all := p.saids()
	pids := map[string]bool{}
	for _, s := range all {
		pids[s.pid] = true
	}
	if len(all) != 20 || len(says(all, "sing")) != 10 || len(says(all, "dance")) != 10 || len(pids) != 2 {
		t.Errorf("%d lines of %d processes\n%s", len(all), len(pids), p.output())
	}
	for _, want := range []string{"\nsing: 2 processes in ", ", all ok\n"} {
		if !strings.Contains(p.stdout.String(), want) {
			t.Errorf("no %q in the report\n%s", want, p.output())
		}
	}
	if strings.Contains(p.stdout.String(), "worker") || strings.Contains(p.stdout.String(), "attempt") {
		t.Errorf("the report tells of tickets\n%s", p.output())
	}
	p.tells("sing", "exit status 0")
	p.tells("dance", "exit status 0")
}

// P4, P14: a and b are at work together, which their barriers prove; with one worker, c is over before d begins. No line is in
// another one.
func TestJoinJob(t *testing.T) {
	p, rows := runShipped(t, 1, "join.json")
	all := p.saids()
	steps := []string{"step 1", "step 2", "step 3", "step 4", "step 5"}
	if len(all) != 14 || !slices.Equal(says(all, "a"), steps) || !slices.Equal(says(all, "b"), steps) {
		t.Errorf("printed:\n%s", p.output())
	}
	var serial []string
	for _, s := range all {
		if s.who == "c" || s.who == "d" { // they have one pipe, so that their lines come in order
			serial = append(serial, s.who+" "+s.what)
		}
	}
	if want := []string{"c begins", "c ends", "d begins", "d ends"}; !slices.Equal(serial, want) {
		t.Errorf("%q, want %q", serial, want)
	}
	checkRow(t, rows["c"], outcomeOK, 1)
	checkRow(t, rows["d"], outcomeOK, 1)
}

// P9: the daemon ends with the tickets, though another process still runs; that one is awaited.
func TestDaemonsJob(t *testing.T) {
	p, _ := runShipped(t, 1, "daemons.json")
	lines := strings.Split(p.stdout.String(), "\n")
	for line, want := range map[string]bool{"456": true, "end456": true, "end123": false} {
		if slices.Contains(lines, line) != want {
			t.Errorf("%s is printed: %v\n%s", line, !want, p.output())
		}
	}
	p.tells("p1", asTold)
	p.tells("p2", "exit status 0")
}

// P8: with nothing to wait for, a daemon has hardly begun.
func TestDaemonAlone(t *testing.T) {
	p := start(t, setup{}, "-job", writeJob(t, map[string]any{"processes": []ticket{{"name": "d", "daemon": true, "task": "print",
		"args": map[string]any{"lines": []string{"is running", "is done"}, "every": "1m"}}}}))
	p.exits(exitOK)
	if strings.Contains(p.stdout.String(), "is done") {
		t.Error(p.output())
	}
	p.tells("d", asTold)
}

// P11, P12: a reader and a writer without an end are terminated with the last ticket.
func TestTerminateJob(t *testing.T) {
	p, _ := runShipped(t, 1, "terminate.json")
	got := says(p.saids(), "reader")
	for i, item := range got {
		if want := []string{`got "tick"`, `got "tock"`}[i%2]; item != want {
			t.Fatalf("item %d: %s, want %s", i+1, item, want)
		}
	}
	p.tells("writer", asTold)
	p.tells("reader", asTold)
}

// P12: a reader and a writer are terminated in the middle of it; others go on with their queue.
func TestQueueOfTheTerminated(t *testing.T) {
	g := newGate(t)
	results := filepath.Join(t.TempDir(), "results")
	queue := map[string]string{"$shared": "q"}
	job := writeJob(t, map[string]any{
		"name":   "line",
		"shared": map[string]any{"q": map[string]any{"kind": "queue", "size": 100}, "open": map[string]any{"kind": "event"}},
		"processes": []ticket{
			{"name": "writer", "task": "queue.put", "args": map[string]any{"queue": queue, "items": []string{"old"}, "endless": true}},
			{"name": "reader", "task": "queue.get", "args": map[string]any{"queue": queue}},
		},
		"tickets": []ticket{
			g.ticket("gate"),
			{"id": "open", "task": "event.set", "args": map[string]any{"event": map[string]string{"$shared": "open"}}},
			{"id": "put", "task": "queue.put", "args": map[string]any{"queue": queue, "items": []any{"new", nil}, "after": map[string]string{"$shared": "open"}}},
			{"id": "get", "task": "queue.get", "args": map[string]any{"queue": queue, "until_null": true, "after": map[string]string{"$shared": "open"}}},
		},
	})
	p := start(t, setup{}, "-workers", "2", "-job", job, "-results", results)
	p.prints(`got "old"`, 100)
	p.prints("up gate", 1)
	for _, name := range []string{"reader", "writer"} {
		syscall.Kill(p.childNamed(name+": line").pid, syscall.SIGTERM)
	}
	p.childGone("reader: line")
	p.childGone("writer: line")
	g.open(t, 1)
	p.exits(exitFailed) // nobody had told master that they should end
	p.tells("writer", "signal: terminated")
	p.tells("reader", "signal: terminated")
	v := valueOf[struct{ Items []string }](t, readResults(t, results)["get"])
	if n := len(v.Items); n < 1 || v.Items[n-1] != "new" || slices.ContainsFunc(v.Items[:n-1], func(s string) bool { return s != "old" }) {
		t.Errorf("the new reader got %q", v.Items)
	}
}

// Q4: producers without an end stop when the queue is closed; the consumer drains it first.
func TestProducerJob(t *testing.T) {
	p, rows := runShipped(t, 2, "producer.json")
	put, got := 0, len(says(p.saids(), "consumer"))
	for _, name := range []string{"producer-1", "producer-2"} {
		p.tells(name, "exit status 0")
		for _, what := range says(p.saids(), name) {
			n := 0
			fmt.Sscanf(what, "put %d ", &n)
			put += n
		}
	}
	p.tells("consumer", "exit status 0")
	if n := valueOf[struct{ Count int }](t, rows["consume"]).Count; n != 10 || put != n+got {
		t.Errorf("%d put; the ticket got %d, the process %d\n%s", put, n, got, p.output())
	}
}

// Q5: every item once, and a null for each of three consumers, put after the producer is done.
func TestConsumersJob(t *testing.T) {
	p, _ := runShipped(t, 1, "consumers.json")
	seen := map[string]int{}
	for i := range 3 {
		name := "consumer-" + strconv.Itoa(i+1)
		p.tells(name, "exit status 0")
		for _, what := range says(p.saids(), name) {
			seen[what]++
		}
	}
	for i := range 10 {
		if n := seen["got "+strconv.Itoa(i+1)]; n != 1 || len(seen) != 10 {
			t.Errorf("item %d was got %d times, of %d items", i+1, n, len(seen))
		}
	}
}

// L2: twenty tasks in four processes, of which always two have met; each has its result.
func TestAsyncJob(t *testing.T) {
	p, rows := runShipped(t, 4, "async.json")
	if n := len(p.saids()); n != 40 {
		t.Errorf("%d lines\n%s", n, p.output())
	}
	pids := map[int]bool{}
	for i := range 20 {
		r := rows["task-"+strconv.Itoa(i+1)]
		checkRow(t, r, outcomeOK, 1)
		pids[r.PID] = true
	}
	if len(pids) < 2 || len(pids) > 4 {
		t.Errorf("in %d processes", len(pids))
	}
}

// childNamed waits for the process below master that ps shows so.
func (p *program) childNamed(args string) (found process) {
	p.t.Helper()
	if !poll(func() bool {
		for _, c := range p.children() {
			if c.args == args {
				found = c
			}
		}
		return found.pid != 0
	}) {
		p.t.Fatalf("waited for %q, found %v", args, p.children())
	}
	return found
}

func (p *program) childGone(args string) {
	p.t.Helper()
	if !poll(func() bool {
		return !slices.ContainsFunc(p.children(), func(c process) bool { return c.args == args })
	}) {
		p.t.Fatalf("waited for the end of %q, found %v", args, p.children())
	}
}
