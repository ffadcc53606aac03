package proto

import "math"

// A Slice says which elements of a sequence are meant, as start:stop:step of Python does. It
// travels as extension ExtSlice. nil is a part that is not given. Parts beyond 64 bits arrive
// as the greatest or least int64: no sequence is as long as that.
type Slice struct{ Start, Stop, Step *int64 }

// ParseSlice reads a scanned value that is a slice; ok is false if it is none, or its content
// is malformed.
func ParseSlice(v Raw) (s Slice, ok bool) {
	t, content, ok := one(v)
	if !ok || t.class != classExt || t.ext != ExtSlice {
		return s, false
	}
	return parseSlice(content)
}

func parseSlice(content []byte) (s Slice, ok bool) {
	c, n, ok := elements(content)
	if !ok || n != 3 {
		return s, false
	}
	for _, part := range []**int64{&s.Start, &s.Stop, &s.Step} {
		t, content, _ := c.next()
		if t.class == classNil {
			continue
		}
		v, ok := readNumber(t, content)
		if !ok || !t.isInteger() {
			return s, false
		}
		n := v.clamp()
		*part = &n
	}
	return s, true
}

// isInteger is for tokens of numbers.
func (t token) isInteger() bool {
	return t.class == classUint || t.class == classInt || t.class == classExt && t.ext == ExtBigInt
}

// clamp returns an integer, or the int64 that is nearest to it.
func (n number) clamp() int64 {
	switch {
	case n.kind == numInt:
		return int64(n.bits)
	case n.negative():
		return math.MinInt64
	case n.kind == numUint && n.bits <= math.MaxInt64:
		return int64(n.bits)
	}
	return math.MaxInt64
}

// append appends s as an extension.
func (s Slice) append(b []byte) []byte {
	start := len(b)
	b = AppendArrayHeader(b, 3)
	for _, part := range []*int64{s.Start, s.Stop, s.Step} {
		if part == nil {
			b = AppendNil(b)
		} else {
			b = AppendInt(b, *part)
		}
	}
	return wrap(b, ExtSlice, start)
}
