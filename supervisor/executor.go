package supervisor

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// ExecutorOptions of an Executor; the zero value is good.
type ExecutorOptions struct {
	// Workers is how many functions run at once; 0 or less is the number of processors.
	Workers int
	// Backlog is how many may wait for a worker, or for their time, before Submit waits; 0 or less is 1024. Functions
	// that submit to their own executor want one that never fills: math.MaxInt is good.
	Backlog int
}

// An Executor runs functions in goroutines of this process, a bounded number at a time: Python's thread pool. It gives
// the same Futures as a [Pool]; but here a function is not isolated, cannot be killed, and shares everything. See [Submit].
// Any number of goroutines may use it. One that has nothing to do has no goroutine, and need not be closed.
//
// Each function has a goroutine to itself, and is an owner of its own to an ipc.RLock. A panic, or runtime.Goexit, is the
// result of that function and harms nobody else. At the end of the program functions are cut off as all goroutines are.
type Executor struct {
	workers int
	room    chan struct{} // holds one for each job that has not begun
	closing chan struct{} // closed when no more are accepted
	ended   chan struct{} // closed when all are over, after that

	mu      sync.Mutex
	closed  bool
	free    int         // how many more may run now
	queue   chain[*job] // due, oldest first; empty while any is free
	running chain[*job]
	later   timetable   // those not due yet
	timer   *time.Timer // for the first of later; nil: none was needed yet
}

// A job is a function that an executor has accepted.
type job struct {
	link   link[*job] // in queue or running
	begun  bool       // false: it is in queue or in later
	due    time.Time  // zero is now
	number uint64     // of those that were not due at once: the order of submission
	index  int        // in later, from 1; 0: it is not there
	ctx    context.Context
	cancel context.CancelCauseFunc
	detach func() bool               // stops watching the context of Submit
	run    func(ctx context.Context) // calls the function and settles its future
	refuse func(err error)           // settles it without that
}

// NewExecutor returns one that accepts functions.
func NewExecutor(o ExecutorOptions) *Executor {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Backlog <= 0 {
		o.Backlog = 1024
	}
	return &Executor{
		workers: o.Workers, free: o.Workers, room: make(chan struct{}, o.Backlog),
		closing: make(chan struct{}), ended: make(chan struct{}),
	}
}

// submit accepts j, or waits while the backlog is full.
func (ex *Executor) submit(ctx context.Context, j *job) error {
	if err := ex.findRoom(ctx); err != nil {
		return err
	}
	ex.mu.Lock()
	defer ex.mu.Unlock()
	if ex.closed {
		<-ex.room
		return ErrClosed
	}
	j.link.value = j
	j.ctx, j.cancel = context.WithCancelCause(ctx)
	j.detach = context.AfterFunc(ctx, func() { ex.withdraw(j, context.Cause(ctx)) })
	if time.Until(j.due) > 0 {
		ex.later.add(j)
		ex.wakeUp()
	} else {
		ex.enqueue(j)
	}
	return nil
}

func (ex *Executor) findRoom(ctx context.Context) error {
	if ctx.Err() == nil {
		select {
		case ex.room <- struct{}{}:
			return nil
		case <-ex.closing:
			return ErrClosed
		case <-ctx.Done():
		}
	}
	return fmt.Errorf("supervisor: submit: %w", context.Cause(ctx))
}

// wakeUp enqueues what is due, and sees to it that it is called when the next one is. The caller holds the mutex, as for
// all that follows up to begin.
func (ex *Executor) wakeUp() {
	for j := ex.later.first(); j != nil; j = ex.later.first() {
		if d := time.Until(j.due); d > 0 {
			ex.setTimer(d)
			return
		}
		ex.later.remove(j)
		ex.enqueue(j)
	}
}

func (ex *Executor) setTimer(d time.Duration) {
	if ex.timer != nil {
		ex.timer.Reset(d)
		return
	}
	ex.timer = time.AfterFunc(d, func() {
		ex.mu.Lock()
		defer ex.mu.Unlock()
		ex.wakeUp()
	})
}

func (ex *Executor) enqueue(j *job) {
	ex.queue.push(&j.link)
	ex.dispatch()
}

// dispatch begins what waits, as far as there are workers.
func (ex *Executor) dispatch() {
	for ex.free > 0 && ex.queue.first != nil {
		j := ex.queue.first.value
		ex.queue.remove(&j.link)
		if j.ctx.Err() != nil { // it is about to be withdrawn
			ex.drop(j, context.Cause(j.ctx))
			continue
		}
		ex.free--
		ex.begin(j)
	}
}

func (ex *Executor) begin(j *job) {
	<-ex.room
	j.begun = true
	j.detach() // its own context tells it from now on
	ex.running.push(&j.link)
	go func() {
		defer ex.after(j) // also when the function calls Goexit
		j.run(j.ctx)
	}()
}

// after hands the worker of a job that is over to the next.
func (ex *Executor) after(j *job) {
	j.cancel(nil)
	ex.mu.Lock()
	defer ex.mu.Unlock()
	ex.running.remove(&j.link)
	ex.free++
	ex.dispatch()
	ex.endIfOver()
}

// cancel ends j: now if it waits, by its context if it runs.
func (ex *Executor) cancel(j *job, cause error) {
	j.cancel(cause)
	ex.withdraw(j, cause)
}

// withdraw ends j if it waits.
func (ex *Executor) withdraw(j *job, cause error) {
	ex.mu.Lock()
	defer ex.mu.Unlock()
	if !j.begun && (ex.queue.remove(&j.link) || ex.later.remove(j)) {
		ex.drop(j, cause)
		ex.endIfOver()
	}
}

// drop ends a job that is in neither queue any more. Nobody's code runs in here: see hook.
func (ex *Executor) drop(j *job, cause error) {
	<-ex.room
	j.detach()
	j.cancel(cause)
	j.refuse(notBegun(cause))
	if ex.timer != nil && ex.later.first() == nil {
		ex.timer.Stop()
	}
}

func (ex *Executor) endIfOver() {
	if !ex.closed || ex.running.first != nil || ex.queue.first != nil || ex.later.first() != nil {
		return
	}
	select {
	case <-ex.ended:
	default:
		close(ex.ended)
	}
}

// Close accepts no more functions and waits until all accepted ones are over, those that are not due yet included. Closing
// twice is fine. A function that closes its own executor would wait for itself.
func (ex *Executor) Close() {
	ex.shut(func() {})
	<-ex.ended
}

// Drain accepts no more functions and begins none: those that wait are cancelled with ErrDrained, those that run finish. It does
// not wait; see Join.
func (ex *Executor) Drain() { ex.shut(func() { ex.dropAll(ErrDrained) }) }

// Terminate accepts no more functions: those that wait are cancelled with ErrTerminated, and the contexts of those that run
// end with it. It does not wait; see Join.
func (ex *Executor) Terminate() {
	ex.shut(func() {
		ex.dropAll(ErrTerminated)
		for l := ex.running.first; l != nil; l = l.next {
			l.value.cancel(ErrTerminated)
		}
	})
}

// shut accepts no more, and calls also.
func (ex *Executor) shut(also func()) {
	ex.mu.Lock()
	defer ex.mu.Unlock()
	if !ex.closed {
		ex.closed = true
		close(ex.closing)
	}
	also()
	ex.endIfOver()
}

func (ex *Executor) dropAll(cause error) {
	for l := ex.queue.first; l != nil; l = ex.queue.first {
		ex.queue.remove(l)
		ex.drop(l.value, cause)
	}
	for j := ex.later.first(); j != nil; j = ex.later.first() {
		ex.later.remove(j)
		ex.drop(j, cause)
	}
}

// Join waits until all accepted functions are over. It returns ErrOpen if nobody has closed, drained or terminated the
// executor; or, if ctx ends first, its cause.
func (ex *Executor) Join(ctx context.Context) error {
	select {
	case <-ex.closing:
	default:
		return ErrOpen
	}
	select {
	case <-ex.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("supervisor: join executor: %w", context.Cause(ctx))
	}
}
