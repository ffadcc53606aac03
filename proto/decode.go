package proto

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"
)

// A decoder walks over bytes that were scanned: every length in them is true, and
// how deep it may recurse is bounded by how deep they nest. What it allocates for a
// container is bounded by elements that are really there.
type decoder struct {
	b      []byte
	i      int
	fds    descriptors
	opened []io.Closer // handles, to be closed if the rest is bad
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// unmarshal is Unmarshal for what has no short way; p was scanned.
func unmarshal(p Payload, v any) (leftover []int, err error) {
	d := decoders.Get().(*decoder)
	d.b, d.i, d.fds = p.Bytes, 0, descriptors{fds: p.FDs}
	err = d.into(v)
	if err != nil {
		for _, c := range slices.Backward(d.opened) {
			c.Close() // the first error is the one to tell
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

// mismatch is the error for a value whose token was read just now.
func (d *decoder) mismatch(want string, t token) error {
	return &MismatchError{Text: "expected " + want + ", found " + describe(t, d.b[d.i:])}
}

// describe says in words what a value is; rest begins with its content.
func describe(t token, rest []byte) string {
	switch t.class {
	case classNil:
		return "nothing (nil)"
	case classBool:
		return strconv.FormatBool(t.bits != 0)
	case classUint:
		return strconv.FormatUint(t.bits, 10)
	case classInt:
		return strconv.FormatInt(int64(t.bits), 10)
	case classFloat32:
		return "the floating-point number " + strconv.FormatFloat(float64(math.Float32frombits(uint32(t.bits))), 'g', -1, 32)
	case classFloat64:
		return "the floating-point number " + strconv.FormatFloat(math.Float64frombits(t.bits), 'g', -1, 64)
	case classStr:
		return "the string " + strconv.Quote(clipWord(string(rest[:min(t.n(), 4*maxQuote+4)])))
	case classBin:
		return count(t.n())
	case classArray:
		return fmt.Sprintf("a list of %d", t.n())
	case classMap:
		return fmt.Sprintf("a map of %d", t.n())
	}
	switch t.ext {
	case ExtHandle:
		return "a handle"
	case ExtTime:
		return "a time"
	}
	return fmt.Sprintf("an extension of code %d", t.ext)
}

// maxQuote is how many letters of a value are quoted in an error.
const maxQuote = 40

// clipWord shortens what is quoted in an error.
func clipWord(s string) string {
	if r := []rune(s[:min(len(s), 4*maxQuote+4)]); len(r) > maxQuote {
		return string(r[:maxQuote]) + "…"
	}
	return s
}

// maxReason bounds what a type's own method may say in an error, in bytes.
const maxReason = 500

func count(bytes int) string {
	if bytes == 1 {
		return "1 byte"
	}
	return strconv.Itoa(bytes) + " bytes"
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
	t, err := d.next()
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
	t, err := d.next()
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
	t, err := d.next()
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

func decodePointer(d *decoder, p *plan, v reflect.Value) error {
	if d.null() {
		v.SetZero()
		return nil
	}
	// A handle that is there already is somebody else's: it is not opened again.
	if v.IsNil() || p.elem.handle {
		n := reflect.New(p.typ.Elem())
		if err := p.elem.dec(d, p.elem, n.Elem()); err != nil {
			return err
		}
		v.Set(n)
		return nil
	}
	return p.elem.dec(d, p.elem, v.Elem())
}

// firstChunk is how many bytes a slice has at first, if elements of its type are
// larger on this side than on the wire. It grows as they come.
const firstChunk = 16 << 10

func decodeSlice(d *decoder, p *plan, v reflect.Value) error {
	if d.null() {
		v.SetZero()
		return nil
	}
	t, err := d.next()
	if err != nil {
		return err
	}
	if t.class != classArray {
		return d.mismatch(p.want, t)
	}
	size := max(int(p.elem.typ.Size()), 1)
	n := min(t.n(), max(firstChunk/size, 1))
	if size <= 16 {
		n = t.n()
	}
	s := reflect.MakeSlice(p.typ, n, n)
	for i := range t.n() {
		if i == s.Len() {
			n = min(t.n(), 2*i)
			grown := reflect.MakeSlice(p.typ, n, n)
			reflect.Copy(grown, s)
			s = grown
		}
		if err := p.elem.dec(d, p.elem, s.Index(i)); err != nil {
			return at(err, "["+strconv.Itoa(i)+"]")
		}
	}
	v.Set(s)
	return nil
}

func decodeArray(d *decoder, p *plan, v reflect.Value) error {
	t, err := d.next()
	if err != nil {
		return err
	}
	if t.class != classArray || t.n() != v.Len() {
		return d.mismatch(p.want, t)
	}
	for i := range t.n() {
		if err := p.elem.dec(d, p.elem, v.Index(i)); err != nil {
			return at(err, "["+strconv.Itoa(i)+"]")
		}
	}
	return nil
}

// firstEntries is for how many entries a map has room at first.
const firstEntries = 1 << 10

func decodeMap(d *decoder, p *plan, v reflect.Value) error {
	if d.null() {
		v.SetZero()
		return nil
	}
	t, err := d.next()
	if err != nil {
		return err
	}
	if t.class != classMap {
		return d.mismatch(p.want, t)
	}
	m := reflect.MakeMapWithSize(p.typ, min(t.n(), firstEntries))
	key, elem := reflect.New(p.typ.Key()).Elem(), reflect.New(p.typ.Elem()).Elem()
	for i := range t.n() {
		key.SetZero()
		elem.SetZero()
		if err := p.key.dec(d, p.key, key); err != nil {
			return at(err, "[key]")
		}
		if !key.Comparable() {
			return &MismatchError{Text: fmt.Sprintf("a %T cannot be a key", key.Interface())}
		}
		if !key.Equal(key) {
			return &MismatchError{Text: "a key that is not a number (NaN)"}
		}
		if err := p.elem.dec(d, p.elem, elem); err != nil {
			return at(err, keyStep(key))
		}
		m.SetMapIndex(key, elem)
		if m.Len() != i+1 {
			return &MismatchError{Text: "the key " + keyStep(key) + " is given twice"}
		}
	}
	v.Set(m)
	return nil
}

func decodeStruct(d *decoder, p *plan, v reflect.Value) error {
	t, err := d.next()
	if err != nil {
		return err
	}
	if t.class != classMap {
		return d.mismatch(p.want, t)
	}
	fs := p.fields
	var seen uint64 // of the first 64 fields
	var more []bool // of the others
	for i := range t.n() {
		// Fields mostly come in the order in which they are declared, with names that
		// are encoded as ours.
		place := i
		if i < len(fs.list) && bytes.HasPrefix(d.b[d.i:], fs.list[i].key) {
			d.i += len(fs.list[i].key)
		} else if place, err = d.field(fs); err != nil {
			return err
		}
		f := &fs.list[place]
		twice := false
		if place < 64 {
			twice = seen&(1<<place) != 0
			seen |= 1 << place
		} else {
			if more == nil {
				more = make([]bool, len(fs.list))
			}
			twice = more[place]
			more[place] = true
		}
		if twice {
			return &MismatchError{Text: fmt.Sprintf("field %q is given twice", f.name)}
		}
		if err := f.plan.dec(d, f.plan, f.make(v)); err != nil {
			return at(err, f.name)
		}
	}
	return nil
}

// field reads the name of a field and returns its index.
func (d *decoder) field(fs *fields) (int, error) {
	t, err := d.next()
	if err != nil {
		return 0, err
	}
	if t.class != classStr {
		return 0, d.mismatch("the name of a field", t)
	}
	name := d.body(t)
	place, ok := fs.byName[string(name)]
	if !ok {
		return 0, &MismatchError{Text: fs.unknown(string(name))}
	}
	return place, nil
}

// make returns the field of the struct v and makes embedded structs on the way.
func (f *field) make(v reflect.Value) reflect.Value {
	v = v.Field(f.index[0])
	for _, i := range f.index[1:] {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}

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
	if c, ok := v.(io.Closer); ok {
		d.opened = append(d.opened, c)
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
	if t.class != classStr {
		return d.mismatch(p.want, t)
	}
	v.Set(reflect.ValueOf(errors.New(string(d.body(t)))))
	return nil
}
