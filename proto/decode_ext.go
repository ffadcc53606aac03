package proto

import (
	"bytes"
	"math/big"
	"reflect"
	"slices"
)

// A form is how a Go type that stands for an extension is encoded and decoded.
type form struct {
	enc  func(e *encoder, p *plan, v reflect.Value) error
	dec  func(d *decoder, p *plan, v reflect.Value) error
	want string
}

var extForms map[reflect.Type]form

func init() { // the decoders lead back to the table
	extForms = map[reflect.Type]form{
		reflect.TypeFor[Tuple]():     {encodeHolder(ExtTuple), decodeHolder(ExtTuple), "a tuple"},
		reflect.TypeFor[Set]():       {encodeHolder(ExtSet), decodeHolder(ExtSet, ExtFrozenSet), "a set"},
		reflect.TypeFor[FrozenSet](): {encodeHolder(ExtFrozenSet), decodeHolder(ExtFrozenSet, ExtSet), "a frozen set"},
		reflect.TypeFor[big.Int]():   {encodeBigInt, decodeBigInt, "an integer"},
		reflect.TypeFor[Slice]():     {encodeSliceExt, decodeParsed, "a slice"},
		reflect.TypeFor[Ref]():       {encodeRef, decodeParsed, "a reference"},
		reflect.TypeFor[Fault]():     {encodeFault, decodeParsed, "an error"},
		reflect.TypeFor[Opaque]():    {encodeOpaque, decodeParsed, "an opaque blob"},
	}
}

// enter moves to the first element of the extension whose head was read; ok is false, and
// nothing moved, if its content is not one array. What it returns is the token of that array.
func (d *decoder) enter(t token) (array token, ok bool) {
	in, n, ok := elements(d.b[d.i : d.i+t.n()])
	if !ok {
		return t, false
	}
	d.i += in.i
	return token{class: classArray, bits: uint64(n)}, true
}

// sequence returns the token of an array, or that inside of an extension with one of these
// codes, and moves behind its head.
func (d *decoder) sequence(p *plan, t token, codes ...int8) (token, error) {
	if t.class == classArray {
		return t, nil
	}
	if t.class == classExt && slices.Contains(codes, t.ext) {
		if array, ok := d.enter(t); ok {
			return array, nil
		}
	}
	return t, d.mismatch(p.want, t)
}

// integer is next, but a big integer of 64 bits is a plain one.
func (d *decoder) integer() (token, error) {
	t, err := d.next()
	if err == nil && t.class == classExt && t.ext == ExtBigInt && t.n() > 0 {
		switch n := bigNumber(d.b[d.i : d.i+t.n()]); n.kind {
		case numUint:
			d.i += t.n()
			return token{class: classUint, bits: n.bits}, nil
		case numInt:
			d.i += t.n()
			return token{class: classInt, bits: n.bits}, nil
		}
	}
	return t, err
}

// anyHolder decodes a tuple, set or frozen set; ok is false for a malformed one.
func (d *decoder) anyHolder(t token) (v any, err error, ok bool) {
	array, ok := d.enter(t)
	if !ok {
		return nil, nil, false
	}
	v, err = d.anyList(array.n())
	if err != nil {
		return nil, err, true
	}
	list := v.([]any)
	switch t.ext {
	case ExtTuple:
		return Tuple(list), nil, true
	case ExtSet:
		return Set(list), nil, true
	}
	return FrozenSet(list), nil, true
}

// parseExt returns what an extension without elements stands for in Go, sharing nothing with
// its content; ok is false if it is malformed, or none of those.
func parseExt(code int8, content []byte) (v any, ok bool) {
	switch code {
	case ExtBigInt:
		if len(content) == 0 {
			return nil, false
		}
		switch n := bigNumber(content); n.kind {
		case numUint:
			if int64(n.bits) < 0 {
				return n.bits, true
			}
			return int64(n.bits), true
		case numInt:
			return int64(n.bits), true
		}
		return parseBigInt(content), true
	case ExtSlice:
		return parsed(parseSlice(content))
	case ExtObject:
		return parsed(parseRef(content))
	case ExtError:
		f, err := ParseFault(bytes.Clone(content))
		return f, err == nil
	case ExtBlob:
		o, ok := parseOpaque(content)
		o.Data = append(make([]byte, 0, len(o.Data)), o.Data...)
		return o, ok
	case ExtComplex:
		if len(content) == 16 {
			return complex(parseComplex(content)), true
		}
	}
	return nil, false
}

func parsed[T any](v T, ok bool) (any, bool) { return v, ok }

// decodeHolder decodes a Tuple, Set or FrozenSet from an array or from one of the extensions.
func decodeHolder(codes ...int8) func(d *decoder, p *plan, v reflect.Value) error {
	return func(d *decoder, p *plan, v reflect.Value) error {
		if d.null() {
			v.SetZero()
			return nil
		}
		t, err := d.next()
		if err != nil {
			return err
		}
		if t, err = d.sequence(p, t, codes...); err != nil {
			return err
		}
		list, err := d.anyList(t.n())
		if err == nil {
			v.Set(reflect.ValueOf(list).Convert(p.typ))
		}
		return err
	}
}

func decodeBigInt(d *decoder, p *plan, v reflect.Value) error {
	t, err := d.next()
	if err != nil {
		return err
	}
	var content []byte
	if t.class == classStr || t.class == classExt {
		content = d.b[d.i : d.i+t.n()]
	}
	z := v.Addr().Interface().(*big.Int)
	if n, ok := readNumber(t, content); ok && t.isInteger() {
		z.Set(n.integer())
	} else if t.class != classStr || z.UnmarshalText(content) != nil {
		return d.mismatch(p.want, t)
	}
	d.i += len(content)
	return nil
}

func decodeComplex(d *decoder, p *plan, v reflect.Value) error {
	t, err := d.integer()
	if err != nil {
		return err
	}
	var z complex128
	switch {
	case t.class == classExt && t.ext == ExtComplex && t.n() == 16:
		z = complex(parseComplex(d.b[d.i : d.i+16]))
	case t.class == classFloat32 || t.class == classFloat64:
		z = complex(t.float(), 0)
	case t.class == classUint || t.class == classInt:
		f, exact := floatOf(t, 64)
		if !exact {
			return d.mismatch("a number that is exact in floating point", t)
		}
		z = complex(f, 0)
	default:
		return d.mismatch(p.want, t)
	}
	if v.OverflowComplex(z) {
		return d.mismatch("a number of at most 3.4e38", t)
	}
	d.i += t.n()
	v.SetComplex(z)
	return nil
}

// decodeParsed decodes types that parseExt returns, or a pointer to one.
func decodeParsed(d *decoder, p *plan, v reflect.Value) error {
	t, err := d.next()
	if err != nil {
		return err
	}
	if t.class == classExt {
		if x, ok := parseExt(t.ext, d.b[d.i:d.i+t.n()]); ok {
			if got := reflect.Indirect(reflect.ValueOf(x)); got.Type() == p.typ {
				d.i += t.n()
				v.Set(got)
				return nil
			}
		}
	}
	return d.mismatch(p.want, t)
}

// findable reports whether a key of a map[any]any would be found again: not what Go cannot
// compare, nor what it compares by address.
func findable(key any) bool {
	switch key.(type) {
	case *big.Int, *Fault, Slice:
		return false
	}
	return reflect.ValueOf(key).Comparable()
}
