package supervisor

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// Hooks are called in the order in which they came; those taken back are not, and leave nothing.
func TestPromiseHooks(t *testing.T) {
	var p promise
	var called []int
	note := func(n int) { called = append(called, n) }
	links := make([]link[hook], 5)
	for i := range links {
		links[i].value = hook{note, i}
		if !p.watch(&links[i]) {
			t.Fatal("kept before anybody has")
		}
	}
	p.forget(&links[0])
	p.forget(&links[3])
	p.forget(&links[3])
	p.keep()
	if want := []int{1, 2, 4}; !slices.Equal(called, want) {
		t.Errorf("called %v, want %v", called, want)
	}
	p.forget(&links[1])
	if p.watch(&link[hook]{value: hook{note, 5}}) || len(called) != 3 {
		t.Error("a kept promise can be watched")
	}
	if p.hooks != (chain[hook]{}) {
		t.Error("a kept promise holds hooks")
	}
}

// Who waits a hundred thousand times for what never comes is not remembered.
func TestPromiseForgets(t *testing.T) {
	var p promise
	for range 100_000 {
		l := &link[hook]{}
		p.watch(l)
		p.forget(l)
	}
	if p.hooks != (chain[hook]{}) {
		t.Error("the promise holds hooks")
	}
}

// Hooks taken back while the promise is kept are called once or never.
func TestPromiseForgetRace(t *testing.T) {
	for range 200 {
		var p promise
		var calls [8]atomic.Int32
		links := make([]link[hook], len(calls))
		for i := range links {
			links[i].value = hook{func(n int) { calls[n].Add(1) }, i}
			p.watch(&links[i])
		}
		var all sync.WaitGroup
		all.Go(p.keep)
		for i := 1; i < len(links); i += 2 {
			all.Go(func() { p.forget(&links[i]) })
		}
		all.Wait()
		for i := range calls {
			if n := calls[i].Load(); n > 1 || n == 0 && i%2 == 0 {
				t.Fatalf("hook %d was called %d times", i, n)
			}
		}
	}
}
