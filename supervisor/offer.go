package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// What one connection may have at a pool that is offered.
const (
	maxGuestTickets = 64 << 10 // whose results it has not got
	maxGuestResults = 1 << 30  // bytes of results that it has not got; what runs may still add to it
)

// Offer lets the clients of a manager submit tickets to the pool, which they find under the
// name "pool"; PROTOCOL.md says how. A ticket belongs to the connection that submitted it: when
// that ends, the ticket is cancelled. Arguments and results are not decoded here.
//
// Their tickets do not wait for room in the backlog: what a connection may have is limited
// instead. The pool may be closed at any time, before the manager or after it; a client that
// submits then is told that it is closed. Offer returns ipc.ErrExists if the name is taken.
func (p *Pool) Offer(m *ipc.Manager) error {
	return m.Offer("pool", "pool", func(ctx context.Context) func(*ipc.Request) {
		g := &guest{pool: p, ctx: ctx, tickets: map[uint64]*Pending{}}
		return g.handle
	})
}

// A guest is a connection that uses a pool.
type guest struct {
	pool  *Pool
	ctx   context.Context // ends with the connection, and cancels its tickets
	bytes atomic.Int64    // of results that it has not got

	mu      sync.Mutex // taken before the manager's
	last    uint64
	tickets map[uint64]*Pending // whose results it has not got
}

type guestOp struct {
	least, most int
	do          func(g *guest, r *ipc.Request) error
}

var guestOps = map[string]guestOp{
	"submit":      {2, 3, (*guest).submit},
	"submit_many": {2, 3, (*guest).submitMany},
	"result":      {1, 1, (*guest).result},
	"run":         {2, 3, (*guest).run},
	"cancel":      {1, 1, (*guest).cancel},
	"tasks":       {0, 0, (*guest).tasks},
	"status":      {0, 0, (*guest).status},
}

func (g *guest) handle(r *ipc.Request) {
	op, ok := guestOps[r.Op]
	var err error
	switch n := len(r.Args); {
	case !ok:
		err = faultf(proto.KindUnknownMethod, "a pool has no operation %q", r.Op)
	case n < op.least || n > op.most:
		err = faultf(proto.KindArguments, "%s of a pool takes %d to %d arguments, found %d", r.Op, op.least, op.most, n)
	default:
		err = op.do(g, r)
	}
	if err != nil {
		r.Answer(nil, err)
	}
}

func faultf(kind, format string, args ...any) *proto.Fault {
	return &proto.Fault{Kind: kind, Text: fmt.Sprintf(format, args...)}
}

func (g *guest) submit(r *ipc.Request) error {
	t, err := guestTicket(r)
	if err != nil {
		return err
	}
	ids, err := g.enter(r, t, r.Args[1:2])
	if err != nil {
		return err
	}
	r.Answer(proto.AppendUint(nil, ids[0]), nil)
	return nil
}

func (g *guest) submitMany(r *ipc.Request) error {
	t, err := guestTicket(r)
	if err != nil {
		return err
	}
	if !proto.IsArray(r.Args[1]) {
		return faultf(proto.KindTypeError, "submit_many takes an array of arguments, found %s", proto.TypeName(r.Args[1]))
	}
	args, err := proto.Elements(r.Args[1], nil)
	if err != nil {
		return err
	}
	ids, err := g.enter(r, t, args)
	if err != nil {
		return err
	}
	b := proto.AppendArrayHeader(nil, len(ids))
	for _, id := range ids {
		b = proto.AppendUint(b, id)
	}
	r.Answer(b, nil)
	return nil
}

// enter submits a ticket for each of args, all or none.
func (g *guest) enter(r *ipc.Request, t Ticket, args []proto.Raw) ([]uint64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n := len(g.tickets) + len(args); n > maxGuestTickets {
		return nil, faultf(proto.KindTooMany, "%d tickets whose results were not got, the most is %d", n, maxGuestTickets)
	}
	if n := g.bytes.Load(); n > maxGuestResults {
		return nil, faultf(proto.KindTooMany, "%d bytes of results that were not got, the most is %d", n, maxGuestResults)
	}
	var left atomic.Int64
	left.Store(int64(len(args)))
	release := r.Hold()
	if len(args) == 0 {
		release()
	}
	over := func(p *Pending) {
		g.bytes.Add(int64(len(p.result.Value.Bytes)))
		if left.Add(-1) == 0 {
			release()
		}
	}
	ids := make([]uint64, 0, len(args))
	for i, a := range args {
		pending, err := g.begin(t, a, over)
		if err != nil {
			g.undo(ids)
			if left.Add(int64(i-len(args))) == 0 {
				release()
			}
			return nil, err
		}
		g.last++
		g.tickets[g.last] = pending
		ids = append(ids, g.last)
	}
	return ids, nil
}

// undo drops tickets that nobody was told of.
func (g *guest) undo(ids []uint64) {
	for _, id := range ids {
		g.tickets[id].Cancel(nil)
		delete(g.tickets, id)
	}
}

// begin submits one ticket; over is called when it has ended.
func (g *guest) begin(t Ticket, args proto.Raw, over func(p *Pending)) (*Pending, error) {
	t.Args = proto.Payload{Bytes: args}
	p := new(Pending)
	if err := g.pool.submit(g.ctx, p, t, anyway); err != nil {
		if errors.Is(err, ErrClosed) {
			err = faultf(proto.KindClosed, "the pool is closed")
		}
		return nil, err
	}
	p.then(func() { over(p) })
	return p, nil
}

func (g *guest) find(r *ipc.Request) (id uint64, p *Pending, err error) {
	if id, err = proto.ParseUint(r.Args[0]); err != nil {
		return 0, nil, faultf(proto.KindTypeError, "expected the number of a ticket, found %s", proto.TypeName(r.Args[0]))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if p = g.tickets[id]; p == nil {
		return 0, nil, noTicket(id)
	}
	return id, p, nil
}

func noTicket(id uint64) *proto.Fault {
	f := faultf(proto.KindKeyError, "the connection has no ticket %d, or has its result", id)
	f.Value = proto.AppendUint(nil, id)
	return f
}

func (g *guest) result(r *ipc.Request) error {
	id, p, err := g.find(r)
	if err != nil {
		return err
	}
	give := &link[hook]{value: hook{call: func(int) { go g.give(r, id, p) }}}
	if !p.watch(give) {
		g.give(r, id, p)
	} else if !r.Wait(func() { p.forget(give) }) {
		p.forget(give)
	}
	return nil
}

// give answers with the result of a ticket that has ended, and forgets it if that could be
// answered: of several who wait for it, one gets it.
func (g *guest) give(r *ipc.Request, id uint64, p *Pending) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.tickets[id] != p {
		r.Answer(nil, noTicket(id))
		return
	}
	if r.Answer(guestResult(p)) {
		delete(g.tickets, id)
		g.bytes.Add(-int64(len(p.result.Value.Bytes)))
	}
}

func (g *guest) run(r *ipc.Request) error {
	t, err := guestTicket(r)
	if err != nil {
		return err
	}
	if r.Time() <= 0 {
		return faultf(proto.KindTimeout, "no time to run %s", t.Task)
	}
	release := r.Hold()
	p, err := g.begin(t, r.Args[1], func(p *Pending) {
		r.Answer(guestResult(p))
		release()
	})
	if err != nil {
		release()
		return err
	}
	if quit := func() { p.Cancel(nil) }; !r.Wait(quit) {
		quit()
	}
	return nil
}

func (g *guest) cancel(r *ipc.Request) error {
	_, p, err := g.find(r)
	if err != nil {
		return err
	}
	runs := !p.kept.Load()
	p.Cancel(nil)
	r.Answer(proto.AppendBool(nil, runs), nil)
	return nil
}

func (g *guest) tasks(r *ipc.Request) error {
	names := g.pool.Tasks()
	b := proto.AppendArrayHeader(nil, len(names))
	for _, name := range names {
		b = proto.AppendString(b, name)
	}
	r.Answer(b, nil)
	return nil
}

func (g *guest) status(r *ipc.Request) error {
	s := g.pool.State()
	b := proto.AppendMapHeader(nil, 4)
	for _, e := range []struct {
		name string
		n    int
	}{{"busy", s.Busy}, {"idle", s.Idle}, {"waiting", s.Waiting + s.Later}, {"workers", s.Places}} {
		b = proto.AppendInt(proto.AppendString(b, e.name), int64(e.n))
	}
	r.Answer(b, nil)
	return nil
}

// guestTicket reads the task and the options of a call, its first argument and its third.
func guestTicket(r *ipc.Request) (t Ticket, err error) {
	if t.Task, err = proto.ParseString(r.Args[0]); err != nil || t.Task == "" {
		return t, faultf(proto.KindTypeError, "expected the name of a task, found %s", proto.TypeName(r.Args[0]))
	}
	if len(r.Args) < 3 {
		return t, nil
	}
	if !proto.IsMap(r.Args[2]) {
		return t, faultf(proto.KindTypeError, "expected a map of options, found %s", proto.TypeName(r.Args[2]))
	}
	err = proto.ParseOptions(r.Args[2], t.option)
	return t, err
}

func (t *Ticket) option(name string, v proto.Raw) error {
	if !slices.Contains([]string{"attempts", "timeout_ms", "delay_ms", "priority"}, name) {
		return nil
	}
	n, err := proto.ParseInt(v)
	switch {
	case err != nil:
		return faultf(proto.KindTypeError, "%s: expected an integer, found %s", name, proto.TypeName(v))
	case name == "priority":
		t.Priority = int(n)
		return nil
	case n < 0 || name == "attempts" && (n < 1 || n > 1<<31-1):
		return faultf(proto.KindValueError, "%s: %d", name, n)
	}
	limit := time.Duration(min(n, int64(proto.Forever/time.Millisecond))) * time.Millisecond
	switch name {
	case "attempts":
		t.Attempts = int(n)
	case "timeout_ms":
		t.Timeout = limit
	case "delay_ms":
		t.At = time.Now().Add(limit)
	}
	return nil
}

// guestResult returns what became of a ticket that has ended.
func guestResult(p *Pending) (proto.Raw, error) {
	r := p.take()
	closePayload(r.Value)
	switch {
	case r.Err != nil:
		return nil, guestFault(r)
	case len(r.Value.FDs) > 0:
		return nil, faultf(proto.KindResult, "the result of %s holds %d descriptors, which cannot be sent", r.Task, len(r.Value.FDs))
	}
	return r.Value.Bytes, nil
}

// guestFault is the error of a ticket: that of the task as it is, else what happened.
func guestFault(r Result) *proto.Fault {
	f := &proto.Fault{Kind: proto.KindError, Text: r.Err.Error()}
	switch r.Outcome {
	case OutcomeTimeout:
		f.Kind = proto.KindTimeout
	case OutcomeCancelled:
		f.Kind = proto.KindCancelled
	case OutcomeExit, OutcomeSignal, OutcomeMemory, OutcomeLost:
		f.Kind = proto.KindDied
		f.Value = proto.AppendString(nil, string(r.Outcome))
	default:
		if own, ok := errors.AsType[*proto.Fault](r.Err); ok {
			return own
		}
	}
	return f
}
