package proto

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"sync"
)

// A decoder walks over bytes that were scanned: every length in them is true, and
// how deep it may recurse is bounded by how deep they nest. What it allocates for a
// container is bounded by elements that are really there.
type decoder struct {
	b      []byte
	i      int
	fds    descriptors
	opened []func() // let go of handles, if the rest is bad
	from   any      // whom references are from
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// unmarshal is Unmarshal for what has no short way; p was scanned.
func unmarshal(p Payload, v, from any) (leftover []int, err error) {
	d := decoders.Get().(*decoder)
	d.b, d.i, d.fds, d.from = p.Bytes, 0, descriptors{fds: p.FDs}, from
	err = d.into(v)
	if err != nil {
		for _, discard := range slices.Backward(d.opened) {
			discard()
		}
	}
	leftover = d.fds.left()
	*d = decoder{}
	decoders.Put(d)
	return leftover, err
}

func (d *decoder) into(v any) error {
	if to, ok := v.(*any); ok && to != nil {
		x, err := d.any()
		if err == nil {
			*to = x
		}
		return err
	}
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Pointer || rv.IsNil() {
		return &unsupportedError{text: fmt.Sprintf("Unmarshal into a %T, a pointer is needed", v)}
	}
	p := planOf(rv.Type().Elem())
	if d.b[0] == codeNil && p.record {
		return nil // no arguments at all
	}
	return p.dec(d, p, rv.Elem())
}

// next returns the next token and moves behind its head.
func (d *decoder) next() (token, error) {
	t, err := readToken(d.b[d.i:])
	d.i += t.head()
	return t, err
}

// body returns the content of the str, bin or ext whose token was read.
func (d *decoder) body(t token) []byte {
	d.i += t.n()
	return d.b[d.i-t.n() : d.i : d.i]
}

// null reports whether the next value is nil, and passes it if so.
func (d *decoder) null() bool {
	if d.i < len(d.b) && d.b[d.i] == codeNil {
		d.i++
		return true
	}
	return false
}

func decodeBad(d *decoder, p *plan, v reflect.Value) error {
	return &unsupportedError{text: p.bad}
}

func decodeBool(d *decoder, p *plan, v reflect.Value) error {
	t, err := d.next()
	if err != nil {
		return err
	}
	if t.class != classBool {
		return d.mismatch(p.want, t)
	}
	v.SetBool(t.bits != 0)
	return nil
}

func decodeInt(d *decoder, p *plan, v reflect.Value) error {
	t, err := d.integer()
	if err != nil {
		return err
	}
	switch {
	case t.class == classUint && t.bits <= p.high, t.class == classInt && int64(t.bits) >= p.low:
		v.SetInt(int64(t.bits))
		return nil
	}
	return d.noInteger(p, t)
}

func decodeUint(d *decoder, p *plan, v reflect.Value) error {
	t, err := d.integer()
	if err != nil {
		return err
	}
	if t.class == classUint && t.bits <= p.high {
		v.SetUint(t.bits)
		return nil
	}
	return d.noInteger(p, t)
}

// noInteger names the range only to whom it helps.
func (d *decoder) noInteger(p *plan, t token) error {
	if t.class == classUint || t.class == classInt {
		return d.mismatch(p.want, t)
	}
	return d.mismatch("an integer", t)
}

func decodeFloat(d *decoder, p *plan, v reflect.Value) error {
	t, err := d.integer()
	if err != nil {
		return err
	}
	var f float64
	switch t.class {
	case classFloat64:
		f = math.Float64frombits(t.bits)
	case classFloat32:
		f = float64(math.Float32frombits(uint32(t.bits)))
	case classUint, classInt:
		var exact bool
		if f, exact = floatOf(t, p.typ.Bits()); !exact {
			return d.mismatch("a number that is exact in floating point", t)
		}
	default:
		return d.mismatch(p.want, t)
	}
	if v.OverflowFloat(f) {
		return d.mismatch("a number of at most 3.4e38", t)
	}
	v.SetFloat(f)
	return nil
}

// floatOf converts an integer and reports whether a float of so many bits has just
// that value.
func floatOf(t token, bits int) (f float64, exact bool) {
	if t.class == classInt {
		f = float64(int64(t.bits))
		exact = int64(f) == int64(t.bits)
	} else {
		f = float64(t.bits)
		exact = f < 1<<64 && uint64(f) == t.bits
	}
	return f, exact && (bits == 64 || float64(float32(f)) == f)
}

func decodeString(d *decoder, p *plan, v reflect.Value) error {
	t, err := d.next()
	if err != nil {
		return err
	}
	if t.class != classStr {
		return d.mismatch(p.want, t)
	}
	v.SetString(string(d.body(t)))
	return nil
}

func decodeBytes(d *decoder, p *plan, v reflect.Value) error {
	if d.null() {
		v.SetZero()
		return nil
	}
	t, err := d.next()
	if err != nil {
		return err
	}
	if t.class != classBin && t.class != classStr {
		return d.mismatch(p.want, t)
	}
	v.SetBytes(append(make([]byte, 0, t.n()), d.body(t)...))
	return nil
}

func decodeByteArray(d *decoder, p *plan, v reflect.Value) error {
	t, err := d.next()
	if err != nil {
		return err
	}
	if t.class != classBin || t.n() != v.Len() {
		return d.mismatch(p.want, t)
	}
	reflect.Copy(v, reflect.ValueOf(d.body(t)))
	return nil
}
