package proto

import (
	"bytes"
	"fmt"
	"reflect"
	"strconv"
)

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
	if t, err = d.sequence(p, t, ExtTuple, ExtSet, ExtFrozenSet); err != nil {
		return err
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
	if t, err = d.sequence(p, t, ExtTuple); err != nil {
		return err
	}
	if t.n() != v.Len() {
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
		if !key.Comparable() || key.Kind() == reflect.Interface && !key.IsNil() && !findable(key.Interface()) {
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
