package proto

import (
	"encoding"
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"time"
)

func encodeRaw(e *encoder, p *plan, v reflect.Value) error {
	b := v.Bytes()
	if len(b) == 0 {
		e.w.b = AppendNil(e.w.b)
		return nil
	}
	if err := e.fits(len(b)); err != nil {
		return err
	}
	start := len(e.w.b)
	e.w.b = append(e.w.b, b...)
	return e.wrote(start, false)
}

func encodeExt(e *encoder, p *plan, v reflect.Value) error {
	x := v.Interface().(Ext)
	if x.Code == ExtHandle {
		return &unsupportedError{text: "an Ext with the code of handles, whose descriptors are not here"}
	}
	if err := e.fits(len(x.Data)); err != nil {
		return err
	}
	return e.whole(append(AppendExtHeader(nil, x.Code, len(x.Data)), x.Data...))
}

// encodeTime writes MessagePack's timestamp in the shortest of its three forms.
func encodeTime(e *encoder, p *plan, v reflect.Value) error {
	e.w.b = appendTime(e.w.b, v.Interface().(time.Time))
	return nil
}

func appendTime(b []byte, t time.Time) []byte {
	sec, ns := t.Unix(), uint64(t.Nanosecond())
	switch {
	case sec >= 0 && sec <= math.MaxUint32 && ns == 0:
		return binary.BigEndian.AppendUint32(AppendExtHeader(b, ExtTime, 4), uint32(sec))
	case sec >= 0 && sec < 1<<34:
		return binary.BigEndian.AppendUint64(AppendExtHeader(b, ExtTime, 8), ns<<34|uint64(sec))
	}
	b = binary.BigEndian.AppendUint32(AppendExtHeader(b, ExtTime, 12), uint32(ns))
	return binary.BigEndian.AppendUint64(b, uint64(sec))
}

// pointerTo returns a pointer to v, for methods that have a pointer receiver. A
// value that cannot be addressed is copied.
func pointerTo(v reflect.Value) any {
	if v.CanAddr() {
		return v.Addr().Interface()
	}
	c := reflect.New(v.Type())
	c.Elem().Set(v)
	return c.Interface()
}

func encodeHandle(e *encoder, p *plan, v reflect.Value) error {
	if !v.CanAddr() && !p.typ.Implements(handleEncoderType) {
		return &unsupportedError{text: fmt.Sprintf("a %s by value; pass a pointer to it", p.typ)}
	}
	x := pointerTo(v)
	if r, ok := x.(RefEncoder); ok && e.refs {
		return e.ref(r)
	}
	h, fds, err := x.(HandleEncoder).EncodeHandle()
	if err != nil {
		return err
	}
	if err := e.fits(len(h.Meta)); err != nil {
		e.w.fds = append(e.w.fds, fds...)
		return err
	}
	EncodeHandle(&e.w, h, fds...)
	if len(e.w.fds) > defaultDescriptors {
		return tooLarge("value", uint64(len(e.w.fds)), defaultDescriptors, "descriptors")
	}
	return nil
}

func (e *encoder) ref(x RefEncoder) error {
	r, err := x.EncodeRef(e.to)
	if err != nil {
		return err
	}
	if err := e.fits(refBytes + len(r.Address)); err != nil {
		return err
	}
	e.w.b = AppendRef(e.w.b, r)
	return nil
}

// encodeWith makes an encoder of a method that writes for itself.
func encodeWith(write func(w *Writer, v any) error) func(e *encoder, p *plan, v reflect.Value) error {
	return func(e *encoder, p *plan, v reflect.Value) error {
		if isNil(v) {
			e.w.b = AppendNil(e.w.b)
			return nil
		}
		start := len(e.w.b)
		if err := write(&e.w, pointerTo(v)); err != nil {
			return err
		}
		if err := e.wrote(start, true); err != nil {
			return fmt.Errorf("%w (written by %s itself)", err, p.typ)
		}
		return nil
	}
}

func encodeText(e *encoder, p *plan, v reflect.Value) error {
	if isNil(v) {
		e.w.b = AppendNil(e.w.b)
		return nil
	}
	b, err := pointerTo(v).(encoding.TextMarshaler).MarshalText()
	if err != nil {
		return err
	}
	return e.str(string(b))
}

func encodeBinary(e *encoder, p *plan, v reflect.Value) error {
	if isNil(v) {
		e.w.b = AppendNil(e.w.b)
		return nil
	}
	b, err := pointerTo(v).(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return err
	}
	if b == nil {
		b = []byte{}
	}
	return e.bin(b)
}

func isNil(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Map, reflect.Slice, reflect.Func, reflect.Chan:
		return v.IsNil()
	}
	return false
}
