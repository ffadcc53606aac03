package proto

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"
)

// decodeInterface stores whatever comes. An interface with methods takes only what
// has them: the handles that somebody registered.
func decodeInterface(d *decoder, p *plan, v reflect.Value) error {
	t, err := readToken(d.b[d.i:])
	if err != nil {
		return err
	}
	rest := d.b[d.i+t.head():]
	x, err := d.any()
	if err != nil {
		return err
	}
	if x == nil {
		v.SetZero()
		return nil
	}
	rv := reflect.ValueOf(x)
	if !rv.Type().AssignableTo(p.typ) {
		return &MismatchError{Text: "expected " + p.want + ", found " + describe(t, rest)}
	}
	v.Set(rv)
	return nil
}

// any decodes a value for which no Go type is given.
func (d *decoder) any() (any, error) {
	t, err := d.next()
	if err != nil {
		return nil, err
	}
	switch t.class {
	case classNil:
		return nil, nil
	case classBool:
		return t.bits != 0, nil
	case classUint:
		if t.bits > math.MaxInt64 {
			return t.bits, nil
		}
		return int64(t.bits), nil
	case classInt:
		return int64(t.bits), nil
	case classFloat32:
		return float64(math.Float32frombits(uint32(t.bits))), nil
	case classFloat64:
		return math.Float64frombits(t.bits), nil
	case classStr:
		return string(d.body(t)), nil
	case classBin:
		return append(make([]byte, 0, t.n()), d.body(t)...), nil
	case classArray:
		return d.anyList(t.n())
	case classMap:
		return d.anyMap(t.n())
	}
	return d.anyExt(t)
}

func (d *decoder) anyList(n int) (any, error) {
	v := make([]any, n)
	for i := range v {
		x, err := d.any()
		if err != nil {
			return nil, at(err, "["+strconv.Itoa(i)+"]")
		}
		v[i] = x
	}
	return v, nil
}

// anyMap decodes a map, as one with string keys until another key comes.
func (d *decoder) anyMap(n int) (any, error) {
	m := make(map[string]any, min(n, firstEntries))
	for i := range n {
		t, err := readToken(d.b[d.i:])
		if err != nil {
			return nil, err
		}
		if t.class != classStr {
			return d.mixedMap(m, n-i)
		}
		d.i += t.head()
		key := string(d.body(t))
		if m[key], err = d.any(); err != nil {
			return nil, at(err, "["+strconv.Quote(clipWord(key))+"]")
		}
		if len(m) != i+1 {
			return nil, &MismatchError{Text: fmt.Sprintf("the key %q is given twice", clipWord(key))}
		}
	}
	return m, nil
}

// mixedMap decodes the remaining n entries of a map that has begun as start.
func (d *decoder) mixedMap(start map[string]any, n int) (any, error) {
	m := make(map[any]any, min(len(start)+n, firstEntries))
	for k, v := range start {
		m[k] = v
	}
	for range n {
		key, err := d.any()
		if err != nil {
			return nil, at(err, "[key]")
		}
		if key != nil && !findable(key) {
			return nil, &MismatchError{Text: fmt.Sprintf("a %T cannot be a key", key)}
		}
		if key != key {
			return nil, &MismatchError{Text: "a key that is not a number (NaN)"}
		}
		if _, twice := m[key]; twice {
			return nil, &MismatchError{Text: fmt.Sprintf("the key %s is given twice", clipWord(fmt.Sprintf("%#v", key)))}
		}
		if m[key], err = d.any(); err != nil {
			return nil, at(err, "["+clipWord(fmt.Sprintf("%#v", key))+"]")
		}
	}
	return m, nil
}

func (d *decoder) anyExt(t token) (any, error) {
	switch t.ext {
	case ExtTuple, ExtSet, ExtFrozenSet:
		if v, err, ok := d.anyHolder(t); ok {
			return v, err
		}
	}
	content := d.body(t)
	if o, ok := d.from.(RefOpener); ok && t.ext == ExtObject {
		if r, ok := parseRef(content); ok {
			v := o.OpenRef(r)
			d.open(v)
			return v, nil
		}
	}
	if v, ok := parseExt(t.ext, content); ok {
		return v, nil
	}
	switch t.ext {
	case ExtTime:
		if tm, ok := parseTime(content); ok {
			return tm, nil
		}
	case ExtHandle:
		return d.anyHandle(content)
	}
	return Ext{Code: t.ext, Data: append(make([]byte, 0, t.n()), content...)}, nil
}

func (d *decoder) anyHandle(content []byte) (any, error) {
	ref, err := parseHandle(content)
	if err != nil {
		return nil, err
	}
	open := openers[ref.Kind].Load()
	if open == nil { // before its descriptors are taken: they are left over
		return nil, &MismatchError{Text: fmt.Sprintf("a handle of kind %d, which nothing here can open", ref.Kind)}
	}
	h, fds, err := d.handle(content)
	if err != nil {
		return nil, err
	}
	v, err := (*open)(h, fds)
	if err != nil {
		return nil, err
	}
	d.open(v)
	return v, nil
}

// parseTime reads the content of a MessagePack timestamp, in UTC.
func parseTime(b []byte) (time.Time, bool) {
	var sec int64
	var ns uint64
	switch len(b) {
	case 4:
		sec = int64(binary.BigEndian.Uint32(b))
	case 8:
		v := binary.BigEndian.Uint64(b)
		sec, ns = int64(v&(1<<34-1)), v>>34
	case 12:
		ns, sec = uint64(binary.BigEndian.Uint32(b)), int64(binary.BigEndian.Uint64(b[4:]))
	default:
		return time.Time{}, false
	}
	if ns >= uint64(time.Second) {
		return time.Time{}, false
	}
	return time.Unix(sec, int64(ns)).UTC(), true
}
