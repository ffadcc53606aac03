package ipc

import (
	"fmt"
	"math"

	"github.com/seed-185a7250/multiproc/proto"
)

func init() {
	kinds["queue"] = queueMaker(newFIFO)
	kinds["joinable_queue"] = queueMaker(newFIFO)
	kinds["simple_queue"] = queueMaker(newFIFO)
	kinds["lifo_queue"] = queueMaker(newLIFO)
	kinds["priority_queue"] = queueMaker(newSorted)
}

// A managedQueue hands items from who puts to who gets. What the kinds of queues differ in is
// the shelf alone.
//
// When no operation is under way nobody waits in vain: getters wait only while the shelf is
// empty, putters only while it is full, joiners only while something is unfinished. Each
// operation ends by making that true again (settle).
type managedQueue struct {
	kind       string
	items      shelf
	max        int // as it was given; 0 or less: no limit
	closed     bool
	unfinished int // the items in it, and those that were got and not said to be done

	getters line // n is the most that it takes, 0 for a get
	putters line // more is its *offer
	joiners line
}

// A shelf keeps the items in the order in which they are got.
type shelf interface {
	// put fails, and changes nothing, for an item that has no place among the others.
	put(v value) error
	// peek returns the next item, get takes it off; there is one.
	peek() value
	get() value
	len() int
	// some tells the items in an order in which they can be put again: at the most so many, from a
	// place in it on.
	some(from, most int, f func(v value))
}

// An offer is what a put or put_many brings.
type offer struct {
	vs   []value // not in yet
	in   int     // how many are
	many bool
}

func queueMaker(empty func() shelf) maker {
	return func(c *call) (thing, error) {
		if len(c.args) > 1 {
			return nil, faultf(proto.KindArguments, "a %s takes a maxsize, found %d arguments", c.obj.kind, len(c.args))
		}
		q := &managedQueue{kind: c.obj.kind, items: empty()}
		var err error
		if len(c.args) > 0 {
			q.max, err = intArg(c.args[0])
		}
		return q, err
	}
}

type queueOp struct {
	least, most int
	do          func(q *managedQueue, c *call) error
}

var queueOps = map[string]queueOp{
	"put":        {1, 1, (*managedQueue).put},
	"get":        {0, 0, (*managedQueue).get},
	"put_many":   {1, 1, (*managedQueue).putMany},
	"get_many":   {1, 1, (*managedQueue).getMany},
	"maxsize":    {0, 1, (*managedQueue).maxsize},
	"task_done":  {0, 1, (*managedQueue).taskDone},
	"join":       {0, 0, (*managedQueue).join},
	"close":      {0, 1, (*managedQueue).close},
	"restore":    {1, 1, (*managedQueue).restore},
	"len":        {0, 0, tellInt(func(q *managedQueue) int { return q.items.len() })},
	"unfinished": {0, 0, tellInt(func(q *managedQueue) int { return q.unfinished })},
	"getting":    {0, 0, tellInt(func(q *managedQueue) int { return q.getters.n })},
	"putting":    {0, 0, tellInt(func(q *managedQueue) int { return q.putters.n })},
	"empty":      {0, 0, tellBool(func(q *managedQueue) bool { return q.items.len() == 0 })},
	"full":       {0, 0, tellBool((*managedQueue).full)},
	"closed":     {0, 0, tellBool(func(q *managedQueue) bool { return q.closed })},
}

func tellInt(f func(q *managedQueue) int) func(*managedQueue, *call) error {
	return func(q *managedQueue, c *call) error { c.replyInt(f(q)); return nil }
}

func tellBool(f func(q *managedQueue) bool) func(*managedQueue, *call) error {
	return func(q *managedQueue, c *call) error { c.replyBool(f(q)); return nil }
}

func (q *managedQueue) call(c *call) {
	op, ok := queueOps[c.op]
	if !ok {
		c.unknown()
		return
	}
	if !c.arity(op.least, op.most) {
		return
	}
	if err := op.do(q, c); err != nil {
		c.fail(err)
	}
}

// room is how many more items may be put.
func (q *managedQueue) room() int {
	if q.max <= 0 {
		return math.MaxInt
	}
	return max(0, q.max-q.items.len())
}

func (q *managedQueue) full() bool { return q.room() == 0 }

// maxsize changes the limit: who waits goes on when there is room now. What is in stays in.
func (q *managedQueue) maxsize(c *call) error {
	was := q.max
	if len(c.args) > 0 {
		n, err := intArg(c.args[0])
		if err != nil {
			return err
		}
		q.max = n
		c.changed()
		q.settle()
	}
	c.replyInt(was)
	return nil
}

func (q *managedQueue) taskDone(c *call) error {
	n := 1
	if len(c.args) > 0 {
		var err error
		if n, err = intArg(c.args[0]); err != nil {
			return err
		}
	}
	if got := q.unfinished - q.items.len(); n < 1 || n > got {
		return faultf(proto.KindValueError, "%d items cannot be done, %d were got and are not done yet", n, got)
	}
	q.unfinished -= n
	c.changed()
	q.endJoins()
	c.replyNil()
	return nil
}

func (q *managedQueue) join(c *call) error {
	if q.unfinished == 0 {
		c.replyNil()
	} else {
		c.park(&q.joiners, nil)
	}
	return nil
}

func (q *managedQueue) endJoins() {
	if q.unfinished > 0 {
		return
	}
	q.joiners.each(func(p *parked) {
		p.take()
		p.replyNil()
	})
}

// close ends puts, and gets when nothing is left, for those too that wait already.
func (q *managedQueue) close(c *call) error {
	var immediate bool
	if len(c.args) > 0 {
		var err error
		if immediate, err = boolArg(c.args[0]); err != nil {
			return err
		}
	}
	q.closed = true
	for immediate && q.items.len() > 0 {
		c.m.discard(q.items.get())
		q.unfinished--
	}
	c.changed()
	q.endJoins()
	q.putters.each(func(p *parked) {
		p.take()
		q.answerPut(&p.call, p.more.(*offer), errQueueClosed)
	})
	q.getters.each(func(p *parked) {
		p.take()
		p.fail(errQueueClosed)
	})
	c.replyNil()
	return nil
}

var errQueueClosed = faultf(proto.KindClosed, "the queue is closed")

func (q *managedQueue) length() int { return q.items.len() }

func (q *managedQueue) text(b []byte, _ int) []byte {
	b = fmt.Appendf(b, "<%s, %d items", q.kind, q.items.len())
	if q.max > 0 {
		b = fmt.Appendf(b, " of %d", q.max)
	}
	if q.closed {
		b = append(b, ", closed"...)
	}
	return append(b, '>')
}

func (q *managedQueue) drop(m *Manager) {
	for _, l := range []*line{&q.getters, &q.putters, &q.joiners} {
		l.each(func(p *parked) { p.quit(objectEnd) })
	}
	for q.items.len() > 0 {
		m.discard(q.items.get())
	}
}
