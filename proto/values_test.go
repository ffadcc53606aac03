package proto

import (
	"math"
	"math/big"
	"testing"
	"time"
)

// enc is what Marshal makes of v.
func enc(t testing.TB, v any) Raw {
	t.Helper()
	p, err := Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return p.Bytes
}

func power(n uint) *big.Int { return new(big.Int).Lsh(big.NewInt(1), n) }

// rawExt is an extension by hand, for forms that Marshal does not write.
func rawExt(code int8, content ...byte) Raw {
	return append(AppendExtHeader(nil, code, len(content)), content...)
}

func key(t testing.TB, v Raw) string {
	t.Helper()
	k, err := AppendKey(nil, v)
	if err != nil {
		t.Fatalf("%x: %v", v, err)
	}
	return string(k)
}

// Each row is one value in several forms: they are equal and the same key, and those of two
// rows are neither.
func sameValues(t testing.TB) [][]Raw {
	e := func(v any) Raw { return enc(t, v) }
	nan := func(bits uint64) Raw { return e(math.Float64frombits(bits)) }
	return [][]Raw{
		{e(nil)},
		{e(0), e(false), e(0.0), e(math.Copysign(0, -1)), e(complex(0, 0)), rawExt(ExtBigInt, 0), rawExt(ExtBigInt, 0, 0), {0xd0, 0}, {0xcf, 0, 0, 0, 0, 0, 0, 0, 0}},
		{e(1), e(true), e(1.0), e(float32(1)), e(complex(1, 0)), rawExt(ExtBigInt, 1), rawExt(ExtBigInt, 0, 1), {0xd3, 0, 0, 0, 0, 0, 0, 0, 1}},
		{e(-1), e(-1.0), rawExt(ExtBigInt, 0xff), rawExt(ExtBigInt, 0xff, 0xff), {0xd1, 0xff, 0xff}},
		{e(0.5), e(float32(0.5)), e(complex(0.5, math.Copysign(0, -1)))},
		{e(0.1)}, {e(float32(0.1)), e(float64(float32(0.1)))},
		{e(int64(math.MaxInt64))}, {e(uint64(1 << 63)), e(math.Pow(2, 63))}, {e(uint64(math.MaxUint64)), rawExt(ExtBigInt, 0, 255, 255, 255, 255, 255, 255, 255, 255)},
		{e(int64(math.MinInt64)), e(-math.Pow(2, 63)), rawExt(ExtBigInt, 0x80, 0, 0, 0, 0, 0, 0, 0)},
		{e(power(64)), e(math.Pow(2, 64)), rawExt(ExtBigInt, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0)},
		{e(1e300), e(bigOf(1e300))},
		{e(int64(1<<53 + 1))}, {e(int64(1 << 53)), e(math.Pow(2, 53))},
		{e(math.Inf(1))}, {e(math.Inf(-1))},
		{e(1i)}, {e(complex(math.Inf(1), 1))},
		{nan(0x7ff8000000000001), nan(0xfff8000000000000), e(float32(math.Float32frombits(0x7fc00000))), e(complex(math.NaN(), 0))},
		{e("1"), {0xd9, 1, '1'}, {0xdb, 0, 0, 0, 1, '1'}}, {e("")}, {e([]byte("1")), {0xc5, 0, 1, '1'}},
		{e(Tuple{1}), e(Tuple{1.0}), e(Tuple{true}), rawExt(ExtTuple, 0xdc, 0, 1, 1)},
		{e(Tuple{})}, {e(Tuple{Tuple{1}}), e(Tuple{Tuple{true}})}, {e(Tuple{1, "a"})}, {e(Tuple{"a", 1})},
		{e(FrozenSet{1, 2}), e(FrozenSet{2.0, true})}, {e(FrozenSet{})}, {e(FrozenSet{FrozenSet{1, 2}, 3}), e(FrozenSet{3, FrozenSet{2, 1}})},
		{e(time.Unix(5, 0)), rawExt(ExtTime, 0, 0, 0, 0, 0, 0, 0, 5), rawExt(ExtTime, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5)}, {e(time.Unix(5, 1))},
		{rawExt(ExtTime, 1)},
		{e(Ref{1, 2, ""}), e(Ref{1, 2, "/run/x"})}, {e(Ref{1, 3, ""})}, {rawExt(ExtObject, 1)},
		{e(Opaque{"python/pickle", []byte("x")})}, {e(Opaque{"python/pickle", []byte("y")})},
		{e(Ext{50, []byte("1")}), {0xc7, 1, 50, '1'}}, {e(Ext{51, []byte("1")})},
		{rawExt(ExtTuple, 1)}, {rawExt(ExtTuple)}, {rawExt(ExtFrozenSet, 0x92, 1)}, {rawExt(ExtBigInt)}, {rawExt(ExtComplex, 1)},
	}
}

func bigOf(f float64) *big.Int {
	z, _ := big.NewFloat(f).Int(nil)
	return z
}
