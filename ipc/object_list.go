package ipc

import "github.com/seed-185a7250/multiproc/proto"

func init() {
	kinds["list"] = func(c *call) (thing, error) {
		if len(c.args) > 1 {
			return nil, faultf(proto.KindArguments, "a list takes an array, found %d arguments", len(c.args))
		}
		l := &managedList{}
		if len(c.args) == 0 {
			return l, nil
		}
		rs, err := parseArray(c.args[0])
		if err != nil {
			return nil, err
		}
		vs, err := c.storeAll(rs)
		l.place(vs)
		return l, err
	}
}

// A managedList is a list of Python.
type managedList struct {
	row
	waiters line // for the length
}

var listOps = map[string]operation[*managedList]{
	"get":       {1, 1, (*managedList).get},
	"set":       {2, 2, (*managedList).set},
	"delete":    {1, 1, (*managedList).del},
	"insert":    {2, 2, (*managedList).insert},
	"append":    {1, 1, (*managedList).append},
	"extend":    {1, 1, (*managedList).extend},
	"pop":       {0, 1, (*managedList).pop},
	"remove":    {1, 1, (*managedList).remove},
	"index":     {1, 3, (*managedList).index},
	"count":     {1, 1, (*managedList).count},
	"contains":  {1, 1, (*managedList).contains},
	"reverse":   {0, 0, (*managedList).reverse},
	"sort":      {0, 1, (*managedList).sort},
	"len":       {0, 0, func(l *managedList, c *call) { c.replyInt(len(l.items)) }},
	"clear":     {0, 0, (*managedList).clear},
	"copy":      {0, 0, (*managedList).copy},
	"concat":    {1, 1, (*managedList).concat},
	"repeat":    {1, 1, (*managedList).repeat},
	"imul":      {1, 1, (*managedList).imul},
	"add":       {2, 2, (*managedList).plus},
	"cas":       {3, 3, (*managedList).cas},
	"push_trim": {2, 2, (*managedList).pushTrim},
	"move":      {1, 3, (*managedList).move},
	"wait":      {2, 2, (*managedList).wait},
	"restore":   {1, 1, (*managedList).restore},
}

func (l *managedList) call(c *call) { operate(l, c, listOps) }
func (l *managedList) length() int  { return len(l.items) }

// at returns the place that argument i names; if there is none c is answered.
func (l *managedList) at(c *call, i int) (int, bool) { return c.place(i, len(l.items)) }

// nearest returns the place before which argument i inserts or ends: the nearest end if it is
// out of range.
func (l *managedList) nearest(c *call, i int) (place int, ok bool) {
	place, ok = c.integer(i)
	return clampIndex(place, len(l.items)), ok
}

func clampIndex(i, n int) int {
	if i < 0 {
		i = max(i+n, 0)
	}
	return min(i, n)
}

func (l *managedList) get(c *call) {
	if isSlice(c.args[0]) {
		l.getSlice(c)
	} else if i, ok := l.at(c, 0); ok {
		c.replyValue(l.items[i])
	}
}

func (l *managedList) set(c *call) {
	if isSlice(c.args[0]) {
		l.setSlice(c)
	} else if i, ok := l.at(c, 0); ok && l.put(c, i, c.args[1]) {
		c.replyNil()
	}
}

// put overwrites the element i, or answers c with why not.
func (l *managedList) put(c *call, i int, r proto.Raw) bool {
	v, err := c.store(r)
	if err != nil {
		c.fail(err)
		return false
	}
	old := l.items[i]
	l.items[i] = v
	c.changed()
	c.m.discard(old)
	return true
}

func (l *managedList) del(c *call) {
	if isSlice(c.args[0]) {
		l.deleteSlice(c)
	} else if i, ok := l.at(c, 0); ok {
		c.m.discard(l.take(i))
		l.done(c)
		c.replyNil()
	}
}

// done is called after each change of the length, before its answer.
func (l *managedList) done(c *call) {
	c.changed()
	l.wake()
}

func (l *managedList) insert(c *call) {
	i, ok := l.nearest(c, 0)
	if ok {
		l.insertOne(c, i, c.args[1])
	}
}

func (l *managedList) append(c *call) { l.insertOne(c, len(l.items), c.args[0]) }

func (l *managedList) insertOne(c *call, i int, r proto.Raw) {
	v, err := c.store(r)
	if err != nil {
		c.fail(err)
		return
	}
	l.add(i, v)
	l.done(c)
	c.replyNil()
}

func (l *managedList) extend(c *call) {
	rs, ok := c.array(0)
	if !ok {
		return
	}
	vs, err := c.storeAll(rs)
	if err != nil {
		c.fail(err)
		return
	}
	l.splice(len(l.items), len(l.items), vs)
	l.done(c)
	c.replyNil()
}

func (l *managedList) pop(c *call) {
	i, ok := len(l.items)-1, true
	switch {
	case len(c.args) > 0:
		i, ok = l.at(c, 0)
	case i < 0:
		c.failf(proto.KindIndexError, "pop from an empty list")
		return
	}
	if !ok || !c.fitsOne(l.items[i]) {
		return
	}
	v := l.take(i)
	l.done(c)
	c.giveBack(v)
}

func (l *managedList) clear(c *call) {
	old := l.items
	l.row = row{}
	l.done(c)
	c.m.discard(old...)
	c.replyNil()
}

func (l *managedList) copy(c *call) {
	if c.fitting(l.items) {
		c.replyValues(l.items)
	}
}

func (l *managedList) plus(c *call) {
	i, ok := l.at(c, 0)
	if !ok {
		return
	}
	sum, err := c.sum(l.items[i], c.args[1])
	switch {
	case err != nil:
		c.fail(err)
	case c.fits(1, len(sum)) && l.put(c, i, sum):
		c.replyValue(l.items[i])
	}
}

func (l *managedList) cas(c *call) {
	i, ok := l.at(c, 0)
	switch {
	case !ok:
	case !proto.Equal(l.items[i].raw, c.args[1]):
		c.replyBool(false)
	case l.put(c, i, c.args[2]):
		c.replyBool(true)
	}
}

func (l *managedList) text(b []byte, max int) []byte {
	return appendText(b, max, len(l.items), "[", "]", func(b []byte, i, max int) []byte {
		return proto.AppendText(b, l.items[i].raw, max)
	})
}

// visit is for who looks for references.
func (l *managedList) visit(from, most int, f func(v value)) (next int) {
	for i := from; i < len(l.items); i++ {
		if i-from == most {
			return i
		}
		f(l.items[i])
	}
	return -1
}

// dump and restore are for a journal.
func (l *managedList) dump(b []byte) []byte {
	b = proto.AppendArrayHeader(b, len(l.items))
	for _, v := range l.items {
		b = append(b, v.raw...)
	}
	return b
}

func (l *managedList) restore(c *call) {
	if c.s != nil {
		c.unknown()
		return
	}
	old := l.items
	l.row = row{}
	l.extend(c)
	c.m.discard(old...)
}

func (l *managedList) drop(m *Manager) {
	l.waiters.each(func(p *parked) { p.quit(objectEnd) })
	m.discard(l.items...)
	l.row = row{}
}
