package ipc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// Offer serves an object that another package has made, under a name, until the Manager is
// closed; kind is what clients are told that it is. It returns ErrExists if the name is taken.
//
// open is called once for each connection that calls the object; ctx ends with the connection.
// The function that it returns executes the calls of that connection, one after another in the
// order in which they came, in a goroutine of its own and without any lock. It should return
// soon, for those behind wait; what takes longer it answers later, from any goroutine.
func (m *Manager) Offer(name, kind string, open func(ctx context.Context) func(*Request)) error {
	m.lock()
	defer m.unlock()
	if name == "" || len(name) > 255 {
		return fmt.Errorf("ipc: offer: a name of %d bytes, 1 to 255 are allowed", len(name))
	}
	if m.names[name] != nil {
		return fmt.Errorf("ipc: offer %q: %w", name, ErrExists)
	}
	m.enter(&object{kind: kind, name: name, kept: true, thing: &offered{m: m, open: open, visits: map[*session]*visit{}}})
	return nil
}

// A Request is one call of an object that is offered. It is answered once, or its connection
// ends.
type Request struct {
	Op   string
	Args []proto.Raw // one encoded value each, which nobody changes

	m    *Manager
	p    *parked
	vs   []value       // the Args; nil when they are let go
	wait time.Duration // how long it may wait
	quit func()
}

// Answer answers with one encoded value (nil is nil), or with an error: a *proto.Fault as it is, any
// other as a fault of kind error. References in the result are leases of the receiver. It
// returns false, and does nothing, if the call was answered before or its connection has ended.
func (r *Request) Answer(result proto.Raw, err error) bool {
	r.m.lock()
	defer r.m.unlock()
	p := r.p
	if p.gone {
		return false
	}
	p.take()
	switch f, ok := errors.AsType[*proto.Fault](err); {
	case ok:
		p.fail(f)
	case err != nil:
		p.failf(proto.KindError, "%v", err)
	case len(result) == 0:
		p.replyNil()
	default:
		p.lent = []value{{raw: result, refs: 1}} // for whatever is in it
		p.finish(append(p.result(), result...))
	}
	r.letGo()
	return true
}

// Wait says that the answer comes later, and that the client may call it off until then: when
// the call's time is over, or it is cancelled, it is answered with the fault that says so, and
// quit is called in a goroutine of its own, if it is not nil. It returns false, and quit will
// not be called, if that has happened already, and if the call has no time to wait at all.
//
// Without Wait a call has no limit of time, and a cancel does nothing.
func (r *Request) Wait(quit func()) bool {
	r.m.lock()
	defer r.m.unlock()
	p := r.p
	if p.gone {
		return false
	}
	p.bound = false
	switch {
	case p.calledOff:
		p.quit(cancelled)
	case r.wait <= 0:
		p.quit(overTime)
	default:
		r.quit = quit
		p.clock(r.wait)
	}
	return !p.gone
}

// Time returns how long the call may wait, as it was when it came: 0 not at all, proto.Forever
// without a limit.
func (r *Request) Time() time.Duration { return r.wait }

// Hold keeps the objects alive that Args refer to, and counts Args as memory of the connection,
// until release is called, once. Without Hold that ends with the answer. It is called before
// Answer and Wait.
func (r *Request) Hold() (release func()) {
	r.m.lock()
	defer r.m.unlock()
	vs := r.vs
	r.vs = nil
	return func() {
		r.m.lock()
		r.m.discard(vs...)
		r.m.unlock()
	}
}

// letGo lets go of the arguments, if nobody holds them.
func (r *Request) letGo() {
	r.m.discard(r.vs...)
	r.vs = nil
}

// left is called when the call quits.
func (r *Request) left(p *parked, why reason) {
	r.letGo()
	if why == departed {
		return
	}
	p.fail(why.fault())
	if r.quit != nil {
		r.m.serving.Go(r.quit)
	}
}

// An offered thing hands calls to somebody who is not bound by the rules of a thing.
type offered struct {
	m      *Manager
	open   func(ctx context.Context) func(*Request)
	calls  line // all that are not answered
	visits map[*session]*visit
}

// A visit is one connection's use of the thing.
type visit struct {
	ctx     context.Context
	cancel  context.CancelFunc
	todo    []*Request
	running bool // a goroutine executes what is to be done
	handle  func(*Request)
}

func (o *offered) call(c *call) {
	if c.batch != nil {
		c.failf(proto.KindDenied, "a %s cannot be called in a batch", c.obj.kind)
		return
	}
	vs, err := c.storeAll(c.args)
	if err != nil {
		c.fail(err)
		return
	}
	r := &Request{Op: c.op, m: c.m, vs: vs, wait: c.wait}
	for _, v := range vs {
		r.Args = append(r.Args, v.raw)
	}
	c.wait = proto.Forever
	if r.p = c.park(&o.calls, r.left); r.p == nil {
		r.letGo()
		return
	}
	r.p.bound, r.p.args = true, nil
	o.enter(c.s, r)
}

// enter lets r be executed after what came from s before.
func (o *offered) enter(s *session, r *Request) {
	v := o.visits[s]
	if v == nil {
		v = &visit{}
		v.ctx, v.cancel = context.WithCancel(context.Background())
		o.visits[s] = v
		s.hold(o)
	}
	v.todo = append(v.todo, r)
	if !v.running {
		v.running = true
		o.m.serving.Go(func() { o.run(v) })
	}
}

// run executes what is to be done, without the mutex.
func (o *offered) run(v *visit) {
	for r := o.next(v); r != nil; r = o.next(v) {
		if v.handle == nil {
			v.handle = o.open(v.ctx)
		}
		v.handle(r)
	}
}

// next returns the next that is not answered, for whatever reason.
func (o *offered) next(v *visit) *Request {
	o.m.lock()
	defer o.m.unlock()
	for len(v.todo) > 0 {
		r := v.todo[0]
		v.todo = slices.Delete(v.todo, 0, 1)
		if !r.p.gone {
			return r
		}
	}
	v.running = false
	return nil
}

// leave ends a visit. Who hears of that does not run under the mutex.
func (o *offered) leave(s *session) {
	v := o.visits[s]
	delete(o.visits, s)
	o.m.serving.Go(v.cancel)
}

func (o *offered) text(b []byte, _ int) []byte {
	return fmt.Appendf(b, "<offered, %d calls>", o.calls.n)
}

func (o *offered) drop(*Manager) {
	o.calls.each(func(p *parked) { p.quit(objectEnd) })
}
