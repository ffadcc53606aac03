package supervisor

import (
	"context"
	"fmt"
	"slices"
)

// Resize makes the pool one of n places, at least 1. New places are filled when it returns, or the error says why not, and
// those that are filled stay. Places that are too many, those with the highest numbers, end when they have finished the
// tickets that they have begun; it does not wait for that. It returns ErrClosed, what the pool failed of, or the cause of ctx.
func (p *Pool) Resize(ctx context.Context, n int) error {
	if n < 1 {
		return fmt.Errorf("supervisor: resize to %d workers, expected at least 1", n)
	}
	p.mu.Lock()
	if err := p.refusalLocked(); err != nil {
		p.mu.Unlock()
		return err
	}
	ready, more, err := p.resize(n)
	p.mu.Unlock()
	for range more {
		select {
		case e := <-ready:
			if err == nil {
				err = e
			}
		case <-ctx.Done():
			return fmt.Errorf("supervisor: resize: %w", context.Cause(ctx))
		}
	}
	return err
}

// resize changes the number of places that stay, with mu held, and returns where so many new ones say that they are ready.
func (p *Pool) resize(n int) (ready chan error, more int, err error) {
	stay := slices.DeleteFunc(slices.Clone(p.places), func(q *place) bool { return q.gone || q.ended })
	for len(stay) > n {
		q := stay[len(stay)-1]
		stay = stay[:len(stay)-1]
		q.gone, q.open = true, false
		q.wake()
	}
	p.size = len(stay)
	ready = make(chan error, max(n-len(stay), 0))
	for len(stay) < n {
		q, err := newPlace(p, p.freeNumber())
		if err != nil {
			return ready, more, err
		}
		i, _ := slices.BinarySearchFunc(p.places, q.number, func(q *place, n int) int { return q.number - n })
		p.places = slices.Insert(p.places, i, q)
		stay = append(stay, q)
		p.alive++
		p.size++
		more++
		go q.begin(ready)
	}
	return ready, more, nil
}

// freeNumber returns the lowest number that no place has.
func (p *Pool) freeNumber() int {
	n := 1
	for _, q := range p.places {
		if q.number == n {
			n++
		}
	}
	return n
}

// Roll replaces the processes of all places, one place after another, each when it has finished what it has begun: no ticket
// notices. It returns when all are replaced, and ErrClosed, what the pool failed of, or the cause of ctx.
func (p *Pool) Roll(ctx context.Context) error {
	p.mu.Lock()
	list := slices.Clone(p.places)
	p.mu.Unlock()
	for _, q := range list {
		if err := p.roll(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// roll replaces the process of one place, unless the place ends.
func (p *Pool) roll(ctx context.Context, q *place) error {
	p.mu.Lock()
	before := q.started
	if q.w != nil {
		q.retireNow("it is rolled over")
	}
	for q.started == before && !q.gone && !q.ended {
		if err := p.refusalLocked(); err != nil {
			p.mu.Unlock()
			return err
		}
		seated := p.seated()
		p.mu.Unlock()
		select {
		case <-seated:
		case <-p.closing:
		case <-ctx.Done():
			return fmt.Errorf("supervisor: roll: %w", context.Cause(ctx))
		}
		p.mu.Lock()
	}
	p.mu.Unlock()
	return nil
}

// seated returns a channel that is closed when a place has another process, or ends. With mu held.
func (p *Pool) seated() <-chan struct{} {
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.changed
}

// change is called with mu held when a place has another process, or ends.
func (p *Pool) change() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}
