package proto

import (
	"math"
	"testing"
)

func TestEqual(t *testing.T) {
	rows := sameValues(t)
	for i, row := range rows {
		for j, other := range rows {
			for _, a := range row {
				for _, b := range other {
					want := i == j && key(t, a) != key(t, enc(t, math.NaN()))
					if got := Equal(a, b); got != want {
						t.Errorf("Equal(%s, %s) = %t", AppendText(nil, a, 99), AppendText(nil, b, 99), got)
					}
				}
			}
		}
	}
	nan := math.NaN()
	for _, c := range []struct {
		a, b any
		want bool
	}{
		{[]any{1, 2}, []any{1.0, 2}, true}, {[]any{1}, []any{1, 2}, false}, {[]any{1}, Tuple{1}, false}, {[]any{nan}, []any{nan}, false},
		{Tuple{nan}, Tuple{nan}, false}, {Set{1, 2}, Set{2, 1}, true}, {Set{1, 2}, FrozenSet{2, 1}, true}, {Set{1}, Set{1, 2}, false},
		{Set{1}, Tuple{1}, false}, {Set{}, FrozenSet{}, true}, {Slice{}, Slice{}, true}, {Slice{Stop: new(int64)}, Slice{}, false},
		{map[string]any{"a": 1, "b": 2}, map[string]any{"b": 2, "a": 1.0}, true}, {map[string]any{"a": nan}, map[string]any{"a": nan}, false},
		{map[string]any{"a": 1}, map[string]any{"b": 1}, false}, {map[string]any{"a": 1}, map[string]any{}, false},
		{Raw{0x82, 0xa1, 'a', 1, 1, 2}, Raw{0x82, 0xc3, 2, 0xa1, 'a', 1}, true},
		{Raw{0x82, 0xa1, 'a', 1, 1, 2}, Raw{0x82, 0xc3, 1, 0xa1, 'a', 2}, false},
		{Raw{0x82, 0x91, 1, 1, 0x80, 2}, Raw{0x82, 0x80, 2, 0x91, 1, 1}, true}, // keys that are none
		{&Fault{Kind: "k", Text: "t"}, &Fault{Kind: "k", Text: "t"}, true}, {&Fault{Kind: "k"}, &Fault{Kind: "l"}, false},
		{[]any{map[string]any{"x": Set{1, 2}}, 5}, []any{map[string]any{"x": Set{2, 1}}, 5}, true}, {complex(nan, 1), complex(nan, 1), false},
		{"a", "b", false}, {0, 0.5, false},
	} {
		a, b := enc(t, c.a), enc(t, c.b)
		if Equal(a, b) != c.want || Equal(b, a) != c.want {
			t.Errorf("Equal(%#v, %#v) is not %t", c.a, c.b, c.want)
		}
	}
	if Equal(nil, nil) || Equal(nil, Raw{1}) || Equal(Raw{1, 1}, Raw{1, 1, 1}) {
		t.Error("equal to nothing")
	}
}

// Sets within sets cost each level once, not once for each level around it: with all levels
// sorted and copied this took minutes.
func TestSetsInSets(t *testing.T) {
	f, g := Raw(AppendBin(nil, make([]byte, 1<<20))), Raw(AppendBin(nil, make([]byte, 1<<20)))
	for i := range 100 {
		f = rawExt(ExtFrozenSet, append([]byte{0x92, byte(i)}, f...)...)
		g = rawExt(ExtFrozenSet, append(append([]byte{0x92}, g...), byte(i))...)
	}
	if err := ScanDeep(f, Limits{}); err != nil {
		t.Error(err)
	}
	if !Equal(f, g) {
		t.Error("not equal")
	}
	twice := rawExt(ExtFrozenSet, append(append([]byte{0x92}, f...), g...)...)
	if err := ScanDeep(twice, Limits{}); err == nil {
		t.Error("the same set twice")
	}
}
