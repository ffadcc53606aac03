package ipc

import "github.com/seed-185a7250/multiproc/proto"

func (q *managedQueue) put(c *call) error {
	if q.closed {
		return errQueueClosed
	}
	v, err := c.store(c.args[0])
	if err != nil {
		return err
	}
	q.offer(c, &offer{vs: []value{v}})
	return nil
}

func (q *managedQueue) putMany(c *call) error {
	if !proto.IsArray(c.args[0]) {
		return faultf(proto.KindTypeError, "put_many takes an array, found %s", proto.TypeName(c.args[0]))
	}
	if q.closed {
		return errQueueClosed
	}
	items, err := proto.Elements(c.args[0], nil)
	if err != nil {
		return err
	}
	vs, err := c.storeAll(items)
	if err != nil {
		return err
	}
	q.offer(c, &offer{vs: vs, many: true})
	return nil
}

// offer puts as much of o as has room. The rest waits at the end of the line.
func (q *managedQueue) offer(c *call, o *offer) {
	err := q.feed(c, o)
	if err != nil || len(o.vs) == 0 {
		q.answerPut(c, o, err)
		return
	}
	c.args = nil // o has copies, which count already
	p := c.park(&q.putters, func(p *parked, why reason) { q.quitPut(p, o, why) })
	if p == nil {
		o.drop(c.m) // answered already
		return
	}
	p.more = o
}

// feed puts of o what has room, gives to who waits for it, and goes on while that makes room. It
// stops at an item that has no place.
func (q *managedQueue) feed(c *call, o *offer) error {
	for len(o.vs) > 0 && !q.full() {
		n := 0
		var err error
		for most := min(len(o.vs), q.room()); n < most && err == nil; n++ {
			if err = q.items.put(o.vs[n]); err != nil {
				break
			}
		}
		q.unfinished += n
		c.recordPut(o.vs[:n])
		o.vs = o.vs[n:]
		o.in += n
		q.serve()
		if err != nil {
			return err
		}
	}
	return nil
}

// recordPut notes that vs went in: by themselves, for the call may have brought more.
func (c *call) recordPut(vs []value) {
	switch {
	case c.m.journal == nil || len(vs) == 0:
	case len(vs) == 1:
		c.m.record(c.obj, "put", []proto.Raw{vs[0].raw})
	default:
		b := proto.AppendArrayHeader(nil, len(vs))
		for _, v := range vs {
			b = append(b, v.raw...)
		}
		c.m.record(c.obj, "put_many", []proto.Raw{b})
	}
}

// settle lets those in who wait to put, the oldest first, while there is room.
func (q *managedQueue) settle() {
	for !q.full() {
		p := q.putters.pick()
		if p == nil {
			return
		}
		o := p.more.(*offer)
		if err := q.feed(&p.call, o); err != nil || len(o.vs) == 0 {
			p.take()
			q.answerPut(&p.call, o, err)
		}
	}
}

// answerPut answers who brought o, and lets go of what did not go in.
func (q *managedQueue) answerPut(c *call, o *offer, err error) {
	o.drop(c.m)
	switch {
	case err != nil:
		c.fail(o.fault(err))
	case o.many:
		c.replyInt(o.in)
	default:
		c.replyNil()
	}
}

// quitPut is answerPut for one that does not wait any longer.
func (q *managedQueue) quitPut(p *parked, o *offer, why reason) {
	switch {
	case why == departed:
		o.drop(p.m)
	case why == overTime && o.in > 0:
		q.answerPut(&p.call, o, nil)
	case why == overTime:
		q.answerPut(&p.call, o, faultf(proto.KindFull, "the queue is full"))
	default:
		q.answerPut(&p.call, o, why.fault())
	}
}

func (o *offer) drop(m *Manager) {
	m.discard(o.vs...)
	o.vs = nil
}

// fault is err as a fault; that of a put_many of which some are in says how many.
func (o *offer) fault(err error) error {
	f, ok := err.(*proto.Fault)
	if !ok {
		f = faultf(proto.KindTypeError, "%v", err)
	}
	if o.in > 0 {
		f = &proto.Fault{Kind: f.Kind, Text: f.Text, Value: proto.AppendInt(nil, int64(o.in))}
	}
	return f
}
