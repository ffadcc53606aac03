package ipc

import "github.com/seed-185a7250/multiproc/proto"

func init() { kinds["array"] = newArray }

// A managedArray is numbers, or characters, of one type and of a length that does not change.
type managedArray struct {
	code arrayCode
	name proto.Raw // of the type
	n    int
	data value // elements of code.size bytes; counted like a stored value
}

var arrayOps = map[string]operation[*managedArray]{
	"get":     {1, 1, (*managedArray).get},
	"set":     {2, 2, (*managedArray).set},
	"len":     {0, 0, func(a *managedArray, c *call) { c.replyInt(a.n) }},
	"copy":    {0, 0, func(a *managedArray, c *call) { a.replySpan(c, span{0, 1, a.n}) }},
	"type":    {0, 0, func(a *managedArray, c *call) { c.replyRaw(a.name) }},
	"add":     {2, 2, (*managedArray).add},
	"cas":     {3, 3, (*managedArray).cas},
	"restore": {1, 1, (*managedArray).restore},
}

func newArray(c *call) (thing, error) {
	if err := c.number(2, 2); err != nil {
		return nil, err
	}
	name, err := proto.ParseString(c.args[0])
	if err != nil {
		return nil, faultf(proto.KindTypeError, "a type is a str, found %s", proto.TypeName(c.args[0]))
	}
	code, ok := arrayCodes[name]
	if !ok {
		return nil, faultf(proto.KindValueError, "there is no type %q of arrays; there are b B h H i I l L q Q f d u", name)
	}
	a := &managedArray{code: code, name: clone(c.args[0])}
	if proto.IsArray(c.args[1]) {
		return a, a.fill(c)
	}
	n, ok := proto.ParseInteger(c.args[1])
	if !ok {
		return nil, faultf(proto.KindTypeError, "an array takes an array or a length, found %s", proto.TypeName(c.args[1]))
	}
	if n < 0 {
		return nil, faultf(proto.KindValueError, "a length of %d", n)
	}
	return a, a.allocate(c, int(n))
}

// allocate makes room for n elements, which are 0.
func (a *managedArray) allocate(c *call, n int) error {
	bytes := mulCapped(n, a.code.size)
	if bytes > c.m.limits.Memory-valueBytes && c.s != nil {
		return faultf(proto.KindTooLarge, "%d elements have more than the %d bytes that a connection may store", n, c.m.limits.Memory)
	}
	if err := c.affords(bytes + valueBytes); err != nil {
		return err
	}
	a.n, a.data = n, value{raw: make(proto.Raw, bytes), by: c.memory()}
	c.m.charge(a.data)
	return nil
}

// fill makes the array that create asks for.
func (a *managedArray) fill(c *call) error {
	rs, err := proto.Elements(c.args[1], nil)
	if err != nil {
		return err
	}
	if err := a.allocate(c, len(rs)); err != nil {
		return err
	}
	for i, r := range rs {
		if err := a.code.put(a.at(i), r); err != nil {
			a.drop(c.m)
			return err
		}
	}
	return nil
}

func (a *managedArray) call(c *call) { operate(a, c, arrayOps) }
func (a *managedArray) length() int  { return a.n }

// at returns the bytes of an element.
func (a *managedArray) at(i int) []byte { return a.data.raw[i*a.code.size:][:a.code.size] }

// append appends an element as a value.
func (a *managedArray) append(b []byte, i int) []byte { return a.code.append(b, a.at(i)) }

// index returns the place that the first argument names; if there is none c is answered.
func (a *managedArray) index(c *call) (int, bool) { return c.place(0, a.n) }

func (a *managedArray) get(c *call) {
	if isSlice(c.args[0]) {
		if s, ok := c.span(0, a.n); ok {
			a.replySpan(c, s)
		}
	} else if i, ok := a.index(c); ok {
		c.finish(a.append(c.result(), i))
	}
}

// widest is the most that one element has as a value.
const widest = 9

func (a *managedArray) replySpan(c *call, s span) {
	if !c.fits(s.n, headBytes+s.n) { // at the least; finish sees how many they are
		return
	}
	b := proto.AppendArrayHeader(c.result(), s.n)
	for k := range s.n {
		b = a.append(b, s.start+k*s.step)
	}
	c.finish(b)
}

func (a *managedArray) set(c *call) {
	if isSlice(c.args[0]) {
		a.setSlice(c)
	} else if i, ok := a.index(c); ok && a.put(c, i, c.args[1]) {
		c.replyNil()
	}
}

// put overwrites the element i, or answers c with why not.
func (a *managedArray) put(c *call, i int, r proto.Raw) bool {
	if err := a.code.put(a.at(i), r); err != nil {
		c.fail(err)
		return false
	}
	c.changed()
	return true
}

func (a *managedArray) setSlice(c *call) {
	s, ok := c.span(0, a.n)
	if !ok {
		return
	}
	rs, ok := c.array(1)
	if !ok {
		return
	}
	if len(rs) != s.n {
		c.failf(proto.KindValueError, "a slice of %d elements of an array takes as many, found %d", s.n, len(rs))
		return
	}
	size := a.code.size
	packed := make([]byte, s.n*size) // all or nothing
	for k, r := range rs {
		if err := a.code.put(packed[k*size:][:size], r); err != nil {
			c.fail(err)
			return
		}
	}
	for k := range s.n {
		copy(a.at(s.start+k*s.step), packed[k*size:][:size])
	}
	c.changed()
	c.replyNil()
}

func (a *managedArray) add(c *call) {
	i, ok := a.index(c)
	if !ok {
		return
	}
	var space [widest]byte
	sum, err := c.sum(value{raw: a.append(space[:0], i)}, c.args[1])
	if err != nil {
		c.fail(err)
	} else if c.fits(1, widest) && a.put(c, i, sum) {
		c.finish(a.append(c.result(), i))
	}
}

func (a *managedArray) cas(c *call) {
	i, ok := a.index(c)
	if !ok {
		return
	}
	var space [widest]byte
	switch {
	case !proto.Equal(a.append(space[:0], i), c.args[1]):
		c.replyBool(false)
	case a.put(c, i, c.args[2]):
		c.replyBool(true)
	}
}

// dump and restore are for a journal.
func (a *managedArray) dump(b []byte) []byte { return proto.AppendBin(b, a.data.raw) }

func (a *managedArray) restore(c *call) {
	if c.s != nil {
		c.unknown()
		return
	}
	data, err := proto.ParseBin(c.args[0])
	if err != nil || copy(a.data.raw, data) != len(a.data.raw) {
		c.failf(proto.KindArguments, "the state of an array of %d bytes has %d", len(a.data.raw), len(data))
	}
}

func (a *managedArray) text(b []byte, max int) []byte {
	var space [widest]byte
	return appendText(b, max, a.n, "[", "]", func(b []byte, i, max int) []byte {
		return proto.AppendText(b, a.append(space[:0], i), max)
	})
}

func (a *managedArray) drop(m *Manager) {
	m.discard(a.data)
	a.data, a.n = value{}, 0
}
