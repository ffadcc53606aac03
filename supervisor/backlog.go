package supervisor

import (
	"container/heap"
	"slices"
	"time"
)

// A backlog holds the tickets that no place has, in the order in which they shall begin: those of a higher priority first,
// among equals the older one. It is a plain structure; the pool's mu guards it.
//
// A ticket that is cancelled stays where it is until its turn comes, and is dropped then: to look for it would take
// longer the more there are. When most are such, they are thrown out together.
type backlog struct {
	levels []*level // highest priority first; none is empty
	ready  int      // tickets in levels that wait
	dead   int      // and those that do not any more
	later  schedule // those whose time has not come
}

type level struct {
	priority int
	queue    []*Pending // from first on, oldest first
	first    int
}

// waiting returns how many tickets wait, those for a later time included.
func (b *backlog) waiting() int { return b.ready + b.later.waiting }

// level returns that of a priority.
func (b *backlog) level(priority int) *level {
	i, found := slices.BinarySearchFunc(b.levels, priority, func(l *level, p int) int { return p - l.priority })
	if !found {
		b.levels = slices.Insert(b.levels, i, &level{priority: priority})
	}
	return b.levels[i]
}

// push appends a ticket behind its equals, or keeps it until it is due.
func (b *backlog) push(t *Pending, now time.Time) {
	if t.ticket.At.After(now) {
		t.where = isLater
		b.later.add(t)
		return
	}
	t.where = isWaiting
	l := b.level(t.ticket.Priority)
	l.queue = append(l.queue, t)
	b.ready++
}

// unshift gives tickets back that a place had: they are before their equals, in the order given.
func (b *backlog) unshift(list []*Pending) {
	for _, t := range slices.Backward(list) {
		t.where = isWaiting
		l := b.level(t.ticket.Priority)
		if l.first == 0 {
			room := max(16, len(l.queue))
			l.queue = append(make([]*Pending, room, room+len(l.queue)+16), l.queue...)
			l.first = room
		}
		l.first--
		l.queue[l.first] = t
		b.ready++
	}
}

// peek returns the ticket that is next, or nil.
func (b *backlog) peek() *Pending {
	for len(b.levels) > 0 {
		l := b.levels[0]
		for l.first < len(l.queue) {
			if t := l.queue[l.first]; t.where == isWaiting {
				return t
			}
			l.shift()
			b.dead--
		}
		b.levels = b.levels[1:]
	}
	return nil
}

// pop removes the ticket that peek has returned.
func (b *backlog) pop() {
	b.levels[0].shift()
	b.ready--
}

func (l *level) shift() {
	l.queue[l.first] = nil
	l.first++
	if l.first == len(l.queue) {
		l.queue, l.first = l.queue[:0], 0
	} else if l.first > 1024 && l.first > len(l.queue)/2 {
		n := copy(l.queue, l.queue[l.first:])
		clear(l.queue[n:])
		l.queue, l.first = l.queue[:n], 0
	}
}

// drop counts a ticket that is not waiting any more, and has been marked so.
func (b *backlog) drop(t *Pending, was whereabouts) {
	if was == isLater {
		b.later.waiting--
		b.later.dead++
		b.later.tidy()
		return
	}
	b.ready--
	b.dead++
	if b.dead > 64 && b.dead > b.ready {
		b.tidy()
	}
}

// tidy throws out what does not wait any more.
func (b *backlog) tidy() {
	for _, l := range b.levels {
		kept := l.queue[:0]
		for _, t := range l.queue[l.first:] {
			if t.where == isWaiting {
				kept = append(kept, t)
			}
		}
		clear(l.queue[len(kept):])
		l.queue, l.first = kept, 0
	}
	b.levels = slices.DeleteFunc(b.levels, func(l *level) bool { return len(l.queue) == 0 })
	b.dead = 0
}

// flush removes and returns all that wait.
func (b *backlog) flush() (all []*Pending) {
	for t := b.peek(); t != nil; t = b.peek() {
		b.pop()
		all = append(all, t)
	}
	for t := b.later.next(); t != nil; t = b.later.next() {
		b.later.remove()
		all = append(all, t)
	}
	return all
}

// due makes ready what is due by now, and returns when the next will be; the zero time if there is none.
func (b *backlog) due(now time.Time) time.Time {
	for t := b.later.next(); t != nil; t = b.later.next() {
		if t.ticket.At.After(now) {
			return t.ticket.At
		}
		b.later.remove()
		b.push(t, now)
	}
	return time.Time{}
}

// A schedule holds tickets by the time when they are due.
type schedule struct {
	heap    byTime
	waiting int
	dead    int
}

func (s *schedule) add(t *Pending) {
	heap.Push(&s.heap, t)
	s.waiting++
}

// next returns the ticket that is due first, or nil.
func (s *schedule) next() *Pending {
	for len(s.heap) > 0 {
		if s.heap[0].where == isLater {
			return s.heap[0]
		}
		heap.Pop(&s.heap)
		s.dead--
	}
	return nil
}

// remove removes the ticket that next has returned.
func (s *schedule) remove() {
	heap.Pop(&s.heap)
	s.waiting--
}

func (s *schedule) tidy() {
	if s.dead > 64 && s.dead > s.waiting {
		s.heap = slices.DeleteFunc(s.heap, func(t *Pending) bool { return t.where != isLater })
		heap.Init(&s.heap)
		s.dead = 0
	}
}

// byTime is a heap.Interface: what is due first, of equals the older one.
type byTime []*Pending

func (h byTime) Len() int { return len(h) }
func (h byTime) Less(i, j int) bool {
	if c := h[i].ticket.At.Compare(h[j].ticket.At); c != 0 {
		return c < 0
	}
	return h[i].number < h[j].number
}
func (h byTime) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *byTime) Push(t any)   { *h = append(*h, t.(*Pending)) }
func (h *byTime) Pop() any {
	n := len(*h) - 1
	t := (*h)[n]
	(*h)[n] = nil
	*h = (*h)[:n]
	return t
}
