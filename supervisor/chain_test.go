package supervisor

import (
	"slices"
	"testing"
)

func (c *chain[T]) values() (list []T) {
	for l := c.first; l != nil; l = l.next {
		list = append(list, l.value)
	}
	return list
}

// Every order in which three can leave, and that who has left is not there.
func TestChain(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		var c chain[int]
		links := []link[int]{{value: 0}, {value: 1}, {value: 2}}
		left := []int{0, 1, 2}
		for i := range links {
			if c.remove(&links[i]) {
				t.Errorf("%d was in the chain before it came", i)
			}
			c.push(&links[i])
		}
		for _, n := range order {
			first, again := c.remove(&links[n]), c.remove(&links[n])
			left = slices.DeleteFunc(left, func(v int) bool { return v == n })
			if got := c.values(); !first || again || !slices.Equal(got, left) {
				t.Errorf("%v: after %d: %v, want %v (removed %v, then %v)", order, n, got, left, first, again)
			}
		}
		if c != (chain[int]{}) {
			t.Errorf("%v: the empty chain is %+v", order, c)
		}
		c.push(&links[1])
		if got := c.values(); !slices.Equal(got, []int{1}) {
			t.Errorf("%v: after it came back: %v", order, got)
		}
	}
}
