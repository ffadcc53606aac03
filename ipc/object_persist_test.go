package ipc

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

// Containers come back as they were: from their operations, and from their states once there are
// many operations.
func TestPersistContainers(t *testing.T) {
	checkLeaks(t)
	dir := t.TempDir()
	open := func() (*Manager, *foreign) {
		m, path := newTestManager(t, ManagerOptions{Persist: dir + "/store"})
		return m, dialManager(t, path)
	}
	m, a := open()
	kept := func(kind string, args ...any) {
		a.must(proto.MethodCreate, kind, list(args), map[string]any{"name": kind, "keep": true})
	}
	kept("dict", pairs("a", 1, "b", 2))
	kept("list", ints(1, 2, 3, 4))
	kept("namespace", map[string]any{"x": 1})
	kept("array", "i", ints(1, 2, 3))
	other := a.create("list", ints(10))
	a.call("dict", "set", "other", proto.Ref{Instance: m.instance, ID: uint64(other)})
	inner := a.call("dict", "get_or_create", "inner", "dict", []any{pairs("deep", 1)}).(proto.Ref)
	a.call(inner.ID, "set", "deeper", 2)
	a.call("dict", "popitem")
	a.call("dict", "set", "inner", inner)
	a.call("dict", "delete", "a")
	a.call("dict", "set", "a", "again")
	a.call("dict", "add", "b", 0.5)
	a.call("list", "move", other, 1, 0)
	a.call("list", "move", "list", 0)
	a.call("list", "sort", true)
	a.call("list", "imul", 2)
	a.call("list", "delete", slice(nil, nil, 2))
	a.call("list", "push_trim", "z", 3)
	a.call("namespace", "set", "y", 2)
	a.call("array", "set", slice(0, 2), ints(7, 8))
	look := func() string {
		s := ""
		for _, name := range []any{"dict", "list", "namespace", "array", other, inner.ID} {
			s += a.must(proto.MethodDescribe, name, none).(map[string]any)["text"].(string) + "\n"
		}
		return s + fmt.Sprint(a.call("dict", "version"), a.call("dict", "get_version", "b"))
	}
	for round := range 3 {
		before := look()
		if round == 0 {
			for _, s := range []string{"'again'", "2.5", "[2, 10]", "'deeper': 2", "y=2", "[7, 8, 3]"} {
				if !bytes.Contains([]byte(before), []byte(s)) {
					t.Fatalf("%s is not in %s", s, before)
				}
			}
		}
		want(t, m.Close(), nil)
		m, a = open()
		want(t, look(), before)
		w := a.call("dict", "watch", 0).([]any)
		want(t, w[1], false) // removals are forgotten
		if round == 0 {      // as much as makes a state
			for range 40 {
				for _, name := range []string{"dict", "list", "namespace"} {
					op, args := "set", []any{"big", make([]byte, 100<<10)}
					if name == "list" {
						op, args = "push_trim", []any{args[1], 4}
					}
					a.call(name, op, args...)
				}
			}
			for range 12 {
				a.call("array", "set", slice(), ints(9, 9, 9))
			}
		}
	}
	want(t, m.Close(), nil)
}

// What is in the store comes back though the limits are lower.
func TestPersistLimits(t *testing.T) {
	checkLeaks(t)
	dir := t.TempDir()
	kept := func(name string) map[string]any { return map[string]any{"name": name, "keep": true} }
	m, path := newTestManager(t, ManagerOptions{Persist: dir})
	a := dialManager(t, path)
	a.must(proto.MethodCreate, "list", []any{ints(1)}, kept("l"))
	a.must(proto.MethodCreate, "array", []any{"q", 100_000}, kept("a"))
	a.must(proto.MethodCreate, "value", []any{nil, make([]byte, 200<<10)}, kept("v"))
	a.call("l", "imul", 10_000)
	want(t, m.Close(), nil)
	_, path = newTestManager(t, ManagerOptions{Persist: dir, Limits: ManagerLimits{Memory: 1000, Frame: 100 << 10}})
	a = dialManager(t, path)
	want(t, a.call("l", "len"), int64(10_000))
	want(t, a.call("a", "len"), int64(100_000))
	a.fails(proto.KindTooLarge, "v", "get")
}

// A scan goes on over a restart only if the places are the same.
func TestPersistScan(t *testing.T) {
	checkLeaks(t)
	oftenState(t)
	dir := t.TempDir()
	m, path := newTestManager(t, ManagerOptions{Persist: dir})
	a := dialManager(t, path)
	a.must(proto.MethodCreate, "dict", []any{pairs("a", 1, "b", 2, "c", 3, "d", 4)}, map[string]any{"name": "d", "keep": true})
	restart := func() {
		t.Helper()
		want(t, m.Close(), nil)
		m, path = newTestManager(t, ManagerOptions{Persist: dir})
		a = dialManager(t, path)
	}
	a.call("d", "set", "a", 0)
	first := a.call("d", "scan", 0, 2).([]any)
	restart()
	want(t, len(a.call("d", "scan", first[1], 2, first[0]).([]any)[2].([]any)), 2)
	a.call("d", "delete", "a")
	a.call("d", "set", "b", make([]byte, 1000)) // so that there is a state
	first = a.call("d", "scan", 0, 2).([]any)
	restart()
	a.fails(proto.KindChanged, "d", "scan", first[1], 2, first[0])
}

// oftenState has the state of an object kept after few operations, until the test ends.
func oftenState(t *testing.T) {
	was := stateAfter
	stateAfter = 0
	t.Cleanup(func() { stateAfter = was })
}

// A move within one list is two changes of it: a state between them must not have both.
func TestPersistMove(t *testing.T) {
	checkLeaks(t)
	oftenState(t)
	dir := t.TempDir()
	m, path := newTestManager(t, ManagerOptions{Persist: dir})
	a := dialManager(t, path)
	a.must(proto.MethodCreate, "list", []any{ints(1, 2, 3)}, map[string]any{"name": "l", "keep": true})
	for range 10 {
		a.call("l", "move", "l", 0)
		before := a.call("l", "copy")
		want(t, m.Close(), nil)
		m, path = newTestManager(t, ManagerOptions{Persist: dir})
		a = dialManager(t, path)
		want(t, a.call("l", "copy"), before)
	}
}
