package proto

import (
	"runtime"
	"testing"
)

// frozen returns a frozen set of n integers under so many levels of others.
func frozen(levels, n int, downward bool) []byte {
	b := AppendArrayHeader(nil, n)
	for i := range n {
		if downward {
			i = n - 1 - i
		}
		b = AppendUint(b, uint64(i))
	}
	b = append(AppendExtHeader(nil, ExtFrozenSet, len(b)), b...)
	for range levels {
		one := append(AppendArrayHeader(nil, 1), b...)
		b = append(AppendExtHeader(nil, ExtFrozenSet, len(one)), one...)
	}
	return b
}

// A set is hashed once, however many sets it is in: the places that this takes tell.
func TestEqualDeepSets(t *testing.T) {
	const n, levels = 10_000, 100
	a, b := frozen(levels, n, false), frozen(levels, n, true)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if !Equal(a, b) {
		t.Error("sets with the same elements in another order are not equal")
	}
	runtime.ReadMemStats(&after)
	const once = 2 * n * 16
	if got := after.TotalAlloc - before.TotalAlloc; got > 4*once {
		t.Errorf("took %d bytes, the places of all elements have %d", got, once)
	}
	if Equal(a, frozen(levels, n+1, true)) || Equal(a, frozen(levels-1, n, true)) {
		t.Error("sets with other elements are equal")
	}
}
