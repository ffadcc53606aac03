package ipc

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

func init() { helpers["manager that tells its size"] = serveAndTell }

// A size is what a process has.
type size struct {
	RSS        int // KiB
	Goroutines int
	FDs        int
}

// serveAndTell serves a manager at a path that the test sends, and tells its size when asked.
func serveAndTell(c *Conn) error {
	var path string
	if err := c.Recv(context.Background(), &path); err != nil {
		return err
	}
	m, err := NewManager(ManagerOptions{})
	if err != nil {
		return err
	}
	l, err := Listen(path, ConnOptions{})
	if err != nil {
		return err
	}
	go m.Serve(context.Background(), l)
	for {
		if err := c.Send(context.Background(), mySize()); err != nil {
			return err
		}
		var next string
		if err := c.Recv(context.Background(), &next); err != nil {
			return err
		}
		runtime.GC()
	}
}

func mySize() size {
	s := size{Goroutines: runtime.NumGoroutine()}
	text, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); f[0] == "VmRSS:" {
			s.RSS, _ = strconv.Atoi(f[1])
		}
	}
	fds, _ := os.ReadDir("/proc/self/fd")
	s.FDs = len(fds)
	return s
}

// A thousand clients, ten thousand objects and a thousand calls that wait cost a goroutine and a
// descriptor for each client, none for what waits, and some kilobytes.
func TestManagerScale(t *testing.T) {
	checkLeaks(t)
	const clients, objects = 1000, 10_000
	server := start(t, "manager that tells its size")
	path := t.TempDir() + "/m.sock"
	server.send(path)
	begin := recv[size](server)
	tell := func(what string) size {
		server.send("go on")
		now := recv[size](server)
		t.Logf("%-28s %7d KiB (+%d), %d goroutines, %d descriptors", what, now.RSS, now.RSS-begin.RSS, now.Goroutines, now.FDs)
		return now
	}
	tell("nothing")
	var all []*foreign
	for range clients {
		all = append(all, dialManager(t, path))
	}
	tell("1,000 connections")
	kinds := []string{"dict", "list", "event", "lock", "queue"}
	for i := range objects {
		f := all[i%clients]
		f.ask(proto.MethodCreate, kinds[i/clients%len(kinds)], []any{}, none)
	}
	for _, f := range all {
		for f.last > 1 {
			if _, err := f.answer(f.last); err != nil {
				t.Fatal(err)
			}
			f.last--
		}
		f.last = 100
	}
	tell("and 10,000 objects")
	e := all[0].create("event")
	calls := map[*foreign]uint64{}
	for _, f := range all {
		calls[f] = f.start(e, "wait", nil, none)
	}
	eventually(t, "all wait", func() bool {
		return all[0].must(proto.MethodStats, none).(map[string]any)["waiting"] == int64(clients)
	})
	last := tell("and 1,000 calls that wait")
	if last.Goroutines > begin.Goroutines+clients+20 || last.FDs > begin.FDs+clients+20 {
		t.Errorf("%+v for %d clients; %+v before", last, clients, begin)
	}
	if kib := last.RSS - begin.RSS; kib > 300<<10 { // without the race detector a tenth of it
		t.Errorf("%d KiB", kib)
	}
	woken := time.Now()
	all[0].call(e, "set")
	for f, call := range calls {
		if v, err := f.answer(call); v != true || err != nil {
			t.Fatalf("got %v, %v", v, err)
		}
	}
	t.Logf("all are woken after %v", time.Since(woken))
}
