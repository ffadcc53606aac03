package ipc

import (
	"slices"

	"github.com/seed-185a7250/multiproc/proto"
)

// A sorted shelf gives back the smallest item first, and of equal ones the first that came.
//
// The items lie in order. So one that has no order beside its neighbours is found when it is
// put, by who brings it, and a get compares nothing and cannot fail: of a heap, as Python's,
// two items may only meet when a third is taken off. They lie in chunks, so that putting one
// moves few of the others.
type sorted struct {
	chunks [][]value // none is empty
	n      int
}

// maxChunk is how many items a chunk has at most.
const maxChunk = 256

func newSorted() shelf { return &sorted{} }

func (s *sorted) put(v value) error {
	order := ordering{v: v}
	i := order.after(len(s.chunks), func(i int) value { return last(s.chunks[i]) })
	if i == len(s.chunks) && i > 0 {
		i-- // behind all: into the last
	}
	at := 0
	if i < len(s.chunks) {
		at = order.after(len(s.chunks[i]), func(j int) value { return s.chunks[i][j] })
	}
	if order.err != nil {
		return order.err
	}
	s.insert(i, at, v)
	return nil
}

func (s *sorted) insert(i, at int, v value) {
	s.n++
	if i == len(s.chunks) {
		s.chunks = append(s.chunks, []value{v})
		return
	}
	c := slices.Insert(s.chunks[i], at, v)
	s.chunks[i] = c
	if len(c) > maxChunk {
		half := slices.Clone(c[len(c)/2:])
		clear(c[len(c)/2:])
		s.chunks[i] = c[:len(c)/2]
		s.chunks = slices.Insert(s.chunks, i+1, half)
	}
}

func (s *sorted) peek() value { return s.chunks[0][0] }

func (s *sorted) get() value {
	v := s.chunks[0][0]
	s.chunks[0][0] = value{}
	s.chunks[0] = s.chunks[0][1:]
	if len(s.chunks[0]) == 0 {
		s.chunks = slices.Delete(s.chunks, 0, 1)
	}
	s.n--
	return v
}

func (s *sorted) len() int { return s.n }

func (s *sorted) some(from, most int, yield func(v value)) {
	for _, c := range s.chunks {
		someOf(c, from, most, yield)
		most -= min(max(len(c)-from, 0), most)
		from = max(from-len(c), 0)
	}
}

func last(vs []value) value { return vs[len(vs)-1] }

// An ordering finds the place of v. It compares v with both of its neighbours to be, whatever
// else it meets.
type ordering struct {
	v   value
	err error // from a comparison that is not possible; the place means nothing then
}

// after returns the first of n places in order whose item comes after v.
func (o *ordering) after(n int, at func(i int) value) int {
	low, high := 0, n
	for low < high && o.err == nil {
		mid := int(uint(low+high) >> 1)
		var c int
		if c, o.err = proto.Compare(o.v.raw, at(mid).raw); c < 0 {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low
}
