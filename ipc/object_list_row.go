package ipc

// A row is the values of a list, with room before and behind them: what is added and taken at
// either end moves no others, so that a list serves as a queue.
type row struct {
	items []value
	space []value // items are a part of it; all else in it is zero
	head  int     // where in space items begin
}

// minSpace is the least room that a row takes.
const minSpace = 8

// place makes vs, which is the row's from now on, all there is.
func (r *row) place(vs []value) { r.items, r.space, r.head = vs, vs, 0 }

// move moves all to a new space with so much room before and behind.
func (r *row) move(front, back int) {
	n := len(r.items)
	space := make([]value, front+n+back)
	copy(space[front:], r.items)
	r.space, r.head = space, front
	r.items = space[front : front+n]
}

// room makes room for n more at the end.
func (r *row) room(n int) {
	have := len(r.items)
	switch {
	case len(r.space)-r.head-have >= n:
		return
	case r.head > have && r.head >= n: // what was taken from the front is more than what is left
		copy(r.space, r.items)
		clear(r.items)
		r.head, r.items = 0, r.space[:have]
	default:
		r.move(0, max(n, have/2, minSpace))
	}
}

// add inserts v before place i.
func (r *row) add(i int, v value) {
	n := len(r.items)
	if i < n/2 || i == 0 && n > 0 {
		if r.head == 0 {
			r.move(max(n/2, minSpace), 0)
		}
		r.head--
		r.items = r.space[r.head : r.head+n+1]
		copy(r.items, r.items[1:i+1])
	} else {
		r.room(1)
		r.items = r.space[r.head : r.head+n+1]
		copy(r.items[i+1:], r.items[i:])
	}
	r.items[i] = v
}

// take takes out the item at place i.
func (r *row) take(i int) value {
	v, n := r.items[i], len(r.items)
	if i < n/2 {
		copy(r.items[1:i+1], r.items[:i])
		r.trim(1)
	} else {
		copy(r.items[i:], r.items[i+1:])
		r.items[n-1] = value{}
		r.items = r.items[:n-1]
		r.shrink()
	}
	return v
}

// trim drops n items at the front.
func (r *row) trim(n int) {
	clear(r.items[:n])
	r.items = r.items[n:]
	r.head += n
	r.shrink()
}

// shrink gives room back when there is far more than what is needed.
func (r *row) shrink() {
	if n := len(r.items); len(r.space) > 8*minSpace && n < len(r.space)/4 {
		r.move(0, n/2)
	}
}

// splice puts vs in the place of the items from i up to j, which the caller has taken over.
func (r *row) splice(i, j int, vs []value) {
	n, more := len(r.items), len(vs)-(j-i)
	switch {
	case i == 0 && more < 0:
		r.trim(-more)
		copy(r.items, vs)
		return
	case more < 0:
		copy(r.items[j+more:], r.items[j:])
		clear(r.items[n+more:])
		r.items = r.items[:n+more]
		r.shrink()
	case more > 0:
		r.room(more)
		r.items = r.space[r.head : r.head+n+more]
		copy(r.items[j+more:], r.items[j:n])
	}
	copy(r.items[i:], vs)
}
