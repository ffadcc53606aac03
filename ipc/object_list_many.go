package ipc

import (
	"slices"

	"github.com/seed-185a7250/multiproc/proto"
)

// This file has the operations of a list that look at many elements.

// find returns the first place from i up to j with an element equal to r, -1 if there is none.
func (l *managedList) find(r proto.Raw, i, j int) int {
	for ; i < j; i++ {
		if proto.Equal(l.items[i].raw, r) {
			return i
		}
	}
	return -1
}

func (l *managedList) remove(c *call) {
	i := l.find(c.args[0], 0, len(l.items))
	if i < 0 {
		c.notThere()
		return
	}
	c.m.discard(l.take(i))
	l.done(c)
	c.replyNil()
}

func (c *call) notThere() {
	c.failf(proto.KindValueError, "%s: %s is not in the list", c.op, proto.AppendText(nil, c.args[0], 200))
}

func (l *managedList) index(c *call) {
	edges, ok := [2]int{0, len(l.items)}, true
	for i := 1; i < len(c.args) && ok; i++ {
		edges[i-1], ok = l.nearest(c, i)
	}
	if !ok {
		return
	}
	if i := l.find(c.args[0], edges[0], edges[1]); i >= 0 {
		c.replyInt(i)
	} else {
		c.notThere()
	}
}

func (l *managedList) count(c *call) {
	n := 0
	for i := range l.items {
		if proto.Equal(l.items[i].raw, c.args[0]) {
			n++
		}
	}
	c.replyInt(n)
}

func (l *managedList) contains(c *call) { c.replyBool(l.find(c.args[0], 0, len(l.items)) >= 0) }

func (l *managedList) reverse(c *call) {
	slices.Reverse(l.items)
	c.changed()
	c.replyNil()
}

func (l *managedList) sort(c *call) {
	reverse := false
	if len(c.args) == 1 {
		var ok bool
		if reverse, ok = c.flag(0); !ok {
			return
		}
	}
	sorted, err := sortValues(l.items, reverse)
	if err != nil {
		c.failf(proto.KindTypeError, "%v", err)
		return
	}
	copy(l.items, sorted)
	c.changed()
	c.replyNil()
}

// sortValues returns vs in order; equal ones stay in theirs, also in reverse. Places are sorted,
// for they are quicker to move.
func sortValues(vs []value, reverse bool) (_ []value, failed error) {
	places := make([]int32, len(vs))
	for i := range places {
		places[i] = int32(i)
	}
	slices.SortFunc(places, func(i, j int32) int {
		if i == j || failed != nil {
			return 0
		}
		order, err := proto.Compare(vs[i].raw, vs[j].raw)
		if err != nil {
			failed = err
		}
		if order == 0 {
			return int(i - j)
		}
		if reverse {
			return -order
		}
		return order
	})
	if failed != nil {
		return nil, failed
	}
	sorted := make([]value, len(vs))
	for k, i := range places {
		sorted[k] = vs[i]
	}
	return sorted, nil
}

func (l *managedList) concat(c *call) {
	rs, ok := c.array(0)
	if !ok {
		return
	}
	vs, err := c.storeAll(rs)
	if err != nil {
		c.fail(err)
		return
	}
	if all := slices.Concat(l.items, vs); c.fitting(all) {
		c.replyValues(all)
	}
	c.m.discard(vs...)
}

// times returns how often argument 0 says that the list is to be there, at least 0.
func (l *managedList) times(c *call) (n int, ok bool) {
	n, ok = c.integer(0)
	if n = max(n, 0); len(l.items) == 0 {
		n = min(n, 1) // so often as one likes
	}
	return n, ok
}

// bytes is what the elements count together.
func (l *managedList) bytes(cost func(v value) int) (n int) {
	for _, v := range l.items {
		n += cost(v)
	}
	return n
}

func (l *managedList) repeat(c *call) {
	n, ok := l.times(c)
	if !ok {
		return
	}
	bytes := l.bytes(func(v value) int { return len(v.raw) })
	if !c.fits(mulCapped(len(l.items), n), mulCapped(bytes, n)) {
		return
	}
	b := proto.AppendArrayHeader(c.result(), n*len(l.items))
	for range n {
		for _, v := range l.items {
			b = c.append(b, v)
		}
	}
	c.finish(b)
}

func (l *managedList) imul(c *call) {
	n, ok := l.times(c)
	if !ok {
		return
	}
	if n == 0 {
		l.clear(c)
		return
	}
	bytes := mulCapped(l.bytes(value.cost), n-1)
	if bytes > c.m.limits.Memory && c.s != nil {
		c.failf(proto.KindTooLarge, "the list %d times is more than the %d bytes that a connection may store", n, c.m.limits.Memory)
		return
	}
	if err := c.affords(bytes); err != nil {
		c.fail(err)
		return
	}
	l.room((n - 1) * len(l.items))
	once := l.items
	for range n - 1 {
		for _, v := range once {
			l.add(len(l.items), c.again(v))
		}
	}
	l.done(c)
	c.replyNil()
}

// pushTrim appends, and takes from the front what is then too many.
func (l *managedList) pushTrim(c *call) {
	most, ok := c.natural(1, 0)
	if !ok {
		return
	}
	n := max(len(l.items)+1-most, 0) // go, of which the new one may be the last
	leaving := l.items[:min(n, len(l.items))]
	if n > len(l.items) {
		leaving = append(slices.Clone(leaving), value{raw: c.args[0]})
	}
	if !c.fitting(leaving) {
		return
	}
	v, err := c.store(c.args[0])
	if err != nil {
		c.fail(err)
		return
	}
	l.add(len(l.items), v)
	gone := slices.Clone(l.items[:n])
	l.trim(n)
	l.done(c)
	c.replyValues(gone)
	c.m.discard(gone...)
}

// move moves an element to a list, which may be the same. In a journal that is two changes, for
// each object has a history of its own.
func (l *managedList) move(c *call) {
	to, o, ok := l.other(c)
	if !ok {
		return
	}
	from, at, ok := l.route(c, to)
	if !ok || !c.fitsOne(l.items[from]) {
		return
	}
	v := l.take(from)
	c.m.record(c.obj, "delete", []proto.Raw{proto.AppendInt(nil, int64(from))})
	to.add(at, v)
	o.touched++
	c.m.record(o, "insert", []proto.Raw{proto.AppendInt(nil, int64(at)), v.raw})
	if l != to {
		l.wake()
		to.wake()
	}
	c.replyValue(v)
}

// route returns from where to where move moves.
func (l *managedList) route(c *call, to *managedList) (from, at int, ok bool) {
	if len(c.args) > 1 {
		from, ok = l.at(c, 1)
	} else if ok = len(l.items) > 0; !ok {
		c.failf(proto.KindIndexError, "move from an empty list")
	}
	if !ok {
		return 0, 0, false
	}
	n := len(to.items)
	if to == l {
		n-- // the element was taken out before
	}
	if at = n; len(c.args) > 2 {
		at, ok = c.integer(2)
		at = clampIndex(at, n)
	}
	return from, at, ok
}

// other returns the list that argument 0 means.
func (l *managedList) other(c *call) (*managedList, *object, bool) {
	o, err := c.referred(c.args[0])
	if err != nil {
		c.fail(err)
		return nil, nil, false
	}
	to, ok := o.thing.(*managedList)
	if !ok {
		c.failf(proto.KindTypeError, "an element moves to a list, and object %d is a %s", o.id, o.kind)
	}
	return to, o, ok
}

// wait waits for a length.
func (l *managedList) wait(c *call) {
	name, err := proto.ParseString(c.args[0])
	if err != nil {
		c.failf(proto.KindTypeError, "a condition is a str, found %s", proto.TypeName(c.args[0]))
		return
	}
	b, ok := bounds[name]
	if !ok {
		c.failf(proto.KindValueError, "there is no condition %q", name)
		return
	}
	n, ok := c.integer(1)
	switch {
	case !ok:
	case b.holds(order(len(l.items), n)):
		c.replyInt(len(l.items))
	default:
		if p := c.park(&l.waiters, nil); p != nil {
			p.n, p.more = n, b
		}
	}
}

func order(a, b int) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// wake answers those who wait for the length that there is now.
func (l *managedList) wake() {
	n := len(l.items)
	l.waiters.each(func(p *parked) {
		if p.more.(bound).holds(order(n, p.n)) {
			p.take()
			p.replyInt(n)
		}
	})
}
