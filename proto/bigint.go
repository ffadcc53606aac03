package proto

import (
	"encoding/binary"
	"math"
	"math/big"
)

// AppendBigInt appends z, which is not nil, as a plain integer if it has 64 bits, else as
// extension ExtBigInt: two's complement, big-endian, in its shortest form.
func AppendBigInt(b []byte, z *big.Int) []byte {
	switch {
	case z.IsInt64():
		return AppendInt(b, z.Int64())
	case z.IsUint64():
		return AppendUint(b, z.Uint64())
	}
	content := twosComplement(z)
	return append(AppendExtHeader(b, ExtBigInt, len(content)), content...)
}

// twosComplement returns the shortest form of z: as many bytes as its bits and a sign need.
func twosComplement(z *big.Int) []byte {
	if z.Sign() >= 0 {
		return z.FillBytes(make([]byte, z.BitLen()/8+1))
	}
	n := new(big.Int).Not(z).BitLen()/8 + 1
	wrap := new(big.Int).Lsh(big.NewInt(1), uint(8*n))
	return wrap.Add(wrap, z).FillBytes(make([]byte, n))
}

// parseBigInt reads two's complement of at least 1 byte, shortest or not.
func parseBigInt(b []byte) *big.Int {
	z := new(big.Int).SetBytes(b)
	if b[0] >= 0x80 {
		z.Sub(z, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return z
}

// bigNumber reads the content of an ExtBigInt of at least 1 byte.
func bigNumber(b []byte) number {
	for len(b) > 1 && (b[0] == 0 && b[1] < 0x80 || b[0] == 0xff && b[1] >= 0x80) {
		b = b[1:]
	}
	switch {
	case len(b) == 9 && b[0] == 0:
		return number{kind: numUint, bits: binary.BigEndian.Uint64(b[1:])}
	case len(b) > 8:
		return number{kind: numBig, big: b}
	}
	v := int64(int8(b[0]))
	for _, c := range b[1:] {
		v = v<<8 | int64(c)
	}
	if v < 0 {
		return number{kind: numInt, bits: uint64(v)}
	}
	return number{kind: numUint, bits: uint64(v)}
}

// appendComplex appends an ExtComplex: two floats of 64 bits.
func appendComplex(b []byte, re, im float64) []byte {
	b = AppendExtHeader(b, ExtComplex, 16)
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(re))
	return binary.BigEndian.AppendUint64(b, math.Float64bits(im))
}

// parseComplex reads the 16 bytes of content of an ExtComplex.
func parseComplex(b []byte) (re, im float64) {
	return math.Float64frombits(binary.BigEndian.Uint64(b)), math.Float64frombits(binary.BigEndian.Uint64(b[8:]))
}
