package proto

import "encoding/binary"

// A Ref names an object of a manager. It travels as extension ExtObject.
type Ref struct {
	// Instance is which manager: a number that it has drawn when it started.
	Instance uint64
	// ID is which of its objects.
	ID uint64
	// Address is where the manager is reached; empty for the one that the connection with
	// this value leads to. It does not count when references are compared.
	Address string
}

// AppendRef appends r as an extension: instance u64, id u64, big-endian, and the address.
func AppendRef(b []byte, r Ref) []byte {
	b = AppendExtHeader(b, ExtObject, refBytes+len(r.Address))
	b = binary.BigEndian.AppendUint64(b, r.Instance)
	b = binary.BigEndian.AppendUint64(b, r.ID)
	return append(b, r.Address...)
}

// ParseRef reads a scanned value that is a reference; ok is false if it is none.
func ParseRef(v Raw) (r Ref, ok bool) {
	t, content, ok := one(v)
	if !ok || t.class != classExt || t.ext != ExtObject {
		return r, false
	}
	return parseRef(content)
}

func parseRef(content []byte) (r Ref, ok bool) {
	if len(content) < refBytes {
		return r, false
	}
	return Ref{binary.BigEndian.Uint64(content), binary.BigEndian.Uint64(content[8:]), string(content[refBytes:])}, true
}
