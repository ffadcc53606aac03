package supervisor

import (
	"slices"
	"sync"
)

// A backlog holds the tickets that no place has yet, and the places that have no
// ticket: one of the two is always empty. A ticket is handed over under the lock, so
// it is in the queue, or in a place's inbox, or held: never twice, never nowhere.
type backlog struct {
	mu     sync.Mutex
	queue  []*Pending // oldest first
	idle   []*place   // the last to become idle at the end: it is the warmest
	closed bool       // no more tickets will come
}

// put hands t to an idle place, or queues it, and tells which. ok is false if the
// backlog is closed.
func (b *backlog) put(t *Pending) (queued, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false, false
	}
	if n := len(b.idle); n > 0 {
		p := b.idle[n-1]
		b.idle = b.idle[:n-1]
		p.inbox <- t // has room: the place was idle
		return false, true
	}
	b.queue = append(b.queue, t)
	return true, true
}

// take returns the oldest ticket. If there is none, p is registered as idle and
// finds the next one, or nil at the end, in its inbox; at the end already, it is not
// registered.
func (b *backlog) take(p *place) (t *Pending, registered bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) > 0 {
		t, b.queue = b.queue[0], b.queue[1:]
		<-p.pool.room
		return t, false
	}
	if b.closed {
		return nil, false
	}
	b.idle = append(b.idle, p)
	return nil, true
}

// over tells that no ticket is left, and none will come.
func (b *backlog) over() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed && len(b.queue) == 0
}

// unregister takes p off the idle places. If it is not there, something is in its
// inbox.
func (b *backlog) unregister(p *place) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(b.idle)
	b.idle = slices.DeleteFunc(b.idle, func(q *place) bool { return q == p })
	return len(b.idle) < n
}

// remove takes a ticket that is cancelled out of the queue, if it is there.
func (b *backlog) remove(t *Pending) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.queue, t)
	if i < 0 {
		return false
	}
	b.queue = slices.Delete(b.queue, i, i+1)
	return true
}

// close lets no more tickets in and sends idle places home. With flush it returns
// the tickets that wait, which are the caller's then.
func (b *backlog) close(flush bool) (left []*Pending) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, p := range b.idle {
		p.inbox <- nil
	}
	b.idle = nil
	if flush {
		left, b.queue = b.queue, nil
	}
	return left
}
