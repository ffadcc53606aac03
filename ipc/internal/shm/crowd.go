package shm

import (
	"context"
	"slices"
	"sync"
	"time"
)

// A crowd waits in one line for things that many may get at once, and not all for the
// same: an event that was not set since, this round of a barrier or the next. Whoever of
// the process stands in line looks for all of them.
type crowd struct {
	line
	what func(me int) []int // whose death may change something

	courtesy courtesy

	mu      sync.Mutex
	members []*member
}

func newCrowd(m *mapping, number int, depends func(me int) []int) crowd {
	return crowd{line: newLine(m, number), what: depends}
}

// A judge knows what one goroutine waits for.
type judge interface {
	// over tells whether the wait is over, and with which error. Any goroutine may ask.
	over() (bool, error)
}

// A member is one goroutine of a crowd.
type member struct {
	judge
	c    *crowd
	done chan struct{} // closed when somebody has found that it is over
	err  error         // of over
}

// wait waits until j says that it is over, or ctx ends.
func (c *crowd) wait(ctx context.Context, me int, j judge) error {
	for range spins {
		if ok, err := j.over(); ok || err != nil {
			return err
		}
		pause()
	}
	begin := time.Now()
	defer func() { c.courtesy.learn(time.Since(begin)) }()
	if ok, err := c.courtesy.look(begin, j.over); ok || err != nil {
		return err
	}
	b := &member{judge: j, c: c, done: make(chan struct{})}
	c.mu.Lock()
	c.members = append(c.members, b)
	c.mu.Unlock()
	// Of what changed before this nobody would tell.
	ok, err := j.over()
	if !ok && err == nil {
		err = c.line.wait(ctx, me, b, b.done)
	}
	if c.part(b) {
		return b.err
	}
	if err != nil && err == ctx.Err() {
		if ok, e := j.over(); ok || e != nil {
			return e
		}
	}
	return err
}

// part takes b out of the crowd, and tells whether its wait was found to be over.
func (c *crowd) part(b *member) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.members, b); i >= 0 {
		c.members = slices.Delete(c.members, i, i+1)
		return false
	}
	return true
}

// try looks for the whole crowd.
func (b *member) try(int) (bool, error) {
	c := b.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members = slices.DeleteFunc(c.members, func(b *member) bool {
		ok, err := b.over()
		if ok || err != nil {
			b.err = err
			close(b.done)
		}
		return ok || err != nil
	})
	select {
	case <-b.done:
		return true, nil // with b.err, see wait
	default:
		return false, nil
	}
}

func (b *member) ready(int) bool { return true } // who changes anything calls the line

func (b *member) depends(me int) []int {
	if b.c.what == nil {
		return nil
	}
	return b.c.what(me)
}

func (c *crowd) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.members)
}
