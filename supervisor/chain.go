package supervisor

// A chain is a list that any element can leave in one step. The zero chain is empty. It is not safe for concurrent use.
type chain[T any] struct{ first, last *link[T] }

// A link is an element of one chain at most.
type link[T any] struct {
	prev, next *link[T]
	value      T
}

// push puts l, which is in no chain, at the end.
func (c *chain[T]) push(l *link[T]) {
	l.prev, l.next = c.last, nil
	if c.last == nil {
		c.first = l
	} else {
		c.last.next = l
	}
	c.last = l
}

// remove tells whether l was in the chain. It is in this one or in none.
func (c *chain[T]) remove(l *link[T]) bool {
	if l.prev == nil && c.first != l {
		return false
	}
	if l.prev == nil {
		c.first = l.next
	} else {
		l.prev.next = l.next
	}
	if l.next == nil {
		c.last = l.prev
	} else {
		l.next.prev = l.prev
	}
	l.prev, l.next = nil, nil
	return true
}
