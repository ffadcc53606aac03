package supervisor

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// A Pending is a ticket that a pool has accepted.
type Pending struct {
	promise
	pool   *Pool
	ticket Ticket
	number uint64 // of the ticket in its pool, from 1
	result Result
	fds    *heldFDs          // those of the result; nil if there are none
	stop   func(cause error) // cancels what is no ticket

	followed
	attempt
}

// ID returns the id of the ticket, also if the pool chose it.
func (p *Pending) ID() string {
	if p.ticket.ID == "" && p.number > 0 {
		return strconv.FormatUint(p.number, 10)
	}
	return p.ticket.ID
}

// Done is closed when there is a result.
func (p *Pending) Done() <-chan struct{} { return p.wait() }

// Cancel ends the ticket as the end of its context would: at once if it waits, by context and then by signal if it runs.
// Result tells what became of it; its error wraps the cause, context.Canceled if that is nil. After the result it does nothing.
func (p *Pending) Cancel(cause error) {
	if cause == nil {
		cause = context.Canceled
	}
	if p.pool == nil {
		p.stop(cause)
		return
	}
	p.pool.cancel(p, cause)
}

// Result waits for the result until ctx ends; the ticket goes on in any case. The
// error is that of ctx. The first to ask gets the descriptors of the Value, and has
// to close them.
func (p *Pending) Result(ctx context.Context) (Result, error) {
	if err := p.await(ctx); err != nil {
		return Result{}, fmt.Errorf("supervisor: wait for ticket %s: %w", p.ID(), err)
	}
	return p.take(), nil
}

// await waits until the promise is kept; one that is kept counts also if ctx has ended.
func (p *promise) await(ctx context.Context) error {
	if p.kept.Load() {
		return nil
	}
	select {
	case <-p.wait():
		return nil
	case <-ctx.Done():
	}
	if p.kept.Load() {
		return nil
	}
	return ctx.Err()
}

// take returns the result, and what is left of its descriptors.
func (p *Pending) take() Result {
	r := p.result
	r.ID, r.Task = p.ID(), p.ticket.Task
	if p.fds != nil {
		r.Value.FDs = p.fds.take()
	}
	return r
}

// A Future is the typed result of a ticket, or of a function that an [Executor] runs, to come. Any number of goroutines may
// ask for it.
type Future[R any] struct {
	p     Pending
	ready bool              // value and err are set when the promise is kept: there is nothing to decode
	stop  func(cause error) // cancels one that is ready, which has no ticket
	once  sync.Once         //
	value R
	err   error
}

// Done is closed when there is a result.
func (f *Future[R]) Done() <-chan struct{} { return f.p.wait() }

// Get waits for the result until ctx ends; the ticket goes on in any case. The
// error is [Result.Err], or says why the value does not fit R, or wraps that of ctx.
func (f *Future[R]) Get(ctx context.Context) (R, error) {
	if err := f.p.await(ctx); err != nil {
		var zero R
		if f.ready {
			return zero, fmt.Errorf("supervisor: wait for a result: %w", err)
		}
		return zero, fmt.Errorf("supervisor: wait for ticket %s: %w", f.p.ID(), err)
	}
	if !f.ready {
		f.once.Do(f.decode)
	}
	return f.value, f.err
}

// Cancel: see [Pending.Cancel].
func (f *Future[R]) Cancel(cause error) {
	if !f.ready {
		f.p.Cancel(cause)
		return
	}
	if cause == nil {
		cause = context.Canceled
	}
	f.stop(cause)
}

// settle sets the result of a future that is ready, once.
func (f *Future[R]) settle(value R, err error) {
	f.value, f.err = value, err
	f.p.keep()
}

// OnResult has fn called with the value when there is one, and not otherwise, in a goroutine of this process; at once if it is
// there. A panic of fn is printed, and harms nobody. fn may do anything, such as end the pool.
func (f *Future[R]) OnResult(fn func(R)) {
	f.p.then(func() {
		if v, err := f.Get(context.Background()); err == nil {
			fn(v)
		}
	})
}

// OnError has fn called with the error if that is what comes; otherwise as OnResult.
func (f *Future[R]) OnError(fn func(error)) {
	f.p.then(func() {
		if _, err := f.Get(context.Background()); err != nil {
			fn(err)
		}
	})
}

func (f *Future[R]) decode() {
	r := f.p.take()
	if f.err = r.Err; f.err != nil {
		return
	}
	left, err := proto.Unmarshal(r.Value, &f.value, proto.Limits{})
	closePayload(proto.Payload{FDs: left})
	if err != nil {
		f.err = fmt.Errorf("supervisor: result of ticket %s: %w", r.ID, err)
	}
}

// finish sets the result, once, and lets go of what the ticket held.
func (p *Pending) finish() {
	if !p.loose {
		closePayload(p.ticket.Args)
	}
	p.ticket.Args = proto.Payload{}
	r := &p.result
	if len(r.Value.FDs) > 0 {
		p.fds = &heldFDs{fds: r.Value.FDs}
		runtime.AddCleanup(p, (*heldFDs).close, p.fds) // nobody may ever ask
	}
	p.keep()
}

// heldFDs are the descriptors of a result until somebody asks for it.
type heldFDs struct {
	mu  sync.Mutex
	fds []int
}

func (h *heldFDs) take() []int {
	h.mu.Lock()
	defer h.mu.Unlock()
	fds := h.fds
	h.fds = nil
	return fds
}

func (h *heldFDs) close() { ipc.CloseFDs(h.take()) }
