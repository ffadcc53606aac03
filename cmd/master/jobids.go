package main

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// A span is the ids of one entry: base-from … base-to, or the base alone as the number -1.
type span struct {
	base     string
	from, to int
	entry    *Entry
}

// checkIDs refuses two tickets with one id, also when only a repeat makes them. Ids are compared as spans of numbers, so that a
// repeat of a million is not written out.
func checkIDs(src *source, entries []Entry) {
	spans := make([]span, len(entries))
	for i := range entries {
		spans[i] = spanOf(&entries[i])
	}
	slices.SortStableFunc(spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.base, b.base), cmp.Compare(a.from, b.from))
	})
	var last span // of those with the same base, the one that reaches farthest
	for i, s := range spans {
		if i > 0 && s.base == last.base && s.from <= last.to {
			sameID(src, s.from, s.entry, last.entry)
		}
		if i == 0 || s.base != last.base || s.to > last.to {
			last = s
		}
	}
}

func spanOf(e *Entry) span {
	if !e.single {
		return span{e.base, e.first, e.first + e.repeat - 1, e}
	}
	base, n := splitID(e.base)
	return span{base, n, n, e}
}

// splitID takes nap-3 apart. Ids that no repeat makes, such as nap or nap-03, are returned whole with -1.
func splitID(id string) (base string, n int) {
	i := strings.LastIndexByte(id, '-')
	if i < 0 {
		return id, -1
	}
	n, err := strconv.Atoi(id[i+1:])
	if err != nil || n < 1 || strconv.Itoa(n) != id[i+1:] {
		return id, -1
	}
	return id[:i], n
}

// sameID notes at the later of two entries that both have a ticket with the same id.
func sameID(src *source, number int, a, b *Entry) {
	if a.off < b.off {
		a, b = b, a
	}
	id := a.base
	if !a.single {
		id += "-" + strconv.Itoa(number)
	}
	if a.unnamed {
		src.problem(a.idOff, "ticket without id would be %s again; the first is at %s; expected an id", quote(id), place(b.idOff))
		return
	}
	src.problem(a.idOff, "id %s again; the first is at %s", quote(id), place(b.idOff))
}
