package supervisor

import (
	"context"
	"sync"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
)

// A runContext is what a task gets. Most tasks never look at it, so what stands behind it is made when it is asked for: a context of
// its own that is an owner (ipc.WithOwner) and can be cancelled.
type runContext struct {
	info TicketInfo

	mu      sync.Mutex
	behind  context.Context
	release context.CancelCauseFunc
	ended   bool
	cause   error
}

func (c *runContext) context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.behind == nil {
		c.behind, c.release = context.WithCancelCause(ipc.WithOwner(context.Background()))
		if c.ended {
			c.release(c.cause)
		}
	}
	return c.behind
}

// end ends the context; nil is context.Canceled. The first cause counts.
func (c *runContext) end(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.ended, c.cause = true, cause
	if c.release != nil {
		c.release(cause)
	}
}

// hasEnded tells what Err would, and makes nothing.
func (c *runContext) hasEnded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

func (c *runContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (c *runContext) Done() <-chan struct{}       { return c.context().Done() }

func (c *runContext) Err() error {
	if !c.hasEnded() {
		return nil
	}
	return c.context().Err()
}

func (c *runContext) Value(key any) any {
	if key == (ticketKey{}) {
		return c.info
	}
	return c.context().Value(key)
}
