package proto

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
)

func encodeInterface(e *encoder, p *plan, v reflect.Value) error {
	if v.IsNil() {
		e.w.b = AppendNil(e.w.b)
		return nil
	}
	return e.any(v.Interface())
}

func encodeError(e *encoder, p *plan, v reflect.Value) error {
	if v.IsNil() {
		e.w.b = AppendNil(e.w.b)
		return nil
	}
	return e.str(v.Interface().(error).Error())
}

func encodePointer(e *encoder, p *plan, v reflect.Value) error {
	if v.IsNil() {
		e.w.b = AppendNil(e.w.b)
		return nil
	}
	return e.value(p.elem, v.Elem())
}

func encodeSlice(e *encoder, p *plan, v reflect.Value) error {
	if v.IsNil() {
		e.w.b = AppendNil(e.w.b)
		return nil
	}
	return encodeArray(e, p, v)
}

func encodeArray(e *encoder, p *plan, v reflect.Value) error {
	n := v.Len()
	if err := e.open(n); err != nil {
		return err
	}
	e.w.b = AppendArrayHeader(e.w.b, n)
	for i := range n {
		if err := e.value(p.elem, v.Index(i)); err != nil {
			return at(err, fmt.Sprintf("[%d]", i))
		}
	}
	e.close()
	return nil
}

func encodeStruct(e *encoder, p *plan, v reflect.Value) error {
	fs := p.fields
	n := len(fs.list)
	if fs.omits {
		for i := range fs.list {
			if _, ok := fs.list[i].present(v); !ok {
				n--
			}
		}
	}
	if err := e.open(2 * n); err != nil {
		return err
	}
	e.w.b = AppendMapHeader(e.w.b, n)
	for i := range fs.list {
		f := &fs.list[i]
		fv, ok := f.present(v)
		if !ok {
			continue
		}
		e.w.b = append(e.w.b, f.key...)
		if err := e.value(f.plan, fv); err != nil {
			return at(err, f.name)
		}
	}
	e.close()
	return nil
}

// present returns the field of the struct v, and whether it is to be written. One
// that lies behind an embedded nil pointer is not.
func (f *field) present(v reflect.Value) (reflect.Value, bool) {
	v = v.Field(f.index[0])
	for _, i := range f.index[1:] {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return v, false
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	if f.empty {
		switch v.Kind() {
		case reflect.Slice, reflect.Map, reflect.String, reflect.Array:
			if v.Len() == 0 {
				return v, false
			}
		}
	}
	if f.zero {
		if v.IsZero() {
			return v, false
		}
		if z, ok := v.Interface().(interface{ IsZero() bool }); ok && z.IsZero() {
			return v, false
		}
	}
	return v, true
}

// encodeMap writes entries in the order of their keys: strings and integers in
// their own, others in that of their encoded bytes.
func encodeMap(e *encoder, p *plan, v reflect.Value) error {
	if v.IsNil() {
		e.w.b = AppendNil(e.w.b)
		return nil
	}
	if err := e.open(2 * v.Len()); err != nil {
		return err
	}
	e.w.b = AppendMapHeader(e.w.b, v.Len())
	entries := make([]entry, 0, v.Len())
	for iter := v.MapRange(); iter.Next(); {
		entries = append(entries, entry{k: iter.Key(), v: iter.Value()})
	}
	if p.key.order != nil {
		slices.SortFunc(entries, func(a, b entry) int { return p.key.order(a.k, b.k) })
	}
	first := len(e.w.b)
	for i := range entries {
		if err := e.entry(p, &entries[i]); err != nil {
			return err
		}
	}
	if p.key.order == nil {
		if err := e.sort(p, first, entries); err != nil {
			return err
		}
	}
	e.close()
	return nil
}

// An entry of a map, and where in the buffer its key begins, its value begins, and it ends.
type entry struct {
	k, v        reflect.Value
	at, to, end int
}

func (e *encoder) entry(p *plan, en *entry) error {
	if !en.k.Equal(en.k) {
		return &unsupportedError{text: "a key that is not a number (NaN) and never found again"}
	}
	en.at = len(e.w.b)
	if err := e.value(p.key, en.k); err != nil {
		return at(err, "[key]")
	}
	en.to = len(e.w.b)
	if err := e.value(p.elem, en.v); err != nil {
		return at(err, keyStep(en.k))
	}
	en.end = len(e.w.b)
	return nil
}

// sort brings entries, which were written from first on, in the order of their keys'
// bytes. Keys that differ in Go alone, as int8(1) and int64(1) do in an interface,
// are refused: the receiver could keep only one of them.
func (e *encoder) sort(p *plan, first int, entries []entry) error {
	was := slices.Clone(e.w.b[first:])
	key := func(en entry) []byte { return was[en.at-first : en.to-first] }
	slices.SortFunc(entries, func(a, b entry) int { return bytes.Compare(key(a), key(b)) })
	b := e.w.b[:first]
	for i, en := range entries {
		if i > 0 && bytes.Equal(key(en), key(entries[i-1])) {
			return &unsupportedError{text: fmt.Sprintf("two keys of a %s are the same on the wire", p.typ)}
		}
		b = append(b, was[en.at-first:en.end-first]...)
	}
	return nil
}

// keyStep is the step to the value of key k in a path.
func keyStep(k reflect.Value) string {
	if k.Kind() == reflect.Interface {
		k = k.Elem()
	}
	if k.CanInt() || k.CanUint() || k.CanFloat() || k.Kind() == reflect.Bool {
		return fmt.Sprintf("[%v]", k)
	}
	return fmt.Sprintf("[%q]", clipWord(fmt.Sprint(k)))
}
