package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The job files of scripts/jobs about shared objects, each run as a person runs it.

// runShipped runs such a job to its good end, and returns it with the results.
func runShipped(t *testing.T, workers int, name string) (*program, map[string]row) {
	t.Helper()
	results := filepath.Join(t.TempDir(), "results")
	p := start(t, setup{}, "-workers", strconv.Itoa(workers), "-job", shippedJob(t, name), "-results", results)
	p.exits(exitOK)
	return p, readResults(t, results)
}

// valueOf decodes what a ticket returned.
func valueOf[T any](t *testing.T, r row) (v T) {
	t.Helper()
	if err := json.Unmarshal(r.Value, &v); err != nil {
		t.Fatalf("%s: value %s, error %+v: %v", r.ID, r.Value, r.Error, err)
	}
	return v
}

// S1: three lines of one process stand together.
func TestPrintJob(t *testing.T) {
	p, _ := runShipped(t, 10, "print.json")
	lines := strings.Split(p.stdout.String(), "\n")
	if len(lines) < 30 {
		t.Fatalf("printed:\n%s", &p.stdout)
	}
	pids := map[string]bool{}
	for i := 0; i < 30; i += 3 {
		pid, _, _ := strings.Cut(lines[i], ":")
		want := []string{pid + ": one", pid + ": two", pid + ": three"}
		if got := lines[i : i+3]; !slices.Equal(got, want) || pids[pid] {
			t.Errorf("lines %d to %d are %q, want %q of one that was not there yet", i+1, i+3, got, want)
		}
		pids[pid] = true
	}
}

// S5: additions under a lock, and atomic ones, are exact; careless ones may get lost, and cannot be too many.
func TestCounterJob(t *testing.T) {
	_, rows := runShipped(t, 4, "counter.json")
	last := func(name string) (most int64) {
		for _, id := range []string{name + "-1", name + "-2"} {
			most = max(most, valueOf[struct{ Value int64 }](t, rows[id]).Value)
		}
		return most
	}
	for _, name := range []string{"locked", "atomic"} {
		if got := last(name); got != 2_000_000 {
			t.Errorf("%s: %d, want 2000000", name, got)
		}
	}
	got := last("careless")
	if t.Logf("careless: %d of 2000000", got); got < 2 || got > 2_000_000 {
		t.Errorf("careless: %d", got)
	}
}

// S8: never more than three are inside.
func TestSemaphoreJob(t *testing.T) {
	p, _ := runShipped(t, 10, "semaphore.json")
	seen := 0
	for line := range strings.Lines(p.stdout.String()) {
		var pid, inside int
		if n, _ := fmt.Sscanf(line, "%d is in, guests inside: %d", &pid, &inside); n != 2 {
			continue
		}
		if seen++; inside < 1 || inside > 3 {
			t.Errorf("%q", line)
		}
	}
	if seen != 10 {
		t.Errorf("%d guests, want 10\n%s", seen, &p.stdout)
	}
}

// S9: nine are released in threes, of which each has another place.
func TestBarrierJob(t *testing.T) {
	for _, workers := range []int{3, 9} {
		_, rows := runShipped(t, workers, "barrier.json")
		places := map[int]int{}
		for _, r := range rows {
			v := valueOf[struct{ Place, Parties int }](t, r)
			if places[v.Place]++; v.Parties != 3 {
				t.Errorf("%s: %+v", r.ID, v)
			}
		}
		if len(rows) != 9 || places[0] != 3 || places[1] != 3 || places[2] != 3 {
			t.Errorf("%d workers: places %v", workers, places)
		}
	}
}

// got collects what the consumers of a job got, in JSON, and checks that each got its part in order.
func got(t *testing.T, rows map[string]row) (all []string) {
	t.Helper()
	for id, r := range rows {
		if r.Task != "queue.get" {
			continue
		}
		v := valueOf[struct {
			Count int
			Items []json.RawMessage
		}](t, r)
		if v.Count != len(v.Items) {
			t.Errorf("%s: %d items, counted %d", id, len(v.Items), v.Count)
		}
		for _, item := range v.Items {
			all = append(all, string(item))
		}
	}
	slices.Sort(all)
	return all
}

// Q1, Q4: what two producers put, null and lists included, each is got once; the consumers drain the queue after its end and go.
func TestQueueJob(t *testing.T) {
	_, rows := runShipped(t, 4, "queue.json")
	want := []string{`"one"`, "1", "2", "3", "4", "5", `[42,null,"hello"]`, "null", `{"deep":true}`}
	if got := got(t, rows); !slices.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Q5: a null for each consumer, put when the producer is done: every item once, all consumers end.
func TestSentinelJob(t *testing.T) {
	_, rows := runShipped(t, 4, "sentinel.json")
	want := strings.Fields(`"a" "b" "c" "d" "e" "f" "g" "h"`)
	if got := got(t, rows); !slices.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Q6: join returns when all is done.
func TestWorkJob(t *testing.T) {
	p, rows := runShipped(t, 4, "work.json")
	checkPages(t, p, rows, 12)
}

func checkPages(t *testing.T, p *program, rows map[string]row, most int) {
	t.Helper()
	for page := 1; page <= 12; page++ {
		n := strings.Count(p.stdout.String(), fmt.Sprintf("page %d by ", page))
		if n < 1 || n > 1 && most == 12 {
			t.Errorf("page %d was printed %d times", page, n)
		}
	}
	if done := valueOf[struct{ Left int }](t, rows["done"]); done.Left != 0 {
		t.Errorf("joined with %d left", done.Left)
	}
}

// A consumer that is killed with an item gives it back: another one prints the page.
func TestWorkRedelivered(t *testing.T) {
	g := newGate(t)
	results := filepath.Join(t.TempDir(), "results")
	queue := map[string]string{"$shared": "pages"}
	job := writeJob(t, map[string]any{
		"name":   "work",
		"shared": map[string]any{"pages": map[string]any{"kind": "joinable_queue", "redeliver": true}, "filled": map[string]any{"kind": "event"}},
		"tickets": []ticket{
			{"id": "fill", "task": "queue.put", "args": map[string]any{"queue": queue, "items": []string{"a", "b"}, "then": map[string]string{"$shared": "filled"}}},
			{"id": "done", "task": "queue.join", "args": map[string]any{"queue": queue, "after": map[string]string{"$shared": "filled"}, "close": true}},
			{"id": "print", "task": "queue.exec", "attempts": 2, "args": map[string]any{"queue": queue, "command": []string{"sh", "-c", g.script("$0")}}},
		},
	})
	p := start(t, setup{}, "-workers", "3", "-job", job, "-results", results)
	first := p.ups(1)[0]
	syscall.Kill(first.worker, syscall.SIGKILL)
	p.leavesNot(first.command)
	g.open(t, 2)
	p.exits(exitOK)
	rows := readResults(t, results)
	if v := valueOf[struct{ Done, Failed int }](t, rows["print"]); v.Done != 2 || v.Failed != 0 || rows["print"].Attempts != 2 {
		t.Errorf("%+v: %+v", rows["print"], v)
	}
	for _, item := range []string{"a", "b"} {
		if n := strings.Count(p.stdout.String(), "through "+item+"\n"); n != 1 {
			t.Errorf("item %s went through %d times\n%s", item, n, &p.stdout)
		}
	}
}

// S10, S11: a light that turns green, and a policeman who counts.
func TestSignalsJob(t *testing.T) {
	_, rows := runShipped(t, 4, "signals.json")
	if v := valueOf[struct{ Value int }](t, rows["policeman"]); v.Value != 3 {
		t.Errorf("the policeman counted %d", v.Value)
	}
}

// S2: a lock is free again when the command that held it fails, runs out of time, or dies with its worker; only then the next one is
// told that the owner died.
func TestLockExecReleases(t *testing.T) {
	g := newGate(t)
	results := filepath.Join(t.TempDir(), "results")
	held := func(id, script string) ticket {
		return ticket{"id": id, "task": "lock.exec", "args": map[string]any{
			"lock": map[string]string{"$shared": "m"}, "command": []string{"sh", "-c", script}}}
	}
	job := writeJob(t, map[string]any{
		"name":   "release",
		"shared": map[string]any{"m": map[string]any{"kind": "lock"}},
		"tickets": []ticket{
			held("fails", "exit 3"),
			held("late", "sleep 300").with("timeout", "50ms"),
			held("killed", g.script("killed")),
			held("after", "echo died $LOCK_OWNER_DIED; [ $LOCK_TOKEN -gt 3 ]"),
			held("last", "echo died $LOCK_OWNER_DIED"),
		},
	})
	p := start(t, setup{}, "-workers", "1", "-job", job, "-results", results)
	syscall.Kill(p.ups(1)[0].worker, syscall.SIGKILL)
	p.exits(exitFailed)
	rows := readResults(t, results)
	checkFailure(t, rows["fails"], outcomeError, 1, "exit_status", "exit status 3")
	checkFailure(t, rows["late"], outcomeTimeout, 1, "timeout", "50ms")
	checkFailure(t, rows["killed"], outcomeSignal, 1, "signal", "killed")
	type result struct {
		OwnerDied bool `json:"owner_died"`
		Token     uint64
		Stdout    string
	}
	if v := valueOf[result](t, rows["after"]); !v.OwnerDied || v.Stdout != "died 1\n" {
		t.Errorf("after: %+v", v)
	}
	if v := valueOf[result](t, rows["last"]); v.OwnerDied || v.Token != 5 || v.Stdout != "died 0\n" {
		t.Errorf("last: %+v", v)
	}
}

// S8: the permits of the killed come back: three are inside, and when one of them is killed, a fourth comes in.
func TestSemaphoreOfTheKilled(t *testing.T) {
	g := newGate(t)
	var tickets []ticket
	for _, id := range strings.Split("abcd", "") {
		tickets = append(tickets, ticket{"id": id, "task": "semaphore.exec", "args": map[string]any{
			"semaphore": map[string]string{"$shared": "door"}, "command": []string{"sh", "-c", g.script(id)}}})
	}
	job := writeJob(t, map[string]any{
		"name":    "guests",
		"shared":  map[string]any{"door": map[string]any{"kind": "bounded_semaphore", "permits": 3}},
		"tickets": tickets,
	})
	p := start(t, setup{}, "-workers", "4", "-job", job)
	syscall.Kill(p.ups(3)[1].worker, syscall.SIGKILL)
	p.ups(4)
	g.open(t, 3)
	p.exits(exitFailed)
	if n := strings.Count(p.stdout.String(), "through "); n != 3 {
		t.Errorf("%d went through, want 3\n%s", n, &p.stdout)
	}
}

// S9: a barrier whose party has given up is broken, and the others are told.
func TestBarrierGivenUp(t *testing.T) {
	results := filepath.Join(t.TempDir(), "results")
	party := func(id string) ticket {
		return ticket{"id": id, "task": "barrier.wait", "args": map[string]any{"barrier": map[string]string{"$shared": "gate"}}}
	}
	g := newGate(t)
	job := writeJob(t, map[string]any{
		"name":    "broken",
		"shared":  map[string]any{"gate": map[string]any{"kind": "barrier", "parties": 3}},
		"tickets": []ticket{party("late").with("timeout", "200ms"), party("other"), g.ticket("end")},
	})
	p := start(t, setup{}, "-workers", "3", "-job", job, "-results", results)
	g.open(t, 1)
	p.exits(exitFailed)
	rows := readResults(t, results)
	checkFailure(t, rows["late"], outcomeTimeout, 1, "timeout", "200ms")
	checkFailure(t, rows["other"], outcomeError, 1, "error", "barrier is broken: another party died, gave up or was told to end")
}

// Q2: what does not fit is refused at once, and what was put is told.
func TestQueueIsFull(t *testing.T) {
	results := filepath.Join(t.TempDir(), "results")
	queue := map[string]string{"$shared": "q"}
	job := writeJob(t, map[string]any{
		"name":   "full",
		"shared": map[string]any{"q": map[string]any{"kind": "queue", "size": 3}},
		"tickets": []ticket{
			{"id": "put", "task": "queue.put", "args": map[string]any{"queue": queue, "items": []int{1, 2, 3, 4}, "wait": "0s"}},
			{"id": "some", "task": "queue.get", "args": map[string]any{"queue": queue, "count": 4, "wait": "1ms"}},
			{"id": "end", "task": "queue.close", "args": map[string]any{"queue": queue}},
			{"id": "closed", "task": "queue.put", "args": map[string]any{"queue": queue, "items": []int{1}}},
			{"id": "nothing", "task": "queue.get", "args": map[string]any{"queue": queue}},
		},
	})
	p := start(t, setup{}, "-workers", "1", "-job", job, "-results", results)
	p.exits(exitFailed)
	rows := readResults(t, results)
	checkFailure(t, rows["put"], outcomeError, 1, "error", "queue.put: q: item 4 of 4: queue is full")
	checkFailure(t, rows["some"], outcomeError, 1, "error", "queue.get: q: after 3 items: queue is empty")
	if text, _ := json.Marshal(rows["some"].Error.Value); !strings.Contains(string(text), `"items":[1,2,3]`) {
		t.Errorf("what was got is not told: %s", text)
	}
	checkFailure(t, rows["closed"], outcomeError, 1, "error", "queue.put: q: item 1 of 1: closed")
	checkRow(t, rows["nothing"], outcomeOK, 1)
}

// What does not fit a task is told in the words of the job file.
func TestSharedObjectsOfTheWrongKind(t *testing.T) {
	results := filepath.Join(t.TempDir(), "results")
	e := map[string]string{"$shared": "e"}
	tickets := map[string]ticket{
		`queue.put: queue: found an event; expected a queue such as {"$shared": "name"}`:          {"task": "queue.put", "args": map[string]any{"queue": e, "items": []int{1}}},
		`event.set: no "event"; expected an event such as {"$shared": "name"}`:                    {"task": "event.set"},
		`queue.put: item 2 is or has a shared object in it; a queue holds values only`:            {"task": "queue.put", "args": map[string]any{"queue": map[string]string{"$shared": "q"}, "items": []any{1, e}}},
		`queue.join: queue: found a queue; expected a joinable_queue such as {"$shared": "name"}`: {"task": "queue.join", "args": map[string]any{"queue": map[string]string{"$shared": "q"}}},
		`value.add: by: found 1.5; expected a whole number of 64 bits`:                            {"task": "value.add", "args": map[string]any{"value": map[string]string{"$shared": "v"}, "by": 1.5}},
		`queue.put: after: found a queue; expected an event or a barrier`:                         {"task": "queue.put", "args": map[string]any{"queue": map[string]string{"$shared": "q"}, "items": []int{1}, "after": map[string]string{"$shared": "q"}}},
		`unknown field "wiat"`: {"task": "queue.get", "args": map[string]any{"queue": map[string]string{"$shared": "q"}, "wiat": "1s"}},
	}
	var list []ticket
	for want, k := range tickets {
		list = append(list, k.with("id", want).with("attempts", 3))
	}
	job := writeJob(t, map[string]any{
		"name":    "wrong",
		"shared":  map[string]any{"e": map[string]any{"kind": "event"}, "q": map[string]any{"kind": "queue"}, "v": map[string]any{"kind": "value", "type": "int"}},
		"tickets": list,
	})
	p := start(t, setup{}, "-workers", "2", "-job", job, "-results", results)
	p.exits(exitFailed)
	for want, r := range readResults(t, results) {
		checkFailure(t, r, outcomeError, 1, "arguments", want)
	}
}

// Numbers: of a value, of an array, of memory.
func TestNumbersJob(t *testing.T) {
	results := filepath.Join(t.TempDir(), "results")
	share := func(name string) map[string]string { return map[string]string{"$shared": name} }
	job := writeJob(t, map[string]any{
		"name": "numbers",
		"shared": map[string]any{
			"n": map[string]any{"kind": "value", "type": "int", "value": int64(9007199254740993)},
			"x": map[string]any{"kind": "value", "type": "float", "value": 0.5},
			"a": map[string]any{"kind": "array", "type": "int", "size": 4, "values": []int{1, 2}},
			"b": map[string]any{"kind": "array", "type": "float", "values": []float64{1, 0.5}},
			"m": map[string]any{"kind": "memory", "size": 100},
		},
		"tickets": []ticket{
			{"id": "n", "task": "value.add", "args": map[string]any{"value": share("n"), "by": -1}},
			{"id": "x", "task": "value.add", "args": map[string]any{"value": share("x"), "times": 4}},
			{"id": "over", "task": "value.add", "args": map[string]any{"value": share("n"), "by": int64(9223372036854775807)}},
			{"id": "set", "task": "value.set", "args": map[string]any{"value": share("x"), "to": 3}},
			{"id": "x again", "task": "value.get", "args": map[string]any{"value": share("x")}},
			{"id": "a", "task": "array.add", "args": map[string]any{"array": share("a"), "index": 3, "by": 7, "times": 2}},
			{"id": "beyond", "task": "array.set", "args": map[string]any{"array": share("a"), "index": 4, "to": 7}},
			{"id": "b", "task": "array.set", "args": map[string]any{"array": share("b"), "index": 0, "to": -1}},
			{"id": "a again", "task": "array.get", "args": map[string]any{"array": share("a")}},
			{"id": "write", "task": "memory.write", "args": map[string]any{"memory": share("m"), "at": 10, "text": "hello"}},
			{"id": "read", "task": "memory.read", "args": map[string]any{"memory": share("m"), "at": 11, "bytes": 3}},
			{"id": "outside", "task": "memory.read", "args": map[string]any{"memory": share("m"), "at": 99, "bytes": 2}},
		},
	})
	p := start(t, setup{}, "-workers", "1", "-job", job, "-results", results)
	p.exits(exitFailed)
	rows := readResults(t, results)
	for id, want := range map[string]string{
		"n": `"value":9007199254740992`, "x": `"value":4.5`, "x again": `"value":3`,
		"a": `"values":[1,2,0,14]`, "a again": `"values":[1,2,0,14]`, "b": `"values":[-1,0.5]`, "read": `"text":"ell"`,
	} {
		if checkRow(t, rows[id], outcomeOK, 1); !strings.Contains(string(rows[id].Value), want) {
			t.Errorf("%s: %s, want %s", id, rows[id].Value, want)
		}
	}
	checkFailure(t, rows["over"], outcomeError, 1, "error", "are more than 64 bits can hold")
	checkFailure(t, rows["beyond"], outcomeError, 1, "arguments", "index: found 4; expected 0 to 3")
	checkFailure(t, rows["outside"], outcomeError, 1, "arguments", "found 2 bytes at 99; expected a part of the 100 bytes that there are")
}

// A file that a job shares is written to by all, each at its end.
func TestSharedFile(t *testing.T) {
	dir := t.TempDir()
	job := writeJob(t, map[string]any{
		"name":   "log",
		"shared": map[string]any{"log": map[string]any{"kind": "file", "path": "log.txt"}},
		"tickets": []ticket{{"task": "exec", "repeat": 4, "args": map[string]any{
			"stdout": map[string]string{"$shared": "log"}, "command": []string{"echo", "line"}}}},
	})
	start(t, setup{dir: dir}, "-workers", "2", "-job", job).exits(exitOK)
	if text, err := os.ReadFile(filepath.Join(dir, "log.txt")); err != nil || string(text) != "line\nline\nline\nline\n" {
		t.Errorf("got %q, %v", text, err)
	}
	p := start(t, setup{dir: dir}, "-workers", "1", "-job", writeJob(t, map[string]any{
		"shared": map[string]any{"log": map[string]any{"kind": "file", "path": "no/such/log.txt"}}, "tickets": []ticket{}}))
	p.exits(exitFailed)
	if got, want := p.stderr.String(), "master: shared \"log\": no/such/log.txt: no such file or directory\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
