package ipc

import "github.com/seed-185a7250/multiproc/proto"

// A space is what still goes into an answer that is an array of values.
type space struct{ bytes, elements int }

// spaceLeft returns how much c may answer: not more than a value may have that every peer reads.
func (c *call) spaceLeft() space {
	if c.s == nil { // nobody reads it
		return space{bytes: c.room(), elements: c.room()}
	}
	const head = 5 // of the array
	return space{bytes: min(c.room(), c.m.limits.Frame-64<<10) - head, elements: c.elements()}
}

// takeEntry is take for an entry of a table, which has so many bytes with what stands around it.
func (s *space) takeEntry(e *entry, bytes int) bool {
	n := bytes
	if n > s.elements {
		n = bytes - len(e.key.raw) - len(e.value.raw) + proto.CountElements(e.key.raw) + proto.CountElements(e.value.raw)
	}
	if bytes > s.bytes || n > s.elements {
		return false
	}
	s.bytes -= bytes
	s.elements -= n
	return true
}

// tooLarge answers that not even e alone can be told.
func (c *call) tooLarge(e *entry) {
	c.failf(proto.KindTooLarge, "an entry of %d bytes is more than one answer may have", e.pairBytes())
}

// take makes v part of the answer, or tells that it does not fit any more.
func (s *space) take(v value) bool {
	n := 1 + len(v.raw)
	if n > s.elements { // it may have as many, and seldom has
		n = 1 + proto.CountElements(v.raw)
	}
	if len(v.raw) > s.bytes || n > s.elements {
		return false
	}
	s.bytes -= len(v.raw)
	s.elements -= n
	return true
}
