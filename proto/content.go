package proto

// This file opens the content of extensions. Values are scanned when they come, and a scan
// does not look into extensions; so whoever opens one checks its content first. Content that
// is not what PROTOCOL.md says is left closed: such an extension is its code and its bytes,
// like one that nobody knows.

// next returns the next token and, of a str, bin or extension, its content, and moves behind
// them; of an array or a map it moves behind the head. ok is false at the end of the bytes.
func (c *cursor) next() (t token, content []byte, ok bool) {
	t, err := readToken(c.b[c.i:])
	if err != nil {
		return t, nil, false
	}
	c.i += t.head()
	if t.class == classArray || t.class == classMap || t.n() == 0 {
		return t, nil, true
	}
	content = c.b[c.i : c.i+t.n() : c.i+t.n()]
	c.i += t.n()
	return t, content, true
}

// elements opens content that must be exactly one array: it returns a cursor at the first of
// n elements. Extensions among them are skipped, not opened: so opening all levels of a value
// one after the other passes each token twice, however deep they are.
func elements(content []byte) (c cursor, n int, ok bool) {
	t, err := readToken(content)
	if err != nil || t.class != classArray {
		return c, 0, false
	}
	whole := cursor{b: content}
	if whole.skip() != nil || whole.i != len(content) {
		return c, 0, false
	}
	return cursor{b: content, i: t.head()}, t.n(), true
}

// A walker yields all tokens of a scanned value one after the other, those inside of tuples,
// sets, slices and errors too. It keeps no count of what is open: in bytes that were scanned
// the tokens follow each other up to the end.
type walker struct{ cursor }

func (w *walker) next() (token, []byte, bool) {
	t, content, ok := w.cursor.next()
	if ok && t.class == classExt && holdsValues(t.ext) {
		if in, _, ok := elements(content); ok {
			w.i += in.i - len(content) // back, behind the head of the array
		}
	}
	return t, content, ok
}

// holdsValues reports whether the content of an extension is an array of any values.
func holdsValues(code int8) bool {
	switch code {
	case ExtTuple, ExtSet, ExtFrozenSet, ExtSlice, ExtError:
		return true
	}
	return false
}

// one returns the token and content of a value that is to be taken alone.
func one(v Raw) (token, []byte, bool) {
	c := cursor{b: v}
	return c.next()
}
