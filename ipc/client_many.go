package ipc

import (
	"context"
	"fmt"

	"github.com/seed-185a7250/multiproc/proto"
)

// A Pending is a call that was started and whose result is waited for later. It is for one goroutine.
type Pending struct {
	q   *query
	err error
}

// Start starts a call and returns at once, so that many are under way at a time and their frames go together; the manager begins them in
// this order. They are sent when anybody waits for an answer of this client, with Flush, and when there are 16 KiB of them. Each
// Pending must be waited for: until then it keeps its answer.
func (c *Client) Start(object Target, op string, args ...any) *Pending {
	l, err := c.connected(context.Background())
	if err != nil {
		return &Pending{err: err}
	}
	q := l.operation(object, op, len(args))
	q.c = c
	q.args(args)
	return q.start()
}

// start sends a call whose arguments were put.
func (q *query) start() *Pending {
	q.out = proto.AppendCallTail(q.out, 0, proto.Forever)
	err := q.seal(0)
	if err == nil {
		err = q.l.send(q, false)
	}
	if err != nil {
		q.free()
		return &Pending{err: err}
	}
	return &Pending{q: q}
}

// Flush sends what was started and not sent yet.
func (c *Client) Flush() {
	l := c.link.Load()
	l.mu.Lock()
	if len(l.out) == 0 || l.writing {
		l.mu.Unlock()
		return
	}
	l.flush()
}

// Wait waits for the result until ctx ends; then the call is cancelled, as in [Client.Call]. It can be called once; a second time it
// returns ErrClosed.
func (p *Pending) Wait(ctx context.Context) (proto.Payload, error) {
	if err := p.finish(ctx); err != nil {
		return proto.Payload{}, err
	}
	defer p.end()
	return p.q.take(), nil
}

// Await is [Pending.Wait] for a result of type T.
func Await[T any](ctx context.Context, p *Pending) (v T, err error) {
	if err = p.finish(ctx); err != nil {
		return v, err
	}
	defer p.end()
	return resultOf[T](p.q)
}

func (p *Pending) finish(ctx context.Context) error {
	if p.err != nil {
		return p.err
	}
	err := p.q.l.finish(ctx, p.q)
	if err != nil {
		p.end()
	}
	return err
}

func (p *Pending) end() {
	p.q.free()
	p.q, p.err = nil, ErrClosed
}

// A Batch is calls that go in one frame and are answered in one: the manager executes them one after another with nothing between them.
// One that fails changes nothing for the others, and none waits. A Batch is for one goroutine, and may be used again after Reset.
type Batch struct {
	c     *Client
	calls []byte // encoded, one behind the other
	n     int
	keep  []any // arguments: the proxies in them must live until the manager has their references
	bad   error
}

// Batch returns an empty batch.
func (c *Client) Batch() *Batch { return &Batch{c: c} }

// Add appends a call. An argument that cannot be encoded is an error of Do.
func (b *Batch) Add(object Target, op string, args ...any) {
	b.calls = proto.AppendArrayHeader(proto.AppendOperationHead(b.calls, object, op), len(args))
	b.keep = append(b.keep, args...)
	for i := range args {
		var err error
		if b.calls, err = appendValue(b.calls, &args[i], b.c.link.Load()); err != nil && b.bad == nil {
			b.bad = fmt.Errorf("ipc: call %d of a batch: %w", b.n, err)
		}
	}
	b.n++
}

// Len returns how many calls there are.
func (b *Batch) Len() int { return b.n }

// Reset takes all calls out.
func (b *Batch) Reset() {
	clear(b.keep)
	b.calls, b.n, b.keep, b.bad = b.calls[:0], 0, b.keep[:0], nil
}

// Do sends the batch, and waits for the answers until ctx ends. The error is that of the whole; those of single calls are in the
// Results. For the leases of references in them see [Client.Release].
func (b *Batch) Do(ctx context.Context) (Results, error) {
	if b.bad != nil {
		return Results{}, b.bad
	}
	l, err := b.c.connected(ctx)
	if err != nil {
		return Results{}, err
	}
	q := l.query(proto.MethodBatch)
	defer q.free()
	q.out = proto.AppendArrayHeader(proto.AppendArrayHeader(q.out, 2), b.n)
	q.out = proto.AppendBatchTail(append(q.out, b.calls...), uint64(ownerOf(ctx)))
	if err := l.do(ctx, q); err != nil {
		return Results{}, err
	}
	own := append(proto.Raw(nil), q.result...)
	list, err := proto.Elements(own, make([]proto.Raw, 0, b.n))
	if err == nil && len(list) != b.n {
		err = fmt.Errorf("ipc: %w: %d answers to a batch of %d calls", proto.ErrProtocol, len(list), b.n)
	}
	return Results{list: list, c: b.c, l: l, opened: make([]bool, len(list))}, err
}

// Results are the answers to a Batch, by the places of its calls from 0.
type Results struct {
	list   []proto.Raw
	c      *Client
	l      *link
	opened []bool // whose references have been made proxies of
}

// Len returns how many there are.
func (r Results) Len() int { return len(r.list) }

// Raw returns the result of call i, which the Results keep, or its error.
func (r Results) Raw(i int) (proto.Raw, error) {
	f, result, err := proto.ParseBatchAnswer(r.list[i])
	switch {
	case err != nil:
		return nil, err
	case f != nil:
		return nil, faultError(f)
	}
	return result, nil
}

// Err returns the error of call i, nil if it has succeeded.
func (r Results) Err(i int) error {
	_, err := r.Raw(i)
	return err
}

// Into decodes the result of call i into the pointer v, or returns its error. Proxies that it makes the first time take over the leases of
// the references in that result, and what no proxy takes is given back; a second time they take their own.
func (r Results) Into(i int, v any) error {
	raw, err := r.Raw(i)
	if err != nil {
		return err
	}
	var in *intake
	if !r.opened[i] {
		r.opened[i] = true
		in = r.l.intake(r.c, raw)
		defer in.settle()
	}
	return decodeFrom(in, raw, v, r.l.limits)
}
