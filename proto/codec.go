package proto

import (
	"bytes"

	"github.com/vmihailenco/msgpack/v5"
)

// Raw is one encoded value, kept byte for byte. Marshal embeds it as it is;
// Unmarshal into a *Raw copies the bytes of the value.
type Raw []byte

// Marshal encodes v.
func Marshal(v any) (Payload, error) {
	var w Writer
	enc := msgpack.NewEncoder(&w)
	enc.UseCompactInts(true)
	err := enc.Encode(v)
	return w.Payload(), err
}

// Unmarshal decodes p into v.
func Unmarshal(p Payload, v any, lim Limits) (leftover []int, err error) {
	if err := Scan(p.Bytes, lim); err != nil {
		return p.FDs, err
	}
	if r, ok := v.(*Raw); ok {
		*r = bytes.Clone(p.Bytes)
		return p.FDs, nil
	}
	r := NewReader(p)
	err = msgpack.NewDecoder(r).Decode(v)
	return r.Left(), err
}
