package proto

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
)

// maxValue is the largest value that Marshal makes.
const maxValue = defaultFrame - envelopeBytes

// maxSteps bounds how deep the encoder itself may recurse. Arrays and maps are
// bounded by Limits.Depth; an interface that holds a pointer to itself writes
// nothing on its way round.
const maxSteps = 8 * defaultDepth

// keepBuffer is up to which size an encoder keeps its buffer for the next value
// and copies out the bytes. A larger one is handed over as it is.
const keepBuffer = 4 << 10

type encoder struct {
	w     Writer
	depth int // arrays and maps that are open
	steps int // calls of value that are open
	room  int // elements that may still be written

	refs bool // RefEncoders become references, for to
	to   any
}

var encoders = sync.Pool{New: func() any { return new(encoder) }}

// marshal is Marshal for what has no short way.
func marshal(v any, refs bool, to any) (Payload, error) {
	e := encoders.Get().(*encoder)
	e.depth, e.steps, e.room, e.refs, e.to = 0, 0, defaultElements, refs, to
	err := e.any(v)
	p := Payload{Bytes: e.w.b, FDs: e.w.fds}
	if err == nil && len(p.Bytes) > maxValue {
		err = tooLarge("value", uint64(len(p.Bytes)), maxValue, "bytes")
	}
	if err == nil && len(p.FDs) > defaultDescriptors {
		err = tooLarge("value", uint64(len(p.FDs)), defaultDescriptors, "descriptors")
	}
	keep := e.w.b[:0]
	switch {
	case err != nil:
		p.Bytes = nil
	case len(p.Bytes) <= keepBuffer:
		p.Bytes = slices.Clone(p.Bytes)
	default:
		keep = nil
	}
	if cap(keep) > 4*keepBuffer {
		keep = nil
	}
	e.w, e.to = Writer{b: keep}, nil
	encoders.Put(e)
	return p, err
}

// any encodes what an interface holds, common types without reflection.
func (e *encoder) any(v any) error {
	switch v := v.(type) {
	case nil:
		e.w.b = AppendNil(e.w.b)
	case bool:
		e.w.b = AppendBool(e.w.b, v)
	case int:
		e.w.b = AppendInt(e.w.b, int64(v))
	case int64:
		e.w.b = AppendInt(e.w.b, v)
	case uint64:
		e.w.b = AppendUint(e.w.b, v)
	case float64:
		e.w.b = AppendFloat(e.w.b, v)
	case string:
		return e.str(v)
	case []byte:
		return e.bin(v)
	case []any:
		return e.list(v)
	case map[string]any:
		return e.dict(v)
	default:
		rv := reflect.ValueOf(v)
		return e.value(planOf(rv.Type()), rv)
	}
	return nil
}

// value encodes v by its plan. Everything that can recurse comes through here.
func (e *encoder) value(p *plan, v reflect.Value) error {
	if e.steps++; e.steps > maxSteps {
		return tooLarge("pointers and interfaces one within the other", uint64(e.steps), maxSteps, "(does it contain itself?)")
	}
	err := p.enc(e, p, v)
	e.steps--
	return err
}

// open counts an array or map of n elements; close ends it.
func (e *encoder) open(n int) error {
	if e.depth++; e.depth > defaultDepth {
		return tooLarge("nesting", uint64(e.depth), defaultDepth, "levels (does it contain itself?)")
	}
	if n > e.room {
		return tooLarge("value", uint64(defaultElements-e.room)+uint64(n), defaultElements, "elements")
	}
	e.room -= n
	if len(e.w.b) > maxValue { // give up early, not after gigabytes
		return tooLarge("value", uint64(len(e.w.b)), maxValue, "bytes")
	}
	return nil
}

func (e *encoder) close() { e.depth-- }

// fits checks the size before n bytes are copied.
func (e *encoder) fits(n int) error {
	if n > maxValue-len(e.w.b) {
		return tooLarge("value", uint64(len(e.w.b))+uint64(n), maxValue, "bytes")
	}
	return nil
}

func (e *encoder) str(s string) error {
	if err := e.fits(len(s)); err != nil {
		return err
	}
	e.w.b = AppendString(e.w.b, s)
	return nil
}

func (e *encoder) bin(b []byte) error {
	if b == nil {
		e.w.b = AppendNil(e.w.b)
		return nil
	}
	if err := e.fits(len(b)); err != nil {
		return err
	}
	e.w.b = AppendBin(e.w.b, b)
	return nil
}

func (e *encoder) list(v []any) error {
	if v == nil {
		e.w.b = AppendNil(e.w.b)
		return nil
	}
	if err := e.open(len(v)); err != nil {
		return err
	}
	e.w.b = AppendArrayHeader(e.w.b, len(v))
	for i := range v {
		if err := e.any(v[i]); err != nil {
			return at(err, fmt.Sprintf("[%d]", i))
		}
	}
	e.close()
	return nil
}

func (e *encoder) dict(v map[string]any) error {
	if v == nil {
		e.w.b = AppendNil(e.w.b)
		return nil
	}
	if err := e.open(2 * len(v)); err != nil {
		return err
	}
	e.w.b = AppendMapHeader(e.w.b, len(v))
	keys := make([]string, 0, 16)
	for k := range v {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if err := e.str(k); err != nil {
			return err
		}
		if err := e.any(v[k]); err != nil {
			return at(err, fmt.Sprintf("[%q]", k))
		}
	}
	e.close()
	return nil
}

// wrote checks that what was written from start on is one value and counts it. A
// value that is kept byte for byte must not have handles, which are nothing without
// their descriptors.
func (e *encoder) wrote(start int, handles bool) error {
	s := scanner{b: e.w.b[start:], room: e.room, contents: opened, limits: Limits{Depth: defaultDepth, Elements: defaultElements}}
	if err := s.value(defaultDepth - e.depth); err != nil {
		return err
	}
	if left := len(s.b) - s.i; left > 0 {
		return protocolf("%d bytes after the end of the value", left)
	}
	if s.handles > 0 && !handles {
		return &unsupportedError{text: "encoded bytes with a handle in them, whose descriptors are not here"}
	}
	e.room = s.room
	return nil
}

func encodeBad(e *encoder, p *plan, v reflect.Value) error {
	return &unsupportedError{text: p.bad}
}

func encodeBool(e *encoder, p *plan, v reflect.Value) error {
	e.w.b = AppendBool(e.w.b, v.Bool())
	return nil
}

func encodeInt(e *encoder, p *plan, v reflect.Value) error {
	e.w.b = AppendInt(e.w.b, v.Int())
	return nil
}

func encodeUint(e *encoder, p *plan, v reflect.Value) error {
	e.w.b = AppendUint(e.w.b, v.Uint())
	return nil
}

func encodeFloat(e *encoder, p *plan, v reflect.Value) error {
	e.w.b = AppendFloat(e.w.b, v.Float())
	return nil
}

func encodeFloat32(e *encoder, p *plan, v reflect.Value) error {
	e.w.b = AppendFloat32(e.w.b, float32(v.Float()))
	return nil
}

func encodeString(e *encoder, p *plan, v reflect.Value) error { return e.str(v.String()) }

func encodeBytes(e *encoder, p *plan, v reflect.Value) error { return e.bin(v.Bytes()) }

func encodeByteArray(e *encoder, p *plan, v reflect.Value) error {
	if err := e.fits(v.Len()); err != nil {
		return err
	}
	e.w.b = AppendBinHeader(e.w.b, v.Len())
	start := len(e.w.b)
	e.w.b = slices.Grow(e.w.b, v.Len())[:start+v.Len()]
	reflect.Copy(reflect.ValueOf(e.w.b[start:]), v)
	return nil
}
