package supervisor

import "container/heap"

// A timetable has jobs in the order in which they are due; those due at the same time in the order in which they came.
type timetable struct {
	jobs    dueHeap
	numbers uint64
}

func (t *timetable) add(j *job) {
	t.numbers++
	j.number = t.numbers
	heap.Push(&t.jobs, j)
}

// first returns the one that is due first; nil if there is none.
func (t *timetable) first() *job {
	if len(t.jobs) == 0 {
		return nil
	}
	return t.jobs[0]
}

// remove tells whether j was in it.
func (t *timetable) remove(j *job) bool {
	if j.index == 0 {
		return false
	}
	heap.Remove(&t.jobs, j.index-1)
	return true
}

// A dueHeap is what container/heap works on.
type dueHeap []*job

func (h dueHeap) Len() int { return len(h) }

func (h dueHeap) Less(i, k int) bool {
	if h[i].due.Equal(h[k].due) {
		return h[i].number < h[k].number
	}
	return h[i].due.Before(h[k].due)
}

func (h dueHeap) Swap(i, k int) {
	h[i], h[k] = h[k], h[i]
	h[i].index, h[k].index = i+1, k+1
}

func (h *dueHeap) Push(v any) {
	j := v.(*job)
	*h = append(*h, j)
	j.index = len(*h)
}

func (h *dueHeap) Pop() any {
	n := len(*h) - 1
	j := (*h)[n]
	(*h)[n] = nil
	*h = (*h)[:n]
	j.index = 0
	return j
}
