package ipc

import "github.com/seed-185a7250/multiproc/proto"

func init() {
	kinds["value"] = func(c *call) (thing, error) {
		if len(c.args) > 2 {
			return nil, faultf(proto.KindArguments, "a value takes a type and a value, found %d arguments", len(c.args))
		}
		v := &managedValue{kind: proto.Raw{0xc0}}
		var err error
		if len(c.args) > 0 {
			if !proto.IsNil(c.args[0]) && !proto.IsString(c.args[0]) {
				return nil, faultf(proto.KindTypeError, "a type is a str or nil, found %s", proto.TypeName(c.args[0]))
			}
			v.kind = append(proto.Raw(nil), c.args[0]...)
		}
		if len(c.args) > 1 {
			v.value, err = c.store(c.args[1])
		} else {
			v.value, err = c.store(proto.Raw{0xc0})
		}
		return v, err
	}
}

// A managedValue is one value.
type managedValue struct {
	kind  proto.Raw // kept, not enforced
	value value
}

func (v *managedValue) call(c *call) {
	switch c.op {
	case "get":
		if c.arity(0, 0) {
			c.replyValue(v.value)
		}
	case "set":
		if c.arity(1, 1) && v.set(c, c.args[0]) {
			c.replyNil()
		}
	case "add":
		if c.arity(1, 1) {
			v.add(c)
		}
	case "cas":
		if c.arity(2, 2) {
			v.cas(c)
		}
	case "restore":
		if c.s != nil {
			c.unknown()
		} else {
			v.set(c, c.args[0])
		}
	case "type":
		if c.arity(0, 0) {
			c.replyRaw(v.kind)
		}
	default:
		c.unknown()
	}
}

// set stores r, or answers c with why not.
func (v *managedValue) set(c *call, r proto.Raw) bool {
	x, err := c.store(r)
	if err != nil {
		c.fail(err)
		return false
	}
	old := v.value
	v.value = x
	c.changed()
	c.m.discard(old)
	return true
}

func (v *managedValue) add(c *call) {
	sum, err := c.sum(v.value, c.args[0])
	if err != nil {
		c.fail(err)
	} else if v.set(c, sum) {
		c.replyValue(v.value)
	}
}

func (v *managedValue) cas(c *call) {
	if !proto.Equal(v.value.raw, c.args[0]) {
		c.replyBool(false)
	} else if v.set(c, c.args[1]) {
		c.replyBool(true)
	}
}

func (v *managedValue) visit(_, _ int, f func(value)) int { f(v.value); return -1 }
func (v *managedValue) text(b []byte, max int) []byte     { return proto.AppendText(b, v.value.raw, max) }
func (v *managedValue) dump(b []byte) []byte              { return append(b, v.value.raw...) }
func (v *managedValue) drop(m *Manager)                   { m.discard(v.value) }
