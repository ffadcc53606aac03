package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// deathSignal is what a worker gets when the master dies: one that it can hear, for
// it has to take its descendants with it.
const deathSignal = syscall.SIGTERM

// A place is a numbered seat in a pool. One goroutine, run, owns it: it keeps the
// seat filled with a process, takes a ticket at a time, and keeps that until there
// is one result.
type place struct {
	pool   *Pool
	number int
	name   string
	board  *ipc.Block
	inbox  chan *Pending // capacity 1: filled only while the place is registered as idle

	w        *worker
	failures []time.Time // starts that failed and still count
	started  int         // processes so far

	mu     sync.Mutex // what others may ask for
	status PlaceStatus
}

// A PlaceStatus is what a pool knows of one of its places at a moment.
type PlaceStatus struct {
	Number  int
	State   PlaceState
	PID     int    // of its process; 0 while there is none
	PIDs    []int  // of all processes it has had, the last 100 at most, oldest first
	Started int    // how many that were
	Ticket  string // that it holds; "" if none
	Done    int    // tickets it has answered for
	Peak    uint64 // peak memory of the present process in bytes, as it says itself
}

// PlaceState says what a place is doing.
type PlaceState string

// The states of a place.
const (
	PlaceStarting PlaceState = "starting" // no process is ready
	PlaceIdle     PlaceState = "idle"
	PlaceBusy     PlaceState = "busy"
	PlaceEnded    PlaceState = "ended"
)

func newPlace(pool *Pool, number int) (*place, error) {
	board, err := newBoard()
	if err != nil {
		return nil, err
	}
	return &place{
		pool: pool, number: number, name: fmt.Sprintf("worker-%d", number),
		board: board, inbox: make(chan *Pending, 1),
		status: PlaceStatus{Number: number, State: PlaceStarting},
	}, nil
}

// title is what ps shows for the place's process.
func (p *place) title() string { return p.name + ": " + p.pool.opts.Name }

func (p *place) welcome() proto.Welcome {
	return proto.Welcome{
		Place: p.number, Pool: p.pool.opts.Name, Incarnation: p.started + 1,
		Grace: p.pool.opts.Grace, Beat: beatEvery, Title: p.title(),
		Parent: Current().Name,
	}
}

// run is the life of the place. It is called when the first process is ready.
func (p *place) run() {
	defer p.leave()
	for {
		if p.w == nil && (p.pool.backlog.over() || p.fill() != nil) {
			return
		}
		t, more := p.next()
		if !more {
			return
		}
		if t != nil {
			p.hold(t)
		}
	}
}

// fill starts a process, again and again as the policy allows. Otherwise the pool
// fails with the error.
func (p *place) fill() error {
	for p.pool.terminated.Err() == nil {
		p.set(func(s *PlaceStatus) { s.State, s.PID = PlaceStarting, 0 })
		w, err := p.startWorker(p.pool.terminated) // it has no ticket yet, so it needs no grace
		if err == nil {
			p.seat(w)
			return nil
		}
		if p.pool.terminated.Err() != nil {
			return err
		}
		now := time.Now()
		counting, after, giveUp := p.pool.opts.restart.next(append(p.failures, now), now)
		p.failures = counting
		if giveUp || hopeless(err, p.started == 0) {
			err = fmt.Errorf("%w: place %d, failure %d: %w", ErrRestartLimit, p.number, len(counting), err)
			p.pool.fail(err)
			return err
		}
		level := hclog.Info
		if len(counting) == 1 {
			level = hclog.Warn // the first of a row; the last is in the error
		}
		p.pool.log.Log(level, "worker did not become ready", "place", p.number, "error", err)
		select {
		case <-time.After(after):
		case <-p.pool.terminated.Done():
		}
	}
	return context.Cause(p.pool.terminated)
}

// seat makes w the place's process.
func (p *place) seat(w *worker) {
	p.w = w
	p.started++
	p.pool.knows(w.hello.Tasks)
	p.pool.log.Debug("worker is ready", "place", p.number, "pid", w.proc.PID())
	p.set(func(s *PlaceStatus) {
		s.State, s.PID, s.Started = PlaceIdle, w.proc.PID(), p.started
		s.PIDs = append(s.PIDs, w.proc.PID())
		if len(s.PIDs) > 100 {
			s.PIDs = slices.Clone(s.PIDs[1:])
		}
	})
}

// snapshot returns the status of the place, and what its process says of itself.
func (p *place) snapshot() PlaceStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.status
	s.PIDs = slices.Clone(s.PIDs)
	if s.PID != 0 {
		s.Peak = peakOn(p.board, s.PID)
	}
	return s
}

func (p *place) set(f func(*PlaceStatus)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.status)
}

// next waits for a ticket. It returns nil when the process has ended meanwhile, and
// more is false when the place has nothing to do any more.
func (p *place) next() (t *Pending, more bool) {
	t, registered := p.pool.backlog.take(p)
	if t != nil || !registered {
		return t, t != nil
	}
	select {
	case t := <-p.inbox:
		return t, t != nil // nil: the backlog is closed
	case <-p.w.answers: // closed: read takes no answer that nobody asked for
	case <-p.w.proc.Done(): // somebody else may hold its end of the connection open
	}
	if !p.pool.backlog.unregister(p) {
		t = <-p.inbox
		more = t != nil
	} else {
		more = true
	}
	p.died()
	return t, more
}

// died buries a process that ended, or whose connection did, without a ticket.
func (p *place) died() {
	pid := p.w.proc.PID()
	exit := p.vacate()
	p.pool.log.Warn("worker died", "place", p.number, "pid", pid, "exit", exit.String())
}

// vacate buries the process and leaves the place empty.
func (p *place) vacate() Exit {
	w := p.w
	p.w = nil
	exit := w.bury(p.pool, -1)
	p.sweep(w)
	p.set(func(s *PlaceStatus) { s.State, s.PID = PlaceStarting, 0 })
	return exit
}

// hold keeps a ticket until there is a result.
func (p *place) hold(t *Pending) {
	r := Result{Worker: p.number}
	voids := 0
	defer func() {
		if r.Attempts == 0 {
			r.Worker, r.PID, r.Started = 0, 0, time.Time{}
		} else {
			r.Elapsed = time.Since(r.Started)
		}
		p.set(func(s *PlaceStatus) {
			s.Ticket, s.Done = "", s.Done+1
			if s.State == PlaceBusy {
				s.State = PlaceIdle
			}
		})
		t.finish(r)
	}()
	for {
		if err := p.pool.refuses(t); err != nil {
			// After an attempt, that is what became of the ticket.
			if r.Attempts == 0 {
				r.Outcome, r.Err = OutcomeCancelled, err
			}
			return
		}
		if p.w == nil {
			if err := p.fill(); err != nil {
				r.Outcome, r.Err = OutcomeLost, err
				if p.pool.failure() == nil {
					r.Outcome, r.Err = OutcomeCancelled, context.Cause(p.pool.terminated)
				}
				return
			}
		}
		r.Attempts++
		r.Started = time.Now()
		r.PID = p.w.proc.PID()
		p.set(func(s *PlaceStatus) { s.State, s.Ticket = PlaceBusy, t.ticket.ID })
		a := attempt{place: p, w: p.w, t: t, number: r.Attempts}
		final := a.run()
		r.Outcome, r.Value, r.Err = a.outcome, a.value, a.err
		if a.void && voids < maxVoids {
			voids++
			r.Attempts--
			continue
		}
		if final || r.Attempts >= max(t.ticket.Attempts, 1) {
			return
		}
		p.pool.log.Info("ticket is tried again", "ticket", t.ticket.ID, "attempt", r.Attempts, "of", t.ticket.Attempts, "error", r.Err)
	}
}

// sweep kills what a dead worker has left behind.
func (p *place) sweep(w *worker) {
	if p.pool.opts.Subreaper {
		killOrphans(nil)
	} else {
		killCommands(p.board, w.born)
	}
}

// leave ends the place.
func (p *place) leave() {
	if p.w != nil {
		w := p.w
		p.w = nil
		w.stop(p.pool, p.pool.opts.Grace)
		p.sweep(w)
	}
	p.set(func(s *PlaceStatus) { s.State, s.PID = PlaceEnded, 0 })
	p.board.Close()
}

// An attempt is one execution of a ticket by one process.
type attempt struct {
	place  *place
	w      *worker
	t      *Pending
	number int
	id     uint64

	reason error // why it was told to end; nil if it was not
	stage  stage
	step   *time.Timer // when the next stage begins
	sent   chan error  // of a run whose arguments are so long that sending may block
	deaf   error       // why the run could not be sent, though the process is there

	outcome Outcome
	value   proto.Payload
	err     error
	void    bool // the process was dead or ending before it began: nothing was tried
}

// maxVoids bounds the attempts of one ticket that count for nothing: that none was
// begun is what a worker says.
const maxVoids = 100

// A stage is how far one has gone to end a task. Each is given the grace of the
// pool (the last ones half of it) before the next begins.
type stage int

const (
	stageRunning   stage = iota
	stageCancel          // its context has ended
	stageTerminate       // SIGTERM to the group
	stageKill            // SIGKILL to the group
)

// sendAhead is how long arguments may be to be written in the place's own loop: what
// fits in the socket's buffer does not block.
const sendAhead = 64 << 10

// run makes the attempt and tells whether there must not be another.
func (a *attempt) run() (final bool) {
	a.step = time.NewTimer(time.Hour)
	a.step.Stop()
	defer a.step.Stop()
	a.send()
	if a.outcome != "" {
		return true
	}
	var timeout <-chan time.Time
	if d := a.t.ticket.Timeout; d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		timeout = t.C
	}
	pool := a.place.pool
	cancelled, terminated, killed := a.t.cancelled, pool.terminated.Done(), pool.killed.Done()
	dead := a.w.proc.Done()
	for {
		select {
		case got, open := <-a.w.answers:
			if !open {
				return a.died()
			}
			return a.answered(got)
		case <-dead:
			// Its last words are in the socket; whoever else holds the other end has none.
			dead = nil
			a.w.drain()
		case err := <-a.sent:
			a.sent = nil
			if a.sendFailed(err); a.outcome != "" {
				return true
			}
		case <-timeout:
			timeout = nil
			a.end(fmt.Errorf("%w: %v have passed", ErrTimeout, a.t.ticket.Timeout))
		case <-cancelled:
			cancelled = nil
			a.end(a.t.cause)
		case <-terminated:
			terminated = nil
			if pool.killed.Err() == nil { // else the next case says it, without a word to the worker
				a.end(context.Cause(pool.terminated))
			}
		case <-killed:
			killed = nil
			if a.reason == nil {
				a.reason = context.Cause(pool.killed)
			}
			a.advance(stageKill)
		case <-a.step.C:
			a.advance(a.stage + 1)
		}
	}
}

func (a *attempt) send() {
	a.w.lastID++
	a.id = a.w.lastID
	ticket := a.t.ticket
	r := proto.Run{
		Task: ticket.Task, Ticket: ticket.ID, Attempt: a.number, Attempts: max(ticket.Attempts, 1),
		Timeout: ticket.Timeout, Grace: a.place.pool.opts.Grace * 3 / 4,
	}
	if len(ticket.Args.Bytes) < sendAhead {
		a.sendFailed(a.w.atOnce(func() error { return a.w.send(a.id, r, ticket.Args) }))
		return
	}
	sent := make(chan error, 1)
	a.sent = sent
	go func() { sent <- a.w.send(a.id, r, ticket.Args) }()
}

// sendFailed looks at the error of sending the run, if there is one. What is too large was not sent, and nobody
// was hurt.
func (a *attempt) sendFailed(err error) {
	switch {
	case err == nil:
	case errors.Is(err, proto.ErrTooLarge):
		a.w.asked.Store(0)
		a.outcome, a.err = OutcomeError, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		a.deaf = fmt.Errorf("it does not read: %w", err)
		a.w.proc.Kill()
	default: // its end is closed: it is dead, or will be
		a.w.drain()
	}
}

// end begins to end the task. The first reason counts.
func (a *attempt) end(why error) {
	if a.reason == nil {
		a.reason = why
	}
	if a.stage == stageRunning {
		a.advance(stageCancel)
	}
}

func (a *attempt) advance(to stage) {
	if to <= a.stage {
		return
	}
	grace := a.place.pool.opts.Grace
	a.stage = to
	switch to {
	case stageCancel:
		if a.sent != nil {
			// The wire is busy with the arguments, and nothing runs yet.
			a.advance(stageTerminate)
			return
		}
		a.w.atOnce(func() error { return a.w.tellCancel(a.id, a.reasonWord(), grace*3/4) })
		a.step.Reset(grace)
	case stageTerminate:
		a.w.proc.Terminate()
		a.step.Reset(grace / 2)
	case stageKill:
		a.w.proc.Kill()
		a.step.Stop()
	}
}

func (a *attempt) reasonWord() string {
	if errors.Is(a.reason, ErrTimeout) {
		return proto.KindTimeout
	}
	return proto.KindCancelled
}

// answered is the end with a response. Whatever it says came from the task, so a
// result counts also if the attempt was told to end in the meantime.
func (a *attempt) answered(got answer) (final bool) {
	m := got.message
	if a.sent != nil {
		// It has read the end of the arguments before we noticed that it is sent; or it has not waited for it,
		// and then it does not read on.
		a.w.conn.SetWriteDeadline(time.Now().Add(drainLimit))
		if <-a.sent != nil {
			a.w.proc.Kill()
		}
		a.sent = nil
		a.w.conn.SetWriteDeadline(time.Time{})
	}
	if m.Fault == nil {
		a.outcome = OutcomeOK
		a.value = proto.Payload{Bytes: m.Result, FDs: got.fds}
		a.afterwards()
		return true
	}
	ipc.CloseFDs(got.fds)
	a.err = m.Fault
	switch m.Fault.Kind {
	case proto.KindPanic:
		a.outcome = OutcomePanic
		a.lose(lastMoment)
	case proto.KindStopping, proto.KindBusy: // somebody else told it to end, for instance
		a.outcome = OutcomeError
		a.void = a.reason == nil
		a.lose(lastMoment)
	case proto.KindUnknownTask, proto.KindArguments, proto.KindUnknownMethod:
		a.outcome = OutcomeError
		final = true
	default:
		a.outcome = OutcomeError
	}
	a.afterwards()
	return a.judge() || final
}

// afterwards: a process that was told to end by signal is ending, answer or not.
func (a *attempt) afterwards() {
	if a.stage >= stageTerminate && a.place.w != nil {
		a.lose(lastMoment)
	}
}

// lose buries the process, after giving it d to end by itself, and leaves the place empty. It tells whether it
// did end by itself.
func (a *attempt) lose(d time.Duration) (exit Exit, itself bool) {
	a.w.proc.waitFor(a.place.pool.killed, d)
	_, itself = a.w.proc.Exit()
	exit = a.place.vacate()
	if a.sent != nil {
		<-a.sent // the connection is closed
	}
	return exit, itself
}

// lastMoment is what a process that ends by itself gets before it is killed.
const lastMoment = time.Second

// died is the end without a response: the connection has ended.
func (a *attempt) died() (final bool) {
	pid, breach := a.w.proc.PID(), a.w.breach()
	d := lastMoment
	if breach != nil {
		d = 0
	}
	exit, itself := a.lose(d)
	e := &WorkerDiedError{
		Worker: a.place.number, PID: pid, Ticket: a.t.ticket.ID, Attempt: a.number,
		Exit: exit, PeakMemory: peakOn(a.place.board, pid), Stderr: a.w.proc.StderrTail(),
	}
	a.outcome, a.err = e.outcome(), e
	a.void = a.reason == nil && a.deaf == nil && a.w.hello.Has(proto.CapScoreboard) && !begun(a.place.board, pid, a.id)
	switch {
	case breach != nil:
		a.err = fmt.Errorf("%w (killed, because: %w)", e, breach)
	case a.deaf != nil:
		a.err = fmt.Errorf("%w (killed, because: %w)", e, a.deaf)
	case !itself && a.stage < stageTerminate:
		a.err = fmt.Errorf("%w (killed, because it closed its connection)", e)
	}
	return a.judge()
}

// judge makes the reason for which the attempt was ended its outcome, and tells
// whether there must not be another.
func (a *attempt) judge() (final bool) {
	switch {
	case a.reason == nil:
		return false
	case errors.Is(a.reason, ErrTimeout):
		a.outcome = OutcomeTimeout
	default:
		a.outcome, final = OutcomeCancelled, true
	}
	a.err = fmt.Errorf("%w: %w", a.reason, a.err)
	return final
}
