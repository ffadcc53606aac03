package proto

import (
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"time"
)

func decodeRaw(d *decoder, p *plan, v reflect.Value) error {
	c := cursor{b: d.b, i: d.i}
	raw, err := c.raw("value")
	if err != nil {
		return err
	}
	d.i = c.i
	v.SetBytes(append(make([]byte, 0, len(raw)), raw...))
	return nil
}

func decodeExt(d *decoder, p *plan, v reflect.Value) error {
	t, err := d.next()
	if err != nil {
		return err
	}
	if t.class != classExt || t.ext == ExtHandle {
		return d.mismatch(p.want, t)
	}
	v.Set(reflect.ValueOf(Ext{Code: t.ext, Data: append(make([]byte, 0, t.n()), d.body(t)...)}))
	return nil
}

func decodeDuration(d *decoder, p *plan, v reflect.Value) error {
	t, err := d.next()
	if err != nil {
		return err
	}
	switch {
	case t.class == classUint && t.bits <= p.high, t.class == classInt:
		v.SetInt(int64(t.bits))
		return nil
	case t.class == classStr:
		if n, err := time.ParseDuration(string(d.b[d.i : d.i+t.n()])); err == nil {
			d.i += t.n()
			v.SetInt(int64(n))
			return nil
		}
	}
	return d.mismatch(p.want, t)
}

func decodeTime(d *decoder, p *plan, v reflect.Value) error {
	t, err := d.next()
	if err != nil {
		return err
	}
	switch {
	case t.class == classExt && t.ext == ExtTime:
		if tm, ok := parseTime(d.b[d.i : d.i+t.n()]); ok {
			d.i += t.n()
			v.Set(reflect.ValueOf(tm))
			return nil
		}
	case t.class == classStr:
		if tm, err := time.Parse(time.RFC3339Nano, string(d.b[d.i:d.i+t.n()])); err == nil {
			d.i += t.n()
			v.Set(reflect.ValueOf(tm))
			return nil
		}
	}
	return d.mismatch(p.want, t)
}

func decodeHandle(d *decoder, p *plan, v reflect.Value) error {
	t, err := d.next()
	if err != nil {
		return err
	}
	if t.class == classExt && t.ext == ExtObject {
		return d.ref(p, t, v)
	}
	if t.class != classExt || t.ext != ExtHandle {
		return d.mismatch(p.want, t)
	}
	h, fds, err := d.handle(d.body(t))
	if err != nil {
		return err
	}
	to := v.Addr().Interface().(HandleDecoder)
	if err := to.DecodeHandle(h, fds); err != nil {
		return err
	}
	d.open(to)
	return nil
}

// ref decodes a reference into a type of handles.
func (d *decoder) ref(p *plan, t token, v reflect.Value) error {
	to, ok := v.Addr().Interface().(RefDecoder)
	r, good := parseRef(d.b[d.i : d.i+t.n()])
	if !ok || !good {
		return d.mismatch(p.want, t)
	}
	d.i += t.n()
	if err := to.DecodeRef(r, d.from); err != nil {
		return err
	}
	d.open(to)
	return nil
}

// handle reads the content of a handle and takes its descriptors.
func (d *decoder) handle(content []byte) (Handle, []int, error) {
	ref, err := parseHandle(content)
	if err != nil {
		return Handle{}, nil, err
	}
	fds, err := d.fds.takeAll(ref.First, ref.Count)
	return ref.Handle, fds, err
}

// open remembers what has to be closed if something after it is bad.
func (d *decoder) open(v any) {
	switch v := v.(type) {
	case interface{ Discard() }:
		d.opened = append(d.opened, v.Discard)
	case io.Closer:
		d.opened = append(d.opened, func() { v.Close() }) // the first error is the one to tell
	}
}

// decodeWith makes a decoder of a method that reads for itself. It sees the bytes
// of its own value and no others.
func decodeWith(read func(r *Reader, v any) error) func(d *decoder, p *plan, v reflect.Value) error {
	return func(d *decoder, p *plan, v reflect.Value) error {
		if d.i < len(d.b) && d.b[d.i] == codeNil {
			switch v.Kind() {
			case reflect.Map, reflect.Slice:
				d.i++
				v.SetZero()
				return nil
			}
		}
		c := cursor{b: d.b, i: d.i}
		raw, err := c.raw("value")
		if err != nil {
			return err
		}
		r := &Reader{b: raw, fds: &d.fds}
		before := len(d.fds.left())
		to := v.Addr().Interface()
		err = read(r, to)
		if len(d.fds.left()) != before {
			d.open(to)
		}
		if err == nil && r.i != len(r.b) {
			err = &MismatchError{Text: fmt.Sprintf("%s read %d of the %d bytes of its value", p.typ, r.i, len(r.b))}
		}
		d.i = c.i
		return err
	}
}

func decodeText(d *decoder, p *plan, v reflect.Value) error {
	t, err := d.next()
	if err != nil {
		return err
	}
	if t.class != classStr {
		if t.class == classNil && isNilable(v) {
			v.SetZero()
			return nil
		}
		return d.mismatch(p.want, t)
	}
	text := d.body(t)
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(slices.Clone(text)); err != nil {
		return &MismatchError{Text: fmt.Sprintf("%q is no %s: %s", clipWord(string(text)), p.typ, clip(err.Error(), maxReason))}
	}
	return nil
}

func decodeBinary(d *decoder, p *plan, v reflect.Value) error {
	t, err := d.next()
	if err != nil {
		return err
	}
	if t.class != classBin {
		if t.class == classNil && isNilable(v) {
			v.SetZero()
			return nil
		}
		return d.mismatch(p.want, t)
	}
	if err := v.Addr().Interface().(encoding.BinaryUnmarshaler).UnmarshalBinary(slices.Clone(d.body(t))); err != nil {
		return &MismatchError{Text: fmt.Sprintf("%s that are no %s: %s", count(t.n()), p.typ, clip(err.Error(), maxReason))}
	}
	return nil
}

func isNilable(v reflect.Value) bool {
	k := v.Kind()
	return k == reflect.Map || k == reflect.Slice
}

func decodeError(d *decoder, p *plan, v reflect.Value) error {
	if d.null() {
		v.SetZero()
		return nil
	}
	t, err := d.next()
	if err != nil {
		return err
	}
	if t.class == classExt && t.ext == ExtError {
		if f, err := ParseFault(slices.Clone(d.b[d.i : d.i+t.n()])); err == nil {
			d.i += t.n()
			v.Set(reflect.ValueOf(f))
			return nil
		}
	}
	if t.class != classStr {
		return d.mismatch(p.want, t)
	}
	v.Set(reflect.ValueOf(errors.New(string(d.body(t)))))
	return nil
}
