package proto

import (
	"fmt"
	"math"
	"math/big"
)

// Add appends the sum of two scanned values as + of Python has it: of numbers, where a bool
// counts as 0 or 1, integers beyond 64 bits become big ones and those within plain ones, and an
// integer and a float make a float; of two strs, bins, arrays or tuples one behind the other.
// It returns ErrOperands for all else, for an integer too large for the float that it is added
// to, and dst as it was. The sum may be larger than any limit: who keeps it has to check.
func Add(dst []byte, a, b Raw) ([]byte, error) {
	s, x, ok := one(a)
	t, y, ok2 := one(b)
	if !ok || !ok2 {
		return dst, errEnd
	}
	n, ok := readNumber(s, x)
	m, ok2 := readNumber(t, y)
	switch {
	case ok && ok2:
		return addNumbers(dst, operand{s, x, n}, operand{t, y, m})
	case s.class != t.class:
	case s.class == classStr:
		return append(append(appendStringHeader(dst, len(x)+len(y)), x...), y...), nil
	case s.class == classBin:
		return append(append(AppendBinHeader(dst, len(x)+len(y)), x...), y...), nil
	case s.class == classArray:
		dst = AppendArrayHeader(dst, s.n()+t.n())
		return append(append(dst, a[s.head():]...), b[t.head():]...), nil
	case s.class == classExt && s.ext == ExtTuple && t.ext == ExtTuple:
		in, p, ok := elements(x)
		other, q, ok2 := elements(y)
		if ok && ok2 {
			start := len(dst)
			dst = append(append(dst, x[in.i:]...), y[other.i:]...)
			return wrapItems(dst, ExtTuple, start, p+q), nil
		}
	}
	return dst, fmt.Errorf("%w: cannot add %s and %s", ErrOperands, s.name(), t.name())
}

// An operand is a number as it is written, for the type of a sum is that of its operands: as a
// number alone 1.0 and 1 are the same.
type operand struct {
	token
	content []byte
	number
}

func (o operand) isComplex() bool { return o.class == classExt && o.ext == ExtComplex }
func (o operand) isFloat() bool   { return o.class == classFloat32 || o.class == classFloat64 }

func addNumbers(dst []byte, a, b operand) ([]byte, error) {
	if !a.isComplex() && !b.isComplex() && !a.isFloat() && !b.isFloat() {
		return addIntegers(dst, a.number, b.number), nil
	}
	re, im, ok := a.parts()
	re2, im2, ok2 := b.parts()
	switch {
	case !ok || !ok2:
		return dst, fmt.Errorf("%w: an integer too large for a float", ErrOperands)
	case a.isComplex() || b.isComplex():
		return appendComplex(dst, re+re2, im+im2), nil
	}
	return AppendFloat(dst, re+re2), nil
}

// parts returns a number as two floats; ok is false for an integer beyond all floats.
func (o operand) parts() (re, im float64, ok bool) {
	switch {
	case o.isComplex():
		re, im = parseComplex(o.content)
	case o.isFloat():
		re = o.float()
	case o.kind == numUint:
		re = float64(o.number.bits)
	case o.kind == numInt:
		re = float64(int64(o.number.bits))
	case len(o.big) > widestFloat:
		return 0, 0, false
	default:
		re, _ = new(big.Float).SetInt(o.integer()).Float64()
	}
	return re, im, o.kind != numBig || !math.IsInf(re, 0)
}

func addIntegers(dst []byte, n, m number) []byte {
	small := n.kind != numBig && m.kind != numBig
	x, y := int64(n.bits), int64(m.bits)
	sum := x + y
	switch {
	case small && n.kind == numUint && m.kind == numUint && n.bits+m.bits >= n.bits:
		return AppendUint(dst, n.bits+m.bits)
	case small && n.kind == numInt && m.kind == numInt && sum < 0:
		return AppendInt(dst, sum)
	case small && n.kind != m.kind && x^y < 0: // the greater is below 2^63
		return AppendInt(dst, sum)
	}
	return AppendBigInt(dst, new(big.Int).Add(n.integer(), m.integer()))
}
