package ipc

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

// A turn lets one goroutine at a time into one direction of a Conn, and ends its wait
// when its context ends. The descriptor has one deadline for all who wait, so only who
// has the turn waits at the descriptor; the others wait for the turn, each as long as
// its own context says.
type turn struct {
	taken chan struct{} // holds one element while somebody has the turn
	set   func(time.Time) error

	once bool // who has the turn must not wait at all

	mu     sync.Mutex
	bound  time.Time     // the deadline that the user has set
	cut    bool          // the context of who has the turn has ended
	parked bool          // who has the turn waits in the kernel
	parks  chan struct{} // closed when somebody begins to; nil if nobody asks
}

func (t *turn) init(set func(time.Time) error) {
	t.taken, t.set = make(chan struct{}, 1), set
	t.once, t.bound, t.cut, t.parked, t.parks = false, time.Time{}, false, false, nil
}

// lock takes the turn, however long that lasts, and tryLock if it is free.
func (t *turn) lock()   { t.taken <- struct{}{} }
func (t *turn) unlock() { <-t.taken }

func (t *turn) tryLock() bool {
	select {
	case t.taken <- struct{}{}:
		return true
	default:
		return false
	}
}

// lockUnlessParked takes the turn, unless who has it waits in the kernel. All others give
// it back soon. (To fail whenever somebody has it is not enough: when several look at a
// message that is there, each gives the turn to the next, and nobody finds it free.)
func (t *turn) lockUnlessParked() bool {
	t.mu.Lock()
	if t.parked {
		t.mu.Unlock()
		return false
	}
	if t.parks == nil {
		t.parks = make(chan struct{})
	}
	parks := t.parks
	t.mu.Unlock()
	select {
	case t.taken <- struct{}{}:
		return true
	case <-parks:
		return false
	}
}

// park says that who has the turn is about to wait in the kernel, unpark that it does
// not any more.
func (t *turn) park() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.parked = true
	if t.parks != nil {
		close(t.parks)
		t.parks = nil
	}
}

func (t *turn) unpark() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.parked = false
}

// do runs f when the turn has come, and makes what f waits for end when ctx ends. The
// error is that of ctx then. With a ctx that has ended already f runs too, but must not
// wait: so one can look whether something is there.
func (t *turn) do(ctx context.Context, f func() error) error {
	done := ctx.Done()
	if done == nil {
		t.lock()
		defer t.unlock()
		return f()
	}
	if !t.tryLock() {
		select {
		case t.taken <- struct{}{}:
		case <-done:
			if !t.lockUnlessParked() {
				return ctx.Err()
			}
		}
	}
	defer t.unlock()
	if ctx.Err() != nil {
		t.once = true
		err := f()
		t.once = false
		return t.named(ctx, err)
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		t.interrupt(true)
		close(ended)
	})
	err := f()
	if !stop() {
		<-ended
		t.interrupt(false) // the next one has a context of its own
	}
	return t.named(ctx, err)
}

func (t *turn) named(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return ctx.Err()
	}
	return err
}

func (t *turn) interrupt(cut bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cut = cut
	if cut {
		t.set(time.Unix(1, 0))
	} else {
		t.set(t.bound)
	}
}

// setDeadline bounds the waits of all, besides their contexts.
func (t *turn) setDeadline(bound time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bound = bound
	if t.cut {
		return nil
	}
	return t.set(bound)
}
