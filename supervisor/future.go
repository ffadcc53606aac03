package supervisor

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// A Pending is a ticket that a pool has accepted.
type Pending struct {
	ticket    Ticket
	cancelled chan struct{} // closed when it shall not go on
	cause     error         // why; set before cancelled is closed
	done      chan struct{} // closed when result is set
	result    Result
	fds       *heldFDs    // those of the result; nil if there are none
	detach    func() bool // stops watching the context of Submit
}

// ID returns the id of the ticket, also if the pool chose it.
func (p *Pending) ID() string { return p.ticket.ID }

// Done is closed when there is a result.
func (p *Pending) Done() <-chan struct{} { return p.done }

// Result waits for the result until ctx ends; the ticket goes on in any case. The
// error is that of ctx. The first to ask gets the descriptors of the Value, and has
// to close them.
func (p *Pending) Result(ctx context.Context) (Result, error) {
	if err := p.wait(ctx); err != nil {
		return Result{}, err
	}
	return p.take(), nil
}

// wait waits for done; a result that is there counts also if ctx has ended.
func (p *Pending) wait(ctx context.Context) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("supervisor: wait for ticket %s: %w", p.ticket.ID, ctx.Err())
	}
}

// take returns the result, and what is left of its descriptors.
func (p *Pending) take() Result {
	r := p.result
	if p.fds != nil {
		r.Value.FDs = p.fds.take()
	}
	return r
}

// A Future is the typed result of a ticket, to come. Any number of goroutines may
// ask for it.
type Future[R any] struct {
	p     *Pending
	once  sync.Once
	value R
	err   error
}

// Done is closed when there is a result.
func (f *Future[R]) Done() <-chan struct{} { return f.p.done }

// Get waits for the result until ctx ends; the ticket goes on in any case. The
// error is [Result.Err], or says why the value does not fit R, or wraps that of ctx.
func (f *Future[R]) Get(ctx context.Context) (R, error) {
	if err := f.p.wait(ctx); err != nil {
		var zero R
		return zero, err
	}
	f.once.Do(f.decode)
	return f.value, f.err
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
func (p *Pending) finish(r Result) {
	p.detach()
	closePayload(p.ticket.Args)
	p.ticket.Args = proto.Payload{}
	r.ID, r.Task = p.ticket.ID, p.ticket.Task
	p.result = r
	if len(r.Value.FDs) > 0 {
		p.fds = &heldFDs{fds: r.Value.FDs}
		runtime.AddCleanup(p, (*heldFDs).close, p.fds) // nobody may ever ask
	}
	close(p.done)
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
