package ipc

import "iter"

// A history is entries in the order of their versions.
type history struct {
	oldest, newest *entry
	n              int
}

func (h *history) push(e *entry) {
	e.links.older, e.links.newer = h.newest, nil
	if h.newest == nil {
		h.oldest = e
	} else {
		h.newest.links.newer = e
	}
	h.newest = e
	h.n++
}

func (h *history) remove(e *entry) {
	l := &e.links
	if l.older == nil {
		h.oldest = l.newer
	} else {
		l.older.links.newer = l.newer
	}
	if l.newer == nil {
		h.newest = l.older
	} else {
		l.newer.links.older = l.older
	}
	l.older, l.newer = nil, nil
	h.n--
}

// first returns the oldest entry with a version after this one. It takes as long as there are
// such.
func (h *history) first(version uint64) (e *entry) {
	for x := h.newest; x != nil && x.version > version; x = x.links.older {
		e = x
	}
	return e
}

// after yields the entries with versions after this one, the oldest first.
func (h *history) after(version uint64) iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for e := h.first(version); e != nil && yield(e); e = e.links.newer {
		}
	}
}

// since yields the entries of a table that were changed or removed after a version, by version.
func (t *table) since(version uint64) iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		a, b := t.past.first(version), t.removed.first(version)
		for a != nil || b != nil {
			next := &a
			if a == nil || b != nil && b.version < a.version {
				next = &b
			}
			e := *next
			*next = e.links.newer
			if !yield(e) {
				return
			}
		}
	}
}
