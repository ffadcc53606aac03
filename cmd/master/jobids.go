package main

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// A span is the ids of one series: base-from … base-to, or the base alone as the number -1.
type span struct {
	base     string
	from, to int
	series   *series
}

// checkIDs refuses two things with one id, also when only a repeat makes them. Ids are compared as spans of numbers, so that a
// repeat of a million is not written out. what is the key of an id in the job file.
func checkIDs(src *source, what string, all []*series) {
	spans := make([]span, len(all))
	for i, s := range all {
		spans[i] = spanOf(s)
	}
	slices.SortStableFunc(spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.base, b.base), cmp.Compare(a.from, b.from))
	})
	var last span // of those with the same base, the one that reaches farthest
	for i, s := range spans {
		if i > 0 && s.base == last.base && s.from <= last.to {
			sameID(src, what, s.from, s.series, last.series)
		}
		if i == 0 || s.base != last.base || s.to > last.to {
			last = s
		}
	}
}

func spanOf(s *series) span {
	if !s.single {
		return span{s.base, s.first, s.first + s.repeat - 1, s}
	}
	base, n := splitID(s.base)
	return span{base, n, n, s}
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

// sameID notes at the later of two series that both have something with the same id.
func sameID(src *source, what string, number int, a, b *series) {
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
	src.problem(a.idOff, "%s %s again; the first is at %s", what, quote(id), place(b.idOff))
}
