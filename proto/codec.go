package proto

import (
	"bytes"
	"math"
	"reflect"

	"github.com/vmihailenco/msgpack/v5"
)

// This file is the front of the codec, and the only place that knows the msgpack
// library. The walk over Go values is our own (plan.go, encode.go, decode.go); the
// library serves the types that bring its methods along. It was the other way
// round at first. The library stores 300 into an int8 as 44 and -1 into a uint8 as
// 255, takes any number of nils and strings for other things, gives an int8 or an
// int64 in an interface as the sender happened to write it, panics when a list
// stands as a key of a map[any]any or an interface holds a default, overflows the
// stack on a cycle, and reads the map behind an extension's head without that a
// scan before it can know (its make then takes four gigabytes for five bytes). Each
// would have needed a second walk over the same types.

// Raw is one encoded value, kept byte for byte. Marshal embeds it as it is, after a
// Scan, nil for none; Unmarshal into a *Raw copies the bytes of the value. A Raw
// that has handles in it cannot be marshalled: their descriptors stayed behind.
type Raw []byte

// Marshal encodes v within the default Limits. What it returns is never refused by
// Unmarshal with the same limits into the same type, and is the same for the same
// value, map keys being sorted.
//
// Integers have their shortest form whatever their Go type. A struct is a map
// from field names to values, in order of declaration, embedded structs inlined. A
// field's name is that of its `msgpack` tag, else of its `json` tag, else its Go
// name in snake case (MaxRetries is max_retries); "-" leaves it out, omitempty and
// omitzero do so when it is empty or zero. A []byte is bin; a nil slice, map,
// pointer or interface is nil; a time.Time is a MessagePack timestamp, a
// time.Duration an integer of nanoseconds; a big.Int an integer of any size; complex
// numbers, Tuple, Set, FrozenSet, Slice, Ref, Fault and Opaque are extensions. Types with EncodeMsgpack,
// MarshalMsgpack, MarshalText (a str) or MarshalBinary (a bin) speak for
// themselves; a HandleEncoder becomes a handle and its descriptors.
//
// The descriptors in the Payload are the caller's, and so they are beside an error:
// then Payload.FDs has those that were attached before it. Marshal returns
// ErrTooLarge (also for a value that contains itself), ErrUnsupported, and what
// methods of the values return. It may be called by many goroutines; v must not
// change meanwhile.
func Marshal(v any) (Payload, error) {
	var b []byte
	switch v := v.(type) {
	case nil:
		b = []byte{codeNil}
	case bool:
		b = AppendBool(make([]byte, 0, 1), v)
	case int:
		b = AppendInt(make([]byte, 0, 9), int64(v))
	case int64:
		b = AppendInt(make([]byte, 0, 9), v)
	case uint64:
		b = AppendUint(make([]byte, 0, 9), v)
	case float64:
		b = AppendFloat(make([]byte, 0, 9), v)
	case string:
		if len(v)+5 > maxValue {
			return Payload{}, tooLarge("value", uint64(len(v))+5, maxValue, "bytes")
		}
		b = AppendString(make([]byte, 0, 5+len(v)), v)
	case []byte:
		if len(v)+5 > maxValue {
			return Payload{}, tooLarge("value", uint64(len(v))+5, maxValue, "bytes")
		}
		if v == nil {
			b = []byte{codeNil}
		} else {
			b = AppendBin(make([]byte, 0, 5+len(v)), v)
		}
	default:
		return marshal(v, false, nil)
	}
	return Payload{Bytes: b}, nil
}

// MarshalRefs is Marshal for where no descriptors can go, or none are wanted: handles that are RefEncoders become references, for to,
// which they are given. Other handles still bring descriptors.
func MarshalRefs(v, to any) (Payload, error) {
	return marshal(v, true, to)
}

// Unmarshal decodes the value in p into the pointer v, after a Scan within lim. What
// it stores shares nothing with p.Bytes.
//
// It is strict, because arguments are often written by hand: a struct refuses
// unknown names and the same name twice (missing ones keep what v had); an integer
// must fit, and a number with a fraction part or in floating point is no integer;
// an array must have its exact length; nil is only for what can be nil. Some things
// have two forms: a float takes an integer that it can hold, a []byte a str, a
// time.Duration a str like "1m30s", a time.Time a str as in RFC 3339, a big.Int the str
// of its digits, a complex number any number, a list a tuple, a slice also a set, and a
// Tuple, Set or FrozenSet an array. And a nil in the place of a whole struct v leaves it as
// it is: no arguments at all.
//
// In an interface, integers become int64 (uint64 above its range), floats float64,
// arrays []any, maps map[string]any, or map[any]any if a key is no str, extensions
// time.Time, Tuple, Set, FrozenSet, *big.Int (beyond 64 bits), Slice, Ref, *Fault, Opaque,
// complex128, what the function of RegisterHandle returns, or Ext. A map with a key that Go
// cannot compare by value, a Tuple or a *big.Int, does not fit into an interface.
//
// leftover are the descriptors of p that nothing took, for the caller to close,
// with or without an error. With an error, v may be stored in part, and handles
// that had been opened are closed again. It returns ErrTooLarge and ErrProtocol as
// Scan does, ErrProtocol for a handle that names descriptors that are not there,
// ErrMismatch (a *MismatchError) for a value that does not fit, ErrUnsupported for
// a v that nothing can be stored in, and what methods of the values return. It may
// be called by many goroutines.
func Unmarshal(p Payload, v any, lim Limits) (leftover []int, err error) {
	lim = lim.filled()
	t, err := readToken(p.Bytes)
	if err == nil && t.head()+t.n() == len(p.Bytes) && len(p.Bytes) <= lim.value() && scalar(t, p.Bytes[t.head():], v) {
		return p.FDs, nil
	}
	if err := scanValue(p.Bytes, lim, opened); err != nil {
		return p.FDs, err
	}
	return unmarshal(p, v, nil)
}

// UnmarshalFrom is Unmarshal for a value that holds references, of which RefDecoders, and from if it is a RefOpener, make something.
func UnmarshalFrom(p Payload, v any, lim Limits, from any) (leftover []int, err error) {
	if err := scanValue(p.Bytes, lim.filled(), opened); err != nil {
		return p.FDs, err
	}
	return unmarshal(p, v, from)
}

// scalar stores a lone value of the commonest types and reports whether it could.
// Anything else goes the long way, to be stored or to be refused in words. (An
// array of no elements may come along too; no type here takes it.)
func scalar(t token, content []byte, v any) bool {
	switch v := v.(type) {
	case *int:
		if v != nil && (t.class == classUint && t.bits <= math.MaxInt || t.class == classInt) {
			*v = int(t.bits)
			return true
		}
	case *int64:
		if v != nil && (t.class == classUint && t.bits <= math.MaxInt64 || t.class == classInt) {
			*v = int64(t.bits)
			return true
		}
	case *uint64:
		if v != nil && t.class == classUint {
			*v = t.bits
			return true
		}
	case *bool:
		if v != nil && t.class == classBool {
			*v = t.bits != 0
			return true
		}
	case *float64:
		if v != nil && t.class == classFloat64 {
			*v = math.Float64frombits(t.bits)
			return true
		}
	case *string:
		if v != nil && t.class == classStr {
			*v = string(content)
			return true
		}
	case *[]byte:
		if v != nil && t.class == classBin {
			*v = append(make([]byte, 0, len(content)), content...)
			return true
		}
	}
	return false
}

var (
	customEncoderType = reflect.TypeFor[msgpack.CustomEncoder]()
	customDecoderType = reflect.TypeFor[msgpack.CustomDecoder]()
	marshalerType     = reflect.TypeFor[msgpack.Marshaler]()
	unmarshalerType   = reflect.TypeFor[msgpack.Unmarshaler]()
)

// encodeCustom lets the value write itself with the library's encoder, whose
// Writer is ours. What it wrote is scanned by the caller.
func encodeCustom(w *Writer, v any) error {
	enc := msgpack.GetEncoder()
	enc.Reset(w)
	enc.UseCompactInts(true)
	enc.SetSortMapKeys(true)
	err := v.(msgpack.CustomEncoder).EncodeMsgpack(enc)
	msgpack.PutEncoder(enc)
	return err
}

func encodeMarshaler(w *Writer, v any) error {
	b, err := v.(msgpack.Marshaler).MarshalMsgpack()
	if err == nil {
		w.b = append(w.b, b...)
	}
	return err
}

// decodeCustom lets the value read itself from r with the library's decoder.
func decodeCustom(r *Reader, v any) error {
	dec := msgpack.GetDecoder()
	dec.Reset(r)
	dec.DisallowUnknownFields(true)
	err := v.(msgpack.CustomDecoder).DecodeMsgpack(dec)
	msgpack.PutDecoder(dec)
	return err
}

func decodeUnmarshaler(r *Reader, v any) error {
	b := bytes.Clone(r.b[r.i:]) // it may keep them
	r.i = len(r.b)
	return v.(msgpack.Unmarshaler).UnmarshalMsgpack(b)
}
