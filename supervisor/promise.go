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
	hooks []func()      // to be called when it is kept, each in a goroutine of its own
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
	done, hooks := p.done, p.hooks
	p.hooks = nil
	p.mu.Unlock()
	if done != nil {
		close(done)
	}
	for _, h := range hooks {
		go guarded(h)
	}
}

// then has f called when the promise is kept, at once if it is, in a goroutine of its own.
func (p *promise) then(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kept.Load() {
		go guarded(f)
		return
	}
	p.hooks = append(p.hooks, f)
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
