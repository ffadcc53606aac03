package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
)

// Q10: ten processes set a key each of one dict, their process id, ten append theirs to one list, and ten add to one number.
func TestDictJob(t *testing.T) {
	_, rows := runShipped(t, 2, "dict.json")
	db := valueOf[struct{ Items [][2]any }](t, rows["db"])
	log := valueOf[struct{ Items []int }](t, rows["log"])
	keys := map[string]bool{}
	for _, pair := range db.Items {
		keys[fmt.Sprint(pair[0])] = true
		if pair[0] == "n" && pair[1] != 2000.0 {
			t.Errorf("n is %v, want 2000", pair[1])
		}
	}
	if len(db.Items) != 11 || len(keys) != 11 || !keys["n"] {
		t.Errorf("the dict has %v", db.Items)
	}
	pids := map[int]bool{}
	for _, pid := range log.Items {
		pids[pid] = true
	}
	if len(log.Items) != 10 || len(pids) != 10 {
		t.Errorf("the list has %v", log.Items)
	}
}

// S3: a lock that is handed to twenty tickets in five workers has one holder at a time, in shared memory and in a manager: who is
// not alone finds a directory that another has made.
func TestHandedJob(t *testing.T) {
	_, rows := runShipped(t, 5, "handed.json")
	tokens := map[string]bool{}
	for id, r := range rows {
		name, _, _ := strings.Cut(id, "-")
		tokens[fmt.Sprint(name, valueOf[struct{ Token uint64 }](t, r).Token)] = true
	}
	if len(rows) != 40 || len(tokens) != 40 {
		t.Errorf("%d tickets, %d acquisitions; want 40", len(rows), len(tokens))
	}
}

// Q3: first in first out, last in first out, and the smallest first, equal ones in order.
func TestOrdersJob(t *testing.T) {
	_, rows := runShipped(t, 3, "orders.json")
	for id, want := range map[string]string{
		"fifo": "[1,2,3]", "lifo": "[3,2,1]", "priority": `[[-1,"minus one"],[0,"first"],[0,"second"],[10,"ten"]]`,
	} {
		got, _ := json.Marshal(valueOf[struct{ Items []json.RawMessage }](t, rows[id]).Items)
		if string(got) != want {
			t.Errorf("%s: got %s, want %s", id, got, want)
		}
	}
}

// A5: another process submits into a running master, a long task and then a short one; the short one is done first. What the job
// shares is there by its names, in shared memory too.
func TestServeJob(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "socket")
	p := start(t, setup{}, "-workers", "3", "-socket", socket, "-job", shippedJob(t, "serve.json"))
	if !poll(func() bool { _, err := os.Stat(socket); return err == nil }) {
		t.Fatalf("it does not listen: %s", p.output())
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := ipc.Connect(ctx, socket, ipc.ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var pool *ipc.ManagedPool
	if !poll(func() bool { pool, err = ipc.OpenManagedPool(ctx, c); return err == nil }) {
		t.Fatalf("its pool is not there: %v", err)
	}
	defer pool.Close()
	long, err := pool.Submit(ctx, "sleep", map[string]string{"for": "3s"}, ipc.TicketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	short, err := pool.Submit(ctx, "sleep", map[string]string{"for": "10ms"}, ipc.TicketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan uint64)
	for _, id := range []uint64{long, short} {
		go func() {
			if _, err := ipc.TicketResult[any](ctx, pool, id); err != nil {
				t.Errorf("ticket %d: %v", id, err)
			}
			done <- id
		}()
	}
	if first := <-done; first != short {
		t.Errorf("the long one was done first")
	}
	if out, err := ipc.RunTask[map[string]any](ctx, pool, "exec", map[string]any{"command": []string{"sh", "-c", "echo $MULTIPROC_SOCKET"}}, ipc.TicketOptions{}); err != nil || out["stdout"] != socket+"\n" {
		t.Errorf("a command finds the socket at %q, %v; want %s", out["stdout"], err, socket)
	}
	<-done
	var event ipc.Event
	if err := c.Open(ctx, ipc.Named("done"), &event); err != nil {
		t.Fatal(err)
	}
	defer event.Close()
	if err := event.Set(); err != nil {
		t.Fatal(err)
	}
	p.exits(exitOK)
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}

// Commands of tickets and of processes reach what the job shares through the shell's way to a manager, found by the environment.
func TestCommandsFindTheManager(t *testing.T) {
	master := builtProgram(t, "master")
	job := fmt.Sprintf(`{
		"shared": {"db": {"kind": "dict", "items": {"n": 7}}, "q": {"kind": "queue", "managed": true}},
		"processes": [{"name": "putter", "command": [%[1]q, "ipc", "queue", "put", "q", "40"]}],
		"tickets": [
			{"id": "n", "task": "exec", "args": {"command": [%[1]q, "ipc", "dict", "get", "db", "n"]}},
			{"id": "q", "task": "queue.get", "args": {"queue": {"$shared": "q"}, "count": 1}}
		]}`, master)
	results := filepath.Join(t.TempDir(), "results")
	p := start(t, setup{stdin: job}, "-workers", "1", "-job", "-", "-results", results)
	p.exits(exitOK)
	rows := readResults(t, results)
	if got := valueOf[struct{ Stdout string }](t, rows["n"]).Stdout; got != "7\n" {
		t.Errorf("the command prints %q, want 7", got)
	}
	if got := valueOf[struct{ Items []int }](t, rows["q"]).Items; len(got) != 1 || got[0] != 40 {
		t.Errorf("from the queue %v, want 40", got)
	}
}

// What is wrong with a managed object is told with its place.
func TestManagedProblems(t *testing.T) {
	for text, want := range map[string]string{
		`{"shared": {"d": {"kind": "dict", "items": []}}}`:                                  `items: found a list; expected`,
		`{"shared": {"l": {"kind": "list", "items": {}}}}`:                                  `items: found an object; expected a list`,
		`{"shared": {"l": {"kind": "list", "items": [{"$shared": "l"}]}}}`:                  `items: found "$shared"; expected plain values`,
		`{"shared": {"q": {"kind": "queue", "managed": true, "bytes": 9}}}`:                 `bytes: shared "q" has "managed": true`,
		`{"shared": {"m": {"kind": "memory", "size": 1, "managed": true}}}`:                 `managed`,
		`{"shared": {"q": {"kind": "lifo_queue", "size": 0}}}`:                              `size: found 0`,
		`{"shared": {"d": {"kind": "dict", "managed": true}}}`:                              `managed`,
		`{"shared": {"s": {"kind": "lock", "managed": 1}}}`:                                 `managed: found`,
		`{"shared": {"p": {"kind": "priority_queu"}}}`:                                      `did you mean "priority_queue"?`,
		`{"shared": {"b": {"kind": "joinable_queue", "managed": true, "redeliver": true}}}`: `redeliver: shared "b" has "managed": true`,
	} {
		_, err := ReadJob("job.json", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "job.json:1:") {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
}
