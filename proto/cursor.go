package proto

import (
	"fmt"
	"math"
)

// A cursor reads MessagePack values one after another from a slice. Its methods
// return ErrProtocol for anything but what was asked, and they move only on
// success. Nothing is allocated, and what they return as bytes aliases the slice.
type cursor struct {
	b []byte
	i int
}

// peek returns the next token and stays before it.
func (c *cursor) peek() (token, error) { return readToken(c.b[c.i:]) }

// take returns the next token, which must be of class want, and moves behind its
// head and content.
func (c *cursor) take(want class, what string) (token, []byte, error) {
	t, err := c.peek()
	if err != nil {
		return t, nil, fmt.Errorf("%w (%s)", err, what)
	}
	if t.class != want {
		return t, nil, protocolf("%s must be a %s, found %s", what, want, t.class)
	}
	start := c.i + t.head()
	switch t.class {
	case classArray, classMap:
		c.i = start
		return t, nil, nil
	}
	c.i = start + t.n()
	return t, c.b[start:c.i], nil
}

// null reports whether the next value is nil, and passes it if so.
func (c *cursor) null() bool {
	if c.i < len(c.b) && c.b[c.i] == codeNil {
		c.i++
		return true
	}
	return false
}

func (c *cursor) uint(what string) (uint64, error) {
	t, _, err := c.take(classUint, what)
	return t.bits, err
}

// count reads a number from 0 to MaxInt32, the range of places, attempts and such.
func (c *cursor) count(what string) (int, error) {
	v, err := c.uint(what)
	if err == nil && v > math.MaxInt32 {
		return 0, protocolf("%s is %d, the most is %d", what, v, math.MaxInt32)
	}
	return int(v), err
}

func (c *cursor) str(what string) ([]byte, error) {
	_, s, err := c.take(classStr, what)
	return s, err
}

// list reads the head of an array and checks that its elements can be there at
// all, each needing a byte, so that a caller may allocate for n.
func (c *cursor) list(what string) (int, error) {
	t, _, err := c.take(classArray, what)
	if err != nil {
		return 0, err
	}
	if left := len(c.b) - c.i; t.n() > left {
		return 0, protocolf("%s has %d elements with %d bytes left", what, t.n(), left)
	}
	return t.n(), nil
}

// tuple reads the head of an array of exactly n elements.
func (c *cursor) tuple(n int, what string) error {
	got, err := c.list(what)
	if err == nil && got != n {
		return protocolf("%s must be an array of %d, found %d", what, n, got)
	}
	return err
}

func (c *cursor) dict(what string) (int, error) {
	t, _, err := c.take(classMap, what)
	return t.n(), err
}

// raw passes one whole value and returns its bytes.
func (c *cursor) raw(what string) (Raw, error) {
	start := c.i
	if err := c.skip(); err != nil {
		return nil, fmt.Errorf("%w (%s)", err, what)
	}
	return Raw(c.b[start:c.i:c.i]), nil
}

// skip passes one whole value. It counts what is still to come instead of
// recursing, so depth costs nothing.
func (c *cursor) skip() error {
	i := c.i
	for left := 1; left > 0; left-- {
		if n := short(c.b, i); n > 0 {
			i += n
			continue
		}
		t, err := readToken(c.b[i:])
		if err != nil {
			return err
		}
		i += t.head()
		switch t.class {
		case classArray:
			left += t.n()
		case classMap:
			left += 2 * t.n()
		default:
			i += t.n()
		}
	}
	c.i = i
	return nil
}

// end checks that nothing is left.
func (c *cursor) end(what string) error {
	if left := len(c.b) - c.i; left > 0 {
		return protocolf("%d bytes after the end of %s", left, what)
	}
	return nil
}
