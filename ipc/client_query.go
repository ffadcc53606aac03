package ipc

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/seed-185a7250/multiproc/proto"
)

// A query is a request to a manager and its answer. It belongs to one goroutine, but for what the link's mu guards.
type query struct {
	l      *link
	c      *Client
	of     *proxy // whose lease must last until the answer has come
	object uint64 // that it is about, if of is set
	id     uint64
	out    []byte // the frame, header included
	keep   []any  // arguments that may hold proxies
	bad    error  // why it cannot be sent

	// The answer, valid once done is set.
	in     []byte       // owns the bytes of result
	result proto.Raw    // aliases in
	fault  *proto.Fault // what the manager answers instead
	fds    []int        // of the result, not yet taken
	err    error        // why there will be no answer

	// Guarded by mu of the link.
	done         bool
	waiting      bool // in the line of those who wait for others to read
	before, next *query
	wake         chan struct{} // one element: look again
}

var queries = sync.Pool{New: func() any { return &query{wake: make(chan struct{}, 1)} }}

// keepAnswer is up to which size a query keeps its buffers for the next one.
const keepAnswer = 64 << 10

// query begins a request; the params are to be appended to out.
func (l *link) query(method string) *query {
	q := queries.Get().(*query)
	q.l, q.id = l, l.ids.Add(1)
	q.out = proto.AppendRequestHead(append(q.out[:0], 0, 0, 0, 0, 0, 0, 0, 0), q.id, method)
	return q
}

// free gives q back; its result is void then.
func (q *query) free() {
	CloseFDs(q.fds)
	out, in := q.out, q.in
	if cap(out) > keepAnswer {
		out = nil
	}
	if cap(in) > keepAnswer {
		in = nil
	}
	*q = query{out: out[:0], in: in[:0], wake: q.wake}
	queries.Put(q)
}

// seal writes the header of the frame.
func (q *query) seal(descriptors int) error {
	if q.bad != nil {
		return q.bad
	}
	head := proto.Header{Length: len(q.out) - proto.HeaderSize, Descriptors: descriptors}
	if err := checkFrame(head, q.l.limits); err != nil {
		return fmt.Errorf("ipc: call: %w", err)
	}
	if most := q.l.most; most > 0 && uint64(head.Length) > most {
		return fmt.Errorf("ipc: call: %w: frame: %d > %d bytes, which the manager takes", proto.ErrTooLarge, head.Length, most)
	}
	binary.BigEndian.PutUint32(q.out, uint32(head.Length))
	q.out[4] = byte(descriptors)
	return nil
}

// answer stores what came; m aliases the buffer of the reader.
func (q *query) answer(m proto.Message, fds []int, own []byte) {
	q.fds, q.fault = fds, m.Fault
	if m.Fault != nil {
		m.Fault.Value = append(proto.Raw(nil), m.Fault.Value...)
		return
	}
	if own != nil {
		q.in, q.result = own, m.Result
		return
	}
	q.in = append(q.in[:0], m.Result...)
	q.result = q.in
}

// failure is the error that the answer tells, nil if it is a result.
func (q *query) failure() error {
	switch {
	case q.err != nil:
		return q.err
	case q.fault != nil:
		return faultError(q.fault)
	}
	return nil
}

// take returns the result with its descriptors, which are the caller's from then on.
func (q *query) take() proto.Payload {
	p := proto.Payload{Bytes: append([]byte(nil), q.result...), FDs: q.fds}
	q.fds = nil
	return p
}
