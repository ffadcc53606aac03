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
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/seed-185a7250/multiproc/proto"
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
	// Slots is how many tickets a process runs at a time; 0 is 1. They share its death: one that has to be killed
	// takes the others along.
	Slots int
	// Backlog is how many tickets may wait for a place before Submit waits; 0 is 1024.
	Backlog int
	// Initializer is run by every process before it gets its first ticket, Finalizer before it is told to stop (not when it
	// dies, or the pool is terminated), for the grace at most. A ticket without a task is none; see Task.Ticket. Only their
	// Task, Args and ID count. An initializer that fails ends the pool. The descriptors of the arguments are the pool's.
	Initializer, Finalizer Ticket
	// A process is replaced between two tickets: after MaxTickets of them, when it is older than MaxAge, when it
	// has been idle for MaxIdle after a ticket, or has more than MaxMemory bytes of resident memory. 0 is no limit.
	// One that has more than KillMemory bytes is killed, and its ticket ends with ErrMemory. Memory is looked at
	// every quarter of a second.
	MaxTickets            int
	MaxAge, MaxIdle       time.Duration
	MaxMemory, KillMemory uint64
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

	// Events gets what happens to processes, and to tickets when they are tried again. The pool never waits for it (as
	// signal.Notify does not): its capacity is how many may wait, and what finds no room is counted in
	// PoolEvent.Dropped. The pool does not close it: PoolEnded is the last. nil: nobody is told.
	Events chan<- PoolEvent

	restart restartPolicy
}

func (o PoolOptions) filled() (PoolOptions, error) {
	switch {
	case o.Workers < 0:
		return o, fmt.Errorf("supervisor: pool of %d workers, expected at least 1", o.Workers)
	case o.Backlog < 0:
		return o, fmt.Errorf("supervisor: backlog of %d tickets, expected at least 1", o.Backlog)
	case o.Slots < 0 || o.MaxTickets < 0:
		return o, fmt.Errorf("supervisor: %d slots, %d tickets for a process, expected at least 1", o.Slots, o.MaxTickets)
	case o.MaxAge < 0 || o.MaxIdle < 0:
		return o, fmt.Errorf("supervisor: age %v, idle %v of a process, expected at least 0", o.MaxAge, o.MaxIdle)
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

// A Pool runs tickets in worker processes, as many at a time in each as it has slots: one, unless told otherwise. See the
// package comment for the way of a ticket. Any number of goroutines may use it.
type Pool struct {
	opts PoolOptions
	log  hclog.Logger

	closing    chan struct{}   // closed when no more tickets are accepted
	drained    context.Context // ended: no ticket begins
	terminated context.Context // ended: what runs is ended
	killed     context.Context // ended: what runs is killed
	drain      context.CancelCauseFunc
	terminate  context.CancelCauseFunc
	kill       context.CancelCauseFunc
	out        sync.Mutex            // one line at a time; held while Stdout takes it
	ended      chan struct{}         // closed when all places have ended
	err        atomic.Pointer[error] // why the pool failed
	stop       func() bool           // stops watching the context of NewPool

	mu         sync.Mutex // guards what follows, and what places and tickets say that it does
	places     []*place   // by number
	idle       []*place   // the last to become idle at the end: it is the warmest. Some may not be any more; see popIdle
	backlog    backlog
	numbers    uint64 // of tickets
	granted    int    // rooms in the backlog that are promised to submitters who waited
	atPlaces   int    // tickets that places have; they may come back
	waiters    []*submitter
	speeds     map[string]*speed              // by task
	followings map[<-chan struct{}]*following // by the done channels of contexts
	latest     *following                     // of the last ticket
	bell       *time.Timer                    // for tickets that are due later
	closed     bool                           // no more tickets are accepted
	size       int                            // places that shall stay
	alive      int                            // places that have not ended
	finished   bool                           // finish is called
	changed    chan struct{}                  // closed when a place has another process; nil if nobody waits
	tasks      []string
	fine       uint64        // tickets that are over and ok
	counts     PoolState     // the rest of what State tells and is not known otherwise
	dropped    atomic.Uint64 // events
	chunks     bool          // all workers run chunks, as the first has said
}

// A submitter waits for room in the backlog.
type submitter struct{ room chan struct{} }

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
		opts: o, log: o.Logger, speeds: map[string]*speed{}, followings: map[<-chan struct{}]*following{},
		closing: make(chan struct{}), ended: make(chan struct{}),
	}
	p.bell = time.AfterFunc(time.Hour, p.ring)
	p.bell.Stop()
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
	p.stop = context.AfterFunc(ctx, func() { p.end(context.Cause(ctx)) })
	p.alive, p.size = o.Workers, o.Workers
	go p.keep()
	ready := make(chan error, o.Workers)
	for _, place := range slices.Clone(p.places) {
		go place.begin(ready)
	}
	return p.await(ready, o.Workers)
}

// begin fills the place, says so, and runs it.
func (p *place) begin(ready chan<- error) {
	err := p.fill()
	ready <- err
	if err != nil {
		p.leave()
		return
	}
	p.run()
}

// left is called by a place that has ended.
func (p *Pool) left(q *place) {
	p.mu.Lock()
	p.alive--
	p.change()
	last := p.isLast()
	if i := slices.Index(p.places, q); q.gone && !p.closed && i >= 0 {
		p.places = slices.Delete(p.places, i, i+1)
	}
	if q.listed {
		q.listed = false
		p.idle = slices.DeleteFunc(p.idle, func(r *place) bool { return r == q })
	}
	p.mu.Unlock()
	if last {
		p.finish()
	}
}

// isLast tells, once and with mu held, that the pool has ended.
func (p *Pool) isLast() bool {
	if p.alive > 0 || !p.closed || p.finished {
		return false
	}
	p.finished = true
	return true
}

// finish is when the last place of a closed pool has ended.
func (p *Pool) finish() {
	p.stop()
	p.bell.Stop()
	p.mu.Lock()
	last := p.latest
	p.latest = nil
	p.forget(last)
	p.mu.Unlock()
	pools.remove(p)
	p.abandon()
	closePayload(p.opts.Initializer.Args)
	closePayload(p.opts.Finalizer.Args)
	p.emit(PoolEvent{Kind: PoolEnded})
	close(p.ended)
}

// await returns p when all workers are ready.
func (p *Pool) await(ready <-chan error, workers int) (*Pool, error) {
	for range workers {
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

func (p *Pool) knows(h proto.Hello) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tasks == nil {
		p.tasks = h.Tasks
		p.chunks = h.Has(proto.CapChunk)
	}
}

// slots is how many tickets a process runs at a time.
func (p *Pool) slots() int { return max(p.opts.Slots, 1) }

// over tells, with mu held, that no ticket waits, and none will come: neither from outside, nor back from a place.
func (p *Pool) over() bool {
	return p.closed && p.backlog.waiting() == 0 && (p.atPlaces == 0 || p.drained.Err() != nil)
}

// Submit accepts a ticket and returns at once, or waits while the backlog is full,
// until ctx ends. When ctx ends later, the ticket is cancelled. It returns ErrClosed
// after Close, Drain, Terminate or Kill, and what the pool failed of. The
// descriptors of t.Args are the pool's from now on, whatever is returned.
func (p *Pool) Submit(ctx context.Context, t Ticket) (*Pending, error) {
	pending := new(Pending)
	if err := p.submit(ctx, pending, t, true); err != nil {
		return nil, err
	}
	return pending, nil
}

// TrySubmit is Submit, but does not wait: while the backlog is full it returns ErrFull.
func (p *Pool) TrySubmit(ctx context.Context, t Ticket) (*Pending, error) {
	pending := new(Pending)
	if err := p.submit(ctx, pending, t, false); err != nil {
		return nil, err
	}
	return pending, nil
}

// submit makes t a ticket of the pool.
func (p *Pool) submit(ctx context.Context, pending *Pending, t Ticket, wait bool) error {
	pending.pool, pending.ticket = p, t
	err := t.check()
	if err == nil {
		err = p.accept(ctx, pending, wait)
	}
	if err != nil {
		closePayload(t.Args)
		return err
	}
	return nil
}

func (t Ticket) check() error {
	switch {
	case t.Task == "":
		return errors.New("supervisor: ticket without a task")
	case t.Attempts < 0:
		return fmt.Errorf("supervisor: ticket with %d attempts, expected at least 1 (or 0 for 1)", t.Attempts)
	case t.Timeout < 0 || t.Backoff < 0:
		return fmt.Errorf("supervisor: ticket with a time-out of %v and a back-off of %v, expected at least 0", t.Timeout, t.Backoff)
	}
	return nil
}

// accept hands a ticket to an idle place, or lets it wait; for that it may have to wait for room.
func (p *Pool) accept(ctx context.Context, t *Pending, wait bool) error {
	p.mu.Lock()
	if err := p.refusalLocked(); err != nil {
		p.mu.Unlock()
		return err
	}
	p.numbers++
	t.number = p.numbers
	t.speed = p.speedOf(t.ticket.Task)
	now := time.Time{}
	if !t.ticket.At.IsZero() {
		now = time.Now()
	}
	if !t.ticket.At.After(now) && p.backlog.ready == 0 {
		if place := p.popIdle(); place != nil {
			p.follow(ctx, t)
			p.backlog.push(t, now)
			place.feed() // unlocks
			return nil
		}
	}
	if p.backlog.waiting()+p.granted >= p.opts.Backlog {
		if !wait {
			p.mu.Unlock()
			return ErrFull
		}
		if err := p.awaitRoom(ctx, t); err != nil { // with mu held, unless there is an error
			return err
		}
	}
	p.follow(ctx, t)
	p.backlog.push(t, now)
	if t.where == isLater {
		p.alarm()
	}
	p.dispatch() // unlocks
	return nil
}

// speedOf returns what is known of a task. With mu held.
func (p *Pool) speedOf(task string) *speed {
	s := p.speeds[task]
	if s == nil {
		s = new(speed)
		if len(p.speeds) < maxSpeeds {
			p.speeds[task] = s
		}
	}
	return s
}

// maxSpeeds is of how many tasks a pool learns: who submits may make names up.
const maxSpeeds = 1000

// awaitRoom waits until there is room in the backlog. It is called with mu held; without an error it returns with it.
func (p *Pool) awaitRoom(ctx context.Context, t *Pending) (err error) {
	s := &submitter{room: make(chan struct{})}
	p.waiters = append(p.waiters, s)
	p.mu.Unlock()
	select {
	case <-s.room:
	case <-ctx.Done():
		err = fmt.Errorf("supervisor: submit ticket %s: %w", t.ID(), context.Cause(ctx))
	case <-p.closing:
	}
	p.mu.Lock()
	select {
	case <-s.room:
		p.granted--
	default:
		p.waiters = slices.DeleteFunc(p.waiters, func(w *submitter) bool { return w == s })
	}
	if err == nil {
		err = p.refusalLocked()
	}
	if err != nil {
		p.admit()
		p.mu.Unlock()
	}
	return err
}

// admit lets submitters go on for whom there is room now. With mu held.
func (p *Pool) admit() {
	for len(p.waiters) > 0 && p.backlog.waiting()+p.granted < p.opts.Backlog {
		close(p.waiters[0].room)
		p.waiters = slices.Delete(p.waiters, 0, 1)
		p.granted++
	}
}

// popIdle takes the warmest of the places that are free; nil if none is. With mu held.
func (p *Pool) popIdle() *place {
	for n := len(p.idle); n > 0; n = len(p.idle) {
		place := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		place.listed = false
		if place.free() {
			return place
		}
	}
	return nil
}

// dispatch hands what waits to places that are free. It is called with mu held and returns without it.
func (p *Pool) dispatch() {
	for p.backlog.peek() != nil {
		place := p.popIdle()
		if place == nil {
			break
		}
		place.feed() // unlocks
		p.mu.Lock()
	}
	p.mu.Unlock()
}

// alarm sees to it that ring is called when the next ticket is due. With mu held.
func (p *Pool) alarm() {
	if t := p.backlog.due(time.Now()); !t.IsZero() {
		p.bell.Reset(time.Until(t))
	}
}

// ring makes ready what is due.
func (p *Pool) ring() {
	p.mu.Lock()
	p.alarm()
	p.dispatch()
}

// refusalLocked is the error of a Submit that comes too late.
func (p *Pool) refusalLocked() error {
	switch err := p.failure(); {
	case !p.closed:
		return nil
	case err != nil:
		return err
	}
	return ErrClosed
}

// cancel ends a ticket: now if it waits, soon if it runs.
func (p *Pool) cancel(t *Pending, cause error) {
	p.mu.Lock()
	was := t.where
	if t.cause == nil {
		t.cause = cause
	}
	switch was {
	case isHanded, isHeld:
		t.place.wake()
		p.mu.Unlock()
	case isLater, isWaiting:
		t.ends()
		p.backlog.drop(t, was)
		t.cancelledEarly(OutcomeCancelled, notBegun(cause))
		p.count(t.result.Outcome)
		p.unfollow(t)
		p.admit()
		idle := p.over()
		p.mu.Unlock()
		if idle {
			p.wakeAll()
		}
		t.finish()
	default:
		p.mu.Unlock()
	}
}

// wakeAll has all places look at the state.
func (p *Pool) wakeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wakePlaces()
}

// wakePlaces is wakeAll with mu held.
func (p *Pool) wakePlaces() {
	for _, place := range p.places {
		place.wake()
	}
}

// refuses tells why a place should not begin an attempt of t.
func (p *Pool) refuses(t *Pending) error {
	if t.cause != nil {
		return notBegun(t.cause)
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
