package ipc

import (
	"bytes"
	"math"

	"github.com/seed-185a7250/multiproc/proto"
)

// A value is what a client stored: bytes that are kept as they are.
type value struct {
	raw  proto.Raw
	refs int      // references to objects of this manager in it
	by   *account // whose memory it counts for
}

// valueBytes is what a value counts besides its bytes: about what its place takes.
const valueBytes = 64

func (v value) cost() int { return len(v.raw) + valueBytes }

// store makes a value of an argument: a copy, whose references count from now on. Whoever
// holds it calls discard when it lets go.
func (c *call) store(r proto.Raw) (value, error) {
	if err := proto.ScanDeep(r, c.limits()); err != nil {
		return value{}, err
	}
	if err := c.affords(len(r) + valueBytes); err != nil {
		return value{}, err
	}
	return c.own(clone(r))
}

// clone copies r. Of values of one byte there are not many.
func clone(r proto.Raw) proto.Raw {
	if len(r) == 1 {
		return singles[r[0]][:]
	}
	return bytes.Clone(r)
}

var singles = func() (all [256][1]byte) {
	for i := range all {
		all[i][0] = byte(i)
	}
	return all
}()

// own makes a value of scanned bytes that nobody else changes.
func (c *call) own(r proto.Raw) (value, error) {
	v := value{raw: r, by: c.memory()}
	if err := c.m.count(&v); err != nil && c.s != nil { // in a replay, what ended later is missing already
		c.m.uncount(v)
		return value{}, err
	}
	c.m.charge(v)
	return v, nil
}

func (m *Manager) charge(v value) {
	if v.by != nil {
		v.by.bytes += v.cost()
	}
	m.stats.bytes += v.cost()
}

// affords tells whether the connection may store so many bytes more.
func (c *call) affords(bytes int) error {
	by := c.memory()
	if by == nil {
		return nil
	}
	if total := c.m.stats.bytes; bytes > c.m.limits.Total-total {
		return faultf(proto.KindTooMany, "all values have %d bytes, the most is %d", total, c.m.limits.Total)
	}
	if bytes <= c.m.limits.Memory-by.bytes {
		return nil
	}
	return faultf(proto.KindTooMany, "the values that this connection stored have %d bytes, the most is %d", by.bytes, c.m.limits.Memory)
}

// again makes another value of the same bytes, for which the caller has asked affords.
func (c *call) again(v value) value {
	v.by = c.memory()
	if v.refs > 0 {
		v.refs = 0
		c.m.count(&v) // cannot fail: v keeps what it refers to
	}
	c.m.charge(v)
	return v
}

// storeAll is store for several values, all or none.
func (c *call) storeAll(rs []proto.Raw) ([]value, error) {
	vs := make([]value, 0, len(rs))
	for _, r := range rs {
		v, err := c.store(r)
		if err != nil {
			c.m.discard(vs...)
			return nil, err
		}
		vs = append(vs, v)
	}
	return vs, nil
}

// limits are those of the manager; what is in the store was within some once.
func (c *call) limits() proto.Limits {
	if c.s == nil {
		return proto.Limits{Frame: math.MaxInt32}
	}
	return proto.Limits{Frame: c.m.limits.Frame}
}

func (c *call) memory() *account {
	if c.s == nil {
		return nil
	}
	return c.s.memory
}

// count counts the references in v. The error is that of one to an object that has ended.
func (m *Manager) count(v *value) error {
	var err error
	proto.Refs(v.raw, m.instance, func(id uint64) {
		if o := m.objects[id]; o != nil {
			o.touched++
			o.stored++
			v.refs++
		} else if err == nil {
			err = faultf(proto.KindGone, "the value refers to object %d, which has ended", id)
		}
	})
	return err
}

func (m *Manager) uncount(v value) {
	proto.Refs(v.raw, m.instance, func(id uint64) {
		if o := m.objects[id]; o != nil {
			o.stored--
			m.mayEnd(o)
		}
	})
}

// discard lets go of values.
func (m *Manager) discard(vs ...value) {
	for _, v := range vs {
		m.stats.bytes -= v.cost()
		if v.by != nil {
			v.by.bytes -= v.cost()
		}
		if v.refs > 0 {
			m.uncount(v)
		}
	}
}

// lend gives s a lease for each reference in v.
func (m *Manager) lend(s *session, v value) {
	proto.Refs(v.raw, m.instance, func(id uint64) {
		if o := m.objects[id]; o != nil {
			m.lease(s, o, 1)
		}
	})
}

// giveBack answers with v, which nobody holds any more: what it refers to is lent before v lets
// go of it.
func (c *call) giveBack(v value) {
	c.replyValue(v)
	c.m.discard(v)
}

// sum is what `add` makes of a stored value and an argument.
func (c *call) sum(v value, delta proto.Raw) (proto.Raw, error) {
	if err := proto.ScanDeep(delta, c.limits()); err != nil {
		return nil, err
	}
	sum, err := proto.Add(nil, v.raw, delta)
	if err != nil {
		return nil, faultf(proto.KindTypeError, "%v", err)
	}
	return sum, nil
}

// changed notes that the operation has changed its object.
func (c *call) changed() { c.m.record(c.obj, c.op, c.args) }

// referred returns the object that an argument means: a reference, an id or a name.
func (c *call) referred(r proto.Raw) (*object, error) {
	if ref, ok := proto.ParseRef(r); ok {
		if ref.Instance != c.m.instance {
			return nil, faultf(proto.KindUnknownObject, "a reference to an object of another manager")
		}
		return c.m.find(proto.ObjectName{ID: ref.ID})
	}
	n, err := proto.ParseObject(r)
	if err != nil {
		return nil, faultf(proto.KindTypeError, "expected an object, found %s", proto.TypeName(r))
	}
	return c.m.find(n)
}
