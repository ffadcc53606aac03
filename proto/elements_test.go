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

func TestParseBits(t *testing.T) {
	beyond := new(big.Int).Lsh(big.NewInt(1), 64)
	for _, c := range []struct {
		v                  any
		bits               uint64
		negative, fits, ok bool
	}{
		{7, 7, false, true, true}, {true, 1, false, true, true}, {uint64(math.MaxUint64), math.MaxUint64, false, true, true},
		{-1, math.MaxUint64, true, true, true}, {Ext{Code: ExtBigInt, Data: []byte{0xff}}, math.MaxUint64, true, true, true},
		{beyond, 0, false, false, true}, {new(big.Int).Neg(beyond), 0, false, false, true}, {1.0, 0, false, false, false},
		{Ext{Code: ExtBigInt}, 0, false, false, false}, {"1", 0, false, false, false},
	} {
		bits, negative, fits, ok := ParseBits(enc(t, c.v))
		if bits != c.bits || negative != c.negative || fits != c.fits || ok != c.ok {
			t.Errorf("ParseBits(%v) = %d, %t, %t, %t", c.v, bits, negative, fits, ok)
		}
	}
}

func TestParseFloat(t *testing.T) {
	for _, c := range []struct {
		v    any
		want float64
		ok   bool
	}{
		{1.5, 1.5, true}, {float32(0.5), 0.5, true}, {-3, -3, true}, {true, 1, true}, {new(big.Int).Lsh(big.NewInt(1), 100), 0x1p100, true},
		{new(big.Int).Lsh(big.NewInt(1), 1100), 0, false}, {1 + 1i, 0, false}, {complex(1, 0), 0, false}, {"1", 0, false}, {nil, 0, false},
	} {
		if got, ok := ParseFloat(enc(t, c.v)); ok != c.ok || ok && got != c.want {
			t.Errorf("ParseFloat(%v) = %v, %t", c.v, got, ok)
		}
	}
}

func TestCountElements(t *testing.T) {
	for _, c := range []struct {
		v    any
		want int
	}{
		{5, 0}, {"abc", 0}, {[]any{}, 0}, {[]any{1, 2}, 2}, {[]any{[]any{1}, 2}, 3}, {map[string]any{"a": 1, "b": []any{1}}, 5},
		{Tuple{1, []any{2, 3}}, 4}, {Ext{Code: 99, Data: []byte{0x92, 1, 2}}, 0},
	} {
		if got := CountElements(enc(t, c.v)); got != c.want {
			t.Errorf("CountElements(%v) = %d, want %d", c.v, got, c.want)
		}
	}
}
