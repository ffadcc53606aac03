package proto

import (
	"errors"
	"fmt"
)

// ScanDeep checks that b is one MessagePack value within lim, as Scan does, and that the
// content of every extension of this protocol in it, at any depth, is what PROTOCOL.md says:
// tuples, sets, frozen sets, big integers, slices, references, errors, opaque blobs and complex
// numbers. Their levels and elements count like those of arrays and maps. Whoever keeps the
// values of others and works on them checks them so when they come.
//
// It returns ErrTooLarge and ErrProtocol as Scan does, ErrProtocol also for malformed content.
// The frame in which such a value came was good all the same: the connection can go on. Only
// sets cost memory, for no element may be in them twice, nor may one that cannot be a key.
func ScanDeep(b []byte, lim Limits) error {
	return scanValue(b, lim.filled(), strict)
}

// How a scanner treats extensions whose content holds values.
type contents uint8

const (
	closed contents = iota // does not look into them
	opened                 // counts what is in them; malformed ones are closed
	strict                 // refuses malformed ones
)

// content checks the content of an extension, of which depth levels may still be used.
func (s *scanner) content(code int8, b []byte, depth int) error {
	if !holdsValues(code) {
		if s.contents == strict {
			return checkPlain(code, b)
		}
		return nil
	}
	in := scanner{b: b, room: s.room, handles: s.handles, limits: s.limits, contents: s.contents,
		inSet: s.inSet || code == ExtSet || code == ExtFrozenSet}
	err := in.array(code, depth)
	if err == nil && s.contents == strict {
		err = checkHolder(code, b, s.inSet)
	}
	switch {
	case err == nil:
		s.room, s.handles = in.room, in.handles
	case s.contents == opened && errors.Is(err, ErrProtocol):
		return nil
	}
	return err
}

// array passes content that must be exactly one array.
func (s *scanner) array(code int8, depth int) error {
	if t, err := readToken(s.b); err != nil || t.class != classArray {
		return malformed(code, "must be an array")
	}
	if err := s.value(depth); err != nil {
		return fmt.Errorf("%w (in %s)", err, extName(code))
	}
	if s.i < len(s.b) {
		return malformed(code, "has bytes after its end")
	}
	return nil
}

// checkHolder checks what is in an array that was scanned.
func checkHolder(code int8, b []byte, within bool) error {
	switch code {
	case ExtSet, ExtFrozenSet:
		if within {
			return nil // the outermost set has seen to it
		}
		return checkSet(code, b)
	case ExtSlice:
		if _, ok := parseSlice(b); !ok {
			return malformed(code, "must be three integers or nil")
		}
	case ExtError:
		if _, err := ParseFault(b); err != nil {
			return err
		}
	}
	return nil
}

// checkSet checks that the elements of a set, and of those within it, are all different and can
// be keys.
func checkSet(code int8, b []byte) error {
	c, n, _ := elements(b)
	h := hasher{cursor: c, keys: true}
	places, err := h.places(n, maxDepth, false)
	if err == nil && twice(b, places, maxDepth) {
		err = errTwice
	}
	if err != nil {
		return malformed(code, "must be of keys, each once: "+err.Error())
	}
	return nil
}

var errTwice = errors.New("an element is there twice")

// checkPlain checks content without levels.
func checkPlain(code int8, b []byte) error {
	switch code {
	case ExtBigInt:
		if len(b) == 0 {
			return malformed(code, "must have 1 byte at least")
		}
	case ExtObject:
		if len(b) < refBytes {
			return malformed(code, "must have 16 bytes at least")
		}
	case ExtBlob:
		if _, ok := parseOpaque(b); !ok {
			return malformed(code, "must be an array of a str and a bin")
		}
	case ExtComplex:
		if len(b) != 16 {
			return malformed(code, "must have 16 bytes")
		}
	}
	return nil
}

func malformed(code int8, what string) error {
	return protocolf("the content of %s (extension %d) %s", extName(code), code, what)
}
