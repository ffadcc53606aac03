package ipc

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

// Values of 8 MiB and of 60 levels pass through every kind, in batches too, and a connection
// stays usable after any error.
func TestLargeAndDeep(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	large := bytes.Repeat([]byte("8"), 8<<20)
	var deep any = "bottom"
	for i := range 60 {
		if i%2 == 0 {
			deep = []any{deep}
		} else {
			deep = map[string]any{"x": proto.Tuple{deep}}
		}
	}
	d, l := a.create("dict"), a.create("list")
	same := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) { // too large to be printed
			t.Fatalf("%s: another value came back", what)
		}
	}
	for _, v := range []any{large, deep} {
		a.call(d, "update", pairs("k", v))
		a.call(l, "set", slice(), []any{v})
		calls := []any{[]any{d, "update", []any{pairs("k", v)}}, []any{d, "copy", []any{}}, []any{l, "pop", []any{}}}
		same("batch", a.must(proto.MethodBatch, calls, none), []any{[]any{nil, nil}, []any{nil, pairs("k", v)}, []any{nil, v}})
		same("watch", a.call(d, "watch", 0).([]any)[2].([]any)[0].([]any)[3], v)
		same("popitem", a.call(d, "popitem"), []any{"k", v})
	}
	_, err := a.do(proto.MethodCall, d, "set", []any{proto.Tuple{large}, 1}, none)
	want(t, err.(*proto.Fault).Kind, proto.KindTooLarge)
	for range 9 {
		a.call(l, "append", large)
	}
	a.fails(proto.KindTooLarge, l, "copy")
	a.fails(proto.KindTooLarge, l, "repeat", 2)
	a.fails(proto.KindTooLarge, l, "get", slice(nil, nil, -1))
	a.fails(proto.KindTooLarge, l, "concat", []any{1})
	a.fails(proto.KindTooLarge, l, "push_trim", 1, 0)
	want(t, a.call(l, "len"), int64(9))
	a.call(l, "delete", slice(1, nil))
	for range 3 {
		a.call(l, "add", 0, large)
	}
	want(t, len(a.call(l, "get", 0).([]byte)), 32<<20)
	endsClean(t, m, a)
}

// A reference in anything that an operation answers with carries a lease, and no more than one
// for each time.
func TestContainerLeases(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	x := a.create("event")
	ref := m.ref(x)
	leases := func() int64 { return a.must(proto.MethodIncref, x, 1, none).(int64) - 1 }
	base := int64(1)
	check := func(gets int64, object int64, op string, args ...any) {
		t.Helper()
		a.call(object, op, args...)
		if got := leases() - base; got != gets {
			t.Fatalf("%s%v gave %d leases, want %d", op, args, got, gets)
		}
		a.must(proto.MethodDecref, x, gets+1, none)
	}
	d := a.create("dict", []any{[]any{ref, []any{ref, proto.Tuple{ref}}}, []any{"v", ref}})
	check(1, d, "keys")
	check(3, d, "values")
	check(4, d, "items")
	check(4, d, "scan", 0, 9)
	check(4, d, "watch", 0)
	check(2, d, "get", ref)
	check(1, d, "get", "none", ref)
	check(4, d, "get_many", []any{"v", "none", "none", "v"}, ref)
	check(0, d, "contains", ref)
	check(1, d, "get_version", "v")
	check(1, d, "wait", "v", "==", ref)
	check(1, d, "setdefault", "v", 1)
	check(1, d, "pop", "none", ref)
	check(1, d, "popitem")
	check(2, d, "pop", ref)
	check(0, d, "set", "v", ref)
	check(1, d, "get_or_create", "v", "list", []any{})
	l := a.create("list", []any{ref, 1, ref})
	check(1, l, "get", 0)
	check(2, l, "get", slice())
	check(2, l, "copy")
	check(3, l, "concat", []any{ref})
	check(4, l, "repeat", 2)
	check(0, l, "imul", 2)
	check(0, l, "index", ref)
	check(1, l, "move", l, 0)
	check(3, l, "push_trim", 0, 2)
	check(1, l, "pop", 0)
	ns := a.create("namespace", map[string]any{"x": ref})
	check(1, ns, "get", "x")
	check(1, ns, "items")
	check(0, ns, "set", "x", 1)
	_, err := a.do(proto.MethodCall, d, "get", []any{proto.Tuple{ref}}, none) // a fault carries none
	want(t, err.(*proto.Fault).Kind, proto.KindKeyError)
	check(0, d, "clear")
	// What is stored keeps it; a default to one that has ended is refused.
	a.call(d, "set", proto.Tuple{1, proto.FrozenSet{ref}}, 1)
	a.decref(x)
	want(t, a.call(x, "is_set"), false)
	a.call(d, "clear")
	a.fails(proto.KindGone, x, "is_set")
	a.fails(proto.KindGone, d, "get", "none", ref)
	a.fails(proto.KindGone, d, "set", ref, 1)
	a.fails(proto.KindGone, l, "extend", []any{1, ref})
	endsClean(t, m, a)
}

func init() {
	// It gets the path of a manager and moves elements between the lists a and b, and counts in
	// the dict d, until it is killed.
	helpers["mover"] = func(c *Conn) error {
		var path string
		if err := c.Recv(context.Background(), &path); err != nil {
			return err
		}
		conn, err := Dial(context.Background(), path, ConnOptions{})
		if err != nil {
			return err
		}
		params := [][]any{
			{1, []any{}, none}, {"a", "move", []any{"b"}, none}, {"b", "move", []any{"a"}, none},
			{"d", "update", []any{pairs("x", 1, "y", 1)}, none}, {"d", "update", []any{pairs("x", 2, "y", 2)}, none},
			{"d", "get_or_create", []any{"o", "list", []any{}}, none}, {"d", "pop", []any{"o", nil}, none},
		}
		for id := uint64(1); ; id++ {
			method, p := proto.MethodCall, params[1+int(id)%(len(params)-1)]
			if id == 1 {
				method, p = proto.MethodHello, params[0]
			}
			b, err := proto.Marshal(p)
			if err == nil {
				err = conn.WriteFrame(nil, proto.AppendRequest(nil, id, method, b.Bytes))
			}
			if err == nil && id > 8 {
				_, err = conn.ReadFrame()
			}
			if err == nil && id == 64 {
				err = c.Send(context.Background(), "busy")
			}
			if err != nil {
				return err
			}
		}
	}
}

// Clients that are killed in the middle of what they do leave nothing half done.
func TestContainersKilled(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	for _, name := range []string{"a", "b", "d"} {
		kind, args := "list", []any{ints(1, 2, 3, 4, 5)}
		if name == "d" {
			kind, args = "dict", []any{pairs("x", 1, "y", 1)}
		}
		a.must(proto.MethodCreate, kind, args, map[string]any{"name": name})
	}
	for range 10 {
		movers := []*child{start(t, "mover"), start(t, "mover")}
		for _, c := range movers {
			c.send(path)
		}
		for _, c := range movers {
			c.expect("busy")
			c.kill()
		}
		eventually(t, "the connections of the killed have ended", m.look(func() bool { return len(m.sessions) == 1 }))
		sum := 0
		for _, name := range []string{"a", "b"} {
			sum += len(a.call(name, "copy").([]any))
		}
		want(t, sum, 10)
		xy := a.call("d", "get_many", []any{"x", "y"}).([]any)
		want(t, fmt.Sprint(xy[0]), fmt.Sprint(xy[1]))
		if ref, ok := a.call("d", "pop", "o", nil).(proto.Ref); ok {
			a.decref(int64(ref.ID))
		}
		objectsAre(t, m, 3)
	}
	endsClean(t, m, a)
}
