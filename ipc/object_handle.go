package ipc

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/proto"
)

// A deposited thing is something that lives in descriptors, held for whoever asks for it.
type deposited struct {
	handle proto.Handle
	fds    []int
	by     *account
}

// deposit executes a message that came with descriptors. No other method takes any.
func (s *session) deposit(msg proto.Message, f Frame) error {
	defer f.Close() // what is held is a duplicate
	if msg.Kind != proto.Request || msg.Method != proto.MethodDeposit {
		return fmt.Errorf("%w: %d descriptors with %q", proto.ErrProtocol, len(f.FDs), msg.Method)
	}
	if err := s.execute(); err != nil { // what came before
		return err
	}
	s.m.lock()
	defer s.m.unlock()
	c := &call{m: s.m, s: s, id: msg.ID, op: proto.MethodDeposit}
	if err := c.deposit(msg.Params, f.FDs); err != nil {
		c.fail(err)
	}
	return nil
}

// depositNothing answers a deposit that came without descriptors; see session.deposit.
func (c *call) depositNothing(params []proto.Raw) error {
	if !c.s.carries() {
		return faultf(proto.KindDenied, "descriptors cannot be sent over this connection")
	}
	return faultf(proto.KindTypeError, "deposit takes a handle with descriptors, found %s", proto.TypeName(params[0]))
}

func (c *call) deposit(params proto.Raw, fds []int) error {
	ps, err := proto.Elements(params, nil)
	if err == nil && len(ps) != 2 {
		err = faultf(proto.KindArguments, "deposit takes 2 params, found %d", len(ps))
	}
	if err != nil {
		return err
	}
	o, err := parseCreateOptions(ps[1])
	if err != nil {
		return err
	}
	if old := c.m.names[o.name]; o.name != "" && old != nil {
		return faultf(proto.KindExists, "the name %q is that of a %s", o.name, old.kind)
	}
	if len(c.s.leases) >= c.m.limits.Objects {
		return c.tooManyObjects()
	}
	if err := c.holds(len(fds), len(ps[0])); err != nil {
		return err
	}
	d, err := newDeposited(ps[0], fds)
	if err != nil {
		return err
	}
	d.charge(c.m, c.memory(), 1)
	made := &object{kind: "handle", name: o.name, thing: d, kept: o.keep}
	c.enter(made)
	return c.leased(made, true)
}

// holds tells whether so many more descriptors may be held, with a meta of so many bytes.
func (c *call) holds(fds, meta int) error {
	by, most := c.memory(), c.m.limits.Descriptors
	if by.descriptors+fds > most {
		return faultf(proto.KindTooMany, "the connection has deposited %d descriptors, the most is %d", by.descriptors, most)
	}
	if c.m.stats.descriptors+fds > c.m.mostDescriptors {
		return faultf(proto.KindTooMany, "the manager holds %d descriptors, and has no place for %d more", c.m.stats.descriptors, fds)
	}
	return c.affords(objectBytes + meta)
}

// charge counts what d has, once more or less, for who deposited it.
func (d *deposited) charge(m *Manager, by *account, times int) {
	d.by = by
	by.descriptors += times * len(d.fds)
	by.bytes += times * len(d.handle.Meta)
	m.stats.descriptors += times * len(d.fds)
}

func newDeposited(r proto.Raw, fds []int) (*deposited, error) {
	ref, err := proto.ParseHandleRef(r)
	if err != nil {
		return nil, faultf(proto.KindTypeError, "deposit takes a handle, found %s", proto.TypeName(r))
	}
	mine, err := ref.Pick(fds)
	if err != nil {
		return nil, err
	}
	d := &deposited{handle: proto.Handle{Kind: ref.Kind, Meta: bytes.Clone(ref.Meta)}}
	d.fds, err = dupAll(mine)
	return d, err
}

// dupAll duplicates descriptors, all or none.
func dupAll(fds []int) ([]int, error) {
	var dups []int
	for _, fd := range fds {
		n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			CloseFDs(dups)
			return nil, faultf(proto.KindInternal, "the manager cannot hold another descriptor: %v", err)
		}
		dups = append(dups, n)
	}
	return dups, nil
}

func (d *deposited) call(c *call) {
	switch c.op {
	case "open":
		if c.arity(0, 0) {
			d.open(c)
		}
	case "handle_kind":
		if c.arity(0, 0) {
			c.replyInt(int(d.handle.Kind))
		}
	default:
		c.unknown()
	}
}

// open answers with the handle, and descriptors of its own.
func (d *deposited) open(c *call) {
	if c.batch != nil {
		c.failf(proto.KindDenied, "open is not possible in a batch")
		return
	}
	if !c.s.carries() {
		c.failf(proto.KindDenied, "descriptors cannot be sent over this connection")
		return
	}
	fds, err := dupAll(d.fds)
	if err != nil {
		c.fail(err)
		return
	}
	ref := proto.HandleRef{Handle: d.handle, First: 0, Count: len(fds)}
	b := c.result()
	b = proto.AppendHandle(b, ref)
	binary.BigEndian.PutUint32(b[c.start:], uint32(len(b)-c.body))
	b[c.start+4] = byte(len(fds))
	c.s.files = append(c.s.files, outFile{at: c.start, end: len(b), fds: fds})
	c.s.out = b
	c.s.touch()
}

func (d *deposited) text(b []byte, max int) []byte {
	return fmt.Appendf(b, "<handle of kind %d, %d descriptors>", d.handle.Kind, len(d.fds))
}

func (d *deposited) drop(m *Manager) {
	d.charge(m, d.by, -1)
	CloseFDs(d.fds)
}
