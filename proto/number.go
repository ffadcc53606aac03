package proto

import (
	"bytes"
	"cmp"
	"math"
	"math/big"
)

// A number is the value of an encoded bool, integer, float, big integer or complex number, in
// a form that each value has once: 1, 1.0, true and a big integer 1 are the same number. NaN
// and its many bit patterns are left as they are.
type number struct {
	kind numberKind
	bits uint64  // of numUint and numInt, as in a token
	f    float64 // numFloat: with a fraction, beyond 64 bits, infinite or NaN; numComplex: the real part
	im   float64 // numComplex: the imaginary part, not 0
	big  []byte  // numBig: two's complement, more than 64 bits, shortest; aliases the value
}

type numberKind uint8

const (
	numUint numberKind = iota
	numInt             // negative
	numBig
	numFloat
	numComplex
)

// readNumber returns the number that a token with its content stands for; ok is false when it
// stands for none.
func readNumber(t token, content []byte) (n number, ok bool) {
	switch t.class {
	case classBool, classUint:
		return number{kind: numUint, bits: t.bits}, true
	case classInt:
		return number{kind: numInt, bits: t.bits}, true
	case classFloat32, classFloat64:
		return floatNumber(t.float()), true
	case classExt:
		switch {
		case t.ext == ExtBigInt && len(content) > 0:
			return bigNumber(content), true
		case t.ext == ExtComplex && len(content) == 16:
			return complexNumber(parseComplex(content)), true
		}
	}
	return number{}, false
}

// float is the value of a token of class float.
func (t token) float() float64 {
	if t.class == classFloat32 {
		return float64(math.Float32frombits(uint32(t.bits)))
	}
	return math.Float64frombits(t.bits)
}

func floatNumber(f float64) number {
	if f == math.Trunc(f) {
		switch {
		case f >= 0 && f < 1<<64:
			return number{kind: numUint, bits: uint64(f)}
		case f < 0 && f >= -1<<63:
			return number{kind: numInt, bits: uint64(int64(f))}
		}
	}
	return number{kind: numFloat, f: f}
}

func complexNumber(re, im float64) number {
	if im == 0 {
		return floatNumber(re)
	}
	return number{kind: numComplex, f: re, im: im}
}

func (n number) isNaN() bool { return n.kind == numFloat && n.f != n.f }

// negative is for all but complex numbers.
func (n number) negative() bool {
	switch n.kind {
	case numBig:
		return n.big[0] >= 0x80
	case numFloat:
		return n.f < 0
	}
	return n.kind == numInt
}

// integer returns the value of a number without fraction.
func (n number) integer() *big.Int {
	switch n.kind {
	case numUint:
		return new(big.Int).SetUint64(n.bits)
	case numInt:
		return big.NewInt(int64(n.bits))
	case numBig:
		return parseBigInt(n.big)
	}
	z, _ := new(big.Float).SetFloat64(n.f).Int(nil)
	return z
}

// same reports whether two numbers are equal. NaN is equal to NaN if nan says so.
func (n number) same(m number, nan bool) bool {
	if n.kind != m.kind {
		// 1e300 and the big integer of that value.
		return n.kind == numBig && m.kind == numFloat && compareBigFloat(n.big, m.f) == 0 ||
			n.kind == numFloat && m.kind == numBig && compareBigFloat(m.big, n.f) == 0
	}
	equal := func(a, b float64) bool { return a == b || nan && a != a && b != b }
	switch n.kind {
	case numBig:
		return bytes.Equal(n.big, m.big)
	case numFloat:
		return equal(n.f, m.f)
	case numComplex:
		return equal(n.f, m.f) && equal(n.im, m.im)
	}
	return n.bits == m.bits
}

// compareNumbers compares exactly two numbers that are not complex. NaN is equal to NaN and
// greater than all else.
func compareNumbers(n, m number) int {
	switch {
	case n.isNaN() || m.isNaN():
		return btoi(n.isNaN()) - btoi(m.isNaN())
	case n.negative() != m.negative():
		return btoi(m.negative()) - btoi(n.negative())
	case n.kind == numFloat && m.kind == numFloat:
		return cmp.Compare(n.f, m.f)
	case n.kind == numFloat:
		return -compareToFloat(m, n.f)
	case m.kind == numFloat:
		return compareToFloat(n, m.f)
	case n.kind == numBig || m.kind == numBig:
		return compareBig(n, m)
	}
	return cmp.Compare(n.bits, m.bits) // two's complement: also right for two negative ones
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// compareToFloat compares an integer with a float of the same sign that is none of 64 bits:
// one with a fraction, which is below 2^53, or one beyond all of them.
func compareToFloat(n number, f float64) int {
	switch {
	case n.kind == numBig:
		return compareBigFloat(n.big, f)
	case f >= 1<<64:
		return -1
	case f < -1<<63:
		return 1
	case n.kind == numUint && n.bits <= uint64(f), n.kind == numInt && int64(n.bits) <= int64(math.Floor(f)):
		return -1
	}
	return 1
}

// compareBig compares two integers of the same sign, of which one at least is beyond 64 bits.
// More bytes are further from 0; as many compare like two's complement.
func compareBig(n, m number) int {
	further := cmp.Compare(len(n.big), len(m.big)) // one of 64 bits has none here
	if further == 0 {
		return bytes.Compare(n.big, m.big)
	}
	if n.negative() {
		return -further
	}
	return further
}

// widestFloat is how many bytes the greatest float has as an integer.
const widestFloat = 1024/8 + 1

// compareBigFloat compares a big integer with a float, which is greater if it is NaN.
func compareBigFloat(z []byte, f float64) int {
	switch {
	case f != f || math.IsInf(f, 1):
		return -1
	case math.IsInf(f, -1):
		return 1
	case len(z) > widestFloat && z[0] >= 0x80:
		return -1
	case len(z) > widestFloat:
		return 1
	}
	return new(big.Float).SetInt(parseBigInt(z)).Cmp(big.NewFloat(f))
}
