package ipc

import "github.com/seed-185a7250/multiproc/proto"

// visit is for who looks for references.
func (q *managedQueue) visit(from, most int, f func(v value)) (next int) {
	q.items.some(from, most, f)
	if from+most < q.items.len() {
		return from + most
	}
	return -1
}

// dump writes [maxsize, closed, unfinished, items].
func (q *managedQueue) dump(b []byte) []byte {
	b = proto.AppendInt(proto.AppendArrayHeader(b, 4), int64(q.max))
	b = proto.AppendInt(proto.AppendBool(b, q.closed), int64(q.unfinished))
	b = proto.AppendArrayHeader(b, q.items.len())
	q.items.some(0, q.items.len(), func(v value) { b = append(b, v.raw...) })
	return b
}

// restore takes what dump wrote; the queue is new.
func (q *managedQueue) restore(c *call) error {
	if c.s != nil {
		c.unknown()
		return nil
	}
	state, err := proto.Elements(c.args[0], nil)
	if err == nil && len(state) != 4 {
		err = faultf(proto.KindArguments, "the state of a queue has 4 parts, found %d", len(state))
	}
	if err == nil {
		q.max, err = intArg(state[0])
	}
	if err == nil {
		q.closed, err = boolArg(state[1])
	}
	if err == nil {
		q.unfinished, err = intArg(state[2])
	}
	if err != nil {
		return err
	}
	items, err := proto.Elements(state[3], nil)
	for i := 0; i < len(items) && err == nil; i++ {
		var v value
		if v, err = c.store(items[i]); err == nil {
			err = q.items.put(v)
		}
	}
	return err
}
