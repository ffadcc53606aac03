package proto

import (
	"math"
	"time"
)

// The parameters of every message are an array that ends with a map of options.
// This file has what they share; hello.go and ticket.go have one struct for each.

// options reads a map from names to values and calls f for each with the cursor
// before the value. f reads it and says true, or says false, and the value is
// skipped: a peer of a later version may know more names. A value nil is the same
// as no entry.
func (c *cursor) options(what string, f func(key []byte) (known bool, err error)) error {
	n, err := c.dict(what)
	if err != nil {
		return err
	}
	for range n {
		key, err := c.str("the name of an option")
		if err != nil {
			return err
		}
		if c.null() {
			continue
		}
		known, err := f(key)
		if err != nil {
			return err
		}
		if known {
			continue
		}
		if err := c.skip(); err != nil {
			return err
		}
	}
	return nil
}

// optionWriter appends options and leaves out those that have their default.
type optionWriter struct {
	b     []byte
	n     int // options so far
	start int // place of the head
}

func beginOptions(b []byte) optionWriter {
	return optionWriter{b: append(b, codeFixMap), start: len(b)}
}

func (w *optionWriter) key(name string) {
	w.n++
	w.b = AppendString(w.b, name)
}

func (w *optionWriter) uint(name string, v uint64) {
	if v != 0 {
		w.key(name)
		w.b = AppendUint(w.b, v)
	}
}

// count leaves out what is not positive.
func (w *optionWriter) count(name string, v int) { w.uint(name, uint64(max(v, 0))) }

func (w *optionWriter) str(name, v string) {
	if v != "" {
		w.key(name)
		w.b = AppendString(w.b, v)
	}
}

func (w *optionWriter) flag(name string, v bool) {
	if v {
		w.key(name)
		w.b = AppendBool(w.b, true)
	}
}

func (w *optionWriter) strs(name string, v []string) {
	if len(v) != 0 {
		w.key(name)
		w.b = appendStrings(w.b, v)
	}
}

func (w *optionWriter) ms(name string, d time.Duration) { w.uint(name, milliseconds(d)) }

func (w *optionWriter) end() []byte {
	w.b[w.start] = codeFixMap | byte(w.n)
	return w.b
}

const maxMilliseconds = math.MaxInt64 / uint64(time.Millisecond)

// milliseconds converts a remaining time for the wire, where 0 means that there is
// no limit. So a part of a millisecond is rounded up, and a time that is over
// becomes the shortest there is: never no limit.
func milliseconds(d time.Duration) uint64 {
	switch {
	case d == 0:
		return 0
	case d < 0:
		return 1
	}
	return min((uint64(d)+uint64(time.Millisecond)-1)/uint64(time.Millisecond), maxMilliseconds)
}

func (c *cursor) ms(what string) (time.Duration, error) {
	v, err := c.uint(what)
	if err == nil && v > maxMilliseconds {
		return 0, protocolf("%s is %d, the most is %d", what, v, maxMilliseconds)
	}
	return time.Duration(v) * time.Millisecond, err
}

func appendStrings(b []byte, v []string) []byte {
	b = AppendArrayHeader(b, len(v))
	for _, s := range v {
		b = AppendString(b, s)
	}
	return b
}

// strs reads an array of strings; none is nil.
func (c *cursor) strs(what string) ([]string, error) {
	n, err := c.list(what)
	if err != nil || n == 0 {
		return nil, err
	}
	v := make([]string, n)
	for i := range v {
		s, err := c.str(what)
		if err != nil {
			return nil, err
		}
		v[i] = string(s)
	}
	return v, nil
}

// text reads a str as a string of its own.
func (c *cursor) text(what string) (string, error) {
	s, err := c.str(what)
	return string(s), err
}

func (c *cursor) flag(what string) (bool, error) {
	t, _, err := c.take(classBool, what)
	return t.bits != 0, err
}
