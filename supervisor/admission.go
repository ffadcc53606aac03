package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A submitter waits for room in the backlog.
type submitter struct{ room chan struct{} }

// An admission is what a submitter does while the backlog is full.
type admission int

const (
	mayWait admission = iota
	orFull            // it is refused with ErrFull
	anyway            // it goes in all the same: somebody else bounds how many do
)

// Submit accepts a ticket and returns at once, or waits while the backlog is full,
// until ctx ends. When ctx ends later, the ticket is cancelled. It returns ErrClosed
// after Close, Drain, Terminate or Kill, and what the pool failed of. The
// descriptors of t.Args are the pool's from now on, whatever is returned.
func (p *Pool) Submit(ctx context.Context, t Ticket) (*Pending, error) {
	pending := new(Pending)
	if err := p.submit(ctx, pending, t, mayWait); err != nil {
		return nil, err
	}
	return pending, nil
}

// TrySubmit is Submit, but does not wait: while the backlog is full it returns ErrFull.
func (p *Pool) TrySubmit(ctx context.Context, t Ticket) (*Pending, error) {
	pending := new(Pending)
	if err := p.submit(ctx, pending, t, orFull); err != nil {
		return nil, err
	}
	return pending, nil
}

// submit makes t a ticket of the pool.
func (p *Pool) submit(ctx context.Context, pending *Pending, t Ticket, wait admission) error {
	pending.pool, pending.ticket = p, t
	err := t.check()
	if err == nil {
		err = p.accept(ctx, pending, wait)
	}
	if err != nil {
		closePayload(t.Args)
		return err
	}
	return nil
}

func (t Ticket) check() error {
	switch {
	case t.Task == "":
		return errors.New("supervisor: ticket without a task")
	case t.Attempts < 0:
		return fmt.Errorf("supervisor: ticket with %d attempts, expected at least 1 (or 0 for 1)", t.Attempts)
	case t.Timeout < 0 || t.Backoff < 0:
		return fmt.Errorf("supervisor: ticket with a time-out of %v and a back-off of %v, expected at least 0", t.Timeout, t.Backoff)
	}
	return nil
}

// accept hands a ticket to an idle place, or lets it wait; for that it may have to wait for room.
func (p *Pool) accept(ctx context.Context, t *Pending, wait admission) error {
	p.mu.Lock()
	if err := p.refusalLocked(); err != nil {
		p.mu.Unlock()
		return err
	}
	p.numbers++
	t.number = p.numbers
	t.speed = p.speedOf(t.ticket.Task)
	now := time.Time{}
	if !t.ticket.At.IsZero() {
		now = time.Now()
	}
	if !t.ticket.At.After(now) && p.backlog.ready == 0 {
		if place := p.popIdle(); place != nil {
			p.follow(ctx, t)
			p.backlog.push(t, now)
			place.feed() // unlocks
			return nil
		}
	}
	if wait != anyway && p.backlog.waiting()+p.granted >= p.opts.Backlog {
		if wait == orFull {
			p.mu.Unlock()
			return ErrFull
		}
		if err := p.awaitRoom(ctx, t); err != nil { // with mu held, unless there is an error
			return err
		}
	}
	p.follow(ctx, t)
	p.backlog.push(t, now)
	if t.where == isLater {
		p.alarm()
	}
	p.dispatch() // unlocks
	return nil
}

// speedOf returns what is known of a task. With mu held.
func (p *Pool) speedOf(task string) *speed {
	s := p.speeds[task]
	if s == nil {
		s = new(speed)
		if len(p.speeds) < maxSpeeds {
			p.speeds[task] = s
		}
	}
	return s
}

// maxSpeeds is of how many tasks a pool learns: who submits may make names up.
const maxSpeeds = 1000

// awaitRoom waits until there is room in the backlog. It is called with mu held; without an error it returns with it.
func (p *Pool) awaitRoom(ctx context.Context, t *Pending) (err error) {
	s := &submitter{room: make(chan struct{})}
	p.waiters = append(p.waiters, s)
	p.mu.Unlock()
	select {
	case <-s.room:
	case <-ctx.Done():
		err = fmt.Errorf("supervisor: submit ticket %s: %w", t.ID(), context.Cause(ctx))
	case <-p.closing:
	}
	p.mu.Lock()
	select {
	case <-s.room:
		p.granted--
	default:
		p.waiters = slices.DeleteFunc(p.waiters, func(w *submitter) bool { return w == s })
	}
	if err == nil {
		err = p.refusalLocked()
	}
	if err != nil {
		p.admit()
		p.mu.Unlock()
	}
	return err
}

// admit lets submitters go on for whom there is room now. With mu held.
func (p *Pool) admit() {
	for len(p.waiters) > 0 && p.backlog.waiting()+p.granted < p.opts.Backlog {
		close(p.waiters[0].room)
		p.waiters = slices.Delete(p.waiters, 0, 1)
		p.granted++
	}
}

// popIdle takes the warmest of the places that are free; nil if none is. With mu held.
func (p *Pool) popIdle() *place {
	for n := len(p.idle); n > 0; n = len(p.idle) {
		place := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		place.listed = false
		if place.free() {
			return place
		}
	}
	return nil
}

// dispatch hands what waits to places that are free. It is called with mu held and returns without it.
func (p *Pool) dispatch() {
	for p.backlog.peek() != nil {
		place := p.popIdle()
		if place == nil {
			break
		}
		place.feed() // unlocks
		p.mu.Lock()
	}
	p.mu.Unlock()
}

// alarm sees to it that ring is called when the next ticket is due. With mu held.
func (p *Pool) alarm() {
	if t := p.backlog.due(time.Now()); !t.IsZero() {
		p.bell.Reset(time.Until(t))
	}
}

// ring makes ready what is due.
func (p *Pool) ring() {
	p.mu.Lock()
	p.alarm()
	p.dispatch()
}

// refusalLocked is the error of a Submit that comes too late.
func (p *Pool) refusalLocked() error {
	switch err := p.failure(); {
	case !p.closed:
		return nil
	case err != nil:
		return err
	}
	return ErrClosed
}

// cancel ends a ticket: now if it waits, soon if it runs.
func (p *Pool) cancel(t *Pending, cause error) {
	p.mu.Lock()
	was := t.where
	if t.cause == nil {
		t.cause = cause
	}
	switch was {
	case isHanded, isHeld:
		t.place.wake()
		p.mu.Unlock()
	case isLater, isWaiting:
		t.ends()
		p.backlog.drop(t, was)
		t.cancelledEarly(OutcomeCancelled, notBegun(cause))
		p.count(t.result.Outcome)
		p.unfollow(t)
		p.admit()
		idle := p.over()
		p.mu.Unlock()
		if idle {
			p.wakeAll()
		}
		t.finish()
	default:
		p.mu.Unlock()
	}
}

// refuses tells why a place should not begin an attempt of t.
func (p *Pool) refuses(t *Pending) error {
	if t.cause != nil {
		return notBegun(t.cause)
	}
	if p.drained.Err() != nil {
		return notBegun(context.Cause(p.drained))
	}
	return nil
}
