package ipc

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

// A plainDict is a dict of Python with the history of its changes, written in the plainest way.
type plainDict struct {
	keys     []any
	values   map[any]any
	versions map[any]int64
	last     int64
	log      []any // the key of each version
}

func (p *plainDict) set(k, v any) {
	if _, ok := p.values[k]; !ok {
		p.keys = append(p.keys, k)
	}
	p.values[k] = v
	p.stamp(k)
}

func (p *plainDict) stamp(k any) {
	p.last++
	p.versions[k] = p.last
	p.log = append(p.log, k)
}

func (p *plainDict) del(k any) {
	delete(p.values, k)
	p.keys = slices.DeleteFunc(p.keys, func(x any) bool { return x == k })
	p.stamp(k)
}

func (p *plainDict) items() string {
	var kv []any
	for _, k := range p.keys {
		kv = append(kv, k, p.values[k])
	}
	return fmt.Sprint(pairs(kv...))
}

// changes is what a watch from a version on tells.
func (p *plainDict) changes(since int64) string {
	var all []string
	for i, k := range p.log[since:] {
		if at := since + int64(i) + 1; p.versions[k] == at {
			v, ok := p.values[k]
			all = append(all, fmt.Sprint([]any{k, at, ok, v}))
		}
	}
	return "[" + strings.Join(all, " ") + "]"
}

// A dict does under any operations what the plain one does.
func TestDictModel(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 2))
		id := a.create("dict")
		a.call(id, "version") // from now on removals are remembered
		model := &plainDict{values: map[any]any{}, versions: map[any]int64{}}
		for step := range 600 {
			op := dictStep(t, a, r, id, model)
			if got := fmt.Sprint(a.call(id, "items")); got != model.items() {
				t.Fatalf("seed %d, step %d, %s: %v, want %v", seed, step, op, got, model.items())
			}
			want(t, a.call(id, "version"), model.last)
			since := model.last - int64(r.IntN(int(min(model.last, 50))+1))
			if since == model.last {
				continue
			}
			got := a.call(id, "watch", since).([]any)
			if got[0] != model.last || got[1] != true || fmt.Sprint(got[2]) != model.changes(since) {
				t.Fatalf("seed %d, step %d, %s: since %d: %v, want %v", seed, step, op, since, got, model.changes(since))
			}
		}
		a.decref(id)
	}
	endsClean(t, m, a)
}

func dictStep(t *testing.T, a *foreign, r *rand.Rand, id int64, p *plainDict) string {
	t.Helper()
	// Few keys at a time, that change in the course of the test.
	k := any(int64(r.IntN(12)) + p.last/100)
	if r.IntN(3) == 0 {
		k = fmt.Sprint("k", k)
	}
	v := int64(r.IntN(100))
	has, ok := p.values[k]
	call := func(op string, args ...any) any { t.Helper(); return a.call(id, op, args...) }
	switch r.IntN(12) {
	case 0, 1, 2:
		call("set", k, v)
		p.set(k, v)
		return "set"
	case 3, 4:
		if got := call("pop", k, "none"); ok {
			want(t, got, has)
			p.del(k)
		} else {
			want(t, got, "none")
		}
		return "pop"
	case 5:
		if len(p.keys) == 0 {
			a.fails(proto.KindKeyError, id, "popitem")
			return "popitem of none"
		}
		last := p.keys[len(p.keys)-1]
		want(t, call("popitem"), []any{last, p.values[last]})
		p.del(last)
		return "popitem"
	case 6:
		if got := call("setdefault", k, v); ok {
			want(t, got, has)
		} else {
			want(t, got, v)
			p.set(k, v)
		}
		return "setdefault"
	case 7:
		if got := call("add", k, v, 1000); ok {
			p.set(k, has.(int64)+v)
		} else {
			p.set(k, v+1000)
			want(t, got, v+1000)
		}
		return "add"
	case 8:
		want(t, call("cas", k, has, v), ok)
		if ok {
			p.set(k, v)
		}
		return "cas"
	case 9:
		want(t, call("get_version", k), []any{has, p.versions[k] * int64(map[bool]int{true: 1}[ok])})
		return "get_version"
	case 10:
		if r.IntN(8) > 0 {
			other := fmt.Sprint("u", v)
			call("update", pairs(k, v, other, v))
			p.set(k, v)
			p.set(other, v)
			return "update"
		}
		call("clear")
		for len(p.keys) > 0 {
			p.del(p.keys[len(p.keys)-1])
		}
		return "clear"
	}
	want(t, call("delete_if", k, has), ok)
	if ok {
		p.del(k)
	}
	return "delete_if"
}
