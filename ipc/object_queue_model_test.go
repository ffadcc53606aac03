package ipc

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

// Random operations on a queue, one at a time, held to a model in plain words. Some persist:
// another manager comes back to the same.

// A modelQueue is what the page says of queues. Items are distinct integers.
type modelQueue struct {
	kind       string
	max        int
	closed     bool
	items      []int64
	unfinished int
	waiting    []*modelWait // to get or to put, the oldest first
}

type modelWait struct {
	id   uint64
	c    *foreign
	get  int     // 0: a put; 1 for get; n + 1 for get_many of n
	put  []int64 // not in yet
	many bool
	in   int
}

// An expected answer: a value, or a fault if kind is not empty.
type expected struct {
	c    *foreign
	id   uint64
	v    any
	kind string
}

func (q *modelQueue) add(v int64) {
	q.items = append(q.items, v)
	q.unfinished++
	if q.kind == "priority_queue" {
		slices.SortStableFunc(q.items, func(a, b int64) int { return int(a%10 - b%10) })
	}
}

// The priority of an item is its last digit, so that there are equal ones.
func (q *modelQueue) item(v int64) any {
	if q.kind == "priority_queue" {
		return proto.Tuple{v % 10}
	}
	return v
}

func (q *modelQueue) take(n int) (vs []int64) {
	for ; n > 0 && len(q.items) > 0; n-- {
		i := 0
		if q.kind == "lifo_queue" {
			i = len(q.items) - 1
		}
		vs = append(vs, q.items[i])
		q.items = slices.Delete(q.items, i, i+1)
	}
	return vs
}

func (q *modelQueue) full() bool { return q.max > 0 && len(q.items) >= q.max }

func (q *modelQueue) anyOf(vs []int64) []any {
	out := []any{}
	for _, v := range vs {
		out = append(out, q.item(v))
	}
	return out
}

// settle answers those who can go on.
func (q *modelQueue) settle() (out []expected) {
	for again := true; again; {
		again = false
		for _, w := range q.waiting {
			switch {
			case w.get > 0 && len(q.items) > 0:
				vs := q.take(max(1, w.get-1))
				e := expected{c: w.c, id: w.id, v: any(q.anyOf(vs))}
				if w.get == 1 {
					e.v = q.item(vs[0])
				}
				out = append(out, e)
			case w.get > 0 && q.closed:
				out = append(out, expected{c: w.c, id: w.id, kind: proto.KindClosed})
			case w.get == 0 && q.closed:
				out = append(out, expected{c: w.c, id: w.id, kind: proto.KindClosed})
			case w.get == 0 && !q.full():
				for len(w.put) > 0 && !q.full() {
					q.add(w.put[0])
					w.put, w.in = w.put[1:], w.in+1
				}
				again = true
				if len(w.put) > 0 {
					continue // and stays in line
				}
				out = append(out, w.done())
			default:
				continue
			}
			q.leave(w)
			again = true
			break
		}
	}
	return out
}

func (w *modelWait) done() expected {
	e := expected{c: w.c, id: w.id}
	if w.many {
		e.v = int64(w.in)
	}
	return e
}

func (q *modelQueue) leave(w *modelWait) {
	q.waiting = slices.DeleteFunc(q.waiting, func(x *modelWait) bool { return x == w })
}

func TestManagedQueueModel(t *testing.T) {
	for _, kind := range queueKinds {
		for _, size := range []int{0, 1, 4} {
			t.Run(fmt.Sprintf("%s_%d", kind, size), func(t *testing.T) {
				seed := rand.Uint64()
				t.Logf("seed %d", seed)
				checkLeaks(t)
				g := newModelGame(t, kind, size, rand.New(rand.NewPCG(seed, 1)))
				for range 200 {
					g.step()
				}
				g.finish()
			})
		}
	}
}

type modelGame struct {
	t       *testing.T
	r       *rand.Rand
	m       *Manager
	path    string
	home    *foreign // keeps the queue alive, and looks
	clients []*foreign
	id      int64
	store   string // where the queue persists, if at all
	q       *modelQueue
	next    int64
}

func newModelGame(t *testing.T, kind string, size int, r *rand.Rand) *modelGame {
	g := &modelGame{t: t, r: r, q: &modelQueue{kind: kind, max: size}}
	if size > 1 { // each change is written to disk
		g.store = t.TempDir()
	}
	g.m, g.path = newTestManager(t, ManagerOptions{Persist: g.store})
	g.home = dialManager(t, g.path)
	g.id = g.home.must(proto.MethodCreate, kind, []any{size}, map[string]any{"name": "queue", "keep": true}).([]any)[0].(int64)
	for range 4 {
		g.clients = append(g.clients, dialManager(t, g.path))
	}
	return g
}

func (g *modelGame) items(n int) (vs []int64) {
	for range n {
		g.next++
		vs = append(vs, g.next)
	}
	return vs
}

// step does one thing, and compares what is answered.
func (g *modelGame) step() {
	i := g.r.IntN(len(g.clients))
	c := g.clients[i]
	switch k := g.r.IntN(20); {
	case k < 5:
		vs := g.items(1)
		g.begin(&modelWait{c: c, put: vs}, "put", []any{g.q.item(vs[0])})
	case k < 8:
		vs := g.items(1 + g.r.IntN(6))
		g.begin(&modelWait{c: c, put: vs, many: true}, "put_many", []any{g.q.anyOf(vs)})
	case k < 13:
		g.begin(&modelWait{c: c, get: 1}, "get", nil)
	case k < 15:
		n := 1 + g.r.IntN(5)
		g.begin(&modelWait{c: c, get: n + 1}, "get_many", []any{n})
	case k < 17:
		g.cancel()
	case k < 18:
		g.leave(i)
	case k < 19:
		was := g.q.max
		g.q.max = g.r.IntN(6)
		want(g.t, c.call(g.id, "maxsize", g.q.max), int64(was))
		g.expect(g.q.settle())
	default:
		if got := g.q.unfinished - len(g.q.items); got > 0 {
			n := 1 + g.r.IntN(got)
			want(g.t, c.call(g.id, "task_done", n), nil)
			g.q.unfinished -= n
		}
	}
	want(g.t, g.home.call(g.id, "len"), int64(len(g.q.items)))
	want(g.t, g.home.call(g.id, "unfinished"), int64(g.q.unfinished))
	want(g.t, g.home.call(g.id, "full"), g.q.full())
}

// begin starts a call, which waits, is answered at once, or has no time.
func (g *modelGame) begin(w *modelWait, op string, args []any) {
	g.t.Helper()
	options := none
	if g.r.IntN(4) == 0 {
		options = noTime
	}
	w.id = w.c.start(g.id, op, args, options)
	g.q.waiting = append(g.q.waiting, w)
	g.expect(g.q.settle())
	if !slices.Contains(g.q.waiting, w) {
		return
	}
	if options["timeout_ms"] == nil {
		g.m.waits(g.t, len(g.q.waiting))
		return
	}
	g.q.leave(w)
	switch {
	case w.get > 0:
		g.expect([]expected{{c: w.c, id: w.id, kind: proto.KindEmpty}})
	case w.in > 0:
		g.expect([]expected{w.done()})
	default:
		g.expect([]expected{{c: w.c, id: w.id, kind: proto.KindFull}})
	}
}

func (g *modelGame) expect(es []expected) {
	g.t.Helper()
	for _, e := range es {
		if e.kind != "" {
			e.c.getsFault(e.kind, e.id)
		} else {
			e.c.gets(e.id, e.v)
		}
	}
}

func (g *modelGame) cancel() {
	if len(g.q.waiting) == 0 {
		return
	}
	w := g.q.waiting[g.r.IntN(len(g.q.waiting))]
	want(g.t, w.c.must(proto.MethodCancel, w.id, none), true)
	g.q.leave(w)
	g.expect([]expected{{c: w.c, id: w.id, kind: proto.KindCancelled}})
	g.expect(g.q.settle())
}

// leave ends a connection. The manager need not have noticed when the next step comes.
func (g *modelGame) leave(i int) {
	c := g.clients[i]
	c.conn.Close()
	g.q.waiting = slices.DeleteFunc(g.q.waiting, func(w *modelWait) bool { return w.c == c })
	g.clients[i] = dialManager(g.t, g.path)
}

// finish closes the queue and takes what is left; and again, if it persists.
func (g *modelGame) finish() {
	g.q.closed = true
	want(g.t, g.home.call(g.id, "close"), nil)
	g.expect(g.q.settle())
	left := slices.Clone(g.q.items)
	if g.store != "" {
		g.restart()
	}
	for range left {
		want(g.t, g.home.call(g.id, "get"), g.q.item(g.q.take(1)[0]))
	}
	g.home.fails(proto.KindClosed, g.id, "get")
	if g.store == "" {
		return
	}
	// The state as a whole is what the operations have made.
	g.q.items = left
	g.restart()
	want(g.t, g.home.call(g.id, "len"), int64(0))
}

// restart ends the manager and starts another over what it left.
func (g *modelGame) restart() {
	g.t.Helper()
	dump := g.dump()
	g.m.Close()
	g.m, g.path = newTestManager(g.t, ManagerOptions{Persist: g.store})
	g.home = dialManager(g.t, g.path)
	want(g.t, g.dump(), dump)
	want(g.t, g.home.call(g.id, "unfinished"), int64(g.q.unfinished))

	g.m.look(func() bool {
		c := &call{m: g.m, args: []proto.Raw{dump}, op: "restore"}
		again, err := g.m.create(&call{m: g.m}, g.q.kind, "")
		if err != nil {
			g.t.Fatal(err)
		}
		again.thing.call(c)
		want(g.t, proto.Raw(again.thing.(durable).dump(nil)), dump)
		g.m.mayEnd(again)
		return true
	})()
}

func (g *modelGame) dump() (b proto.Raw) {
	g.m.look(func() bool {
		b = g.m.objects[uint64(g.id)].thing.(durable).dump(nil)
		return true
	})()
	return b
}
