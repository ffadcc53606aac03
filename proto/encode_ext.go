package proto

import (
	"math/big"
	"reflect"
)

var anyListType = reflect.TypeFor[[]any]()

// encodeHolder encodes a Tuple, Set or FrozenSet as the extension of that code.
func encodeHolder(code int8) func(e *encoder, p *plan, v reflect.Value) error {
	return func(e *encoder, p *plan, v reflect.Value) error {
		if v.IsNil() {
			e.w.b = AppendNil(e.w.b)
			return nil
		}
		start := len(e.w.b)
		if err := e.list(v.Convert(anyListType).Interface().([]any)); err != nil {
			return err
		}
		if code != ExtTuple {
			if err := checkSet(code, e.w.b[start:]); err != nil {
				return &unsupportedError{text: err.Error()}
			}
		}
		e.w.b = wrap(e.w.b, code, start)
		return nil
	}
}

func encodeBigInt(e *encoder, p *plan, v reflect.Value) error {
	z := pointerTo(v).(*big.Int)
	if err := e.fits(z.BitLen() / 8); err != nil {
		return err
	}
	e.w.b = AppendBigInt(e.w.b, z)
	return nil
}

func encodeComplex(e *encoder, p *plan, v reflect.Value) error {
	z := v.Complex()
	e.w.b = appendComplex(e.w.b, real(z), imag(z))
	return nil
}

func encodeRef(e *encoder, p *plan, v reflect.Value) error {
	r := v.Interface().(Ref)
	if err := e.fits(refBytes + len(r.Address)); err != nil {
		return err
	}
	e.w.b = AppendRef(e.w.b, r)
	return nil
}

func encodeSliceExt(e *encoder, p *plan, v reflect.Value) error {
	return e.whole(v.Interface().(Slice).append(nil))
}

func encodeOpaque(e *encoder, p *plan, v reflect.Value) error {
	o := v.Interface().(Opaque)
	if err := e.fits(len(o.Format) + len(o.Data)); err != nil {
		return err
	}
	return e.whole(o.append(nil))
}

func encodeFault(e *encoder, p *plan, v reflect.Value) error {
	f := v.Interface().(Fault)
	if err := e.fits(len(f.Value)); err != nil {
		return err
	}
	b := AppendFault(nil, &f)
	if _, _, ok := elements(b); !ok {
		return protocolf("the value of a fault is not one value")
	}
	return e.whole(wrap(b, ExtError, 0))
}

// whole appends an extension and counts what is in it.
func (e *encoder) whole(b []byte) error {
	start := len(e.w.b)
	e.w.b = append(e.w.b, b...)
	return e.wrote(start, false)
}
