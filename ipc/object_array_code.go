package ipc

import (
	"encoding/binary"
	"math"
	"unicode/utf8"

	"github.com/seed-185a7250/multiproc/proto"
)

// An arrayCode is the type of the elements of an array: how one is kept and what it is outside.
type arrayCode struct {
	size   int
	put    func(to []byte, r proto.Raw) error
	append func(b, from []byte) []byte
}

// arrayCodes has the codes of Python's module array, with the sizes that they have on Linux.
var arrayCodes = map[string]arrayCode{
	"b": signed(1), "h": signed(2), "i": signed(4), "l": signed(8), "q": signed(8),
	"B": unsigned(1), "H": unsigned(2), "I": unsigned(4), "L": unsigned(8), "Q": unsigned(8),
	"f": {4, putFloat32, func(b, from []byte) []byte {
		return proto.AppendFloat(b, float64(math.Float32frombits(binary.LittleEndian.Uint32(from))))
	}},
	"d": {8, putFloat64, func(b, from []byte) []byte {
		return proto.AppendFloat(b, math.Float64frombits(binary.LittleEndian.Uint64(from)))
	}},
	"u": {4, putRune, func(b, from []byte) []byte {
		return proto.AppendString(b, string(rune(binary.LittleEndian.Uint32(from))))
	}},
}

// load and keep read and write size bytes.
func load(from []byte) uint64 {
	var b [8]byte
	copy(b[:], from)
	return binary.LittleEndian.Uint64(b[:])
}

func keep(to []byte, v uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	copy(to, b[:])
}

func signed(size int) arrayCode {
	unused := 64 - 8*size
	return arrayCode{size,
		func(to []byte, r proto.Raw) error {
			bits, negative, fits, ok := proto.ParseBits(r)
			v := int64(bits)
			switch {
			case !ok:
				return notElement("an integer", r)
			case !fits || v<<unused>>unused != v || negative != (v < 0):
				return beyond(r, "a signed integer", size)
			}
			keep(to, bits)
			return nil
		},
		func(b, from []byte) []byte { return proto.AppendInt(b, int64(load(from)<<unused)>>unused) },
	}
}

func unsigned(size int) arrayCode {
	return arrayCode{size,
		func(to []byte, r proto.Raw) error {
			bits, negative, fits, ok := proto.ParseBits(r)
			switch {
			case !ok:
				return notElement("an integer", r)
			case !fits || negative || size < 8 && bits>>(8*size) != 0:
				return beyond(r, "an unsigned integer", size)
			}
			keep(to, bits)
			return nil
		},
		func(b, from []byte) []byte { return proto.AppendUint(b, load(from)) },
	}
}

func putFloat64(to []byte, r proto.Raw) error {
	f, err := floatOf(r, 8)
	if err == nil {
		keep(to, math.Float64bits(f))
	}
	return err
}

func putFloat32(to []byte, r proto.Raw) error {
	f, err := floatOf(r, 4)
	if err != nil {
		return err
	}
	if math.IsInf(float64(float32(f)), 0) && !math.IsInf(f, 0) {
		return beyond(r, "a float", 4)
	}
	keep(to, uint64(math.Float32bits(float32(f))))
	return nil
}

// floatOf returns a number as a float.
func floatOf(r proto.Raw, size int) (float64, error) {
	if f, ok := proto.ParseFloat(r); ok {
		return f, nil
	}
	if _, _, _, integer := proto.ParseBits(r); integer {
		return 0, beyond(r, "a float", size)
	}
	return 0, notElement("a number", r)
}

func putRune(to []byte, r proto.Raw) error {
	s, err := proto.ParseString(r)
	char, n := utf8.DecodeRuneInString(s)
	if err != nil || n == 0 || n != len(s) || char == utf8.RuneError && n == 1 {
		return notElement("a str of one character", r)
	}
	keep(to, uint64(char))
	return nil
}

func notElement(want string, r proto.Raw) error {
	return faultf(proto.KindTypeError, "the elements of this array are each %s, found %s", want, proto.AppendText(nil, r, 60))
}

func beyond(r proto.Raw, what string, size int) error {
	return faultf(proto.KindOverflow, "%s does not fit %s of %d bytes", proto.AppendText(nil, r, 60), what, size)
}
