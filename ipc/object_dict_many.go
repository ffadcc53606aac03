package ipc

import "github.com/seed-185a7250/multiproc/proto"

// This file has the operations of a dict that concern many keys.

// parsePairs returns keys and values in turn, from a map or an array of arrays of two.
func parsePairs(r proto.Raw) ([]proto.Raw, error) {
	if proto.IsMap(r) {
		return proto.Entries(r, nil)
	}
	if !proto.IsArray(r) {
		return nil, faultf(proto.KindTypeError, "pairs are a map or an array of arrays, found %s", proto.TypeName(r))
	}
	pairs, err := proto.Elements(r, nil)
	if err != nil {
		return nil, err
	}
	all := make([]proto.Raw, 0, 2*len(pairs))
	for i, pair := range pairs {
		if !proto.IsArray(pair) {
			return nil, faultf(proto.KindTypeError, "a pair is an array, found %s as number %d", proto.TypeName(pair), i)
		}
		before := len(all)
		if all, err = proto.Elements(pair, all); err != nil {
			return nil, err
		}
		if n := len(all) - before; n != 2 {
			return nil, faultf(proto.KindValueError, "a pair has 2 elements, number %d has %d", i, n)
		}
	}
	return all, nil
}

// merge sets all pairs, or none and tells why not. The caller notes the change.
func (d *managedDict) merge(c *call, r proto.Raw) error {
	pairs, err := parsePairs(r)
	if err != nil {
		return err
	}
	vs, err := c.storeAll(pairs)
	if err != nil {
		return err
	}
	for i := 0; i < len(vs); i += 2 {
		if _, err := d.canon(vs[i].raw); err != nil {
			c.m.discard(vs...)
			return err
		}
	}
	for i := 0; i < len(vs); i += 2 {
		canon, _ := d.canon(vs[i].raw)
		if e := d.find(canon); e != nil {
			c.m.discard(vs[i])
			d.change(c.m, e, vs[i+1])
		} else {
			d.table.add(c.m, canon, vs[i], vs[i+1])
		}
		d.tell(string(canon))
	}
	return nil
}

func (d *managedDict) update(c *call) {
	if err := d.merge(c, c.args[0]); err != nil {
		c.fail(err)
		return
	}
	d.done(c)
	c.replyNil()
}

func (d *managedDict) keys(c *call) {
	d.replyEach(c, 1, func(e *entry) int { return len(e.key.raw) }, func(b []byte, e *entry) []byte { return c.append(b, e.key) })
}

func (d *managedDict) values(c *call) {
	d.replyEach(c, 1, func(e *entry) int { return len(e.value.raw) }, func(b []byte, e *entry) []byte { return c.append(b, e.value) })
}

func (d *managedDict) items(c *call) { d.replyEach(c, 3, (*entry).pairBytes, c.appendPair) }

// replyEach answers with an array that has something for each entry: so many elements, of these
// sizes.
func (t *table) replyEach(c *call, elements int, size func(*entry) int, do func([]byte, *entry) []byte) {
	bytes := headBytes
	for e := range t.each {
		bytes += size(e)
	}
	if !c.fits(elements*t.n, bytes) {
		return
	}
	b := proto.AppendArrayHeader(c.result(), t.n)
	for e := range t.each {
		b = do(b, e)
	}
	c.finish(b)
}

func (e *entry) pairBytes() int { return 1 + len(e.key.raw) + len(e.value.raw) }

func (c *call) appendPair(b []byte, e *entry) []byte {
	return c.append(c.append(proto.AppendArrayHeader(b, 2), e.key), e.value)
}

// scan answers with some of the entries, and where to go on. Positions are places in order,
// which hold as long as the shape.
func (d *managedDict) scan(c *call) {
	position, ok := c.natural(0, 0)
	if !ok {
		return
	}
	count, ok := c.natural(1, 1)
	if !ok {
		return
	}
	if len(c.args) == 3 && !proto.IsNil(c.args[2]) {
		shape, err := proto.ParseUint(c.args[2])
		switch {
		case err != nil:
			c.failf(proto.KindTypeError, "a shape is an integer that scan has returned, found %s", proto.TypeName(c.args[2]))
			return
		case shape != d.shape:
			c.failf(proto.KindChanged, "keys were added or removed since the scan began")
			return
		}
	}
	entries, next, ok := d.some(c, position, count)
	if !ok {
		return
	}
	b := proto.AppendUint(proto.AppendArrayHeader(c.result(), 3), d.shape)
	if next < 0 {
		b = proto.AppendNil(b)
	} else {
		b = proto.AppendInt(b, int64(next))
	}
	b = proto.AppendArrayHeader(b, len(entries))
	for _, e := range entries {
		b = c.appendPair(b, e)
	}
	c.finish(b)
}

// scanHead is the most that stands before the pairs in the answer of scan.
const scanHead = 1 + 9 + 9 + headBytes

// some returns up to count entries from position on, as many as fit into an answer, and where
// the next one is, -1 if there is none. If not even one fits c is answered.
func (d *managedDict) some(c *call, position, count int) (entries []*entry, next int, ok bool) {
	room := space{bytes: c.room() - scanHead, elements: c.elements()}
	for i := position; i < len(d.order); i++ {
		e := d.order[i]
		if e == nil {
			continue
		}
		if len(entries) == count {
			return entries, i, true
		}
		if !room.takeEntry(e, e.pairBytes()) {
			if len(entries) == 0 {
				c.tooLarge(e)
			}
			return entries, i, len(entries) > 0
		}
		entries = append(entries, e)
	}
	return entries, -1, true
}

// getMany answers with the values of many keys.
func (d *managedDict) getMany(c *call) {
	keys, ok := c.array(0)
	if !ok {
		return
	}
	var other value // for keys that are missing
	if len(c.args) == 2 {
		var err error
		if other, err = c.store(c.args[1]); err != nil {
			c.fail(err)
			return
		}
		defer c.m.discard(other)
	}
	vs := make([]value, len(keys))
	for i, key := range keys {
		canon, err := d.canon(key)
		if err != nil {
			c.fail(err)
			return
		}
		if e := d.find(canon); e != nil {
			vs[i] = e.value
		} else if vs[i] = other; len(c.args) < 2 {
			c.missing(proto.KindKeyError, key)
			return
		}
	}
	if c.fitting(vs) {
		c.replyValues(vs)
	}
}

// maxRef is the most that a reference without address takes.
const maxRef = 3 + 16

// getOrCreate makes an object where a key is missing, and sets a reference to it.
func (d *managedDict) getOrCreate(c *call) {
	e, canon, ok := d.lookup(c)
	if !ok {
		return
	}
	if e == nil {
		if !c.fits(1, maxRef) {
			return
		}
		var err error
		if e, err = d.createAt(c, canon); err != nil {
			c.fail(err)
			return
		}
	}
	c.replyValue(e.value)
}

// createAt sets the key to a new object. In a journal that is two changes: the object is made,
// and the key is set.
func (d *managedDict) createAt(c *call, canon []byte) (*entry, error) {
	kind, err := proto.ParseString(c.args[1])
	if err != nil {
		return nil, faultf(proto.KindTypeError, "a kind is a str, found %s", proto.TypeName(c.args[1]))
	}
	args, err := parseArray(c.args[2])
	if err != nil {
		return nil, err
	}
	if c.s != nil && len(c.s.leases) >= c.m.limits.Objects {
		return nil, c.tooManyObjects()
	}
	made, err := c.m.create(&call{m: c.m, s: c.s, op: "create", args: args}, kind, "")
	if err != nil {
		return nil, err
	}
	c.m.keep(made, false)
	ref := proto.AppendRef(nil, proto.Ref{Instance: c.m.instance, ID: made.id})
	e, err := d.put(c, nil, canon, c.args[0], ref)
	if err != nil {
		return nil, err
	}
	d.tell(e.canon)
	c.m.record(c.obj, "set", []proto.Raw{c.args[0], ref})
	d.wake(c.m)
	return e, nil
}
