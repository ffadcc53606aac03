package proto

// An Opaque is bytes in a format that one language or one program alone knows, such as
// "python/pickle". It travels as extension ExtBlob. Nobody else opens them, but they can be
// kept, compared byte for byte and handed on.
type Opaque struct {
	Format string
	Data   []byte
}

func (o Opaque) append(b []byte) []byte {
	start := len(b)
	b = AppendBin(AppendString(AppendArrayHeader(b, 2), o.Format), o.Data)
	return wrap(b, ExtBlob, start)
}

// parseOpaque reads the content of an ExtBlob: an array of a str and a bin. Data aliases it.
func parseOpaque(content []byte) (o Opaque, ok bool) {
	c := cursor{b: content}
	if c.tuple(2, "an opaque blob") != nil {
		return o, false
	}
	format, err := c.str("the format")
	if err != nil {
		return o, false
	}
	t, data, ok := c.next()
	if !ok || t.class != classBin || c.i != len(content) {
		return o, false
	}
	return Opaque{Format: name(format), Data: data}, true
}
