package supervisor

import (
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// A promise is kept once. Most are kept before anybody waits, so the channel is made for who does. The zero promise is good.
type promise struct {
	kept  atomic.Bool
	mu    sync.Mutex
	done  chan struct{} // nil: nobody has asked
	hooks chain[hook]   // to be called when it is kept
}

// A hook is called by who keeps the promise: it must not block, nor take long.
type hook struct {
	call func(n int)
	n    int // its argument, so that one function serves many promises
}

// keptAlready is the channel of promises that were kept before anybody asked.
var keptAlready = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// wait returns a channel that is closed when the promise is kept.
func (p *promise) wait() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done == nil {
		if p.kept.Load() {
			p.done = keptAlready
		} else {
			p.done = make(chan struct{})
		}
	}
	return p.done
}

// keep is called once. What was written before it is seen by who finds the promise kept.
func (p *promise) keep() {
	p.mu.Lock()
	p.kept.Store(true)
	done, l := p.done, p.hooks.first
	p.hooks = chain[hook]{}
	p.mu.Unlock()
	if done != nil {
		close(done)
	}
	for ; l != nil; l = l.next { // nobody changes it any more: see forget
		l.value.call(l.value.n)
	}
}

// watch has the hook of l called when the promise is kept; false: it is kept already, and nothing will be called.
func (p *promise) watch(l *link[hook]) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kept.Load() {
		return false
	}
	p.hooks.push(l)
	return true
}

// forget takes back what watch did, so that a promise that is never kept does not collect who has waited for it. The hook
// may be under way, or yet to be called, if the promise is kept meanwhile.
func (p *promise) forget(l *link[hook]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.kept.Load() {
		p.hooks.remove(l)
	}
}

// then has f called when the promise is kept, at once if it is, in a goroutine of its own.
func (p *promise) then(f func()) {
	if !p.watch(&link[hook]{value: hook{call: func(int) { go guarded(f) }}}) {
		go guarded(f)
	}
}

// guarded calls a user's callback: one that panics harms nobody, but is heard of.
func guarded(f func()) {
	defer func() {
		if v := recover(); v != nil {
			fmt.Fprintf(os.Stderr, "supervisor: callback panics: %v\n%s", v, debug.Stack())
		}
	}()
	f()
}
