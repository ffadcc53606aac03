package ipc

import (
	"math"

	"github.com/seed-185a7250/multiproc/proto"
)

// An operation is one that a kind of object has. It answers c or parks it.
type operation[T any] struct {
	least, most int // arguments
	do          func(t T, c *call)
}

// operate executes c.op of t.
func operate[T any](t T, c *call, ops map[string]operation[T]) {
	op, ok := ops[c.op]
	if !ok {
		c.unknown()
	} else if c.arity(op.least, op.most) {
		op.do(t, c)
	}
}

// integer returns argument i, or the int that is nearest to it; a bool is 0 or 1. If it is
// none the call is answered.
func (c *call) integer(i int) (n int, ok bool) {
	v, ok := proto.ParseInteger(c.args[i])
	if !ok {
		c.failf(proto.KindTypeError, "%s takes an integer, found %s", c.op, proto.TypeName(c.args[i]))
	}
	return int(v), ok
}

// place returns which of n elements argument i names, an index, negative from the end; if there
// is none c is answered.
func (c *call) place(i, n int) (place int, ok bool) {
	place, ok = c.integer(i)
	if !ok {
		return 0, false
	}
	if place < 0 {
		place += n
	}
	if place < 0 || place >= n {
		c.failf(proto.KindIndexError, "%s: the index is out of range of %d elements", c.op, n)
		return 0, false
	}
	return place, true
}

// natural is integer, but refuses what is less than least.
func (c *call) natural(i, least int) (n int, ok bool) {
	n, ok = c.integer(i)
	if ok && n < least {
		c.failf(proto.KindValueError, "%s takes an integer from %d on, found %d", c.op, least, n)
		return n, false
	}
	return n, ok
}

// flag returns argument i, a bool.
func (c *call) flag(i int) (v, ok bool) {
	v, err := proto.ParseBool(c.args[i])
	if err != nil {
		c.failf(proto.KindTypeError, "%s takes a bool, found %s", c.op, proto.TypeName(c.args[i]))
	}
	return v, err == nil
}

// array returns the elements of argument i, an array.
func (c *call) array(i int) (rs []proto.Raw, ok bool) {
	rs, err := parseArray(c.args[i])
	if err != nil {
		c.fail(err)
	}
	return rs, err == nil
}

func parseArray(r proto.Raw) ([]proto.Raw, error) {
	if !proto.IsArray(r) {
		return nil, faultf(proto.KindTypeError, "expected an array, found %s", proto.TypeName(r))
	}
	return proto.Elements(r, nil)
}

// A bound is one of the relations that something can be waited for in.
type bound struct{ less, same, more bool }

var bounds = map[string]bound{
	"==": {same: true}, "!=": {less: true, more: true},
	"<": {less: true}, "<=": {less: true, same: true},
	">": {more: true}, ">=": {same: true, more: true},
}

func (b bound) holds(order int) bool {
	return order < 0 && b.less || order == 0 && b.same || order > 0 && b.more
}

// echo answers with argument i, as if it had been stored.
func (c *call) echo(i int) {
	v, err := c.store(c.args[i])
	if err != nil {
		c.fail(err)
		return
	}
	c.giveBack(v)
}

// fits tells whether n elements of this many bytes together can be answered; if not, c is
// answered. What takes values away asks before it does.
func (c *call) fits(n, bytes int) bool {
	if bytes > c.room() || n > c.elements() {
		c.failf(proto.KindTooLarge, "the result has %d elements and %d bytes, more than one answer may have", n, bytes)
		return false
	}
	return true
}

// maxElements is how many elements a value may have, by PROTOCOL.md.
const maxElements = 4 << 20

// fitsOne is fits for v alone.
func (c *call) fitsOne(v value) bool {
	n := 0
	if len(v.raw) > c.elements() {
		n = proto.CountElements(v.raw)
	}
	return c.fits(n, len(v.raw))
}

// fitting is fits for an array of vs.
func (c *call) fitting(vs []value) bool {
	bytes, n := headBytes, len(vs)
	for i := range vs {
		bytes += len(vs[i].raw)
	}
	for i := 0; bytes > c.elements() && bytes <= c.room() && i < len(vs) && n <= c.elements(); i++ {
		n += proto.CountElements(vs[i].raw)
	}
	return c.fits(n, bytes)
}

// headBytes is the longest head of an array.
const headBytes = 5

// mulCapped multiplies numbers that are not negative; what is too large is the greatest int.
func mulCapped(a, b int) int {
	if a > 0 && b > math.MaxInt/a {
		return math.MaxInt
	}
	return a * b
}

// appendText appends n elements for people, in about max bytes.
func appendText(b []byte, max, n int, open, close string, element func(b []byte, i, max int) []byte) []byte {
	start := len(b)
	b = append(b, open...)
	for i := range n {
		if i > 0 {
			b = append(b, ", "...)
		}
		left := max - (len(b) - start) - len(close) - len(", …")
		if left <= 0 {
			b = append(b, "…"...)
			break
		}
		b = element(b, i, left)
	}
	return append(b, close...)
}
