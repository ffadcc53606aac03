package ipc

import (
	"slices"

	"github.com/seed-185a7250/multiproc/proto"
)

func init() {
	kinds["namespace"] = func(c *call) (thing, error) {
		if err := c.number(0, 1); err != nil {
			return nil, err
		}
		ns := &managedNamespace{newTable()}
		if len(c.args) == 1 {
			if err := ns.fill(c, c.args[0]); err != nil {
				ns.drop(c.m)
				return nil, err
			}
		}
		return ns, nil
	}
}

// A managedNamespace has values under names.
type managedNamespace struct{ table }

var namespaceOps = map[string]operation[*managedNamespace]{
	"get":      {1, 1, (*managedNamespace).get},
	"set":      {2, 2, (*managedNamespace).set},
	"delete":   {1, 1, (*managedNamespace).del},
	"contains": {1, 1, (*managedNamespace).contains},
	"names":    {0, 0, (*managedNamespace).names},
	"items":    {0, 0, func(ns *managedNamespace, c *call) { ns.replyEach(c, 3, (*entry).pairBytes, c.appendPair) }},
	"add":      {2, 3, (*managedNamespace).plus},
	"cas":      {3, 3, (*managedNamespace).cas},
	"restore":  {1, 1, func(ns *managedNamespace, c *call) { ns.restore(c) }},
}

func (ns *managedNamespace) call(c *call) { operate(ns, c, namespaceOps) }
func (ns *managedNamespace) length() int  { return ns.n }

// fill sets the entries of a map.
func (ns *managedNamespace) fill(c *call, r proto.Raw) error {
	if !proto.IsMap(r) {
		return faultf(proto.KindTypeError, "a namespace takes a map from str to values, found %s", proto.TypeName(r))
	}
	pairs, err := proto.Entries(r, nil)
	for i := 0; i < len(pairs) && err == nil; i += 2 {
		if !proto.IsString(pairs[i]) {
			return notName(pairs[i])
		}
		var canon []byte
		if canon, err = ns.canon(pairs[i]); err == nil {
			_, err = ns.put(c, ns.find(canon), canon, pairs[i], pairs[i+1])
		}
	}
	return err
}

func notName(r proto.Raw) error {
	return faultf(proto.KindTypeError, "a name is a str, found %s", proto.TypeName(r))
}

// lookup finds the entry of the first argument; if that is no name c is answered.
func (ns *managedNamespace) lookup(c *call) (e *entry, canon []byte, ok bool) {
	if !proto.IsString(c.args[0]) {
		c.fail(notName(c.args[0]))
		return nil, nil, false
	}
	return ns.table.lookup(c)
}

// need is lookup for a name that must be there.
func (ns *managedNamespace) need(c *call) *entry {
	e, _, ok := ns.lookup(c)
	if ok && e == nil {
		c.missing(proto.KindAttributeError, c.args[0])
	}
	return e
}

func (ns *managedNamespace) get(c *call) {
	if e := ns.need(c); e != nil {
		c.replyValue(e.value)
	}
}

func (ns *managedNamespace) set(c *call) {
	if e, canon, ok := ns.lookup(c); ok && ns.store(c, e, canon, c.args[1]) != nil {
		c.replyNil()
	}
}

// store sets a name; nil if c is answered with why not.
func (ns *managedNamespace) store(c *call, e *entry, canon []byte, r proto.Raw) *entry {
	e, err := ns.put(c, e, canon, c.args[0], r)
	if err != nil {
		c.fail(err)
		return nil
	}
	c.changed()
	return e
}

func (ns *managedNamespace) del(c *call) {
	if e := ns.need(c); e != nil {
		c.m.discard(ns.remove(c.m, e))
		c.changed()
		c.replyNil()
	}
}

func (ns *managedNamespace) contains(c *call) {
	if e, _, ok := ns.lookup(c); ok {
		c.replyBool(e != nil)
	}
}

func (ns *managedNamespace) names(c *call) {
	names := make([]string, 0, ns.n)
	bytes := headBytes
	for e := range ns.each {
		names = append(names, e.canon)
		bytes += len(e.canon)
	}
	if !c.fits(len(names), bytes) {
		return
	}
	slices.SortFunc(names, compareNames)
	b := proto.AppendArrayHeader(c.result(), len(names))
	for _, name := range names {
		b = append(b, name...)
	}
	c.finish(b)
}

// compareNames compares encoded strs by what they say.
func compareNames(a, b string) int {
	order, _ := proto.Compare(proto.Raw(a), proto.Raw(b))
	return order
}

func (ns *managedNamespace) plus(c *call) {
	e, canon, ok := ns.lookup(c)
	if !ok {
		return
	}
	sum, ok := ns.sum(c, e, proto.KindAttributeError)
	if ok && c.fits(1, len(sum)) {
		if e = ns.store(c, e, canon, sum); e != nil {
			c.replyValue(e.value)
		}
	}
}

func (ns *managedNamespace) cas(c *call) {
	e, canon, ok := ns.lookup(c)
	switch {
	case !ok:
	case e == nil || !proto.Equal(e.value.raw, c.args[1]):
		c.replyBool(false)
	case ns.store(c, e, canon, c.args[2]) != nil:
		c.replyBool(true)
	}
}

// text is like that of Python: Namespace(a=1).
func (ns *managedNamespace) text(b []byte, max int) []byte {
	return ns.table.text(b, max, "Namespace(", ")", func(b []byte, e *entry, max int) []byte {
		name, _ := proto.ParseString(e.key.raw)
		if len(name) > max {
			return append(b, "…"...)
		}
		return append(append(b, name...), '=')
	})
}
