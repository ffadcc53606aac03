package proto

import (
	"errors"
	"math"
	"math/big"
	"testing"
)

func TestAdd(t *testing.T) {
	for _, c := range []struct{ a, b, want any }{
		{1, 2, 3}, {true, true, 2}, {-1, 1, 0}, {1, -3, -2}, {int64(math.MaxInt64), 1, uint64(1 << 63)}, {uint64(math.MaxUint64), 1, power(64)},
		{power(64), -1, uint64(math.MaxUint64)}, {int64(math.MinInt64), -1, new(big.Int).Sub(new(big.Int).Neg(power(63)), big.NewInt(1))},
		{int64(math.MinInt64), uint64(math.MaxUint64), int64(math.MaxInt64)}, {uint64(math.MaxUint64), -1, uint64(math.MaxUint64 - 1)}, {power(64), new(big.Int).Neg(power(64)), 0},
		{int64(math.MinInt64), int64(math.MinInt64), new(big.Int).Neg(power(64))}, {-5, -6, -11},
		{1, 0.5, 1.5}, {1.0, 2.0, 3.0}, {float32(0.5), 1, 1.5}, {true, 0.5, 1.5}, {power(64), 0.0, math.Pow(2, 64)}, {1i, 2, complex(2, 1)}, {1i, -1i, complex(0, 0)},
		{math.Copysign(0, -1), math.Copysign(0, -1), math.Copysign(0, -1)},
		{"a", "b", "ab"}, {[]byte("a"), []byte("b"), []byte("ab")}, {[]any{1}, []any{"x"}, []any{1, "x"}}, {Tuple{1}, Tuple{2, 3}, Tuple{1, 2, 3}}, {Tuple{}, Tuple{}, Tuple{}},
	} {
		got, err := Add([]byte("x"), enc(t, c.a), enc(t, c.b))
		if want := "x" + string(enc(t, c.want)); err != nil || string(got) != want {
			t.Errorf("%v + %v = %x, %v, want %x", c.a, c.b, got, err, want)
		}
	}
	for _, c := range []struct {
		a, b any
		want string
	}{
		{"a", 1, "cannot add a str and an integer"}, {nil, 1, "cannot add nil and an integer"}, {[]any{}, Tuple{}, "cannot add an array and a tuple"},
		{Set{}, Set{}, "cannot add a set and a set"}, {power(2000), 0.5, "an integer too large for a float"}, {power(1024), 0.5, "an integer too large for a float"},
	} {
		if got, err := Add([]byte("x"), enc(t, c.a), enc(t, c.b)); !errors.Is(err, ErrOperands) || err.Error() != "proto: cannot be added: "+c.want || string(got) != "x" {
			t.Errorf("%v + %v: %v", c.a, c.b, err)
		}
	}
}
