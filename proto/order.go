package proto

import (
	"bytes"
	"cmp"
	"fmt"
)

// Compare tells the order of two scanned values, as sort and < of Python have it: -1 if a
// comes first, 1 if b does, 0 if they are equal. Numbers, bool included, compare exactly
// whatever their types; a str by code points, a bin by bytes; an array with an array and a tuple
// with a tuple by their first elements that are not [Equal], else the shorter comes first;
// times by when they are. It returns ErrOrder for all else, complex numbers included, and for
// mixed kinds; elements before the first difference need no order.
//
// NaN comes after all other numbers and is here equal to itself, so that a sort has one
// outcome and ends; with == it is equal to nothing.
func Compare(a, b Raw) (int, error) {
	if len(a) == 1 && len(b) == 1 && a[0]|b[0] < codeFixMap {
		return cmp.Compare(a[0], b[0]), nil
	}
	p := sides{a: cursor{b: a}, b: cursor{b: b}, nan: true}
	s, x, ok := p.a.next()
	t, y, ok2 := p.b.next()
	if !ok || !ok2 {
		return 0, errEnd
	}
	if !s.orders(t) {
		return 0, noOrder(s, t)
	}
	return p.compareTokens(s, x, t, y, maxDepth)
}

func noOrder(s, t token) error {
	return fmt.Errorf("%w: cannot order %s and %s", ErrOrder, s.name(), t.name())
}

// orders reports whether values that begin with s and t are of kinds that have an order.
func (s token) orders(t token) bool {
	kind := s.orderKind()
	return kind != 0 && kind == t.orderKind()
}

// orderKind is the same for kinds that compare with each other, and 0 for those that have no
// order at all.
func (t token) orderKind() int {
	switch t.class {
	case classBool, classUint, classInt, classFloat32, classFloat64:
		return 1
	case classStr, classBin, classArray:
		return int(t.class)
	case classExt:
		switch t.ext {
		case ExtBigInt:
			return 1
		case ExtTuple, ExtTime:
			return 1000 + int(t.ext)
		}
	}
	return 0
}

// compare returns 0 for values that are equal, whether or not their kind has an order: only
// the first ones that differ need one.
func (p *sides) compare(depth int) (int, error) {
	if same, ok := p.shorts(); ok && same {
		return 0, nil
	}
	s, x, ok := p.a.next()
	t, y, ok2 := p.b.next()
	if !ok || !ok2 {
		return 0, errEnd
	}
	return p.compareTokens(s, x, t, y, depth)
}

// compareTokens goes on behind two tokens with their content.
func (p *sides) compareTokens(s token, x []byte, t token, y []byte, depth int) (int, error) {
	if depth > 0 && s.orders(t) {
		switch s.class {
		case classStr, classBin:
			return bytes.Compare(x, y), nil
		case classArray:
			return p.compareRow(s.n(), t.n(), depth-1)
		case classExt:
			if c, err, ok := p.compareExt(s, t, x, y, depth); ok {
				return c, err
			}
		}
		n, ok := readNumber(s, x)
		m, ok2 := readNumber(t, y)
		if ok && ok2 {
			return compareNumbers(n, m), nil
		}
	}
	if depth > 0 && p.equalTokens(s, x, t, y, depth) {
		return 0, nil
	}
	return 0, noOrder(s, t)
}

// compareRow compares n elements with m.
func (p *sides) compareRow(n, m, depth int) (int, error) {
	for range min(n, m) {
		if c, err := p.compare(depth); c != 0 || err != nil {
			return c, err
		}
	}
	return cmp.Compare(n, m), nil
}

// compareExt compares tuples and times; ok is false for other extensions and for malformed ones.
func (p *sides) compareExt(s, t token, x, y []byte, depth int) (c int, err error, ok bool) {
	switch {
	case s.ext == ExtTuple && t.ext == ExtTuple:
		in, n, ok := elements(x)
		other, m, ok2 := elements(y)
		if ok && ok2 {
			q := sides{a: in, b: other, nan: true}
			c, err = q.compareRow(n, m, depth-1)
			return c, err, true
		}
	case s.ext == ExtTime && t.ext == ExtTime:
		one, ok := parseTime(x)
		other, ok2 := parseTime(y)
		if ok && ok2 {
			return one.Compare(other), nil, true
		}
	}
	return 0, nil, false
}
