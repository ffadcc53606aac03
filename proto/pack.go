package proto

import (
	"encoding/binary"
	"math"
)

// This file is MessagePack by hand: append functions that always choose the
// shortest form, and the reading of one token. The envelope of every message goes
// through here, because by reflection it would cost more than a no-op task does.

// The first bytes of MessagePack values (github.com/msgpack/msgpack, spec.md).
const (
	codeFixMap   = 0x80
	codeFixArray = 0x90
	codeFixStr   = 0xa0
	codeNil      = 0xc0
	codeFalse    = 0xc2
	codeTrue     = 0xc3
	codeBin8     = 0xc4
	codeBin16    = 0xc5
	codeBin32    = 0xc6
	codeExt8     = 0xc7
	codeExt16    = 0xc8
	codeExt32    = 0xc9
	codeFloat32  = 0xca
	codeFloat64  = 0xcb
	codeUint8    = 0xcc
	codeUint16   = 0xcd
	codeUint32   = 0xce
	codeUint64   = 0xcf
	codeInt8     = 0xd0
	codeInt16    = 0xd1
	codeInt32    = 0xd2
	codeInt64    = 0xd3
	codeFixExt1  = 0xd4
	codeFixExt16 = 0xd8
	codeStr8     = 0xd9
	codeStr16    = 0xda
	codeStr32    = 0xdb
	codeArray16  = 0xdc
	codeArray32  = 0xdd
	codeMap16    = 0xde
	codeMap32    = 0xdf
	codeNegFix   = 0xe0
)

// AppendNil appends nil.
func AppendNil(b []byte) []byte { return append(b, codeNil) }

// AppendBool appends v.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, codeTrue)
	}
	return append(b, codeFalse)
}

// AppendInt appends v in its shortest form: 1, 2, 3, 5 or 9 bytes. A number that is
// not negative has the same bytes as from AppendUint.
func AppendInt(b []byte, v int64) []byte {
	switch {
	case v >= 0:
		return AppendUint(b, uint64(v))
	case v >= -32:
		return append(b, byte(v))
	case v >= math.MinInt8:
		return append(b, codeInt8, byte(v))
	case v >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(b, codeInt16), uint16(v))
	case v >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(b, codeInt32), uint32(v))
	}
	return binary.BigEndian.AppendUint64(append(b, codeInt64), uint64(v))
}

// AppendUint appends v in its shortest form: 1, 2, 3, 5 or 9 bytes.
func AppendUint(b []byte, v uint64) []byte {
	switch {
	case v < 0x80:
		return append(b, byte(v))
	case v <= math.MaxUint8:
		return append(b, codeUint8, byte(v))
	case v <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, codeUint16), uint16(v))
	case v <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, codeUint32), uint32(v))
	}
	return binary.BigEndian.AppendUint64(append(b, codeUint64), v)
}

// AppendFloat appends v as a 64-bit float, bit for bit.
func AppendFloat(b []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(append(b, codeFloat64), math.Float64bits(v))
}

// AppendFloat32 appends v as a 32-bit float, bit for bit.
func AppendFloat32(b []byte, v float32) []byte {
	return binary.BigEndian.AppendUint32(append(b, codeFloat32), math.Float32bits(v))
}

// AppendString appends v as a str. The bytes go out as they are; peers in other
// languages expect UTF-8.
func AppendString(b []byte, v string) []byte {
	return append(appendStringHeader(b, len(v)), v...)
}

// appendStringHeader appends the head of a str of n bytes.
func appendStringHeader(b []byte, n int) []byte {
	switch {
	case n < 32:
		return append(b, codeFixStr|byte(n))
	case n <= math.MaxUint8:
		return append(b, codeStr8, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, codeStr16), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, codeStr32), uint32(n))
}

// AppendBin appends v as a bin, an empty one when v is nil.
func AppendBin(b []byte, v []byte) []byte {
	return append(AppendBinHeader(b, len(v)), v...)
}

// AppendBinHeader appends the head of a bin of n bytes, which the caller appends.
func AppendBinHeader(b []byte, n int) []byte {
	switch {
	case n <= math.MaxUint8:
		return append(b, codeBin8, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, codeBin16), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, codeBin32), uint32(n))
}

// AppendArrayHeader appends the head of an array; n values must follow.
func AppendArrayHeader(b []byte, n int) []byte {
	switch {
	case n < 16:
		return append(b, codeFixArray|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, codeArray16), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, codeArray32), uint32(n))
}

// AppendMapHeader appends the head of a map; n keys, each with its value, must
// follow.
func AppendMapHeader(b []byte, n int) []byte {
	switch {
	case n < 16:
		return append(b, codeFixMap|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, codeMap16), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, codeMap32), uint32(n))
}

// AppendExtHeader appends the head of an extension value of n bytes, which the
// caller appends.
func AppendExtHeader(b []byte, code int8, n int) []byte {
	switch {
	case n == 1:
		b = append(b, codeFixExt1)
	case n == 2:
		b = append(b, codeFixExt1+1)
	case n == 4:
		b = append(b, codeFixExt1+2)
	case n == 8:
		b = append(b, codeFixExt1+3)
	case n == 16:
		b = append(b, codeFixExt16)
	case n <= math.MaxUint8:
		b = append(b, codeExt8, byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, codeExt16), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, codeExt32), uint32(n))
	}
	return append(b, byte(code))
}

// A class is what kind of value a token begins.
type class uint8

const (
	classNil class = iota
	classBool
	classUint // not negative
	classInt  // negative
	classFloat32
	classFloat64
	classStr
	classBin
	classArray
	classMap
	classExt
)

// A token is the head of a value: all of a scalar, and of a container its count. It
// has four words at most, so that the compiler keeps it in registers; with a field
// more reading one took twice as long.
type token struct {
	class class
	ext   int8   // code of a classExt
	size  uint8  // bytes before the content
	bits  uint64 // value of bool, numbers (two's complement, IEEE 754 bits); length or count of the others
}

// head is the number of bytes before the content.
func (t token) head() int { return int(t.size) }

// n is the number of bytes of content of a str, bin or extension, or the number of
// entries of an array or map; 0 for scalars.
func (t token) n() int {
	if t.class < classStr {
		return 0
	}
	return int(t.bits)
}

// readToken reads the token at the start of b and checks that the token's own
// bytes, content of str, bin and ext included, lie within b. Forms that are not
// the shortest are accepted.
func readToken(b []byte) (token, error) {
	if len(b) == 0 {
		return token{}, errEnd
	}
	c := b[0]
	switch {
	case c < codeFixMap:
		return token{class: classUint, size: 1, bits: uint64(c)}, nil
	case c >= codeNegFix:
		return token{class: classInt, size: 1, bits: uint64(int64(int8(c)))}, nil
	case c < codeFixArray:
		return token{class: classMap, size: 1, bits: uint64(c & 15)}, nil
	case c < codeFixStr:
		return token{class: classArray, size: 1, bits: uint64(c & 15)}, nil
	case c < codeNil:
		if int(c&31) >= len(b) {
			return token{}, cut(classStr, uint64(c&31), len(b)-1)
		}
		return token{class: classStr, size: 1, bits: uint64(c & 31)}, nil
	case c == codeNil:
		return token{class: classNil, size: 1}, nil
	case c == codeFalse, c == codeTrue:
		return token{class: classBool, size: 1, bits: uint64(c & 1)}, nil
	}
	return readLong(b)
}

// short returns the number of bytes of the value at b[i] if it is one of the
// commonest, a small number or a short str, and lies within b; else 0. It saves the
// scan a token for most values of most messages.
func short(b []byte, i int) int {
	if i >= len(b) {
		return 0
	}
	switch c := b[i]; {
	case c < codeFixMap, c >= codeNegFix, c == codeNil:
		return 1
	case c >= codeFixStr && c < codeNil && int(c&31) < len(b)-i:
		return 1 + int(c&31)
	}
	return 0
}

// widths has the number of bytes that follow each code from 0xc0 to 0xdf as its
// number or length, not counting the code of an extension.
var widths = [32]byte{
	codeBin8 - 0xc0: 1, codeBin16 - 0xc0: 2, codeBin32 - 0xc0: 4,
	codeExt8 - 0xc0: 1, codeExt16 - 0xc0: 2, codeExt32 - 0xc0: 4,
	codeFloat32 - 0xc0: 4, codeFloat64 - 0xc0: 8,
	codeUint8 - 0xc0: 1, codeUint16 - 0xc0: 2, codeUint32 - 0xc0: 4, codeUint64 - 0xc0: 8,
	codeInt8 - 0xc0: 1, codeInt16 - 0xc0: 2, codeInt32 - 0xc0: 4, codeInt64 - 0xc0: 8,
	codeStr8 - 0xc0: 1, codeStr16 - 0xc0: 2, codeStr32 - 0xc0: 4,
	codeArray16 - 0xc0: 2, codeArray32 - 0xc0: 4,
	codeMap16 - 0xc0: 2, codeMap32 - 0xc0: 4,
}

// classes has the class of each code from 0xc0 to 0xdf; signed integers count as
// classInt until their value is known.
var classes = [32]class{
	codeBin8 - 0xc0: classBin, codeBin16 - 0xc0: classBin, codeBin32 - 0xc0: classBin,
	codeExt8 - 0xc0: classExt, codeExt16 - 0xc0: classExt, codeExt32 - 0xc0: classExt,
	codeFloat32 - 0xc0: classFloat32, codeFloat64 - 0xc0: classFloat64,
	codeUint8 - 0xc0: classUint, codeUint16 - 0xc0: classUint, codeUint32 - 0xc0: classUint, codeUint64 - 0xc0: classUint,
	codeInt8 - 0xc0: classInt, codeInt16 - 0xc0: classInt, codeInt32 - 0xc0: classInt, codeInt64 - 0xc0: classInt,
	codeFixExt1 - 0xc0: classExt, codeFixExt1 + 1 - 0xc0: classExt, codeFixExt1 + 2 - 0xc0: classExt,
	codeFixExt1 + 3 - 0xc0: classExt, codeFixExt16 - 0xc0: classExt,
	codeStr8 - 0xc0: classStr, codeStr16 - 0xc0: classStr, codeStr32 - 0xc0: classStr,
	codeArray16 - 0xc0: classArray, codeArray32 - 0xc0: classArray,
	codeMap16 - 0xc0: classMap, codeMap32 - 0xc0: classMap,
}

// readLong reads a token whose number or length follows in bytes of its own.
func readLong(b []byte) (token, error) {
	c := b[0]
	w := int(widths[c-0xc0])
	if len(b) < 1+w {
		return token{}, errEnd
	}
	t := token{class: classes[c-0xc0], size: uint8(1 + w)}
	switch w {
	case 1:
		t.bits = uint64(b[1])
	case 2:
		t.bits = uint64(binary.BigEndian.Uint16(b[1:]))
	case 4:
		t.bits = uint64(binary.BigEndian.Uint32(b[1:]))
	case 8:
		t.bits = binary.BigEndian.Uint64(b[1:])
	}
	switch t.class {
	case classInt:
		shift := 64 - 8*w
		if t.bits = uint64(int64(t.bits<<shift) >> shift); int64(t.bits) >= 0 {
			t.class = classUint
		}
	case classExt:
		if w == 0 {
			t.bits = 1 << (c - codeFixExt1)
		}
		if len(b) <= int(t.size) {
			return token{}, errEnd
		}
		t.ext = int8(b[t.size])
		t.size++
		fallthrough
	case classStr, classBin:
		if have := len(b) - int(t.size); t.bits > uint64(have) {
			return token{}, cut(t.class, t.bits, have)
		}
	case classNil: // not in the table: 0xc1
		return token{}, protocolf("byte %#02x begins no MessagePack value", c)
	}
	return t, nil
}

func cut(c class, n uint64, have int) error {
	return protocolf("a %s of %d bytes with %d bytes left", c, n, have)
}

var errEnd = protocolf("the bytes end within a value")

func (c class) String() string {
	return [...]string{"nil", "bool", "integer", "integer", "float", "float", "str", "bin", "array", "map", "extension"}[c]
}
