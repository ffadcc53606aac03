package proto

import (
	"cmp"
	"encoding"
	"fmt"
	"reflect"
	"sync"
	"time"
)

// A plan is how values of one Go type are encoded and decoded. It is made once,
// when the type is first seen, and both directions come from the same plan, so that
// names and forms cannot drift apart.
type plan struct {
	typ    reflect.Type
	enc    func(e *encoder, p *plan, v reflect.Value) error
	dec    func(d *decoder, p *plan, v reflect.Value) error
	want   string // what a decoder expects, in words
	elem   *plan  // of pointer, slice, array, map
	key    *plan  // of map
	fields *fields
	low    int64                        // least value of an integer
	high   uint64                       // greatest value of an integer
	bad    string                       // why there is no plan, for enc and dec both
	record bool                         // decodes from a map of fields
	handle bool                         // decodes from a handle
	order  func(a, b reflect.Value) int // of keys of a map, nil for the order of their bytes
}

var (
	plans  sync.Map // reflect.Type → *plan, complete with all it leads to
	planMu sync.Mutex
)

func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	planMu.Lock()
	defer planMu.Unlock()
	made := planner{}
	p := made.plan(t)
	for t, p := range made {
		plans.Store(t, p)
	}
	return p
}

// A planner has the plans that are being made. They are published together: a
// recursive type leads back to a plan that is not complete yet.
type planner map[reflect.Type]*plan

func (m planner) plan(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	if p, ok := m[t]; ok {
		return p
	}
	p := &plan{typ: t, want: t.String()}
	m[t] = p
	m.byMethod(p)
	enc, dec, want := p.enc, p.dec, p.want
	if enc != nil && dec != nil {
		return p // what is inside is its own business
	}
	m.byKind(p)
	if enc != nil {
		p.enc, p.order = enc, nil
	}
	if dec != nil {
		p.dec, p.want, p.record = dec, want, false
	}
	return p
}

func (p *plan) unsupported(format string, args ...any) {
	p.bad = fmt.Sprintf(format, args...)
	p.enc, p.dec = encodeBad, decodeBad
}

var (
	rawType           = reflect.TypeFor[Raw]()
	extType           = reflect.TypeFor[Ext]()
	timeType          = reflect.TypeFor[time.Time]()
	durationType      = reflect.TypeFor[time.Duration]()
	errorType         = reflect.TypeFor[error]()
	handleEncoderType = reflect.TypeFor[HandleEncoder]()
	handleDecoderType = reflect.TypeFor[HandleDecoder]()
	textEncoderType   = reflect.TypeFor[encoding.TextMarshaler]()
	textDecoderType   = reflect.TypeFor[encoding.TextUnmarshaler]()
	binEncoderType    = reflect.TypeFor[encoding.BinaryMarshaler]()
	binDecoderType    = reflect.TypeFor[encoding.BinaryUnmarshaler]()
)

// byMethod plans types that have methods of their own, or are known here, and leaves
// the rest to byKind. A pointer is left to its element, so that nil is nil.
func (m planner) byMethod(p *plan) {
	t := p.typ
	switch t {
	case rawType:
		p.enc, p.dec, p.want = encodeRaw, decodeRaw, "any value"
		return
	case extType:
		p.enc, p.dec, p.want = encodeExt, decodeExt, "an extension"
		return
	case timeType:
		p.enc, p.dec, p.want = encodeTime, decodeTime, "a time"
		return
	case durationType:
		p.dec, p.want = decodeDuration, `a duration ("1m30s", or nanoseconds)`
		return
	}
	if form, ok := extForms[t]; ok {
		p.enc, p.dec, p.want = form.enc, form.dec, form.want
		return
	}
	if k := t.Kind(); k == reflect.Pointer || k == reflect.Interface {
		return
	}
	has := func(i reflect.Type) bool { return reflect.PointerTo(t).Implements(i) }
	promoted := embedsHandle(t)
	switch {
	case has(handleEncoderType) && !promoted:
		p.enc = encodeHandle
	case has(customEncoderType):
		p.enc = encodeWith(encodeCustom)
	case has(marshalerType):
		p.enc = encodeWith(encodeMarshaler)
	case has(textEncoderType):
		p.enc = encodeText
	case has(binEncoderType):
		p.enc = encodeBinary
	}
	switch {
	case has(handleDecoderType) && !promoted:
		p.dec, p.want, p.handle = decodeHandle, "a handle of "+t.String(), true
	case has(customDecoderType):
		p.dec, p.want = decodeWith(decodeCustom), t.String()
	case has(unmarshalerType):
		p.dec, p.want = decodeWith(decodeUnmarshaler), t.String()
	case has(textDecoderType):
		p.dec, p.want = decodeText, "a string"
	case has(binDecoderType):
		p.dec, p.want = decodeBinary, "bytes"
	}
}

// embedsHandle reports whether a struct has the methods of a handle only because a
// field that it embeds has them. Such a struct is a struct with a handle in it. With
// the tag msgpack:"-" the field does not travel as a field, and the struct is a handle
// itself: so a kind of handle can be built on another.
func embedsHandle(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.Anonymous || f.Tag.Get("msgpack") == "-" {
			continue
		}
		ft := f.Type
		if ft.Kind() != reflect.Pointer && ft.Kind() != reflect.Interface {
			ft = reflect.PointerTo(ft)
		}
		if ft.Implements(handleEncoderType) || ft.Implements(handleDecoderType) {
			return true
		}
	}
	return false
}

// byKind plans what a type is by its kind alone.
func (m planner) byKind(p *plan) {
	t := p.typ
	switch k := t.Kind(); k {
	case reflect.Bool:
		p.enc, p.dec, p.want = encodeBool, decodeBool, "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		p.enc, p.dec = encodeInt, decodeInt
		p.order = func(a, b reflect.Value) int { return cmp.Compare(a.Int(), b.Int()) }
		p.high = 1<<(t.Bits()-1) - 1
		p.low = -int64(p.high) - 1
		p.want = fmt.Sprintf("an integer from %d to %d", p.low, p.high)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		p.enc, p.dec = encodeUint, decodeUint
		p.order = func(a, b reflect.Value) int { return cmp.Compare(a.Uint(), b.Uint()) }
		p.high = ^uint64(0) >> (64 - t.Bits())
		p.want = fmt.Sprintf("an integer from 0 to %d", p.high)
	case reflect.Float32:
		p.enc, p.dec, p.want = encodeFloat32, decodeFloat, "a number"
	case reflect.Float64:
		p.enc, p.dec, p.want = encodeFloat, decodeFloat, "a number"
	case reflect.Complex64, reflect.Complex128:
		p.enc, p.dec, p.want = encodeComplex, decodeComplex, "a complex number"
	case reflect.String:
		p.enc, p.dec, p.want = encodeString, decodeString, "a string"
		p.order = func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) }
	case reflect.Interface:
		p.enc, p.dec, p.want = encodeInterface, decodeInterface, "any value"
		if t == errorType {
			p.enc, p.dec, p.want = encodeError, decodeError, "the text of an error"
		} else if t.NumMethod() > 0 {
			p.want = "a handle of something that is a " + t.String()
		}
	case reflect.Pointer:
		m.pointer(p)
	case reflect.Slice:
		p.elem = m.plan(t.Elem())
		p.enc, p.dec, p.want = encodeSlice, decodeSlice, "a list"
		if t.Elem().Kind() == reflect.Uint8 && m.plain(t.Elem()) {
			p.enc, p.dec, p.want = encodeBytes, decodeBytes, "bytes"
		}
	case reflect.Array:
		p.elem = m.plan(t.Elem())
		p.enc, p.dec, p.want = encodeArray, decodeArray, fmt.Sprintf("a list of %d", t.Len())
		if t.Elem().Kind() == reflect.Uint8 && m.plain(t.Elem()) {
			p.enc, p.dec, p.want = encodeByteArray, decodeByteArray, count(t.Len())
		}
	case reflect.Map:
		p.key, p.elem = m.plan(t.Key()), m.plan(t.Elem())
		p.enc, p.dec, p.want = encodeMap, decodeMap, "a map"
	case reflect.Struct:
		p.enc, p.dec, p.want, p.record = encodeStruct, decodeStruct, "a map of fields", true
		var err error
		if p.fields, err = m.fieldsOf(t); err != nil {
			p.unsupported("%s", err)
		}
	default: // chan, func, uintptr, unsafe.Pointer
		p.unsupported("a %s has no form on the wire", t)
	}
}

// plain reports whether a byte type has no methods that would change its form.
func (m planner) plain(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	for _, i := range []reflect.Type{customEncoderType, customDecoderType, marshalerType, unmarshalerType,
		textEncoderType, textDecoderType, binEncoderType, binDecoderType} {
		if p.Implements(i) {
			return false
		}
	}
	return true
}

// pointer plans a pointer. A type that points to itself (type P *P) has no value at
// its end, and looking for one would not end either.
func (m planner) pointer(p *plan) {
	e := p.typ
	for range 4 {
		if e = e.Elem(); e.Kind() != reflect.Pointer {
			p.elem = m.plan(p.typ.Elem())
			p.enc, p.dec, p.want = encodePointer, decodePointer, p.elem.want
			return
		}
	}
	p.unsupported("%s: more than 4 pointers in a row", p.typ)
}
