package ipc

import (
	"context"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// A Target is what a call is about: an object of a manager, by its name or its number.
type Target = proto.ObjectName

// Named and Numbered are the Target with this name, with this number.
func Named(name string) Target { return Target{Name: name} }

// Numbered: see Named.
func Numbered(id uint64) Target { return Target{ID: id} }

// Call calls an operation of an object, with the names and arguments of PROTOCOL.md, and waits for its result until ctx ends. Typed
// proxies such as [Dict] do that with Go types.
//
// What the operation waits for it waits for until ctx ends; with a ctx that has ended it is called and does not wait, so an ended
// context polls. When ctx ends meanwhile the call is cancelled and takes nothing; the error is that of ctx, but if the operation was
// faster, its result is returned all the same. The owner is the one that ctx names (see [WithOwner]).
//
// The error is ErrGone when the manager has ended, or what the manager says: an error of this package, and a *proto.Fault. The result's
// descriptors are the caller's, and so are the leases of the references in it: see [Client.Release].
func (c *Client) Call(ctx context.Context, object Target, op string, args ...any) (proto.Payload, error) {
	l, err := c.connected(ctx)
	if err != nil {
		return proto.Payload{}, err
	}
	q := l.operation(object, op, len(args))
	defer q.free()
	q.args(args)
	if err := q.call(ctx, ownerOf(ctx)); err != nil {
		return proto.Payload{}, err
	}
	return q.take(), nil
}

// Ask is Call with a result of type T.
func Ask[T any](ctx context.Context, c *Client, object Target, op string, args ...any) (v T, err error) {
	l, err := c.connected(ctx)
	if err != nil {
		return v, err
	}
	q := l.operation(object, op, len(args))
	q.c = c
	defer q.free()
	q.args(args)
	if err := q.call(ctx, ownerOf(ctx)); err != nil {
		return v, err
	}
	return resultOf[T](q)
}

// CallOptions of a CallRaw.
type CallOptions struct {
	Owner uint64        // who calls, within the connection
	Wait  time.Duration // how long the manager lets it wait: 0 not at all, proto.Forever until ctx ends
}

// CallRaw is Call with an encoded array of arguments. The options are sent as they are.
func (c *Client) CallRaw(ctx context.Context, object Target, op string, args proto.Raw, o CallOptions) (proto.Payload, error) {
	l, err := c.connected(ctx)
	if err != nil {
		return proto.Payload{}, err
	}
	q := l.query(proto.MethodCall)
	defer q.free()
	q.out = proto.AppendCallHead(q.out, object, op)
	if len(args) == 0 {
		q.out = proto.AppendArrayHeader(q.out, 0)
	}
	q.out = proto.AppendCallTail(append(q.out, args...), o.Owner, o.Wait)
	if err := l.do(ctx, q); err != nil {
		return proto.Payload{}, err
	}
	return q.take(), nil
}

// operation begins a call of an operation with n arguments.
func (l *link) operation(object Target, op string, n int) *query {
	q := l.query(proto.MethodCall)
	q.out = proto.AppendArrayHeader(proto.AppendCallHead(q.out, object, op), n)
	return q
}

func (q *query) args(args []any) {
	for i := range args {
		put(q, &args[i])
	}
}

// put appends an argument. v must not go anywhere from here, or it would have to lie on the heap.
func put[T any](q *query, v *T) {
	if b, ok := appendQuick(q.out, v); ok {
		q.out = b
		return
	}
	q.putSlow(*v)
}

// putSlow is put for what may hold proxies: they are kept until the manager has answered, or their leases could be given back before it
// has their references.
func (q *query) putSlow(v any) {
	q.keep = append(q.keep, v)
	b, err := appendSlow(q.out, v, q.l)
	if err != nil {
		q.bad = err
		return
	}
	q.out = b
}

// call sends a call whose arguments were put, and waits for its answer.
func (q *query) call(ctx context.Context, owner owner) error {
	if ctx.Err() == nil {
		q.out = proto.AppendCallTail(q.out, uint64(owner), proto.Forever)
		return q.l.do(ctx, q)
	}
	return q.poll(ctx, owner)
}

// poll is call for a ctx that has ended: the operation must not wait. That the manager answers is waited for all the same.
func (q *query) poll(ctx context.Context, owner owner) error {
	q.out = proto.AppendCallTail(q.out, uint64(owner), 0)
	if err := q.doSoon(); err != nil {
		if q.fault != nil && overFaults[q.fault.Kind] && ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	return nil
}

// try is call for an operation that must not wait; ctx bounds the wait for the manager alone.
func (q *query) try(ctx context.Context, owner owner) error {
	q.out = proto.AppendCallTail(q.out, uint64(owner), 0)
	if ctx.Done() != nil && ctx.Err() == nil {
		return q.l.do(ctx, q)
	}
	return q.doSoon()
}

// doSoon waits for the answer for the time of patience, and gives the manager up then.
func (q *query) doSoon() error {
	return q.l.do(q.l.patient(), q)
}

// patient returns a context that ends when the time of patience is over, and before twice that. It is made for many calls: each new one
// costs a timer, and that it is watched.
func (l *link) patient() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); l.soon == nil || l.soonest.Before(now) {
		// The one before ends by itself: calls still go by it.
		l.soonest = now.Add(l.patience)
		l.soon, l.unsoon = context.WithTimeout(context.Background(), 2*l.patience)
	}
	return l.soon
}

// overFaults are what an operation answers when its time is over.
var overFaults = map[string]bool{proto.KindTimeout: true, proto.KindEmpty: true, proto.KindFull: true}

// control sends any other request than a call, whose params write appends, and returns its answer. The caller frees it.
func (c *Client) control(ctx context.Context, method string, params func(b []byte) []byte) (*query, error) {
	l, err := c.connected(ctx)
	if err != nil {
		return nil, err
	}
	return l.control(ctx, method, params)
}

func (l *link) control(ctx context.Context, method string, params func(b []byte) []byte) (*query, error) {
	q := l.query(method)
	q.out = params(q.out)
	if err := l.do(ctx, q); err != nil {
		q.free()
		return nil, err
	}
	return q, nil
}
