package ipc

import (
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

// Q3: −1 before 0 before 10, and equal ones in the order in which they came.
func TestManagedPriorityStable(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	id := a.create("priority_queue")
	for i, p := range []any{10, 0, -1, 0.0, true, big.NewInt(0), 10, 1} {
		a.call(id, "put", proto.Tuple{p, i})
	}
	var order []int64
	for range 8 {
		order = append(order, a.call(id, "get").(proto.Tuple)[1].(int64))
	}
	want(t, order, []int64{2, 1, 3, 5, 4, 7, 0, 6})
	// Of items that are equal as a whole the first is given first.
	for _, v := range []any{1, 1.0, true, 0} {
		a.call(id, "put", v)
	}
	want(t, a.call(id, "get_many", 4), []any{int64(0), int64(1), 1.0, true})
}

// What cannot be ordered beside what is there is refused, by put and never by get.
func TestManagedPriorityUnordered(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	id := a.create("priority_queue")
	a.call(id, "put", map[string]any{"alone": 1}) // meets nobody
	a.fails(proto.KindTypeError, id, "put", map[string]any{"alone": 1})
	a.fails(proto.KindTypeError, id, "put", 1)
	want(t, a.call(id, "get"), map[string]any{"alone": int64(1)})
	for i := range 600 {
		a.call(id, "put", []any{i, "x"})
	}
	bytes := stored(m)
	for i := range 600 {
		a.fails(proto.KindTypeError, id, "put", []any{i, 7})
	}
	a.fails(proto.KindTypeError, id, "put", "x")
	a.fails(proto.KindTypeError, id, "put", nil)
	want(t, stored(m), bytes)
	want(t, a.call(id, "unfinished"), int64(601))
	// Those before it stay in, and the fault tells how many.
	fault := a.getsFault(proto.KindTypeError, a.start(id, "put_many", []any{[]any{[]any{-1}, []any{-2}, 1, []any{-3}}}, none))
	want(t, fault.Value, proto.Raw{2})
	want(t, a.call(id, "get_many", 2), []any{[]any{int64(-2)}, []any{int64(-1)}})
	want(t, a.call(id, "len"), int64(600))
}

// A putter whose item has no place when its turn comes is told, and the next goes in.
func TestManagedPriorityRefusedLater(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	id := a.create("priority_queue", 2)
	a.call(id, "put_many", []any{1, 2})
	wrong := a.start(id, "put", []any{"x"}, none)
	right := a.start(id, "put", []any{3}, none)
	m.waits(t, 2)
	want(t, a.call(id, "get"), int64(1))
	a.getsFault(proto.KindTypeError, wrong)
	a.gets(right, nil)
	want(t, a.call(id, "get_many", 9), []any{int64(2), int64(3)})
}

// The shelf against a stable sort, with items put and got at random.
func TestSortedShelf(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	type item struct{ key, n int }
	var model []item
	s := newSorted()
	for n := range 50_000 {
		if r.IntN(5) < 3 || len(model) == 0 {
			it := item{key: r.IntN(1 + r.IntN(2000)), n: n}
			at, _ := slices.BinarySearchFunc(model, it.key+1, func(a item, key int) int { return a.key - key })
			model = slices.Insert(model, at, it)
			raw := proto.AppendInt(nil, int64(it.key))
			if err := s.put(value{raw: raw, refs: it.n}); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got := s.get(); got.refs != model[0].n || s.len() != len(model)-1 {
			t.Fatalf("seed %d, step %d: got number %d, want %v", seed, n, got.refs, model[0])
		}
		model = model[1:]
	}
	for _, it := range model {
		if got := s.get(); got.refs != it.n {
			t.Fatalf("seed %d: got number %d, want %v", seed, got.refs, it)
		}
	}
}

func BenchmarkSortedShelf(b *testing.B) {
	s := newSorted()
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 100_000 {
		s.put(value{raw: proto.AppendInt(nil, int64(r.Uint32())), refs: i})
	}
	for b.Loop() {
		s.put(value{raw: proto.AppendInt(nil, int64(r.Uint32()))})
		s.get()
	}
}

// Who looks for references sees every item of a queue once, few at a time.
func TestQueueVisit(t *testing.T) {
	for name, empty := range map[string]func() shelf{"fifo": newFIFO, "lifo": newLIFO, "sorted": newSorted} {
		q := managedQueue{items: empty()}
		for i := range 1000 {
			q.items.put(value{raw: proto.AppendInt(nil, int64(i*7%1000))})
		}
		for range 300 {
			q.items.get()
		}
		var all, parts []string
		q.items.some(0, q.items.len(), func(v value) { all = append(all, string(v.raw)) })
		for from := 0; from >= 0; {
			before := len(parts)
			from = q.visit(from, 9, func(v value) { parts = append(parts, string(v.raw)) })
			if n := len(parts) - before; n > 9 {
				t.Fatalf("%s: %d items at a time", name, n)
			}
		}
		if len(all) != 700 || !slices.Equal(all, parts) {
			t.Errorf("%s: %d items, in parts %d, which are others", name, len(all), len(parts))
		}
	}
}
