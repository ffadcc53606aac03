package proto

import (
	"errors"
	"math"
	"math/big"
	"testing"
	"time"
)

func TestCompare(t *testing.T) {
	nan := math.NaN()
	ascending := []any{math.Inf(-1), -1e300, new(big.Int).Neg(power(200)), -math.Pow(2, 64), new(big.Int).Neg(power(64)).Add(new(big.Int).Neg(power(64)), big.NewInt(1)),
		int64(math.MinInt64), int64(-1<<53 - 1), -math.Pow(2, 53), -1.5, -1, -0.5, 0, 0.5, true, 1.5, 2, math.Pow(2, 53), int64(1<<53 + 1), int64(1<<53 + 2),
		int64(math.MaxInt64), math.Pow(2, 63), uint64(1<<63 + 1), uint64(math.MaxUint64), math.Pow(2, 64), power(64).Add(power(64), big.NewInt(1)), power(200), 1e300,
		math.MaxFloat64, power(1025), power(5000), math.Inf(1), nan}
	check := func(rows []any) {
		t.Helper()
		for i, a := range rows {
			for j, b := range rows {
				want := min(max(i-j, -1), 1)
				if got, err := Compare(enc(t, a), enc(t, b)); got != want || err != nil {
					t.Errorf("Compare(%v, %v) = %d, %v, want %d", a, b, got, err, want)
				}
			}
		}
	}
	check(ascending)
	check([]any{"", "a", "ab", "b", "é", "\uffff", "\U00010000"})
	check([]any{[]byte{}, []byte{0}, []byte{0, 1}, []byte{255}})
	check([]any{Tuple{}, Tuple{1}, Tuple{1, 1}, Tuple{1, 2}, Tuple{2}, Tuple{nan, 1}, Tuple{nan, 2}})
	check([]any{[]any{}, []any{nil}, []any{nil, 1}, []any{nil, 2}, []any{nil, 2, Set{}, 1}, []any{nil, 2, Set{}, 2}})
	check([]any{time.Unix(-5, 0), time.Unix(1, 0), time.Unix(1, 1), time.Unix(1<<40, 0)})
	for _, c := range []struct {
		a, b any
		want string
	}{
		{"a", 1, "cannot order a str and an integer"}, {nil, nil, "cannot order nil and nil"}, {[]any{}, Tuple{}, "cannot order an array and a tuple"},
		{[]any{"a"}, []any{power(99)}, "cannot order a str and an integer"}, {Set{}, Set{}, "cannot order a set and a set"}, {1i, 2, "cannot order a complex number and an integer"},
		{map[string]any{}, map[string]any{}, "cannot order a map and a map"}, {[]byte{}, "", "cannot order a bin and a str"}, {true, "x", "cannot order a bool and a str"},
		{[]any{1i}, []any{2i}, "cannot order a complex number and a complex number"}, {Raw(rawExt(ExtTuple, 1)), Tuple{}, "cannot order a tuple and a tuple"},
		{Ext{77, nil}, 1.5, "cannot order an extension of code 77 and a float"},
	} {
		if _, err := Compare(enc(t, c.a), enc(t, c.b)); !errors.Is(err, ErrOrder) || err.Error() != "proto: no order: "+c.want {
			t.Errorf("Compare(%#v, %#v): %v, want %s", c.a, c.b, err, c.want)
		}
	}
}
