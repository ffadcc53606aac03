package ipc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// A call is one request under way: one operation of one object. It is answered once, with one
// of the methods that append a result, or with fail. It is valid until then, or until the
// operation returns without an answer, having parked it.
type call struct {
	m     *Manager
	s     *session // nil while a journal is replayed
	id    uint64   // of the request; in a batch, of that
	batch *[]byte  // where the answer goes, in a batch
	after int      // how many calls of the batch come behind this one
	obj   *object
	op    string
	args  []proto.Raw // valid during the operation
	owner uint64
	wait  time.Duration // proto.Forever: no limit

	failed error // in a replay

	space [4]proto.Raw // for args
	start int          // of the answer, in out
	body  int          // of its body
	lent  []value      // in the answer, with references
}

// result begins the answer and returns the buffer to which one encoded value is to be
// appended; finish ends it.
func (c *call) result() []byte {
	if c.batch != nil {
		c.start = len(*c.batch)
		return proto.AppendNil(proto.AppendArrayHeader(*c.batch, 2))
	}
	if c.s == nil {
		return nil
	}
	c.start = len(c.s.out)
	b := append(c.s.out, make([]byte, proto.HeaderSize)...)
	c.body = len(b)
	return proto.AppendResponseHead(b, c.id)
}

// finish ends the answer b, and gives the session a lease for each reference in it.
func (c *call) finish(b []byte) {
	switch {
	case c.s == nil || c.s.ended:
	case c.batch == nil && c.s.deaf.Load():
		c.s.out = b[:c.start]
	case c.batch != nil && len(b) > c.most():
		c.refuse(len(b) - c.start)
		return
	case c.batch != nil && !c.count(b[c.start:]):
		clear(c.lent)
		c.lent = c.lent[:0]
		c.failf(proto.KindTooLarge, "the answers of the batch have more than %d elements", maxElements)
		return
	case c.batch != nil:
		*c.batch = b
	case len(b)-c.body > c.most():
		c.s.out = b[:c.start]
		c.refuse(len(b) - c.body)
		return
	case !countable(b[c.body:]):
		c.s.out = b[:c.start]
		clear(c.lent)
		c.lent = c.lent[:0]
		c.failf(proto.KindTooLarge, "the result has more than %d elements", maxElements)
		return
	default:
		binary.BigEndian.PutUint32(b[c.start:], uint32(len(b)-c.body))
		c.s.out = b
		c.s.touch()
	}
	for _, v := range c.lent {
		c.m.lend(c.s, v)
	}
	clear(c.lent)
	c.lent = c.lent[:0]
}

// countable tells whether the body of a response has no more elements than one value may have: a
// client would end the connection for it. There are no more than bytes.
func countable(body proto.Raw) bool {
	const head = 4
	return len(body) <= maxElements || proto.CountElements(body) <= maxElements+head
}

// count adds the elements of an answer to those of its batch, if they are not too many: the calls
// behind it must have room to fail. Small answers have fewer than bytes, and are counted as they
// are only when there are many.
func (c *call) count(answer proto.Raw) bool {
	n := len(answer)
	if n > 64 || c.s.batched > maxElements/4 {
		n = 1 + proto.CountElements(answer)
	}
	if c.s.batched+n > maxElements-c.after*leastElements {
		return false
	}
	c.s.batched += n
	return true
}

// elements is how many the result may have.
func (c *call) elements() int {
	if c.batch == nil || c.s == nil {
		return maxElements
	}
	return maxElements - c.s.batched - (c.after+1)*leastElements
}

// most is how many bytes the body of the answer may have; in a batch, how many all answers up
// to this one. The calls behind it must have room to fail.
func (c *call) most() int { return min(c.m.limits.Frame, c.m.unread.left()) - c.after*leastAnswer }

// leastAnswer is enough for the answer of a failed call in a batch, without words.
const leastAnswer = 32

// leastElements is enough for the answer of any call that has no value in it, and for what stands
// around one.
const leastElements = 8

// maxBatchCalls is how many calls a batch may have, so that most of the elements are left for
// what they answer.
const maxBatchCalls = maxElements / 2 / leastElements

// room is how many bytes the result may have.
func (c *call) room() int {
	switch {
	case c.batch != nil:
		return c.most() - len(*c.batch) - leastAnswer
	case c.s == nil:
		return math.MaxInt
	}
	return c.most() - leastAnswer
}

// refuse drops the answer, whose size this is.
func (c *call) refuse(bytes int) {
	clear(c.lent)
	c.lent = c.lent[:0]
	c.failf(proto.KindTooLarge, "the result has %d bytes, the most is %d", bytes, c.room())
}

func (c *call) replyNil()          { c.finish(proto.AppendNil(c.result())) }
func (c *call) replyBool(v bool)   { c.finish(proto.AppendBool(c.result(), v)) }
func (c *call) replyInt(v int)     { c.finish(proto.AppendInt(c.result(), int64(v))) }
func (c *call) replyUint(v uint64) { c.finish(proto.AppendUint(c.result(), v)) }
func (c *call) replyValue(v value) { c.finish(c.append(c.result(), v)) }
func (c *call) replyRaw(r proto.Raw) {
	c.finish(append(c.result(), r...))
}

// append appends a stored value to the answer. Its references will be lent.
func (c *call) append(b []byte, v value) []byte {
	if c.s != nil && c.batch == nil && c.s.deaf.Load() {
		return b // much that was asked for and is for nobody takes time
	}
	if v.refs > 0 && c.s != nil {
		c.lent = append(c.lent, v)
	}
	return append(b, v.raw...)
}

// replyValues answers with an array.
func (c *call) replyValues(vs []value) {
	b := proto.AppendArrayHeader(c.result(), len(vs))
	for _, v := range vs {
		b = c.append(b, v)
	}
	c.finish(b)
}

// fail answers with an error: a fault as it is, anything else by its meaning.
func (c *call) fail(err error) {
	f, ok := errors.AsType[*proto.Fault](err)
	switch {
	case ok:
	case errors.Is(err, proto.ErrTooLarge):
		f = &proto.Fault{Kind: proto.KindTooLarge, Text: err.Error()}
	default:
		f = &proto.Fault{Kind: proto.KindArguments, Text: err.Error()}
	}
	if c.batch != nil {
		start := len(*c.batch)
		b := proto.AppendNil(proto.AppendFault(proto.AppendArrayHeader(*c.batch, 2), f))
		if len(b) > c.most() || !c.count(b[start:]) {
			c.s.batched += leastElements
			b = proto.AppendNil(proto.AppendFault(proto.AppendArrayHeader(*c.batch, 2), &proto.Fault{Kind: f.Kind}))
		}
		*c.batch = b
		return
	}
	if c.s == nil {
		c.failed = f
	} else {
		c.s.respond(c.id, f, nil)
	}
}

func (c *call) failf(kind, format string, args ...any) {
	c.fail(faultf(kind, format, args...))
}

func faultf(kind, format string, args ...any) *proto.Fault {
	return &proto.Fault{Kind: kind, Text: fmt.Sprintf(format, args...)}
}

// unknown answers a call of an operation that the kind does not have.
func (c *call) unknown() {
	c.failf(proto.KindUnknownMethod, "a %s has no operation %q", c.obj.kind, c.op)
}

// arity checks the number of arguments. When it is wrong the call is answered.
func (c *call) arity(least, most int) bool {
	err := c.number(least, most)
	if err != nil {
		c.fail(err)
	}
	return err == nil
}

func (c *call) number(least, most int) error {
	n := len(c.args)
	if n >= least && n <= most {
		return nil
	}
	want := fmt.Sprint(least)
	if most > least {
		want = fmt.Sprintf("%d to %d", least, most)
	}
	return faultf(proto.KindArguments, "%s of a %s takes %s arguments, found %d", c.op, c.obj.kind, want, n)
}

// respond appends one response to what is to be sent.
func (s *session) respond(id uint64, f *proto.Fault, result []byte) {
	if s.ended {
		return
	}
	start := len(s.out)
	b := append(s.out, make([]byte, proto.HeaderSize)...)
	b = proto.AppendResponse(b, id, f, result)
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-proto.HeaderSize))
	s.out = b
	s.touch()
}
