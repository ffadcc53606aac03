package ipc

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

func init() {
	// A manager of its own process: it gets its path and its directory, says "serving", and serves until
	// it is killed.
	helpers["persistent manager"] = func(c *Conn) error {
		var where [2]string
		if err := c.Recv(context.Background(), &where); err != nil {
			return err
		}
		m, err := NewManager(ManagerOptions{Persist: where[1]})
		if err != nil {
			return err
		}
		l, err := Listen(where[0], ConnOptions{})
		if err != nil {
			return err
		}
		if err := c.Send(context.Background(), "serving"); err != nil {
			return err
		}
		signal.Ignore(syscall.SIGXFSZ) // or the file would not be too large for an error
		go func() {
			<-m.ShutDown()
			if err := m.Close(); err != nil {
				c.Send(context.Background(), err.Error())
			}
			os.Exit(0)
		}()
		endWith(c)
		return m.Serve(context.Background(), l)
	}
}

// persistentManager starts a manager in a process of its own.
func persistentManager(t testing.TB, path, dir string) *child {
	t.Helper()
	c := start(t, "persistent manager")
	c.send([2]string{path, dir})
	c.expect("serving")
	return c
}

// A manager that is killed at any moment comes back with what it has acknowledged.
func TestPersistKilled(t *testing.T) {
	checkLeaks(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "manager.sock")
	const clients = 3
	server := persistentManager(t, path, dir+"/store")
	setup := dialManager(t, path)
	for i := range clients {
		setup.must(proto.MethodCreate, "value", []any{nil, 0}, map[string]any{"name": fmt.Sprint("v", i), "keep": true})
	}
	instance := setup.instance
	setup.conn.Close()
	var acked [clients]int64
	for range persistRounds() {
		begun := make(chan struct{}, clients)
		done := make(chan struct{}, clients)
		for i := range clients {
			f := dialManager(t, path)
			go func() {
				acked[i] = f.countUp(fmt.Sprint("v", i), acked[i], begun)
				done <- struct{}{}
			}()
		}
		for range clients { // all of them are at it
			<-begun
		}
		server.signal(syscall.SIGKILL)
		server.wait()
		for range clients {
			<-done
		}
		server = persistentManager(t, path, dir+"/store")
		look := dialManager(t, path)
		want(t, look.instance, instance)
		for i := range clients {
			got := look.call(fmt.Sprint("v", i), "get").(int64)
			if got < acked[i] {
				t.Fatalf("v%d came back as %d, %d was acknowledged", i, got, acked[i])
			}
			acked[i] = got
		}
		look.conn.Close()
	}
	server.kill()
}

// countUp sets a value to one more than it is, 16 at a time, until the manager is gone, and returns
// the last that was acknowledged. It sends to begun when the first was.
func (f *foreign) countUp(name string, from int64, begun chan<- struct{}) (acked int64) {
	defer f.conn.Close()
	acked = from
	sent := map[uint64]int64{}
	for next := from + 1; ; {
		for ; len(sent) < 16; next++ {
			p, _ := proto.Marshal([]any{name, "set", []any{next}, none})
			f.last++
			if f.conn.WriteFrame(nil, proto.AppendRequest(nil, f.last, proto.MethodCall, p.Bytes)) != nil {
				return acked
			}
			sent[f.last] = next
		}
		fr, err := f.conn.ReadFrame()
		if err != nil {
			return acked
		}
		msg, err := proto.ParseMessage(fr.Body, proto.Limits{})
		if err != nil || msg.Fault != nil {
			f.t.Errorf("%s: %v, %v", name, msg.Fault, err)
			return acked
		}
		if acked == from {
			begun <- struct{}{}
		}
		acked = max(acked, sent[msg.ID])
		delete(sent, msg.ID)
	}
}

// persistRounds is how often a manager is killed: MULTIPROC_ROUNDS, for scripts/stress.sh.
func persistRounds() int {
	n, err := strconv.Atoi(os.Getenv(roundsEnv))
	if err != nil {
		return 15
	}
	return n
}

// What nobody refers to any more does not come back; ids are not used again.
func TestPersistReferences(t *testing.T) {
	checkLeaks(t)
	dir := t.TempDir()
	open := func() (*Manager, *foreign) {
		m, path := newTestManager(t, ManagerOptions{Persist: dir + "/store"})
		return m, dialManager(t, path)
	}
	m, a := open()
	inner := a.create("value", nil, "inside")
	gone := a.create("value", nil, "gone")
	a.must(proto.MethodCreate, "value", []any{nil, proto.Ref{Instance: m.instance, ID: uint64(inner)}}, map[string]any{"name": "outer", "keep": true})
	a.call(inner, "set", "changed")
	want(t, m.Close(), nil)

	m, a = open()
	m.look(func() bool { want(t, len(m.objects), 2); return true })()
	want(t, a.call(inner, "get"), "changed")
	a.fails(proto.KindGone, gone, "get")
	if id := a.create("event"); id <= gone {
		t.Errorf("id %d again, %d was given out", id, gone)
	}
	a.call("outer", "set", nil)
	a.fails(proto.KindGone, inner, "get")
	want(t, m.Close(), nil)

	m, a = open()
	m.look(func() bool { want(t, len(m.objects), 1); return true })()
	want(t, a.call("outer", "get"), nil)
	// One manager at a time.
	if _, err := NewManager(ManagerOptions{Persist: dir + "/store"}); err == nil || !strings.Contains(err.Error(), "manager.db") {
		t.Errorf("a second manager on the same store: %v", err)
	}
}

// Operations are replaced by the state when there are many.
func TestPersistState(t *testing.T) {
	dir := t.TempDir()
	m, path := newTestManager(t, ManagerOptions{Persist: dir})
	a := dialManager(t, path)
	a.must(proto.MethodCreate, "value", []any{nil, 0}, map[string]any{"name": "v", "keep": true})
	big := make([]byte, 300<<10)
	for i := range 40 {
		big[0] = byte(i)
		a.call("v", "set", big)
	}
	m.look(func() bool {
		if n := m.journal.sizes[1].bytes; n > 5*len(big) {
			t.Errorf("%d bytes of operations are kept", n)
		}
		return true
	})()
	want(t, m.Close(), nil)
	m, path = newTestManager(t, ManagerOptions{Persist: dir})
	want(t, dialManager(t, path).call("v", "get").([]byte)[0], byte(39))
}
