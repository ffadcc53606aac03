package supervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

// PoolOptions of a Pool; the zero value is good.
type PoolOptions struct {
	// Workers is the number of worker places; 0 is the number of processors.
	Workers int
	// Name is what ps and logs show; "" is the name of the program.
	Name string
	// Program is what a worker process runs; "" is this program itself, which must call
	// Main. Another one must speak PROTOCOL.md. Args is its whole argument list,
	// Args[0] included; nil is what ps shows, such as "worker-1: tickets", alone.
	Program string
	Args    []string
	// Backlog is how many tickets may wait for a place before Submit waits; 0 is 1024.
	Backlog int
	// Grace is what a task has to end once its context has ended, before its process
	// is sent SIGTERM; half of it again, and it is sent SIGKILL. 0 is 5 s.
	Grace time.Duration
	// StartTimeout is what a process has to become ready; 0 is 10 s.
	StartTimeout time.Duration
	// Stdout is where the lines go that tasks print; nil is the standard output. While
	// it does not take them, the tasks that print wait.
	Stdout io.Writer
	// Logger gets what happens, and what workers write to stderr; nil is silence.
	Logger hclog.Logger
	// Subreaper makes this process inherit what worker processes leave behind, however
	// it detached itself, and kill it. Then every child of this process that this
	// package did not start is killed too.
	Subreaper bool

	restart restartPolicy
}

func (o PoolOptions) filled() (PoolOptions, error) {
	switch {
	case o.Workers < 0:
		return o, fmt.Errorf("supervisor: pool of %d workers, expected at least 1", o.Workers)
	case o.Backlog < 0:
		return o, fmt.Errorf("supervisor: backlog of %d tickets, expected at least 1", o.Backlog)
	case o.Grace < 0 || o.StartTimeout < 0:
		return o, fmt.Errorf("supervisor: grace %v, start time-out %v, expected at least 0", o.Grace, o.StartTimeout)
	case o.Program == "" && len(o.Args) > 0:
		return o, errors.New("supervisor: Args without Program")
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Name == "" {
		o.Name = filepath.Base(os.Args[0])
	}
	if o.Backlog == 0 {
		o.Backlog = 1024
	}
	if o.Grace == 0 {
		o.Grace = defaultGrace
	}
	if o.StartTimeout == 0 {
		o.StartTimeout = 10 * time.Second
	}
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.restart == (restartPolicy{}) {
		o.restart = defaultRestart
		// Each failure may take as long as a start may: so many must fit in.
		o.restart.period += time.Duration(o.restart.intensity+1) * o.StartTimeout
	}
	return o, nil
}

// A Pool runs tickets in worker processes, one ticket at a time in each. See the
// package comment for the way of a ticket. Any number of goroutines may use it.
type Pool struct {
	opts    PoolOptions
	log     hclog.Logger
	places  []*place
	backlog backlog
	room    chan struct{} // holds one for each ticket in the queue
	numbers atomic.Uint64 // of tickets without an id

	closing    chan struct{}   // closed when no more tickets are accepted
	closeOnce  sync.Once       //
	drained    context.Context // ended: no ticket begins
	terminated context.Context // ended: what runs is ended
	killed     context.Context // ended: what runs is killed
	drain      context.CancelCauseFunc
	terminate  context.CancelCauseFunc
	kill       context.CancelCauseFunc

	out   sync.Mutex    // one line at a time; held while Stdout takes it
	ended chan struct{} // closed when all places have ended
	mu    sync.Mutex
	tasks []string
	err   atomic.Pointer[error] // why the pool failed
}

// NewPool starts the workers and returns when all are ready. If one cannot be
// started, the others are stopped and the error says why: ErrRestartLimit,
// ErrDaemonChild, ErrHookMissed, or the system's. When ctx ends, the pool is
// terminated.
func NewPool(ctx context.Context, o PoolOptions) (*Pool, error) {
	o, err := o.filled()
	if err != nil {
		return nil, err
	}
	if err := startAllowed(Spec{}); err != nil {
		return nil, err
	}
	if o.Subreaper {
		if err := SetSubreaper(); err != nil {
			return nil, err
		}
	}
	p := &Pool{
		opts: o, log: o.Logger, room: make(chan struct{}, o.Backlog),
		closing: make(chan struct{}), ended: make(chan struct{}),
	}
	p.killed, p.kill = context.WithCancelCause(context.Background())
	p.terminated, p.terminate = context.WithCancelCause(p.killed)
	p.drained, p.drain = context.WithCancelCause(p.terminated)
	for n := range o.Workers {
		place, err := newPlace(p, n+1)
		if err != nil {
			for _, place := range p.places {
				place.board.Close()
			}
			p.abandon()
			return nil, err
		}
		p.places = append(p.places, place)
	}
	pools.add(p)
	stop := context.AfterFunc(ctx, func() { p.end(context.Cause(ctx)) })
	ready := make(chan error, len(p.places))
	var all sync.WaitGroup
	for _, place := range p.places {
		all.Go(func() {
			err := place.fill()
			ready <- err
			if err != nil {
				place.leave()
				return
			}
			place.run()
		})
	}
	go func() {
		all.Wait()
		stop()
		pools.remove(p)
		p.abandon()
		close(p.ended)
	}()
	return p.await(ready)
}

// await returns p when all workers are ready.
func (p *Pool) await(ready <-chan error) (*Pool, error) {
	for range p.places {
		if err := <-ready; err != nil {
			if cause := p.failure(); cause != nil {
				err = cause
			}
			p.kill(err)
			p.shut(true, err)
			<-p.ended
			return nil, err
		}
	}
	return p, nil
}

// abandon releases what contexts hold.
func (p *Pool) abandon() { p.kill(ErrClosed) }

// Tasks returns the names of the tasks that the workers know, as the first of them
// said.
func (p *Pool) Tasks() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.tasks)
}

func (p *Pool) knows(tasks []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tasks == nil {
		p.tasks = tasks
	}
}

// Status returns what the places are doing.
func (p *Pool) Status() []PlaceStatus {
	list := make([]PlaceStatus, len(p.places))
	for i, place := range p.places {
		list[i] = place.snapshot()
	}
	return list
}

// Submit accepts a ticket and returns at once, or waits while the backlog is full,
// until ctx ends. When ctx ends later, the ticket is cancelled. It returns ErrClosed
// after Close, Drain, Terminate or Kill, and what the pool failed of. The
// descriptors of t.Args are the pool's from now on, whatever is returned.
func (p *Pool) Submit(ctx context.Context, t Ticket) (*Pending, error) {
	pending := new(Pending)
	if err := p.submit(ctx, pending, t); err != nil {
		return nil, err
	}
	return pending, nil
}

// submit makes pending the ticket that waits.
func (p *Pool) submit(ctx context.Context, pending *Pending, t Ticket) error {
	if err := p.accepts(t); err != nil {
		closePayload(t.Args)
		return err
	}
	if t.ID == "" {
		t.ID = strconv.FormatUint(p.numbers.Add(1), 10)
	}
	var once sync.Once
	pending.ticket, pending.cancelled = t, make(chan struct{})
	pending.stop = func(cause error) { once.Do(func() { p.cancel(pending, cause) }) }
	select {
	case p.room <- struct{}{}:
	default:
		select {
		case p.room <- struct{}{}:
		case <-ctx.Done():
			closePayload(t.Args)
			return fmt.Errorf("supervisor: submit ticket %s: %w", t.ID, context.Cause(ctx))
		case <-p.closing:
			closePayload(t.Args)
			return p.refusal()
		}
	}
	pending.detach = context.AfterFunc(ctx, func() { pending.stop(context.Cause(ctx)) })
	if !p.enqueue(pending) {
		pending.detach()
		closePayload(t.Args)
		return p.refusal()
	}
	return nil
}

// enqueue gives a ticket that has room to an idle place, or queues it; false: the backlog is closed.
func (p *Pool) enqueue(t *Pending) bool {
	queued, ok := p.backlog.put(t)
	if !queued {
		<-p.room
	}
	select {
	case <-t.cancelled: // perhaps too early to find it in the queue
		p.withdraw(t)
	default:
	}
	return ok
}

func (p *Pool) accepts(t Ticket) error {
	switch {
	case t.Task == "":
		return errors.New("supervisor: ticket without a task")
	case t.Attempts < 0:
		return fmt.Errorf("supervisor: ticket with %d attempts, expected at least 1 (or 0 for 1)", t.Attempts)
	case t.Timeout < 0:
		return fmt.Errorf("supervisor: ticket with a time-out of %v, expected at least 0", t.Timeout)
	}
	select {
	case <-p.closing:
		return p.refusal()
	default:
		return nil
	}
}

// refusal is the error of a Submit that comes too late.
func (p *Pool) refusal() error {
	if err := p.failure(); err != nil {
		return err
	}
	return ErrClosed
}

// cancel ends a ticket: now if it waits, soon if it runs.
func (p *Pool) cancel(t *Pending, cause error) {
	t.cause = cause
	close(t.cancelled)
	p.withdraw(t)
}

// withdraw ends a cancelled ticket, if no place has it.
func (p *Pool) withdraw(t *Pending) {
	if p.backlog.remove(t) {
		<-p.room
		t.finish(Result{Outcome: OutcomeCancelled, Err: notBegun(t.cause)})
	}
}

func notBegun(cause error) error {
	return fmt.Errorf("supervisor: cancelled before it began: %w", cause)
}

// refuses tells why a place should not begin an attempt of t.
func (p *Pool) refuses(t *Pending) error {
	select {
	case <-t.cancelled:
		return notBegun(t.cause)
	default:
	}
	if p.drained.Err() != nil {
		return notBegun(context.Cause(p.drained))
	}
	return nil
}

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
	p.closeOnce.Do(func() { close(p.closing) })
	outcome := OutcomeCancelled
	if p.failure() != nil {
		outcome = OutcomeLost
	}
	for _, t := range p.backlog.close(flush) {
		<-p.room
		t.finish(Result{Outcome: outcome, Err: notBegun(cause)})
	}
}

// fail ends the pool because of an error that it cannot go on with.
func (p *Pool) fail(err error) {
	if p.err.CompareAndSwap(nil, &err) {
		p.log.Debug("pool fails", "error", err) // Join says so too
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

// stdout returns what takes the lines that one process prints: each is written at
// once, so that no two lines mix.
func (p *Pool) stdout() LineFunc {
	var line []byte
	return func(b []byte, final bool) {
		line = append(line, b...)
		if !final && len(line) < longLine {
			return
		}
		p.out.Lock()
		defer p.out.Unlock()
		p.opts.Stdout.Write(append(line, '\n'))
		line = bytes.Clone(line[:0])
	}
}

// longLine is where a line is cut, so that one without an end is not collected for
// ever.
const longLine = 1 << 20

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
