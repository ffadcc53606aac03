package supervisor

import (
	"context"
	"sync"
)

// A collector hears of futures as they are done. It needs no goroutine, and once released it is in none of them.
type collector[R any] struct {
	fs    []*Future[R]
	links []link[hook]  // one in each future
	wake  chan struct{} // has room for one: there is something to take

	mu    sync.Mutex
	done  []int // which are done, in order of completion
	taken int   // how many of those have been taken
}

func collect[R any](fs []*Future[R]) *collector[R] {
	c := &collector[R]{
		fs: fs, links: make([]link[hook], len(fs)),
		wake: make(chan struct{}, 1), done: make([]int, 0, len(fs)),
	}
	add := c.add
	for i, f := range c.fs {
		c.links[i].value = hook{add, i}
		if !f.p.watch(&c.links[i]) {
			add(i)
		}
	}
	return c
}

// release is to be called by who has called collect.
func (c *collector[R]) release() {
	for i, f := range c.fs {
		f.p.forget(&c.links[i])
	}
}

func (c *collector[R]) add(i int) {
	c.mu.Lock()
	c.done = append(c.done, i)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *collector[R]) take() (i int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken == len(c.done) {
		return 0, false
	}
	i = c.done[c.taken]
	c.taken++
	return i, true
}

// next waits for a future to be done that has not been told yet. The error is the cause of the end of ctx; what is done counts
// also if ctx has ended.
func (c *collector[R]) next(ctx context.Context) (int, error) {
	for {
		if i, ok := c.take(); ok {
			return i, nil
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
			if i, ok := c.take(); ok {
				return i, nil
			}
			return 0, context.Cause(ctx)
		}
	}
}
