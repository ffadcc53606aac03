package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A ticket as a job file has it.
type ticket map[string]any

// jobFile writes a job file and returns its path.
func jobFile(t *testing.T, name string, tickets ...ticket) string {
	t.Helper()
	return writeJob(t, map[string]any{"name": name, "tickets": tickets})
}

func writeJob(t *testing.T, job map[string]any) string {
	t.Helper()
	text, err := json.MarshalIndent(job, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "job.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// shell is a ticket that runs a shell script.
func shell(id, script string) ticket {
	return ticket{"id": id, "task": "exec", "args": map[string]any{"command": []string{"sh", "-c", script}}}
}

func nap(id, how string) ticket {
	return ticket{"id": id, "task": "sleep", "args": map[string]any{"for": how}}
}

// with adds a key.
func (k ticket) with(key string, value any) ticket { k[key] = value; return k }

// A gate holds up the tickets that come to it until the test lets them through: so a test knows what runs without looking at a clock.
type gate struct {
	path string
	f    *os.File
}

func newGate(t *testing.T) gate {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gate")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0) // for both: so that nobody blocks in open, and no byte is lost
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return gate{path, f}
}

// script says where it is, as "up NAME PID WORKERPID", and waits.
func (g gate) script(name string) string {
	return fmt.Sprintf("echo up %s $$ $PPID; read x < %s; echo through %s", name, g.path, name)
}

func (g gate) ticket(id string) ticket { return shell(id, g.script(id)) }

// open lets n tickets through. Each reads a line, that is one byte.
func (g gate) open(t *testing.T, n int) {
	t.Helper()
	if _, err := g.f.Write(bytes.Repeat([]byte("\n"), n)); err != nil {
		t.Fatal(err)
	}
}

// An up is a ticket that waits at a gate.
type up struct {
	name            string
	command, worker int
}

// ups waits until n tickets have come to gates, in all.
func (p *program) ups(n int) []up {
	p.t.Helper()
	p.prints("up ", n)
	var list []up
	for line := range strings.Lines(p.stdout.String()) {
		var u up
		if _, err := fmt.Sscanf(line, "up %s %d %d", &u.name, &u.command, &u.worker); err == nil {
			list = append(list, u)
		}
	}
	if len(list) != n {
		p.t.Fatalf("%d tickets at the gate, want %d\n%s", len(list), n, p.output())
	}
	return list
}

// named finds the ticket that last came to a gate under a name.
func named(t *testing.T, list []up, name string) up {
	t.Helper()
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].name == name {
			return list[i]
		}
	}
	t.Fatalf("no ticket %s at the gate: %v", name, list)
	return up{}
}

// A row is a line of the results file.
type row struct {
	ID, Task, Outcome     string
	Attempts, Worker, PID int
	Started               string
	Seconds               float64
	Value                 json.RawMessage
	Error                 *Failure
}

// readResults reads a results file, in which every ticket stands once and every key is known.
func readResults(t *testing.T, path string) map[string]row {
	t.Helper()
	rows := map[string]row{}
	for line := range strings.Lines(readFile(t, path)) {
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		var r row
		if err := d.Decode(&r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if _, twice := rows[r.ID]; twice {
			t.Errorf("ticket %s stands twice in the results", r.ID)
		}
		rows[r.ID] = r
	}
	return rows
}
