package ipc

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/proto"
)

// holdStore keeps the store of m from committing until let is called, which may be called twice.
func holdStore(t *testing.T, m *Manager) (let func()) {
	t.Helper()
	tx, err := m.journal.db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	let = func() { tx.Rollback() }
	t.Cleanup(let)
	return let
}

// What is answered while a commit is under way waits for the next one, also when part of what the
// commit lets go is sent meanwhile.
func TestJournalMarks(t *testing.T) {
	s := &session{}
	s.out, s.ready, s.mark = []byte("aaabb"), 3, 5 // aaa is committed, bb is being committed
	s.swap()                                       // who sends takes aaa
	s.out = append(s.out, "cccc"...)
	s.committed()
	want(t, string(s.w), "aaa")
	want(t, string(s.out[:s.ready]), "bb")
}

// A store that is slow holds answers back. A client that asks for a lot meanwhile is not cut off for
// not reading what it is not sent, and is not read from without bound.
func TestJournalSlow(t *testing.T) {
	checkLeaks(t)
	const unread = 1 << 20
	m, path := newTestManager(t, ManagerOptions{Persist: t.TempDir(), Limits: ManagerLimits{Unread: unread, Frame: 1 << 20}})
	a, b := dialManager(t, path), dialManager(t, path)
	id := a.create("value", nil, make([]byte, 256<<10))
	let := holdStore(t, m)
	b.start(id, "add", nil, none) // changes nothing, and is held too
	var calls []uint64
	calls = append(calls, a.start(id, "set", []any{make([]byte, 256<<10)}, none))
	for range 100 { // of which each answer has 256 KiB
		calls = append(calls, a.start(id, "get", nil, none))
	}
	held := func() (n int) {
		for s := range m.sessions {
			n = max(n, len(s.out))
		}
		return n
	}
	until(t, "the manager has read enough", m.look(func() bool { return held() > unread }))
	let()
	for _, call := range calls {
		if _, err := a.answer(call); err != nil {
			t.Fatal(err)
		}
	}
	m.look(func() bool {
		for _, s := range m.dirty {
			t.Errorf("%d bytes are still held for %s", len(s.out), s.name)
		}
		return true
	})()
}

// What changes meanwhile is bounded too.
func TestJournalBehind(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{Persist: t.TempDir()})
	a := dialManager(t, path)
	id := a.create("value", nil, 0)
	let := holdStore(t, m)
	const each = 1 << 20
	sent := make(chan []uint64)
	go func() {
		var calls []uint64
		for range 4 * maxBehind / each {
			calls = append(calls, a.start(id, "set", []any{make([]byte, each)}, none))
		}
		sent <- calls
	}()
	until(t, "much waits for the store", m.look(func() bool { return m.journal.bytes > maxBehind }))
	const most = maxBehind + (maxBatch+1)*each
	m.look(func() bool {
		if m.journal.bytes > most {
			t.Errorf("%d bytes wait for the store, expected %d at most", m.journal.bytes, most)
		}
		return true
	})()
	let()
	for _, call := range <-sent {
		if _, err := a.answer(call); err != nil {
			t.Fatal(err)
		}
	}
	want(t, m.Close(), nil)
}

// Who ends while its answers are held leaves nothing behind, descriptors included.
func TestJournalLeft(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{Persist: t.TempDir()})
	a := dialManager(t, path)
	l := newTestLock(t, LockOptions{})
	a.must(proto.MethodDeposit, l, map[string]any{"name": "mutex", "keep": true})
	a.must(proto.MethodCreate, "value", []any{}, map[string]any{"name": "v", "keep": true})
	let := holdStore(t, m)
	for range 8 {
		b := dialManager(t, path)
		b.start("v", "set", []any{make([]byte, 1000)}, none)
		b.start("mutex", "open", nil, none)
		until(t, "the answer is held", m.look(func() bool {
			for s := range m.sessions {
				if len(s.files) > 0 {
					return true
				}
			}
			return false
		}))
		b.conn.Close()
		until(t, "the connection has ended", m.look(func() bool { return len(m.sessions) == 1 }))
	}
	let()
	want(t, a.call("v", "set", 1), nil)
	m.look(func() bool {
		if len(m.dirty) > 1 {
			t.Errorf("%d connections are still to be sent to", len(m.dirty))
		}
		return true
	})()
}

// Who calls shutdown gets the answer, and those to all that came before, however slow the store is.
func TestJournalShutdown(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{Persist: t.TempDir()})
	a := dialManager(t, path)
	id := a.create("value", nil, 0)
	let := holdStore(t, m)
	set := a.start(id, "set", []any{1}, none)
	stop := a.ask(proto.MethodShutdown, none)
	until(t, "shutdown is answered", m.look(func() bool {
		for s := range m.sessions {
			if s.stops {
				return true
			}
		}
		return false
	}))
	select {
	case <-m.ShutDown():
		t.Fatal("shut down before the answers are sent")
	default:
	}
	let()
	<-m.ShutDown()
	want(t, m.Close(), nil)
	for _, call := range []uint64{set, stop} {
		if _, err := a.answer(call); err != nil {
			t.Fatal(err)
		}
	}
}

// An id is not given out again, also not one of an object that does not come back.
func TestPersistIDs(t *testing.T) {
	checkLeaks(t)
	dir := t.TempDir()
	m, path := newTestManager(t, ManagerOptions{Persist: dir})
	a := dialManager(t, path)
	id := a.must(proto.MethodDeposit, newTestLock(t, LockOptions{}), none).([]any)[0].(int64)
	want(t, m.Close(), nil)
	_, path = newTestManager(t, ManagerOptions{Persist: dir})
	a = dialManager(t, path)
	a.fails(proto.KindGone, id, "open")
	if again := a.create("event"); again <= id {
		t.Errorf("id %d again, %d was given out", again, id)
	}
}

// The tokens of a lock grow over a restart; a condition has its own lock again.
func TestPersistLocks(t *testing.T) {
	checkLeaks(t)
	dir := t.TempDir()
	kept := func(name string) map[string]any { return map[string]any{"name": name, "keep": true} }
	m, path := newTestManager(t, ManagerOptions{Persist: dir})
	a := dialManager(t, path)
	a.must(proto.MethodCreate, "lock", []any{}, kept("l"))
	a.must(proto.MethodCreate, "condition", []any{}, kept("c"))
	a.must(proto.MethodCreate, "condition", []any{nil, map[string]any{"handoff": true}}, kept("h"))
	a.must(proto.MethodCreate, "dict", []any{}, kept("d"))
	a.call("d", "set", "lock", a.call("c", "lock"))
	last := map[string]int64{}
	for range 3 {
		for _, name := range []string{"l", "c", "h"} {
			token := a.call(name, "acquire").([]any)[0].(int64)
			if token <= last[name] {
				t.Errorf("token %d of %s after %d", token, name, last[name])
			}
			last[name] = token
		}
		want(t, a.call("d", "get", "lock"), a.call("c", "lock"))
		want(t, a.call(a.call("c", "lock").(proto.Ref).ID, "owned"), true)
		want(t, m.Close(), nil)
		m, path = newTestManager(t, ManagerOptions{Persist: dir})
		a = dialManager(t, path)
		m.look(func() bool { want(t, len(m.objects), 6); return true })()
	}
	a.call("h", "acquire")
	b := dialManager(t, path)
	want(t, b.call("h", "release"), nil)
}

// A store that cannot be opened is an error that says why.
func TestPersistRefused(t *testing.T) {
	checkLeaks(t)
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	newTestManager(t, ManagerOptions{Persist: dir + "/taken"})
	write("garbage/manager.db", bytes.Repeat([]byte("garbage "), 4096))
	write("short/manager.db", []byte("garbage"))
	for persist, why := range map[string]string{
		write("file", nil):   "not a directory",
		"/proc/nowhere":      "no such file",
		dir + "/taken":       "another manager has it",
		dir + "/garbage":     "invalid database",
		dir + "/short":       "manager.db",
		"/sys/kernel/nobody": "",
	} {
		m, err := NewManager(ManagerOptions{Persist: persist})
		if m != nil || err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, expected %q", persist, err, why)
		}
		if why != "another manager has it" && errors.Is(err, errInUse) {
			t.Errorf("%s: %v", persist, err)
		}
	}
}

// A store that cannot be written any more, as on a full disk, ends the manager: what it could not keep
// it has not acknowledged, and it says why.
func TestPersistFull(t *testing.T) {
	checkLeaks(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "manager.sock")
	server := persistentManager(t, path, dir+"/store")
	a := dialManager(t, path)
	a.must(proto.MethodCreate, "list", []any{}, map[string]any{"name": "l", "keep": true})
	info, err := os.Stat(dir + "/store/manager.db")
	if err != nil {
		t.Fatal(err)
	}
	most := unix.Rlimit{Cur: uint64(info.Size()) + 256<<10, Max: unix.RLIM_INFINITY}
	if err := unix.Prlimit(server.cmd.Process.Pid, unix.RLIMIT_FSIZE, &most, nil); err != nil {
		t.Fatal(err)
	}
	acked := 0
	for ; ; acked++ {
		id := a.start("l", "append", []any{make([]byte, 10_000)}, none)
		f, err := a.conn.recv(within(t))
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if msg, err := proto.ParseMessage(f.Body, proto.Limits{}); err != nil || msg.ID != id || msg.Fault != nil {
			t.Fatal(msg, err)
		}
	}
	if why := recv[string](server); !strings.Contains(why, "the store failed") || !strings.Contains(why, "file too large") {
		t.Errorf("the manager ended with %q", why)
	}
	server.wait()
	m, path := newTestManager(t, ManagerOptions{Persist: dir + "/store"})
	got := dialManager(t, path).call("l", "len").(int64)
	if acked < 5 || got < int64(acked) || got > int64(acked)+1 {
		t.Errorf("%d elements came back, %d were acknowledged", got, acked)
	}
	want(t, m.Close(), nil)
}

// The store uses its room again: it does not grow with the number of changes.
func TestPersistGrowth(t *testing.T) {
	dir := t.TempDir()
	m, path := newTestManager(t, ManagerOptions{Persist: dir})
	a := dialManager(t, path)
	a.must(proto.MethodCreate, "dict", []any{}, map[string]any{"name": "d", "keep": true})
	sets := 20_000
	if n := rounds(t, 0); n > 0 {
		sets = 100 * n
	}
	value := make([]byte, 100)
	batch := []any{}
	begun := time.Now()
	for n := range sets {
		batch = append(batch, []any{"d", "set", []any{n % 100, value}})
		if len(batch) == 100 {
			a.must(proto.MethodBatch, batch, none)
			batch = batch[:0]
		}
	}
	took := time.Since(begun)
	want(t, m.Close(), nil)
	info, err := os.Stat(dir + "/manager.db")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("after %d sets of 100 bytes in 100 keys, %v: %d bytes", sets, took, info.Size())
	if info.Size() > 24<<20 {
		t.Errorf("the store has %d bytes", info.Size())
	}
}

// A manager with many entries starts at once.
func TestPersistStart(t *testing.T) {
	dir := t.TempDir()
	m, path := newTestManager(t, ManagerOptions{Persist: dir})
	a := dialManager(t, path)
	a.must(proto.MethodCreate, "dict", []any{}, map[string]any{"name": "d", "keep": true})
	const entries, each = 100_000, 1000
	for n := 0; n < entries; n += each {
		all := []any{}
		for k := range each {
			all = append(all, n+k, "value")
		}
		a.call("d", "update", pairs(all...))
	}
	want(t, m.Close(), nil)
	begun := time.Now()
	m, path = newTestManager(t, ManagerOptions{Persist: dir})
	took := time.Since(begun)
	want(t, dialManager(t, path).call("d", "len"), int64(entries))
	t.Logf("a manager with %d entries has started after %v", entries, took)
	if took > deadline/3 {
		t.Errorf("a manager with %d entries needs %v to start", entries, took)
	}
	want(t, m.Close(), nil)
}
