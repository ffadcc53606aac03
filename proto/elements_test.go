package proto

import (
	"math"
	"math/big"
	"testing"
)

func TestParseInteger(t *testing.T) {
	beyond := new(big.Int).Lsh(big.NewInt(1), 64)
	for _, c := range []struct {
		v    any
		want int64
		ok   bool
	}{
		{5, 5, true}, {-7, -7, true}, {1 << 40, 1 << 40, true}, {true, 1, true}, {false, 0, true}, {uint64(math.MaxUint64), math.MaxInt64, true},
		{beyond, math.MaxInt64, true}, {new(big.Int).Neg(beyond), math.MinInt64, true}, {Ext{Code: ExtBigInt, Data: []byte{0xff, 0xfe}}, -2, true},
		{1.0, 0, false}, {"1", 0, false}, {nil, 0, false}, {[]any{1}, 0, false}, {1 + 2i, 0, false}, {Ext{Code: ExtBigInt}, 0, false},
	} {
		if got, ok := ParseInteger(enc(t, c.v)); got != c.want || ok != c.ok {
			t.Errorf("ParseInteger(%v) = %d, %t, want %d, %t", c.v, got, ok, c.want, c.ok)
		}
	}
	if _, ok := ParseInteger(nil); ok {
		t.Error("nothing is an integer")
	}
}
