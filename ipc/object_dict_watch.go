package ipc

import (
	"github.com/seed-185a7250/multiproc/proto"
)

// This file has the operations of a dict that concern versions, and those that wait.

// tellsVersions is called by every operation that tells or takes a version: from the first on
// removals are remembered.
func (d *managedDict) tellsVersions() { d.remember = true }

func (d *managedDict) tellVersion(c *call) {
	d.tellsVersions()
	c.replyUint(d.version)
}

func (d *managedDict) getVersion(c *call) {
	e, _, ok := d.lookup(c)
	if !ok {
		return
	}
	d.tellsVersions()
	if e == nil {
		c.finish(append(c.result(), 0x92, 0xc0, 0))
		return
	}
	b := c.append(proto.AppendArrayHeader(c.result(), 2), e.value)
	c.finish(proto.AppendUint(b, e.version))
}

func (d *managedDict) casVersion(c *call) {
	e, canon, ok := d.lookup(c)
	if !ok {
		return
	}
	version, ok := c.natural(1, 0)
	if !ok {
		return
	}
	d.tellsVersions()
	has := uint64(0)
	if e != nil {
		has = e.version
	}
	if has != uint64(version) {
		c.replyUint(0)
	} else if e = d.store(c, e, canon, c.args[2]); e != nil {
		c.replyUint(e.version)
	}
}

// A dictWait is what a call of wait waits for. The key is counted like a stored value.
type dictWait struct {
	canon   string
	when    func(e *entry) bool
	key     value
	operand value
}

func (d *managedDict) wait(c *call) {
	e, canon, ok := d.lookup(c)
	if !ok {
		return
	}
	w := dictWait{}
	if len(c.args) == 3 {
		w.operand.raw = c.args[2]
	}
	if err := w.parse(c); err != nil {
		c.fail(err)
		return
	}
	if w.when(e) {
		d.replyWait(c, e)
		return
	}
	w.canon = string(canon)
	d.parkWait(c, &w)
}

// parse reads the condition.
func (w *dictWait) parse(c *call) error {
	name, err := proto.ParseString(c.args[1])
	if err != nil {
		return faultf(proto.KindTypeError, "a condition is a str, found %s", proto.TypeName(c.args[1]))
	}
	switch name {
	case "present":
		w.when = func(e *entry) bool { return e != nil }
		return nil
	case "absent":
		w.when = func(e *entry) bool { return e == nil }
		return nil
	}
	if len(c.args) < 3 {
		return faultf(proto.KindArguments, "the condition %q needs an operand", name)
	}
	if name == "newer" {
		version, ok := proto.ParseInteger(c.args[2])
		if !ok {
			return faultf(proto.KindTypeError, "a version is an integer, found %s", proto.TypeName(c.args[2]))
		}
		w.when = func(e *entry) bool { return e != nil && (version < 0 || e.version > uint64(version)) }
		return nil
	}
	return w.compare(name)
}

// compare makes the conditions that compare the value with the operand.
func (w *dictWait) compare(name string) error {
	b, ok := bounds[name]
	switch {
	case !ok:
		return faultf(proto.KindValueError, "there is no condition %q", name)
	case name == "==":
		w.when = func(e *entry) bool { return e != nil && proto.Equal(e.value.raw, w.operand.raw) }
	case name == "!=":
		w.when = func(e *entry) bool { return e != nil && !proto.Equal(e.value.raw, w.operand.raw) }
	default:
		w.when = func(e *entry) bool {
			if e == nil {
				return false
			}
			order, err := proto.Compare(e.value.raw, w.operand.raw)
			return err == nil && b.holds(order) && !isNaN(e.value.raw) && !isNaN(w.operand.raw)
		}
	}
	return nil
}

// isNaN tells whether v is not equal to itself: then it has no order either, though a sort gives
// it one.
func isNaN(v proto.Raw) bool { return !proto.Equal(v, v) }

func (d *managedDict) replyWait(c *call, e *entry) {
	if e == nil {
		c.replyNil()
	} else {
		c.replyValue(e.value)
	}
}

// parkWait puts a call in the line of its key.
func (d *managedDict) parkWait(c *call, w *dictWait) {
	var err error
	if w.operand.raw != nil {
		if w.operand, err = c.store(w.operand.raw); err != nil {
			c.fail(err)
			return
		}
	}
	if w.key, err = c.store(c.args[0]); err != nil {
		w.discard(c.m)
		c.fail(err)
		return
	}
	l := d.waits[w.canon]
	if l == nil {
		l = &line{}
		if d.waits == nil {
			d.waits = map[string]*line{}
		}
		d.waits[w.canon] = l
	}
	p := c.park(l, func(p *parked, why reason) {
		d.left(p.m, w)
		if why != departed {
			p.fail(why.fault())
		}
	})
	if p == nil {
		d.left(c.m, w)
		return
	}
	p.more = w
}

// discard lets go of what is stored.
func (w *dictWait) discard(m *Manager) {
	for _, v := range []*value{&w.key, &w.operand} {
		if v.raw != nil {
			m.discard(*v)
			*v = value{}
		}
	}
}

// left is called when a call has left its line.
func (d *managedDict) left(m *Manager, w *dictWait) {
	w.discard(m)
	if l := d.waits[w.canon]; l != nil && l.n == 0 {
		delete(d.waits, w.canon)
	}
}

// tell notes that a key has changed, for those who wait.
func (d *managedDict) tell(canon string) {
	if len(d.waits) > 0 || d.watchers.n > 0 {
		d.news = append(d.news, canon)
	}
}

// wake answers those whose wait is over, when a change is complete.
func (d *managedDict) wake(m *Manager) {
	if len(d.news) == 0 {
		return
	}
	for _, canon := range d.news {
		if l := d.waits[canon]; l != nil {
			d.wakeKey(l, d.find([]byte(canon)))
		}
	}
	news := map[string]bool{}
	for i := 0; i < len(d.news) && d.watchers.n > 0; i++ {
		news[d.news[i]] = true
	}
	d.watchers.each(func(p *parked) {
		if w := p.more.(*dictWatch); w.concerns(news) {
			p.take()
			d.replyWatch(&p.call, w)
			w.discard(p.m)
		}
	})
	clear(d.news)
	d.news = d.news[:0]
}

func (d *managedDict) wakeKey(l *line, e *entry) {
	l.each(func(p *parked) {
		if w := p.more.(*dictWait); w.when(e) {
			p.take()
			d.replyWait(&p.call, e)
			d.left(p.m, w)
		}
	})
}

// A dictWatch is what a call of watch waits for.
type dictWatch struct {
	since uint64
	keys  map[string]bool // canonical; nil: any
	asked []value         // the keys, counted like stored values
}

// concerns tells whether one of the keys that changed is one of those watched. It goes through the
// fewer of them: many may watch when many are removed at once.
func (w *dictWatch) concerns(news map[string]bool) bool {
	few, many := w.keys, news
	if len(few) > len(many) {
		few, many = many, few
	}
	for canon := range few {
		if many[canon] {
			return true
		}
	}
	return w.keys == nil
}

func (w *dictWatch) discard(m *Manager) {
	m.discard(w.asked...)
	w.asked = nil
}

func (d *managedDict) watch(c *call) {
	w := &dictWatch{}
	if err := w.parse(d, c); err != nil {
		c.fail(err)
		return
	}
	d.tellsVersions()
	if proto.IsNil(c.args[0]) {
		w.since = d.version
		d.replyWatch(c, w)
		return
	}
	if w.since < d.forgotten || w.any(d) {
		d.replyWatch(c, w)
		return
	}
	d.parkWatch(c, w)
}

func (w *dictWatch) parse(d *managedDict, c *call) error {
	if !proto.IsNil(c.args[0]) {
		since, err := proto.ParseUint(c.args[0])
		if err != nil {
			return faultf(proto.KindTypeError, "a version is an integer ≥ 0 or nil, found %s", proto.AppendText(nil, c.args[0], 40))
		}
		w.since = since
	}
	if len(c.args) < 2 || proto.IsNil(c.args[1]) {
		return nil
	}
	keys, err := parseArray(c.args[1])
	if err != nil {
		return err
	}
	w.keys = make(map[string]bool, len(keys))
	for _, key := range keys {
		canon, err := d.canon(key)
		if err != nil {
			return err
		}
		w.keys[string(canon)] = true
	}
	return nil
}

// any tells whether there is a change to tell.
func (w *dictWatch) any(d *managedDict) bool {
	for e := range d.since(w.since) {
		if w.keys == nil || w.keys[e.canon] {
			return true
		}
	}
	return false
}

func (d *managedDict) parkWatch(c *call, w *dictWatch) {
	if w.keys != nil {
		keys, err := parseArray(c.args[1])
		if err == nil {
			w.asked, err = c.storeAll(keys)
		}
		if err != nil {
			c.fail(err)
			return
		}
	}
	p := c.park(&d.watchers, func(p *parked, why reason) {
		w.discard(p.m)
		if why != departed {
			p.fail(why.fault())
		}
	})
	if p == nil {
		w.discard(c.m)
		return
	}
	p.more = w
}

// watchHead is the most that stands before the changes in the answer of watch, and changeHead
// what stands around one besides its key and value.
const (
	watchHead  = 1 + 9 + 1 + headBytes
	changeHead = 1 + 9 + 1 + 1
)

// replyWatch answers with the changes since a version. Those that do not fit are left for the
// next watch: the version answered is that of the last change told.
func (d *managedDict) replyWatch(c *call, w *dictWatch) {
	version, room := d.version, space{bytes: c.room() - watchHead, elements: c.elements()}
	var told []*entry
	for e := range d.since(w.since) {
		if w.keys != nil && !w.keys[e.canon] {
			continue
		}
		size := changeHead + len(e.key.raw) + len(e.value.raw)
		if room.takeEntry(e, size) {
			told = append(told, e)
			continue
		}
		if len(told) == 0 {
			c.tooLarge(e)
			return
		}
		version = told[len(told)-1].version
		break
	}
	b := proto.AppendUint(proto.AppendArrayHeader(c.result(), 3), version)
	b = proto.AppendArrayHeader(proto.AppendBool(b, w.since >= d.forgotten), len(told))
	for _, e := range told {
		b = proto.AppendUint(c.append(proto.AppendArrayHeader(b, 4), e.key), e.version)
		if e.place < 0 {
			b = proto.AppendNil(proto.AppendBool(b, false))
		} else {
			b = c.append(proto.AppendBool(b, true), e.value)
		}
	}
	c.finish(b)
}
