package ipc

import (
	"slices"

	"github.com/seed-185a7250/multiproc/proto"
)

// An object is what an id stands for: its kind's thing, and who refers to it.
type object struct {
	id    uint64
	kind  string
	name  string
	thing thing
	args  proto.Raw // with which it was created; only for a journal

	leases  int // of all sessions
	stored  int // references in values
	kept    bool
	waiting int // calls that wait on it
	by      *account
	dying   bool
	ended   bool

	touched uint64 // grows with each call, and with each reference that comes or goes
	suspect bool   // only objects that refer to each other may hold it
	lost    bool   // that is so
}

// A thing is one kind of object, in its state. Its methods are called with the Manager's mutex
// held: they must not block.
type thing interface {
	// call executes c.op, and answers c or parks it.
	call(c *call)
	// text appends what is in it, for people, in about max bytes.
	text(b []byte, max int) []byte
	// drop is called when the object ends: it lets go of the values, and of who waits with
	// reason objectEnd.
	drop(m *Manager)
}

// A measured thing has elements.
type measured interface{ length() int }

// A maker makes a thing of the args of create. It answers c only with an error, through the
// error that it returns.
type maker func(c *call) (thing, error)

// kinds has the kinds that a client may create. Each file object_*.go adds its own.
var kinds = map[string]maker{}

// create makes an object that nobody refers to yet: the caller sees to that at once.
func (m *Manager) create(c *call, kind, name string) (*object, error) {
	mk := kinds[kind]
	if mk == nil {
		return nil, faultf(proto.KindUnknownKind, "no kind of object is called %q", kind)
	}
	if err := c.affords(objectBytes); err != nil {
		return nil, err
	}
	o := &object{kind: kind, name: name}
	c.obj = o
	var err error
	if o.thing, err = mk(c); err != nil {
		return nil, err
	}
	c.enter(o)
	if m.journal != nil && o.args == nil {
		o.args = appendRaws(nil, c.args)
	}
	return o, nil
}

// keep says whether the Manager itself refers to o. It is called once for a new object.
func (m *Manager) keep(o *object, on bool) {
	o.kept = on
	m.mayEnd(o)
	if m.journal != nil && o.args != nil {
		m.journal.header(o)
	}
}

// objectBytes is what an object counts besides its values.
const objectBytes = 512

// enter gives an object its id. It counts for who made it.
func (c *call) enter(o *object) {
	if o.by = c.memory(); o.by != nil {
		o.by.bytes += objectBytes
	}
	c.m.enter(o)
}

// enter gives an object its id.
func (m *Manager) enter(o *object) {
	m.last++
	o.id = m.last
	m.objects[o.id] = o
	if o.name != "" {
		m.names[o.name] = o
	}
	if m.journal != nil {
		m.journal.given()
	}
}

// find returns the object of this name.
func (m *Manager) find(n proto.ObjectName) (*object, error) {
	if n.Name != "" {
		if o := m.names[n.Name]; o != nil {
			return o, nil
		}
		return nil, faultf(proto.KindUnknownObject, "no object is called %q", n.Name)
	}
	if o := m.objects[n.ID]; o != nil {
		return o, nil
	}
	if n.ID > 0 && n.ID <= m.last {
		return nil, faultf(proto.KindGone, "object %d has ended", n.ID)
	}
	return nil, faultf(proto.KindUnknownObject, "there is no object %d", n.ID)
}

// lease gives s a reference to o.
func (m *Manager) lease(s *session, o *object, n int) {
	o.touched++
	s.leases[o] += n
	o.leases += n
	m.stats.leases += n
}

// release takes n leases of s away, which has as many.
func (m *Manager) release(s *session, o *object, n int) {
	if s.leases[o] -= n; s.leases[o] == 0 {
		delete(s.leases, o)
	}
	o.leases -= n
	m.stats.leases -= n
	m.mayEnd(o)
}

// mayEnd notes an object that has lost a reference, if nobody may refer to it any more. It is
// looked at again when the operation under way is over, so that what it still returns can be lent
// before.
func (m *Manager) mayEnd(o *object) {
	o.touched++
	switch {
	case o.dying || o.ended || o.leases > 0 || o.kept:
	case o.stored > 0:
		m.suspect(o)
	default:
		o.dying = true
		m.dying = append(m.dying, o)
	}
}

func (o *object) refs() int {
	n := o.leases + o.stored
	if o.kept {
		n++
	}
	return n
}

// bury ends the objects that nobody refers to. What they referred to may follow.
func (m *Manager) bury() {
	for len(m.dying) > 0 {
		o := m.dying[len(m.dying)-1]
		m.dying = m.dying[:len(m.dying)-1]
		o.dying = false
		if o.refs() > 0 && !o.lost {
			continue
		}
		o.ended = true
		o.touched++
		delete(m.objects, o.id)
		if o.name != "" {
			delete(m.names, o.name)
		}
		if o.by != nil {
			o.by.bytes -= objectBytes
		}
		o.thing.drop(m)
		if m.journal != nil && o.args != nil {
			m.journal.ended(o)
		}
	}
}

// sorted returns the objects by id.
func (m *Manager) sorted() []*object {
	all := make([]*object, 0, len(m.objects))
	for _, o := range m.objects {
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b *object) int { return int(a.id) - int(b.id) })
	return all
}
