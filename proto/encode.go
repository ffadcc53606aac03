package proto

import (
	"bytes"
	"encoding"
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"slices"
	"sync"
	"time"
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
}

var encoders = sync.Pool{New: func() any { return new(encoder) }}

// marshal is Marshal for what has no short way.
func marshal(v any) (Payload, error) {
	e := encoders.Get().(*encoder)
	e.depth, e.steps, e.room = 0, 0, defaultElements
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
	e.w = Writer{b: keep}
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
	s := scanner{b: e.w.b[start:], room: e.room, limits: Limits{Depth: defaultDepth, Elements: defaultElements}}
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
	if k.Kind() == reflect.String {
		return fmt.Sprintf("[%q]", clipWord(k.String()))
	}
	return fmt.Sprintf("[%s]", clipWord(fmt.Sprint(k)))
}

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
	e.w.b = append(AppendExtHeader(e.w.b, x.Code, len(x.Data)), x.Data...)
	return nil
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
	h, fds, err := pointerTo(v).(HandleEncoder).EncodeHandle()
	if err != nil {
		e.w.fds = append(e.w.fds, fds...)
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
