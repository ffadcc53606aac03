package proto

import (
	"encoding/binary"
	"fmt"
	"math"
)

// HeaderSize is the number of bytes before the body of every frame.
const HeaderSize = 8

// Room that the wire leaves around a value for the message that carries it, so
// that whatever Marshal accepts also fits into a frame between two peers with the
// same Limits.
const (
	envelopeBytes    = 64 << 10
	envelopeDepth    = 8
	envelopeElements = 64 << 10
)

// Limits bound what one frame may ask of its receiver. They are checked before
// anything is allocated for it. A field that is zero (or negative) has its default,
// so the zero Limits are the ones of PROTOCOL.md.
type Limits struct {
	// Frame is the largest body of a frame in bytes; default 64 MiB + 64 KiB. A single
	// value may have 64 KiB less, or half where the frame has less than 128 KiB: the rest
	// is for the message around it.
	Frame int
	// Depth is how many arrays and maps may be nested in a value; default 128. A
	// message may nest 8 more around it. At most 10,000: decoders recurse.
	Depth int
	// Elements is how many elements all arrays and maps of a value may have together,
	// a map entry counting two; default 4,194,304. A message may have 65,536 more.
	Elements int
	// Descriptors is how many file descriptors a frame may carry; default 64, at most
	// 253, which is the kernel's own limit for one message.
	Descriptors int
}

const (
	defaultFrame       = 64<<20 + envelopeBytes
	defaultDepth       = 128
	defaultElements    = 4 << 20
	defaultDescriptors = 64
	maxDescriptors     = 253 // SCM_MAX_FD, unix(7)
	maxDepth           = 10_000
)

// filled returns l with defaults in the place of zeros.
func (l Limits) filled() Limits {
	if l.Frame <= 0 {
		l.Frame = defaultFrame
	}
	if l.Depth <= 0 {
		l.Depth = defaultDepth
	}
	if l.Elements <= 0 {
		l.Elements = defaultElements
	}
	if l.Descriptors <= 0 {
		l.Descriptors = defaultDescriptors
	}
	l.Depth = min(l.Depth, maxDepth)
	l.Descriptors = min(l.Descriptors, maxDescriptors)
	return l
}

// value is the largest number of bytes that one value may have.
func (l Limits) value() int {
	if l.Frame <= 2*envelopeBytes {
		return max(l.Frame/2, 1)
	}
	return l.Frame - envelopeBytes
}

// message returns the limits for a whole body, given the filled limits for values.
func (l Limits) message() Limits {
	l.Depth += envelopeDepth
	l.Elements += envelopeElements
	return l
}

// A Header says how long the body of a frame is and how many descriptors came
// with its first byte.
type Header struct {
	Length      int // bytes of the body, at least 1
	Descriptors int // 0 to 253
}

// AppendHeader appends the eight bytes of h to b: length u32, descriptors u8,
// flags u8 (0), reserved u16 (0), big-endian. It panics when a field cannot be
// expressed: a caller checks its limits before it writes a frame.
func AppendHeader(b []byte, h Header) []byte {
	if h.Length < 0 || h.Length > math.MaxUint32 || h.Descriptors < 0 || h.Descriptors > math.MaxUint8 {
		panic(fmt.Sprintf("proto: AppendHeader(%+v): out of range", h))
	}
	b = binary.BigEndian.AppendUint32(b, uint32(h.Length))
	return append(b, byte(h.Descriptors), 0, 0, 0)
}

// ParseHeader reads a header from the first eight bytes of b and allocates nothing.
// It returns ErrTooLarge for a length or a number of descriptors above lim, and
// ErrProtocol for a body of no bytes, for flags or reserved bits that are set, and
// when b is shorter than HeaderSize.
func ParseHeader(b []byte, lim Limits) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, protocolf("a frame header has %d bytes, found %d", HeaderSize, len(b))
	}
	lim = lim.filled()
	length := uint64(binary.BigEndian.Uint32(b))
	if b[5] != 0 || b[6] != 0 || b[7] != 0 {
		return Header{}, protocolf("frame header with flags %#02x and reserved %#04x, both must be 0", b[5], binary.BigEndian.Uint16(b[6:]))
	}
	if length == 0 {
		return Header{}, protocolf("frame without a body")
	}
	if length > uint64(lim.Frame) {
		return Header{}, tooLarge("frame", length, uint64(lim.Frame), "bytes")
	}
	if int(b[4]) > lim.Descriptors {
		return Header{}, tooLarge("frame", uint64(b[4]), uint64(lim.Descriptors), "descriptors")
	}
	return Header{Length: int(length), Descriptors: int(b[4])}, nil
}
