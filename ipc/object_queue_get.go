package ipc

import "github.com/seed-185a7250/multiproc/proto"

func (q *managedQueue) get(c *call) error { return q.ask(c, 0) }

func (q *managedQueue) getMany(c *call) error {
	n, err := intArg(c.args[0])
	if err == nil && n < 1 {
		err = faultf(proto.KindValueError, "get_many of %d items", n)
	}
	if err != nil {
		return err
	}
	return q.ask(c, n)
}

// ask answers with n items at most, 0 for a get, or waits for the first.
func (q *managedQueue) ask(c *call, n int) error {
	switch {
	case q.items.len() > 0:
		if len(q.items.peek().raw) > c.room() {
			return faultf(proto.KindTooLarge, "the item has no room in the answer")
		}
		q.hand(c, n)
		q.settle()
	case q.closed:
		return errQueueClosed
	default:
		if p := c.park(&q.getters, quitGet); p != nil {
			p.n = n
		}
	}
	return nil
}

func quitGet(p *parked, why reason) {
	switch why {
	case departed:
	case overTime:
		p.failf(proto.KindEmpty, "the queue is empty")
	default:
		p.fail(why.fault())
	}
}

// serve gives to those who wait to get, the oldest first, while there are items.
func (q *managedQueue) serve() {
	for q.items.len() > 0 {
		p := q.getters.pick()
		if p == nil {
			return
		}
		p.take()
		q.hand(&p.call, p.n)
	}
}

// hand answers with an item, or with an array of n items at most; there is one at least.
func (q *managedQueue) hand(c *call, n int) {
	if n == 0 {
		v := q.items.get()
		c.m.record(c.obj, "get", nil)
		c.giveBack(v)
		return
	}
	vs := []value{q.items.get()}
	left := c.spaceLeft()
	left.take(vs[0])
	for len(vs) < n && q.items.len() > 0 && left.take(q.items.peek()) {
		vs = append(vs, q.items.get())
	}
	if c.m.journal != nil { // as many as there were: a replay knows no limit
		c.m.record(c.obj, "get_many", []proto.Raw{proto.AppendInt(nil, int64(len(vs)))})
	}
	c.replyValues(vs)
	c.m.discard(vs...)
}
