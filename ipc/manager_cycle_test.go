package ipc

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

func (f *foreign) decref(object int64) {
	f.t.Helper()
	f.must(proto.MethodDecref, object, 1, none)
}

func (m *Manager) ref(id int64) proto.Ref { return proto.Ref{Instance: m.instance, ID: uint64(id)} }

// objectsAre waits until so many objects live.
func objectsAre(t testing.TB, m *Manager, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d objects live", n), m.look(func() bool { return len(m.objects) == n }))
}

// Objects that refer only to each other end, and nothing else does.
func TestCycles(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	alive := a.create("dict")
	t.Run("itself", func(t *testing.T) {
		l := a.create("list")
		a.call(l, "append", m.ref(l))
		a.call(l, "append", proto.Tuple{m.ref(l), 1})
		a.decref(l)
		objectsAre(t, m, 1)
	})
	t.Run("each other", func(t *testing.T) {
		d, l, v, ns, q := a.create("dict"), a.create("list"), a.create("value"), a.create("namespace"), a.create("lifo_queue")
		plain := a.create("event")
		a.call(d, "set", m.ref(l), 1) // in a key
		a.call(l, "append", map[string]any{"x": []any{m.ref(v)}})
		a.call(v, "set", m.ref(ns))
		a.call(ns, "set", "q", m.ref(q))
		a.call(q, "put", m.ref(d))
		a.call(ns, "set", "plain", m.ref(plain))
		for _, id := range []int64{l, v, ns, q, d, plain} {
			a.decref(id)
		}
		objectsAre(t, m, 1)
		a.fails(proto.KindGone, d, "len")
	})
	t.Run("held from outside", func(t *testing.T) {
		d, l := a.create("dict"), a.create("list")
		a.call(d, "set", "l", m.ref(l))
		a.call(l, "append", m.ref(d))
		a.call(alive, "set", "d", m.ref(d))
		a.decref(d)
		a.decref(l)
		bait := a.create("list") // a search that has seen all of them ends this one
		a.call(bait, "append", m.ref(bait))
		a.decref(bait)
		objectsAre(t, m, 3)
		want(t, a.call(d, "len"), int64(1))
		a.call(alive, "delete", "d")
		objectsAre(t, m, 1)
	})
	t.Run("kept and waited on", func(t *testing.T) {
		l := a.create("list")
		a.must(proto.MethodKeep, l, true, none)
		a.call(l, "append", m.ref(l))
		w := a.start(l, "wait", []any{"==", 5}, none)
		a.decref(l)
		want(t, a.call(l, "len"), int64(1))
		a.must(proto.MethodKeep, l, false, none)
		v, err := a.answer(w)
		wantFault(t, proto.KindGone, v, err)
		objectsAre(t, m, 1)
	})
	endsClean(t, m, a)
}

// Whatever is done to objects that refer to each other, in the end as many live as nobody can
// lose: none.
func TestCyclesAtRandom(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	root := dialManager(t, path)
	hub := root.create("dict")
	done := make(chan bool)
	const clients = 3
	for i := range clients {
		f := dialManager(t, path)
		go func() {
			defer func() { done <- true }()
			r := rand.New(rand.NewPCG(uint64(i), 5))
			var mine []int64
			for range 400 {
				switch n := r.IntN(10); {
				case n < 2 || len(mine) < 2:
					mine = append(mine, f.create([]string{"dict", "list"}[r.IntN(2)]))
				case n < 6:
					x, y := mine[r.IntN(len(mine))], mine[r.IntN(len(mine))]
					if _, err := f.do(proto.MethodCall, x, "set", []any{r.IntN(5), m.ref(y)}, none); err != nil {
						f.do(proto.MethodCall, x, "append", []any{m.ref(y)}, none)
					}
				case n < 7:
					f.call(hub, "set", r.IntN(20), m.ref(mine[r.IntN(len(mine))]))
				case n < 8:
					if ref, ok := f.call(hub, "get", r.IntN(20), nil).(proto.Ref); ok {
						mine = append(mine, int64(ref.ID))
					}
				default:
					k := r.IntN(len(mine))
					f.decref(mine[k])
					mine = append(mine[:k], mine[k+1:]...)
				}
			}
			f.conn.Close()
		}()
	}
	for range clients {
		<-done
	}
	for i := range 20 {
		// What the hub holds is alive, whatever else was ended.
		if ref, ok := root.call(hub, "get", i, nil).(proto.Ref); ok {
			root.call(ref.ID, "len")
			root.decref(int64(ref.ID))
		}
	}
	root.call(hub, "clear")
	objectsAre(t, m, 1)
	endsClean(t, m, root)
}

// A large object among those that refer to each other is looked at in parts.
func TestCyclesOfLarge(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	l, d := a.create("list", make([]any, 5*cycleSteps)), a.create("dict")
	other := b.create("list")
	a.call(l, "append", m.ref(d))
	a.call(d, "set", "l", m.ref(l))
	for i := range 3 * cycleSteps {
		b.start(other, "append", []any{i}, none)
	}
	a.decref(d)
	a.decref(l)
	objectsAre(t, m, 1)
	endsClean(t, m, a, b)
}
