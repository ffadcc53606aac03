package proto

import "math"

// This file takes values apart into parts that stay encoded. All of r was scanned before;
// what is returned aliases it.

// Elements appends the elements of the array r to into.
func Elements(r Raw, into []Raw) ([]Raw, error) {
	c := cursor{b: r}
	n, err := c.list("the value")
	if err != nil {
		return into, err
	}
	return c.raws(n, into)
}

// Entries appends the keys and the values of the map r to into, in turn.
func Entries(r Raw, into []Raw) ([]Raw, error) {
	c := cursor{b: r}
	n, err := c.dict("the value")
	if err != nil {
		return into, err
	}
	return c.raws(2*n, into)
}

func (c *cursor) raws(n int, into []Raw) ([]Raw, error) {
	for range n {
		r, err := c.raw("an element")
		if err != nil {
			return into, err
		}
		into = append(into, r)
	}
	return into, c.end("the value")
}

// ParseOptions calls f with each name and value of the map r that is not nil; for a name that it
// does not know f does nothing.
func ParseOptions(r Raw, f func(name string, v Raw) error) error {
	c := cursor{b: r}
	err := c.options("the options", func(key []byte) (bool, error) {
		v, err := c.raw("an option")
		if err == nil {
			err = f(string(key), v)
		}
		return true, err
	})
	if err == nil {
		err = c.end("the options")
	}
	return err
}

// IsNil, IsArray, IsMap and IsExt tell what r is.
func IsNil(r Raw) bool { return len(r) == 1 && r[0] == codeNil }

// IsArray: see IsNil.
func IsArray(r Raw) bool { return classOf(r) == classArray }

// IsMap: see IsNil.
func IsMap(r Raw) bool { return classOf(r) == classMap }

// IsString: see IsNil.
func IsString(r Raw) bool { return classOf(r) == classStr }

// IsExt reports whether r is an extension of this code, and returns its content.
func IsExt(r Raw, code int8) (content []byte, ok bool) {
	t, err := readToken(r)
	if err != nil || t.class != classExt || t.ext != code {
		return nil, false
	}
	return r[t.head() : t.head()+t.n()], true
}

// CountElements returns how many elements the scanned value r has over all levels together, as
// [Limits] count them; those in the extensions that hold values count too.
func CountElements(r Raw) int {
	s := scanner{b: r, room: math.MaxInt, contents: opened}
	if s.value(math.MaxInt32) != nil {
		return len(r)
	}
	return math.MaxInt - s.room
}

func classOf(r Raw) class {
	t, err := readToken(r)
	if err != nil {
		return classNil
	}
	return t.class
}

// ParseUint reads r as one integer ≥ 0, ParseString as one str, ParseBool as one bool.
func ParseUint(r Raw) (uint64, error) {
	c := cursor{b: r}
	v, err := c.uint("the value")
	if err == nil {
		err = c.end("the value")
	}
	return v, err
}

// ParseString: see ParseUint.
func ParseString(r Raw) (string, error) {
	c := cursor{b: r}
	v, err := c.text("the value")
	if err == nil {
		err = c.end("the value")
	}
	return v, err
}

// ParseBool: see ParseUint.
func ParseBool(r Raw) (bool, error) {
	c := cursor{b: r}
	v, err := c.flag("the value")
	if err == nil {
		err = c.end("the value")
	}
	return v, err
}

// ParseInteger reads r as an integer of any form, or as a bool, which is 0 or 1. One beyond 64
// bits is the nearest int64; ok is false for what is no integer.
func ParseInteger(r Raw) (v int64, ok bool) {
	if len(r) == 1 && r[0] < codeFixMap {
		return int64(r[0]), true
	}
	t, content, ok := one(r)
	if !ok || t.class != classBool && !t.isInteger() {
		return 0, false
	}
	n, ok := readNumber(t, content)
	if !ok {
		return 0, false
	}
	return n.clamp(), true
}

// ParseBits reads r as ParseInteger does, but exactly: as 64 bits of two's complement, and whether
// it is negative. fits is false for one that has more bits.
func ParseBits(r Raw) (bits uint64, negative, fits, ok bool) {
	t, content, ok := one(r)
	if !ok || t.class != classBool && !t.isInteger() {
		return 0, false, false, false
	}
	n, ok := readNumber(t, content)
	if !ok || n.kind == numBig {
		return 0, false, false, ok
	}
	return n.bits, n.kind == numInt, true, true
}

// ParseFloat reads r as a float, or as an integer or a bool that is within the range of floats.
func ParseFloat(r Raw) (f float64, ok bool) {
	t, content, ok := one(r)
	if !ok || t.class == classExt && t.ext == ExtComplex {
		return 0, false
	}
	n, ok := readNumber(t, content)
	if !ok {
		return 0, false
	}
	f, _, ok = operand{t, content, n}.parts()
	return f, ok
}

// ParseCount reads r as an integer from 0 to 2^31-1.
func ParseCount(r Raw) (int, error) {
	v, err := ParseUint(r)
	if err == nil && v > math.MaxInt32 {
		return 0, protocolf("%d, the most is %d", v, math.MaxInt32)
	}
	return int(v), err
}
