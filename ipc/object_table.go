package ipc

import (
	"errors"

	"github.com/seed-185a7250/multiproc/proto"
)

// A table maps keys to values, in the order in which the keys were set first. Dicts and
// namespaces are made of it.
//
// order has holes where keys were removed, never more than entries, and is closed up when a
// removal would make it so; that, too, changes shape, so positions in it hold as long as shape.
type table struct {
	index   map[string]*entry // by canonical key; removed ones too, as long as they are remembered
	order   []*entry          // nil where one was removed
	n       int
	peak    int    // of len(index) since that was made
	shape   uint64 // grows when a key is added or removed
	version uint64 // of the last change

	past      history // of the entries that are there
	removed   history // of those that are remembered to have been removed
	remember  bool    // somebody asked about versions: removals are remembered from now on
	lost      int     // bytes of the keys of the removed
	forgotten uint64  // version of the last removal that is not remembered
	scratch   []byte  // for canonical keys
}

// An entry is one key with its value.
type entry struct {
	canon   string
	key     value // as it was first set
	value   value
	version uint64
	place   int // in order; -1: removed
	links   struct{ older, newer *entry }
}

// What a table remembers of removals at most.
const (
	maxRemoved      = 1024
	maxRemovedBytes = 64 << 10
)

func newTable() table { return table{index: map[string]*entry{}} }

// find returns the entry of a canonical key, nil if it is not there.
func (t *table) find(canon []byte) *entry {
	if e := t.index[string(canon)]; e != nil && e.place >= 0 {
		return e
	}
	return nil
}

// canon returns the canonical form of a key, which is valid until the next is asked for.
func (t *table) canon(key proto.Raw) ([]byte, error) {
	b, err := proto.AppendKey(t.scratch[:0], key)
	if cap(b) <= maxSpare {
		t.scratch = b
	}
	switch {
	case errors.Is(err, proto.ErrTooLarge):
		return nil, err
	case err != nil:
		return nil, faultf(proto.KindTypeError, "%v", err)
	}
	return b, nil
}

// change gives a value to an entry that is there.
func (t *table) change(m *Manager, e *entry, v value) {
	old := e.value
	e.value = v
	t.past.remove(e)
	t.stamp(e)
	m.discard(old)
}

// add adds a key that is not there.
func (t *table) add(m *Manager, canon []byte, key, v value) *entry {
	e := t.index[string(canon)]
	if e == nil {
		e = &entry{canon: string(canon)}
		t.index[e.canon] = e
	} else {
		t.removed.remove(e)
		t.lost -= len(e.key.raw)
		m.discard(e.key)
	}
	e.key, e.value, e.place = key, v, len(t.order)
	t.order = append(t.order, e)
	t.n++
	t.peak = max(t.peak, len(t.index))
	t.shape++
	t.stamp(e)
	return e
}

// stamp gives an entry the next version.
func (t *table) stamp(e *entry) {
	t.version++
	e.version = t.version
	t.past.push(e)
}

// remove takes an entry out, and returns its value, which is the caller's.
func (t *table) remove(m *Manager, e *entry) value {
	v := e.value
	e.value = value{}
	t.order[e.place] = nil
	e.place = -1
	t.n--
	t.shape++
	t.version++
	e.version = t.version
	t.past.remove(e)
	t.bury(m, e)
	t.close()
	return v
}

// bury remembers a removed entry, or forgets it. A key with references must not keep what they
// refer to.
func (t *table) bury(m *Manager, e *entry) {
	if !t.remember || e.key.refs > 0 {
		t.forget(m, e)
		return
	}
	t.removed.push(e)
	t.lost += len(e.key.raw)
	for t.removed.n > maxRemoved || t.lost > maxRemovedBytes {
		oldest := t.removed.oldest
		t.removed.remove(oldest)
		t.lost -= len(oldest.key.raw)
		t.forget(m, oldest)
	}
}

func (t *table) forget(m *Manager, e *entry) {
	t.forgotten = max(t.forgotten, e.version)
	delete(t.index, e.canon)
	m.discard(e.key)
}

// close closes up order when it has too many holes, and makes a smaller index when few of many
// keys are left, for maps do not shrink by themselves.
func (t *table) close() {
	for len(t.order) > 0 && t.order[len(t.order)-1] == nil {
		t.order = t.order[:len(t.order)-1]
	}
	holes := len(t.order) >= 32 && t.n <= len(t.order)/2
	shrunk := t.peak >= 64 && len(t.index) <= t.peak/4
	if !holes && !shrunk {
		return
	}
	order := make([]*entry, 0, t.n+t.n/4)
	index := make(map[string]*entry, len(t.index))
	for e := range t.each {
		e.place = len(order)
		order = append(order, e)
		index[e.canon] = e
	}
	for e := range t.removed.after(0) {
		index[e.canon] = e
	}
	t.order, t.index, t.peak = order, index, len(index)
}

// last returns the entry that was added last; nil if there is none.
func (t *table) last() *entry {
	if t.n == 0 {
		return nil
	}
	return t.order[len(t.order)-1]
}

// each yields the entries in order.
func (t *table) each(yield func(e *entry) bool) {
	for _, e := range t.order {
		if e != nil && !yield(e) {
			return
		}
	}
}

// text writes the entries for people; name writes what stands before a value.
func (t *table) text(b []byte, max int, open, end string, name func(b []byte, e *entry, max int) []byte) []byte {
	next := 0
	return appendText(b, max, t.n, open, end, func(b []byte, _, max int) []byte {
		for t.order[next] == nil {
			next++
		}
		e := t.order[next]
		next++
		start := len(b)
		b = name(b, e, max)
		return proto.AppendText(b, e.value.raw, max-(len(b)-start))
	})
}

// put stores a value under a key, whose entry is e if there is one. It is the caller's to note
// the change.
func (t *table) put(c *call, e *entry, canon []byte, key, r proto.Raw) (*entry, error) {
	v, err := c.store(r)
	if err != nil {
		return nil, err
	}
	if e != nil {
		t.change(c.m, e, v)
		return e, nil
	}
	k, err := c.store(key)
	if err != nil {
		c.m.discard(v)
		return nil, err
	}
	return t.add(c.m, canon, k, v), nil
}

// lookup finds the entry of the first argument, nil if there is none. When that cannot be a key
// c is answered.
func (t *table) lookup(c *call) (e *entry, canon []byte, ok bool) {
	canon, err := t.canon(c.args[0])
	if err != nil {
		c.fail(err)
		return nil, nil, false
	}
	return t.find(canon), canon, true
}

// sum is what add makes of the value of e and the arguments key, delta and start. Where it is
// none c is answered, with a fault of kind missing if there is neither e nor a start.
func (t *table) sum(c *call, e *entry, missing string) (proto.Raw, bool) {
	var old value
	switch {
	case e != nil:
		old = e.value
	case len(c.args) == 3:
		old.raw = c.args[2]
	default:
		c.missing(missing, c.args[0])
		return nil, false
	}
	sum, err := c.sum(old, c.args[1])
	if err != nil {
		c.fail(err)
	}
	return sum, err == nil
}

// maxFaultValue bounds the key that a fault carries.
const maxFaultValue = 1 << 20 // bytes

// missing answers that there is no such key.
func (c *call) missing(kind string, key proto.Raw) {
	f := faultf(kind, "%s", proto.AppendText(nil, key, 200))
	if len(key) <= maxFaultValue {
		f.Value = key
	}
	c.fail(f)
}

// visit is for who looks for references.
func (t *table) visit(from, most int, f func(v value)) (next int) {
	for i := from; i < len(t.order); i++ {
		if i-from == most {
			return i
		}
		if e := t.order[i]; e != nil {
			f(e.key)
			f(e.value)
		}
	}
	return -1
}

// drop lets go of everything.
func (t *table) drop(m *Manager) {
	for _, e := range t.index {
		m.discard(e.key)
		if e.place >= 0 {
			m.discard(e.value)
		}
	}
	*t = table{}
}
