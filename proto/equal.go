package proto

import (
	"bytes"
	"math"
)

// Equal reports whether two scanned values are equal, as == of Python has it: numbers by
// value whatever their type and width, but NaN is not equal to NaN; an array never to a tuple,
// a str never to a bin; a set to a frozen set with the same elements; maps and sets whatever
// their order. Keys of maps and elements of sets are compared as keys are ([AppendKey]): there
// NaN is NaN. References are equal if manager and object are; times if they are the same
// instant; opaque blobs, handles, and extensions that are not known or malformed if code and
// bytes are. The time it takes grows like the size of the values; where maps have other orders,
// like that times their depth.
func Equal(a, b Raw) bool {
	if short(a, 0) == len(a) && short(b, 0) == len(b) {
		return len(a) > 0 && string(a) == string(b) // as most values are
	}
	if bytes.Equal(a, b) {
		return len(a) > 0 && !hasNaN(a) || equalSlow(a, b)
	}
	return equalSlow(a, b)
}

func equalSlow(a, b Raw) bool {
	p := sides{a: cursor{b: a}, b: cursor{b: b}}
	return p.equal(maxDepth) && p.a.i == len(a) && p.b.i == len(b)
}

// hasNaN reports whether a NaN is anywhere in v.
func hasNaN(v Raw) bool {
	if len(v) < 5 {
		return false
	}
	w := walker{cursor{b: v}}
	for w.i < len(v) {
		if n := short(v, w.i); n > 0 {
			w.i += n
			continue
		}
		t, content, ok := w.next()
		if !ok {
			return true
		}
		switch {
		case t.class == classFloat64 || t.class == classFloat32:
			if math.IsNaN(t.float()) {
				return true
			}
		case t.class == classExt && t.ext == ExtComplex && len(content) == 16:
			if re, im := parseComplex(content); re != re || im != im {
				return true
			}
		}
	}
	return false
}

// sides walks over two values at a time. Where they are equal both cursors move behind them; where
// not, the cursors are of no more use.
type sides struct {
	a, b cursor
	nan  bool // NaN is equal to NaN
	sets orders
}

func (p *sides) equal(depth int) bool {
	if same, ok := p.shorts(); ok {
		return same
	}
	if depth == 0 {
		return p.equalBytes()
	}
	s, x, ok1 := p.a.next()
	t, y, ok2 := p.b.next()
	if !ok1 || !ok2 {
		return false
	}
	return p.equalTokens(s, x, t, y, depth)
}

// shorts compares the next values if both have the shortest of all forms: small integers, short
// strs and nil, which are most values there are. Each has one such form, and so they are equal if
// their bytes are. ok is false if one is another value.
func (p *sides) shorts() (same, ok bool) {
	n, m := short(p.a.b, p.a.i), short(p.b.b, p.b.i)
	if n == 0 || m == 0 {
		return false, false
	}
	if n != m || string(p.a.b[p.a.i:p.a.i+n]) != string(p.b.b[p.b.i:p.b.i+m]) {
		return false, true
	}
	p.a.i += n
	p.b.i += m
	return true, true
}

// equalTokens goes on behind two tokens with their content.
func (p *sides) equalTokens(s token, x []byte, t token, y []byte, depth int) bool {
	n, ok := readNumber(s, x)
	m, ok2 := readNumber(t, y)
	if ok || ok2 {
		return ok && ok2 && n.same(m, p.nan)
	}
	if s.class != t.class {
		return false
	}
	switch s.class {
	case classStr, classBin:
		return bytes.Equal(x, y)
	case classArray:
		return s.n() == t.n() && p.equalRow(s.n(), depth-1)
	case classMap:
		return s.n() == t.n() && p.equalMaps(s.n(), depth-1)
	case classExt:
		return p.equalExts(s.ext, t.ext, x, y, depth)
	}
	return true // nil
}

// equalBytes is for what is nested deeper than anything that was checked.
func (p *sides) equalBytes() bool {
	x, err := p.a.raw("value")
	y, err2 := p.b.raw("value")
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

func (p *sides) equalRow(n, depth int) bool {
	for range n {
		if !p.equal(depth) {
			return false
		}
	}
	return true
}

// equalMaps compares n entries. Most maps that are equal have the same order.
func (p *sides) equalMaps(n, depth int) bool {
	for i := range n {
		before := *p
		if !p.equalKeys(depth) {
			*p = before
			return p.equalEntries(n-i, depth)
		}
		if !p.equal(depth) {
			return false
		}
	}
	return true
}

// equalEntries compares the last n entries of two maps in any order.
func (p *sides) equalEntries(n, depth int) bool {
	h, g := hasher{cursor: p.a, sets: p.sets}, hasher{cursor: p.b, sets: p.sets}
	x, err := h.places(n, depth, true)
	y, err2 := g.places(n, depth, true)
	if err != nil || err2 != nil {
		return false
	}
	for i := range x {
		p.a.i, p.b.i = x[i].at, y[i].at
		if x[i].hash != y[i].hash || !p.equalKeys(depth) || !p.equal(depth) {
			return false
		}
	}
	p.a, p.b = h.cursor, g.cursor
	return true
}

// equalKeys is equal for keys of maps and elements of sets.
func (p *sides) equalKeys(depth int) bool {
	nan := p.nan
	p.nan = true
	same := p.equal(depth)
	p.nan = nan
	return same
}

func (p *sides) equalExts(a, b int8, x, y []byte, depth int) bool {
	same := a == b
	switch {
	case a == ExtTime && same:
		if s, ok := parseTime(x); ok {
			t, ok := parseTime(y)
			return ok && s.Equal(t)
		}
	case a == ExtObject && same:
		if len(x) >= refBytes && len(y) >= refBytes {
			return bytes.Equal(x[:refBytes], y[:refBytes])
		}
	case holdsValues(a) && holdsValues(b):
		in, n, ok := elements(x)
		other, m, ok2 := elements(y)
		sets := (a == ExtSet || a == ExtFrozenSet) && (b == ExtSet || b == ExtFrozenSet)
		if ok && ok2 {
			q := sides{a: in, b: other, nan: p.nan, sets: p.sets}
			return n == m && (sets && q.equalSets(n, depth-1) || same && !sets && q.equalRow(n, depth-1))
		}
	}
	return same && bytes.Equal(x, y)
}

// equalSets compares the n elements of two sets in any order.
func (p *sides) equalSets(n, depth int) bool {
	if p.sets == nil {
		p.sets = orders{}
	}
	x, err := p.sets.of(p.a, n, depth)
	y, err2 := p.sets.of(p.b, n, depth)
	if err != nil || err2 != nil {
		return false
	}
	for i := range x {
		p.a.i, p.b.i = x[i].at, y[i].at
		if x[i].hash != y[i].hash || !p.equalKeys(depth) {
			return false
		}
	}
	return true
}

// of returns the places of the n elements of a set whose content is at c, and notes those of the sets
// within.
func (o orders) of(c cursor, n, depth int) ([]place, error) {
	if places, ok := o[&c.b[0]]; ok {
		return places, nil
	}
	h := hasher{cursor: c, sets: o}
	return h.places(n, depth, false)
}
