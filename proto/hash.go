package proto

import (
	"cmp"
	"hash/maphash"
	"math"
	"math/bits"
	"slices"
)

// Maps and sets are compared in the order of hashes of their keys, which equal keys have in
// common. The hash has a seed of the process, so nobody can make it collide; and what has the
// same hash is still compared. Canonical forms served at first: with sets in sets each level
// copied and sorted all that was below, and a value of 60 MiB took minutes.

var (
	hashSeed = maphash.MakeSeed()
	hashMix  = [2]uint64{maphash.String(hashSeed, "a"), maphash.String(hashSeed, "b")}
)

// mix combines two hashes; their order matters.
func mix(a, b uint64) uint64 {
	high, low := bits.Mul64(a^hashMix[0], b^hashMix[1])
	return bits.RotateLeft64(high, 29) ^ low
}

// A hasher passes values and returns for each a hash that all values which are equal to it
// have too, NaN being equal to NaN.
type hasher struct {
	cursor
	// keys makes it refuse what is, or has within, something that cannot be a key, and frozen
	// sets with an element twice.
	keys bool
	// sets, if it is not nil, is told the places of the sets within.
	sets orders
}

// orders are the places of sets that were hashed, by the first byte of their content. A set within
// others is met again when it is compared itself: hashed anew at each level, a large one under a
// hundred levels took minutes.
type orders map[*byte][]place

// A place is where an element or a key is, and its hash.
type place struct {
	hash uint64
	at   int
}

func (h *hasher) value(depth int) (uint64, error) {
	if depth == 0 {
		raw, err := h.raw("value")
		return maphash.Bytes(hashSeed, raw), err
	}
	t, content, ok := h.next()
	if !ok {
		return 0, errEnd
	}
	if n, ok := readNumber(t, content); ok {
		return n.hash(), nil
	}
	kind := uint64(t.class) << 8
	switch t.class {
	case classNil:
		return mix(kind, 0), nil
	case classStr, classBin:
		return mix(kind, maphash.Bytes(hashSeed, content)), nil
	case classExt:
		return h.ext(t.ext, content, depth)
	}
	if h.keys {
		return 0, notKey(t)
	}
	if t.class == classMap {
		return h.entries(kind, t.n(), depth-1)
	}
	return h.row(kind, t.n(), depth-1)
}

func (n number) hash() uint64 {
	switch n.kind {
	case numComplex:
		return mix(mix(uint64(numComplex), math.Float64bits(oneForm(n.f))), math.Float64bits(oneForm(n.im)))
	case numBig:
		return mix(uint64(numBig), maphash.Bytes(hashSeed, n.big))
	case numFloat:
		if n.f == math.Trunc(n.f) && !math.IsInf(n.f, 0) { // equal to a big integer
			return mix(uint64(numBig), maphash.Bytes(hashSeed, twosComplement(n.integer())))
		}
		return mix(uint64(numFloat), math.Float64bits(oneForm(n.f)))
	}
	return mix(uint64(n.kind), n.bits)
}

// row hashes n values in their order.
func (h *hasher) row(sum uint64, n, depth int) (uint64, error) {
	sum = mix(sum, uint64(n))
	for range n {
		v, err := h.value(depth)
		if err != nil {
			return 0, err
		}
		sum = mix(sum, v)
	}
	return sum, nil
}

// entries hashes n entries of a map in any order.
func (h *hasher) entries(sum uint64, n, depth int) (uint64, error) {
	for range n {
		k, err := h.value(depth)
		if err != nil {
			return 0, err
		}
		v, err := h.value(depth)
		if err != nil {
			return 0, err
		}
		sum += mix(k, v)
	}
	return mix(sum, uint64(n)), nil
}

func (h *hasher) ext(code int8, content []byte, depth int) (uint64, error) {
	if h.keys && !keyCode(code) {
		return 0, notKey(token{class: classExt, ext: code})
	}
	kind := uint64(classExt)<<8 | uint64(uint8(code))
	switch code {
	case ExtTime:
		if tm, ok := parseTime(content); ok {
			return mix(kind, mix(uint64(tm.Unix()), uint64(tm.Nanosecond()))), nil
		}
	case ExtObject:
		content = content[:min(len(content), refBytes)]
	}
	if in, n, ok := elements(content); ok && holdsValues(code) {
		inner := hasher{cursor: in, keys: h.keys, sets: h.sets}
		if code != ExtSet && code != ExtFrozenSet {
			return inner.row(kind, n, depth-1)
		}
		places, err := inner.places(n, depth-1, false)
		if err == nil && h.keys && twice(content, places, depth-1) {
			err = errTwice
		}
		if err == nil && h.sets != nil {
			h.sets[&content[0]] = places
		}
		sum := uint64(ExtSet)
		for _, p := range places {
			sum += mix(p.hash, 1)
		}
		return mix(sum, uint64(n)), err
	}
	return mix(kind, maphash.Bytes(hashSeed, content)), nil
}

// places passes n values, or n entries of a map, and tells where they or their keys are, in the
// order of their hashes.
func (h *hasher) places(n, depth int, entries bool) ([]place, error) {
	list := make([]place, 0, n)
	for range n {
		at := h.i
		v, err := h.value(depth)
		if err == nil && entries {
			err = h.skip()
		}
		if err != nil {
			return nil, err
		}
		list = append(list, place{v, at})
	}
	slices.SortFunc(list, func(a, b place) int {
		if a.hash != b.hash {
			return cmp.Compare(a.hash, b.hash)
		}
		return cmp.Compare(a.at, b.at)
	})
	return list, nil
}

// twice reports whether two of the values at places in b are equal.
func twice(b []byte, places []place, depth int) bool {
	for i := range len(places) - 1 {
		if places[i].hash == places[i+1].hash {
			p := sides{a: cursor{b, places[i].at}, b: cursor{b, places[i+1].at}, nan: true}
			if p.equal(depth) {
				return true
			}
		}
	}
	return false
}
