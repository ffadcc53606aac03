package proto

import (
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

// aNumber returns a number of any type and its exact value. Many are close to each other, or
// where types end.
func aNumber(t *testing.T, r *rand.Rand) (Raw, *big.Rat) {
	base := new(big.Int).Lsh(big.NewInt(1), []uint{0, 1, 31, 52, 53, 54, 62, 63, 64, 65, 100, 1023, 1024, 1500}[r.IntN(14)])
	base.Add(base, big.NewInt(int64(r.IntN(7)-3)))
	if r.IntN(2) == 0 {
		base.Neg(base)
	}
	f, _ := new(big.Float).SetInt(base).Float64()
	switch {
	case r.IntN(3) == 0 || math.IsInf(f, 0):
		if r.IntN(2) == 0 {
			content := twosComplement(base)
			return rawExt(ExtBigInt, content...), new(big.Rat).SetInt(base)
		}
		return enc(t, base), new(big.Rat).SetInt(base)
	case r.IntN(2) == 0:
		f += []float64{0, 0.5, -0.5, 0.25}[r.IntN(4)]
		return enc(t, f), new(big.Rat).SetFloat64(f)
	case r.IntN(2) == 0 && math.Abs(f) < 1e38:
		return enc(t, float32(f)), new(big.Rat).SetFloat64(float64(float32(f)))
	case r.IntN(4) == 0:
		return enc(t, true), big.NewRat(1, 1)
	}
	return enc(t, f), new(big.Rat).SetFloat64(f)
}

// Numbers of all types are ordered, equal, keys and sums as their exact values are.
func TestNumbersExactly(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		a, x := aNumber(t, r)
		b, y := aNumber(t, r)
		c, err := Compare(a, b)
		if want := x.Cmp(y); err != nil || c != want || Equal(a, b) != (want == 0) || (key(t, a) == key(t, b)) != (want == 0) {
			t.Fatalf("%s and %s: %d, %v, equal %t, want %d", x, y, c, err, Equal(a, b), want)
		}
		s, tok := readNumberOf(a), readNumberOf(b)
		if !s.isInteger() || !tok.isInteger() {
			continue
		}
		sum, err := Add(nil, a, b)
		if want := enc(t, new(big.Int).Add(x.Num(), y.Num())); err != nil || string(sum) != string(want) {
			t.Fatalf("%s + %s is %x, %v, want %x", x, y, sum, err, want)
		}
	}
}

func readNumberOf(v Raw) token {
	t, _, _ := one(v)
	return t
}

// Sorting numbers, or tuples of them, has one outcome, NaN or not.
func TestSortOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for round := range 40 {
		var list []Raw
		for range 60 {
			v, _ := aNumber(t, r)
			if r.IntN(10) == 0 {
				v = enc(t, math.NaN())
			}
			if round%2 == 0 {
				v = enc(t, Tuple{v, r.IntN(3)})
			}
			list = append(list, v)
		}
		order := func(a, b Raw) int {
			c, err := Compare(a, b)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		slices.SortFunc(list, order)
		for i, a := range list {
			for j, b := range list {
				if c := order(a, b); c > 0 && i < j || c < 0 && i > j {
					t.Fatalf("%s before %s", AppendText(nil, list[min(i, j)], 99), AppendText(nil, list[max(i, j)], 99))
				}
			}
		}
	}
}
