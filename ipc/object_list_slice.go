package ipc

import "github.com/seed-185a7250/multiproc/proto"

// This file has the slices of lists and arrays, by the rules of Python (slice.indices).

func isSlice(r proto.Raw) bool {
	_, ok := proto.IsExt(r, proto.ExtSlice)
	return ok
}

// A span is the elements that a slice means of a sequence: n of them, from start on, step apart.
type span struct{ start, step, n int }

// stop is where a span with step 1 ends.
func (s span) stop() int { return s.start + s.n }

// span reads argument i, a slice of a sequence of n elements; if it is none c is answered.
func (c *call) span(i, n int) (span, bool) {
	s, ok := proto.ParseSlice(c.args[i])
	if !ok {
		c.failf(proto.KindTypeError, "the parts of a slice are integers or nil")
		return span{}, false
	}
	if s.Step != nil && *s.Step == 0 {
		c.failf(proto.KindValueError, "the step of a slice cannot be 0")
		return span{}, false
	}
	return indices(s, n), true
}

// indices applies a slice to a sequence of n elements.
func indices(s proto.Slice, n int) span {
	step := 1
	if s.Step != nil {
		step = max(min(int(*s.Step), n+2), -n-2) // more does not reach a second element either
	}
	if step > 0 {
		start, stop := edge(s.Start, 0, n, 0, n), edge(s.Stop, n, n, 0, n)
		return span{start, step, max((stop-start+step-1)/step, 0)}
	}
	start, stop := edge(s.Start, n-1, n, -1, n-1), edge(s.Stop, -1, n, -1, n-1)
	return span{max(start, 0), step, max((start-stop-step-1)/-step, 0)} // start is -1 only of none
}

// edge is where a slice of n elements starts or stops, from least to most; def if nothing is
// said.
func edge(at *int64, def, n, least, most int) int {
	if at == nil {
		return def
	}
	i := int(*at)
	if i < 0 {
		i += n
	}
	return min(max(i, least), most)
}

func (l *managedList) getSlice(c *call) {
	s, ok := c.span(0, len(l.items))
	if !ok {
		return
	}
	var vs []value
	if s.step == 1 {
		vs = l.items[s.start:s.stop()]
	} else {
		vs = l.pick(s)
	}
	if c.fitting(vs) {
		c.replyValues(vs)
	}
}

// pick returns the elements of a span.
func (l *managedList) pick(s span) []value {
	vs := make([]value, s.n)
	for k := range vs {
		vs[k] = l.items[s.start+k*s.step]
	}
	return vs
}

func (l *managedList) setSlice(c *call) {
	s, ok := c.span(0, len(l.items))
	if !ok {
		return
	}
	rs, ok := c.array(1)
	if !ok {
		return
	}
	if s.step != 1 && len(rs) != s.n {
		c.failf(proto.KindValueError, "a slice of %d elements with a step takes as many, found %d", s.n, len(rs))
		return
	}
	vs, err := c.storeAll(rs)
	if err != nil {
		c.fail(err)
		return
	}
	old := l.pick(s)
	if s.step == 1 {
		l.splice(s.start, s.stop(), vs)
	} else {
		for k, v := range vs {
			l.items[s.start+k*s.step] = v
		}
	}
	l.done(c)
	c.m.discard(old...)
	c.replyNil()
}

func (l *managedList) deleteSlice(c *call) {
	s, ok := c.span(0, len(l.items))
	if !ok {
		return
	}
	old := l.pick(s)
	l.cut(s)
	l.done(c)
	c.m.discard(old...)
	c.replyNil()
}

// cut takes the elements of a span out.
func (l *managedList) cut(s span) {
	if s.n == 0 {
		return
	}
	if s.step < 0 { // the same elements from the other end
		s.start += (s.n - 1) * s.step
		s.step = -s.step
	}
	if s.step == 1 {
		l.splice(s.start, s.stop(), nil)
		return
	}
	kept := make([]value, 0, len(l.items)-s.n)
	next := s.start
	for i, v := range l.items {
		if i == next && s.n > 0 {
			next += s.step
			s.n--
		} else {
			kept = append(kept, v)
		}
	}
	l.place(kept)
}
