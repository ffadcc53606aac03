package ipc

import (
	"github.com/seed-185a7250/multiproc/proto"
)

func init() {
	kinds["dict"] = func(c *call) (thing, error) {
		if len(c.args) > 1 {
			return nil, faultf(proto.KindArguments, "a dict takes the pairs that are in it, found %d arguments", len(c.args))
		}
		d := &managedDict{table: newTable()}
		if len(c.args) == 1 {
			if err := d.merge(c, c.args[0]); err != nil {
				d.drop(c.m)
				return nil, err
			}
		}
		return d, nil
	}
}

// A managedDict is a dict of Python, whose entries have versions besides.
type managedDict struct {
	table
	waits    map[string]*line // calls of wait, by canonical key
	watchers line             // calls of watch
	news     []string         // canonical keys that changed, while somebody waits
}

var dictOps = map[string]operation[*managedDict]{
	"get":           {1, 2, (*managedDict).get},
	"set":           {2, 2, (*managedDict).set},
	"delete":        {1, 1, (*managedDict).del},
	"contains":      {1, 1, (*managedDict).contains},
	"len":           {0, 0, func(d *managedDict, c *call) { c.replyInt(d.n) }},
	"pop":           {1, 2, (*managedDict).pop},
	"popitem":       {0, 0, (*managedDict).popItem},
	"setdefault":    {1, 2, (*managedDict).setDefault},
	"insert":        {2, 2, (*managedDict).insert},
	"update":        {1, 1, (*managedDict).update},
	"clear":         {0, 0, (*managedDict).clear},
	"keys":          {0, 0, (*managedDict).keys},
	"values":        {0, 0, (*managedDict).values},
	"items":         {0, 0, (*managedDict).items},
	"copy":          {0, 0, (*managedDict).items},
	"scan":          {2, 3, (*managedDict).scan},
	"get_many":      {1, 2, (*managedDict).getMany},
	"add":           {2, 3, (*managedDict).add},
	"cas":           {3, 3, (*managedDict).cas},
	"delete_if":     {2, 2, (*managedDict).deleteIf},
	"get_version":   {1, 1, (*managedDict).getVersion},
	"cas_version":   {3, 3, (*managedDict).casVersion},
	"version":       {0, 0, (*managedDict).tellVersion},
	"get_or_create": {3, 3, (*managedDict).getOrCreate},
	"wait":          {2, 3, (*managedDict).wait},
	"watch":         {1, 2, (*managedDict).watch},
	"restore":       {1, 1, func(d *managedDict, c *call) { d.restore(c) }},
}

func (d *managedDict) call(c *call) { operate(d, c, dictOps) }
func (d *managedDict) length() int  { return d.n }

func (d *managedDict) get(c *call) {
	e, _, ok := d.lookup(c)
	switch {
	case !ok:
	case e != nil:
		c.replyValue(e.value)
	case len(c.args) == 2:
		c.echo(1)
	default:
		c.missing(proto.KindKeyError, c.args[0])
	}
}

func (d *managedDict) set(c *call) {
	e, canon, ok := d.lookup(c)
	if ok && d.store(c, e, canon, c.args[1]) != nil {
		c.replyNil()
	}
}

// store sets the key that is the first argument; nil if c is answered with why not.
func (d *managedDict) store(c *call, e *entry, canon []byte, r proto.Raw) *entry {
	e, err := d.put(c, e, canon, c.args[0], r)
	if err != nil {
		c.fail(err)
		return nil
	}
	d.tell(e.canon)
	d.done(c)
	return e
}

// done is called after each change, before its answer.
func (d *managedDict) done(c *call) {
	c.changed()
	d.wake(c.m)
}

// take removes an entry and returns its value, which is the caller's.
func (d *managedDict) take(c *call, e *entry) value {
	d.tell(e.canon)
	v := d.remove(c.m, e)
	d.done(c)
	return v
}

func (d *managedDict) del(c *call) {
	e, _, ok := d.lookup(c)
	switch {
	case !ok:
	case e == nil:
		c.missing(proto.KindKeyError, c.args[0])
	default:
		c.m.discard(d.take(c, e))
		c.replyNil()
	}
}

func (d *managedDict) contains(c *call) {
	if e, _, ok := d.lookup(c); ok {
		c.replyBool(e != nil)
	}
}

func (d *managedDict) pop(c *call) {
	e, _, ok := d.lookup(c)
	switch {
	case !ok:
	case e == nil && len(c.args) == 2:
		c.echo(1)
	case e == nil:
		c.missing(proto.KindKeyError, c.args[0])
	case c.fitsOne(e.value):
		c.giveBack(d.take(c, e))
	}
}

func (d *managedDict) popItem(c *call) {
	e := d.last()
	if e == nil {
		c.failf(proto.KindKeyError, "popitem(): dictionary is empty")
		return
	}
	if !c.fitting([]value{e.key, e.value}) {
		return
	}
	key := c.again(e.key)
	v := d.take(c, e)
	c.replyValues([]value{key, v})
	c.m.discard(key, v)
}

func (d *managedDict) setDefault(c *call) {
	e, canon, ok := d.lookup(c)
	if !ok {
		return
	}
	r := proto.Raw{0xc0}
	if len(c.args) == 2 {
		r = c.args[1]
	}
	if e == nil {
		if !c.fits(1, len(r)) {
			return
		}
		if e = d.store(c, nil, canon, r); e == nil {
			return
		}
	}
	c.replyValue(e.value)
}

func (d *managedDict) insert(c *call) {
	e, canon, ok := d.lookup(c)
	switch {
	case !ok:
	case e != nil:
		c.replyBool(false)
	case d.store(c, nil, canon, c.args[1]) != nil:
		c.replyBool(true)
	}
}

func (d *managedDict) clear(c *call) {
	for d.n > 0 {
		e := d.last()
		d.tell(e.canon)
		c.m.discard(d.remove(c.m, e))
	}
	d.done(c)
	c.replyNil()
}

func (d *managedDict) add(c *call) {
	e, canon, ok := d.lookup(c)
	if !ok {
		return
	}
	sum, ok := d.sum(c, e, proto.KindKeyError)
	if ok && c.fits(1, len(sum)) {
		if e = d.store(c, e, canon, sum); e != nil {
			c.replyValue(e.value)
		}
	}
}

func (d *managedDict) cas(c *call) {
	e, canon, ok := d.lookup(c)
	switch {
	case !ok:
	case e == nil || !proto.Equal(e.value.raw, c.args[1]):
		c.replyBool(false)
	case d.store(c, e, canon, c.args[2]) != nil:
		c.replyBool(true)
	}
}

func (d *managedDict) deleteIf(c *call) {
	e, _, ok := d.lookup(c)
	switch {
	case !ok:
	case e == nil || !proto.Equal(e.value.raw, c.args[1]):
		c.replyBool(false)
	default:
		c.m.discard(d.take(c, e))
		c.replyBool(true)
	}
}

func (d *managedDict) text(b []byte, max int) []byte {
	return d.table.text(b, max, "{", "}", func(b []byte, e *entry, max int) []byte {
		return append(proto.AppendText(b, e.key.raw, max), ": "...)
	})
}

func (d *managedDict) drop(m *Manager) {
	for _, l := range d.waits {
		l.each(func(p *parked) { p.quit(objectEnd) })
	}
	d.watchers.each(func(p *parked) { p.quit(objectEnd) })
	d.table.drop(m)
}
