package proto

import (
	"math"
	"slices"
	"testing"
)

func refsOf(v Raw, instance uint64) (ids []uint64) {
	Refs(v, instance, func(id uint64) { ids = append(ids, id) })
	return ids
}

func TestRefs(t *testing.T) {
	r := func(id uint64) Ref { return Ref{5, id, "/somewhere"} }
	v := enc(t, []any{r(1), map[any]any{r(2): r(3), "k": []any{r(1), Tuple{r(4), Tuple{r(5), Set{r(6), FrozenSet{r(7)}}}, 1}}},
		&Fault{Kind: "k", Text: "t", Value: enc(t, Tuple{r(8)})}, Ref{6, 99, ""}, Opaque{"x", enc(t, r(98))}, []byte(enc(t, r(97))), string(enc(t, r(96))), Ext{50, enc(t, r(95))},
		Ref{5, math.MaxUint64, ""}, rawExt(ExtObject, 0, 0, 0), rawExt(ExtTuple, append([]byte{0x92}, enc(t, r(94))...)...), r(9)})
	got := refsOf(v, 5)
	slices.Sort(got)
	if want := []uint64{1, 1, 2, 3, 4, 5, 6, 7, 8, 9, math.MaxUint64}; !slices.Equal(got, want) {
		t.Errorf("got %d, want %d", got, want)
	}
	if got := refsOf(v, 6); !slices.Equal(got, []uint64{99}) {
		t.Errorf("of another manager: %d", got)
	}
	for _, v := range []Raw{nil, {}, {0xc1}, {0x91}, {0xd8, byte(ExtObject), 1}} {
		if got := refsOf(v, 0); got != nil {
			t.Errorf("%x: %d", v, got)
		}
	}
	if n := testing.AllocsPerRun(10, func() { Refs(v, 7, func(uint64) {}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
