package supervisor

import (
	"context"
	"fmt"
	"sync"
)

// Close accepts no more tickets, waits until all accepted ones have their results,
// and ends the workers. It returns what the pool failed of, if it did. Closing twice
// is fine.
func (p *Pool) Close() error {
	p.shut(false, nil)
	return p.Join(context.Background())
}

// Drain accepts no more tickets and begins none: those that wait are cancelled, those
// that run finish. It does not wait; see Join.
func (p *Pool) Drain() {
	p.drain(ErrDrained)
	p.shut(true, ErrDrained)
}

// Terminate ends the pool: tickets that wait are cancelled, the contexts of those
// that run end, and their processes are given the grace, then SIGTERM, then SIGKILL.
// It does not wait; see Join.
func (p *Pool) Terminate() { p.end(ErrTerminated) }

func (p *Pool) end(cause error) {
	p.terminate(cause)
	p.shut(true, cause)
}

// Kill kills all worker processes now. It does not wait; see Join.
func (p *Pool) Kill() {
	p.kill(ErrTerminated)
	p.shut(true, ErrTerminated)
}

// shut accepts no more tickets; with flush, those that wait are cancelled.
func (p *Pool) shut(flush bool, cause error) {
	outcome := OutcomeCancelled
	if p.failure() != nil {
		outcome = OutcomeLost
	}
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.closing)
	}
	var left []*Pending
	if flush {
		left = p.backlog.flush()
	}
	for _, t := range left {
		t.ends()
		t.cancelledEarly(outcome, notBegun(cause))
		p.count(t.result.Outcome)
		p.unfollow(t)
	}
	last := p.isLast()
	p.mu.Unlock()
	p.wakeAll()
	for _, t := range left {
		t.finish()
	}
	if last {
		p.finish()
	}
}

// fail ends the pool because of an error that it cannot go on with.
func (p *Pool) fail(err error) {
	if p.err.CompareAndSwap(nil, &err) {
		p.log.Debug("pool fails", "error", err) // Join says so too
		p.emit(PoolEvent{Kind: PoolFailed, Err: err})
	}
	p.end(err)
}

func (p *Pool) failure() error {
	if err := p.err.Load(); err != nil {
		return *err
	}
	return nil
}

// Join waits until the pool has ended: every ticket has its result, and every
// process is reaped. It returns what the pool failed of; ErrOpen if nobody has ended
// it; or, if ctx ends first, the cause.
func (p *Pool) Join(ctx context.Context) error {
	select {
	case <-p.closing:
	default:
		return ErrOpen
	}
	select {
	case <-p.ended:
		return p.failure()
	case <-ctx.Done():
		return fmt.Errorf("supervisor: join pool: %w", context.Cause(ctx))
	}
}

// pools are those that have not ended: Main ends them.
var pools openPools

type openPools struct {
	mu   sync.Mutex
	open map[*Pool]bool
}

func (o *openPools) add(p *Pool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open == nil {
		o.open = make(map[*Pool]bool)
	}
	o.open[p] = true
}

func (o *openPools) remove(p *Pool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.open, p)
}

func (o *openPools) list() (all []*Pool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for p := range o.open {
		all = append(all, p)
	}
	return all
}
