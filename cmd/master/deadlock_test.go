package main

import (
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// crossing is a job of two tickets that take two locks in opposite order; each has its first when it wants the other.
func crossing(t *testing.T, deadlock string) string {
	t.Helper()
	share := func(name string) map[string]string { return map[string]string{"$shared": name} }
	eater := func(id, first, second string) ticket {
		return ticket{"id": id, "task": "lock.exec", "args": map[string]any{
			"lock": []any{share(first), share(second)}, "between": share("met"), "command": []string{"echo", id + " eats"}}}
	}
	job := map[string]any{
		"name": "crossing",
		"shared": map[string]any{
			"fork": map[string]any{"kind": "lock"}, "knife": map[string]any{"kind": "rlock"},
			"met": map[string]any{"kind": "barrier", "parties": 2}, "total": map[string]any{"kind": "value", "type": "int"},
		},
		"tickets": []ticket{eater("left", "fork", "knife"), eater("right", "knife", "fork")},
	}
	if deadlock != "" {
		job["deadlock"] = deadlock
	}
	return writeJob(t, job)
}

// parties is what a report says of who waits for whom.
var parties = regexp.MustCompile(`(?m)^master: deadlock, nobody here can go on: (.*)$`)

// told returns the pids of both tickets, as the report has them.
func told(t *testing.T, p *program) (left, right int) {
	t.Helper()
	m := parties.FindStringSubmatch(p.stderr.String())
	if m == nil {
		t.Fatalf("no report\n%s", p.output())
	}
	for part := range strings.SplitSeq(m[1], "; ") {
		m := regexp.MustCompile(`^ticket (left|right) \(worker [12], pid (\d+)\) holds "(fork|knife)" \(token 1\) and waits for "(fork|knife)"$`).FindStringSubmatch(part)
		if m == nil || (m[1] == "left") != (m[3] == "fork") || m[3] == m[4] {
			t.Fatalf("the report says %q", part)
		}
		pid, _ := strconv.Atoi(m[2])
		if m[1] == "left" {
			left = pid
		} else {
			right = pid
		}
	}
	return left, right
}

// S7: it is reported, with names and pids; when one of the two is killed, the other goes on.
func TestDeadlockIsTold(t *testing.T) {
	results := filepath.Join(t.TempDir(), "results")
	p := start(t, setup{}, "-workers", "2", "-job", crossing(t, ""), "-results", results)
	p.says("master: deadlock: kill one of them, or have one fail by \"deadlock\": \"fail\" in the job file\n")
	left, right := told(t, p)
	syscall.Kill(left, syscall.SIGKILL)
	p.exits(exitFailed)
	rows := readResults(t, results)
	checkFailure(t, rows["left"], outcomeSignal, 1, "signal", "died")
	checkRow(t, rows["right"], outcomeOK, 1)
	if rows["left"].PID != left || rows["right"].PID != right {
		t.Errorf("told of %d and %d, but it was %+v", left, right, rows)
	}
	if n := strings.Count(p.stderr.String(), "nobody here can go on"); n != 1 {
		t.Errorf("told %d times\n%s", n, p.output())
	}
}

// With "deadlock": "fail" one of the two fails, and the other goes on.
func TestDeadlockFailsOneTicket(t *testing.T) {
	results := filepath.Join(t.TempDir(), "results")
	p := start(t, setup{}, "-workers", "2", "-job", crossing(t, "fail"), "-results", results)
	p.exits(exitFailed)
	left, right := told(t, p)
	failed := regexp.MustCompile(`(?m)^master: deadlock: ticket (left|right) \(worker [12], pid (\d+)\) is told to fail, so that it lets go$`).FindStringSubmatch(p.stderr.String())
	if failed == nil {
		t.Fatalf("nobody is told to fail\n%s", p.output())
	}
	ok, pid := "left", right
	if failed[1] == "left" {
		ok, pid = "right", left
	}
	if failed[2] != strconv.Itoa(pid) {
		t.Errorf("%q, but its pid was %d", failed[0], pid)
	}
	rows := readResults(t, results)
	checkFailure(t, rows[failed[1]], outcomeError, 1, "error", "lock.exec: lock: deadlock: the wait was refused")
	checkRow(t, rows[ok], outcomeOK, 1)
	if !strings.Contains(p.stdout.String(), ok+" eats\n") {
		t.Errorf("%s has not eaten\n%s", ok, p.output())
	}
}

// With attempts, both have eaten at the end.
func TestDeadlockJob(t *testing.T) {
	p, rows := runShipped(t, 2, "deadlock.json")
	for _, id := range []string{"left", "right"} {
		if rows[id].Outcome != outcomeOK || strings.Count(p.stdout.String(), id+" eats\n") != 1 {
			t.Errorf("%s: %+v\n%s", id, rows[id], p.output())
		}
	}
}
