package proto

import (
	"bytes"
	"fmt"
	"math"
	"slices"
)

// AppendKey appends the canonical form of the scanned value v as the key of a dict: two values
// are the same key if and only if their canonical forms are the same bytes. It is one value
// itself, which is equal to v ([Equal]) unless NaN is in it, and its own canonical form.
//
// Keys are equal by value, as in Python: true, 1, 1.0, 1+0i and a big integer 1 are one key,
// and so are 0.0 and -0.0, and a float32 and the float64 of that value. All NaN are one key. A
// str, a bin, an integer and a tuple of an integer are four. Of a reference the manager and the
// object count, not the address. A frozen set is the same in any order. Opaque blobs, and
// extensions that are not known or whose content is malformed, are their code and their bytes.
//
// It returns ErrKey for what cannot be a key, also within a tuple, ErrTooLarge for a tuple or
// frozen set whose canonical form is beyond 1 MiB, and ErrProtocol if v is not one value; dst is
// then returned as it was. Integers of 64 bits and strs allocate nothing if
// dst has room.
func AppendKey(dst []byte, v Raw) ([]byte, error) {
	if n := short(v, 0); n > 0 && n == len(v) {
		return append(dst, v...), nil
	}
	if t, err := readToken(v); err == nil && t.head()+t.n() == len(v) {
		switch t.class {
		case classUint:
			return AppendUint(dst, t.bits), nil
		case classInt:
			return AppendInt(dst, int64(t.bits)), nil
		case classStr:
			return append(appendStringHeader(dst, t.n()), v[t.head():]...), nil
		}
	}
	k := keyer{dst: dst, cursor: cursor{b: v}}
	err := k.value(maxDepth)
	if err == nil {
		err = k.end("a key")
	}
	if err != nil {
		return dst, err
	}
	return k.dst, nil
}

// maxKey is how many bytes the canonical form of a tuple or frozen set may have. Each level
// moves what is within, so a larger one, many levels deep, would cost more than it is worth.
const maxKey = 1 << 20

// A keyer writes canonical forms.
type keyer struct {
	cursor
	dst []byte
}

func (k *keyer) value(depth int) error {
	t, content, ok := k.next()
	if !ok {
		return errEnd
	}
	if n, ok := readNumber(t, content); ok {
		k.dst = n.appendKey(k.dst)
		return nil
	}
	switch t.class {
	case classNil:
		k.dst = AppendNil(k.dst)
	case classStr:
		k.dst = append(appendStringHeader(k.dst, len(content)), content...)
	case classBin:
		k.dst = AppendBin(k.dst, content)
	case classExt:
		return k.ext(t.ext, content, depth)
	default:
		return notKey(t)
	}
	return nil
}

// appendKey appends n in the one form that it has as a key.
func (n number) appendKey(b []byte) []byte {
	switch n.kind {
	case numUint:
		return AppendUint(b, n.bits)
	case numInt:
		return AppendInt(b, int64(n.bits))
	case numBig:
		return append(AppendExtHeader(b, ExtBigInt, len(n.big)), n.big...)
	case numComplex:
		return appendComplex(b, oneForm(n.f), oneForm(n.im))
	}
	if n.f == math.Trunc(n.f) && !math.IsInf(n.f, 0) {
		return AppendBigInt(b, n.integer())
	}
	return AppendFloat(b, oneForm(n.f))
}

// oneForm makes one of the two zeros, and one of all NaN: the one that other languages write.
func oneForm(f float64) float64 {
	if f != f {
		return math.Float64frombits(0x7ff8 << 48)
	}
	return f + 0 // -0 + 0 is 0
}

func (k *keyer) ext(code int8, content []byte, depth int) error {
	switch {
	case !keyCode(code):
		return notKey(token{class: classExt, ext: code})
	case code == ExtTime:
		if tm, ok := parseTime(content); ok {
			k.dst = appendTime(k.dst, tm)
			return nil
		}
	case code == ExtObject:
		content = content[:min(len(content), refBytes)]
	case holdsValues(code):
		if in, n, ok := elements(content); ok {
			return k.sequence(code, in, n, depth)
		}
	}
	k.dst = append(AppendExtHeader(k.dst, code, len(content)), content...)
	return nil
}

// keyCode reports whether an extension of this code can be a key.
func keyCode(code int8) bool {
	switch code {
	case ExtHandle, ExtSet, ExtSlice, ExtError:
		return false
	}
	return true
}

func notKey(t token) error { return fmt.Errorf("%w: %s cannot be one", ErrKey, t.name()) }

// sequence appends a tuple or a frozen set of n elements, which in opens.
func (k *keyer) sequence(code int8, in cursor, n, depth int) error {
	if depth--; depth < 0 {
		return tooLarge("nesting", maxDepth+1, maxDepth, "levels")
	}
	start, outer := len(k.dst), k.cursor
	k.cursor = in
	ends := make([]int, 0, 16)
	for range n {
		if err := k.value(depth); err != nil {
			return err
		}
		if code == ExtFrozenSet {
			ends = append(ends, len(k.dst)-start)
		}
	}
	k.cursor = outer
	if size := len(k.dst) - start; size > maxKey {
		return tooLarge("key", uint64(size), maxKey, "bytes")
	}
	k.order(start, ends)
	k.dst = wrapItems(k.dst, code, start, n)
	return nil
}

// order sorts the pieces of dst from start on, which end at ends, by their bytes.
func (k *keyer) order(start int, ends []int) {
	if len(ends) < 2 {
		return
	}
	was := slices.Clone(k.dst[start:])
	pieces := make([][]byte, len(ends))
	from := 0
	for i, end := range ends {
		pieces[i], from = was[from:end], end
	}
	slices.SortFunc(pieces, bytes.Compare)
	k.dst = k.dst[:start]
	for _, p := range pieces {
		k.dst = append(k.dst, p...)
	}
}

// wrap makes what b has from start on the content of an extension.
func wrap(b []byte, code int8, start int) []byte {
	var head [8]byte
	return slices.Insert(b, start, AppendExtHeader(head[:0], code, len(b)-start)...)
}

// wrapItems makes what b has from start on, n elements, an extension with an array of them.
func wrapItems(b []byte, code int8, start, n int) []byte {
	var head [8]byte
	return wrap(slices.Insert(b, start, AppendArrayHeader(head[:0], n)...), code, start)
}
