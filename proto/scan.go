package proto

// Scan checks that b is exactly one MessagePack value within lim: its depth, its
// elements over all levels together, and that every length fits into b. It
// allocates nothing but its error, and never looks into the content of an
// extension.
//
// It returns ErrTooLarge when a limit is passed and ErrProtocol when b is not one
// whole value. An array that claims more elements than the limit is too large even
// if b ends before them. Every decoder of this package scans first: what five bytes
// can claim (vmihailenco/msgpack#401) is refused before anybody makes room for it.
func Scan(b []byte, lim Limits) error {
	return scanValue(b, lim.filled(), closed)
}

func scanValue(b []byte, lim Limits, c contents) error {
	if len(b) > lim.value() {
		return tooLarge("value", uint64(len(b)), uint64(lim.value()), "bytes")
	}
	return scanAll(b, lim, c)
}

// scanAll is Scan with filled limits and without the limit on bytes, which the
// frame had.
func scanAll(b []byte, lim Limits, c contents) error {
	s := scanner{b: b, room: lim.Elements, limits: lim, contents: c}
	if err := s.value(lim.Depth); err != nil {
		return err
	}
	if left := len(b) - s.i; left > 0 {
		return protocolf("%d bytes after the end of the value", left)
	}
	return nil
}

type scanner struct {
	b        []byte
	i        int
	room     int // elements that may still come
	handles  int // extensions with the code of handles seen
	contents contents
	inSet    bool // within a set, which is checked as a whole
	limits   Limits
}

// value passes one value that may nest depth levels. It recurses once per level:
// never deeper than the limit.
func (s *scanner) value(depth int) error {
	if n := short(s.b, s.i); n > 0 {
		s.i += n
		return nil
	}
	t, err := readToken(s.b[s.i:])
	if err != nil {
		return err
	}
	s.i += t.head()
	n := t.n()
	switch t.class {
	case classMap:
		n *= 2
	case classArray:
	case classExt:
		if t.ext == ExtHandle {
			s.handles++
		}
		if s.contents != closed {
			if err := s.content(t.ext, s.b[s.i:s.i+n], depth); err != nil {
				return err
			}
		}
		fallthrough
	default:
		s.i += t.n()
		return nil
	}
	if depth == 0 {
		return tooLarge("nesting", uint64(s.limits.Depth)+1, uint64(s.limits.Depth), "levels")
	}
	if n > s.room {
		return tooLarge("value", uint64(s.limits.Elements-s.room)+uint64(n), uint64(s.limits.Elements), "elements")
	}
	s.room -= n
	if left := len(s.b) - s.i; n > left {
		return protocolf("%s with %d values and %d bytes left", t.class, n, left)
	}
	for range n {
		if err := s.value(depth - 1); err != nil {
			return err
		}
	}
	return nil
}
