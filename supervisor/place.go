package supervisor

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// deathSignal is what a worker gets when the master dies: one that it can hear, for
// it has to take its descendants with it.
const deathSignal = syscall.SIGTERM

// A place is a numbered seat in a pool. One goroutine, run, keeps it filled with a process, and looks after what goes
// wrong; while nothing does, tickets go by without it (handover.go).
type place struct {
	pool     *Pool
	number   int
	name     string
	board    *ipc.Block
	poke     chan struct{} // holds one element when run shall look at the state
	timer    *time.Timer   // pokes
	failures []time.Time   // starts that failed and still count

	// What follows is guarded by the pool's mu.

	w      *worker    // its process; nil: none is ready
	open   bool       // w may be handed tickets
	retire string     // why w shall end when it has nothing left to do; "" if it shall not
	gone   bool       // the place shall end with w
	ended  bool       // the place has
	flight []*Pending // handed to w, in the order of their runs; what w has not begun can be taken back
	held   []*Pending // between two attempts: they begin here, before all others
	doomed []fate     // answered by a process that is ending
	early  *Pending   // answered before its arguments were sent

	writing     bool          // somebody writes runs to w, and owns batch and out
	long        uint64        // the run whose arguments are being written, by a goroutine of its own; 0: none
	cut         bool          // and that has a deadline, because nobody waits for it
	batch       []handed      //
	out         []byte        //
	sends       uint64        // writes that are over, for who looks whether one lasts
	listed      bool          // among the pool's idle places
	claims      bool          // w claims what it begins
	epoch       uint32        // of the page's claim word
	firm        uint64        // the last run that was handed over before that epoch: what is left of those has begun
	lastID      uint64        // of the runs handed to w
	sent        uint64        // how much of the socket's buffer all runs for w have taken,
	read        uint64        // and how much of that w has read for certain
	given       int           // runs handed to w and not taken back
	ahead       time.Duration // that flight is thought to take
	bytes       int           // of the arguments in flight
	spentBefore uint64        // of the page's word about time spent, at the last answer
	mark        time.Time     // when the first of flight became the first
	alarmAt     time.Time     // when timer pokes next; zero: not
	stalled     bool          // w had begun nothing of what it was handed for long: nothing is handed ahead until it answers
	notes       notes         // what is to be told when mu is not held

	started int // processes so far
	pids    []int
	answers int       // tickets it has answered for
	since   time.Time // when w became ready
	rest    time.Time // when it became idle

	done []*Pending // of the one goroutine that takes answers
}

func newPlace(pool *Pool, number int) (*place, error) {
	board, err := newBoard()
	if err != nil {
		return nil, err
	}
	p := &place{
		pool: pool, number: number, name: fmt.Sprintf("worker-%d", number),
		board: board, poke: make(chan struct{}, 1),
	}
	p.timer = time.AfterFunc(time.Hour, p.wake)
	p.timer.Stop()
	return p, nil
}

// title is what ps shows for the place's process.
func (p *place) title() string { return p.name + ": " + p.pool.opts.Name }

func (p *place) welcome() proto.Welcome {
	w := proto.Welcome{
		Place: p.number, Pool: p.pool.opts.Name, Incarnation: p.started + 1,
		Grace: p.pool.opts.Grace, Beat: beatEvery, Title: p.title(),
		Parent: Current().Name,
	}
	if s := p.pool.slots(); s > 1 {
		w.Slots = s
	}
	return w
}

// wake has run look at the state.
func (p *place) wake() {
	select {
	case p.poke <- struct{}{}:
	default:
	}
}

// wakeAt has run look at the state at a time, at the latest. With mu held.
func (p *place) wakeAt(t time.Time) {
	if p.alarmAt.IsZero() || t.Before(p.alarmAt) {
		p.alarmAt = t
		p.timer.Reset(time.Until(t))
	}
}

// run is the life of the place. It is called when the first process is ready.
func (p *place) run() {
	defer p.leave()
	for {
		if !p.filled() && (!p.needed() || p.fill() != nil) {
			return
		}
		if why := p.attend(); why == isDone {
			return
		}
	}
}

func (p *place) filled() bool {
	p.pool.mu.Lock()
	defer p.pool.mu.Unlock()
	return p.w != nil
}

// needed tells whether the place has or will have something to do.
func (p *place) needed() bool {
	p.pool.mu.Lock()
	var over []*Pending
	if p.gone {
		over = p.handOn()
	}
	needed := len(p.held) > 0 || !p.gone && !p.pool.over()
	p.pool.dispatch() // unlocks
	for _, t := range over {
		t.finish()
	}
	return needed
}

// handOn gives the tickets between two attempts to other places. With mu held.
func (p *place) handOn() (over []*Pending) {
	over = p.giveBack(p.held)
	p.held = nil
	return over
}

// fill starts a process, again and again as the policy allows. Otherwise the pool
// fails with the error.
func (p *place) fill() error {
	for p.pool.terminated.Err() == nil {
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
		p.pool.emit(PoolEvent{Kind: PoolNoStart, Place: p.number, Err: err})
		select {
		case <-time.After(after):
		case <-p.pool.terminated.Done():
		}
	}
	return context.Cause(p.pool.terminated)
}

// seat makes w the place's process, and hands it its first tickets.
func (p *place) seat(w *worker) {
	pool := p.pool
	pool.knows(w.hello)
	pool.log.Debug("worker is ready", "place", p.number, "pid", w.proc.PID())
	pool.emit(PoolEvent{Kind: PoolReady, Place: p.number, PID: w.proc.PID()})
	pool.mu.Lock()
	p.w, p.open, p.retire = w, !p.gone, ""
	p.claims, p.epoch, p.lastID, p.given = w.hello.Has(proto.CapClaim) && w.hello.Has(proto.CapScoreboard), firstEpoch, w.lastID, 0
	p.spentBefore = p.board.Word(proto.ScoreSpent).Load()
	p.sent, p.read, p.firm = 0, 0, 0
	p.started++
	pool.counts.Started++
	p.pids = append(p.pids, w.proc.PID())
	if len(p.pids) > 100 {
		p.pids = slices.Clone(p.pids[1:])
	}
	p.since = time.Now()
	p.rest = p.since
	pool.change()
	go w.read(p)
	p.feed()
}

// firstEpoch is the one that a page begins with: in a run, 0 stands for none.
const firstEpoch = 1

// rested is called with mu held when the place takes no more for now.
func (p *place) rested() {
	switch {
	case !p.open:
		p.wake() // run waits for who writes
	case len(p.flight) == 0 && len(p.held) == 0 && (p.pool.over() || p.retire != "" || p.spent()):
		p.wake()
	case p.free():
		if len(p.flight) == 0 {
			p.rest = time.Now()
		}
		if !p.listed {
			p.listed = true
			p.pool.idle = append(p.pool.idle, p)
		}
	}
}

// spent tells whether the process has had as many tickets as it may have.
func (p *place) spent() bool {
	return p.pool.opts.MaxTickets > 0 && p.given >= p.pool.opts.MaxTickets
}

// free tells whether the place would begin a ticket now. (None is free that is not listed, or fed by somebody.)
func (p *place) free() bool {
	return p.open && !p.writing && len(p.flight) < p.pool.slots() && len(p.held) == 0 && !p.spent()
}

// An ending says why a process has to go.
type ending int

const (
	isDone    ending = iota // the place has nothing to do any more
	isDead                  // it, or its connection, has ended
	isDoomed                // it is about to end
	isRetired               // it has done enough
)

// attend looks after a process until it has to go, and buries it.
func (p *place) attend() ending {
	w := p.w
	dead := w.proc.Done()
	for {
		select {
		case <-p.poke:
		case <-w.ended:
			p.died(w)
			return isDead
		case <-dead:
			// Its last words are in the socket; whoever else holds the other end has none.
			dead = nil
			w.drain()
			continue
		}
		switch why := p.tend(w); why {
		case isDoomed:
			p.bury(w, lastMoment)
			return why
		case isRetired:
			p.relieve(w)
			return why
		case isDone:
			return why
		}
	}
}

// isFine: the process may stay.
const isFine ending = -1

// tend looks at the state of the process and of its tickets, does what is due, and sees to it that it is called when
// something will be.
func (p *place) tend(w *worker) ending {
	pool := p.pool
	now := time.Now()
	pool.mu.Lock()
	p.alarmAt = time.Time{}
	if len(p.doomed) > 0 {
		pool.mu.Unlock()
		return isDoomed
	}
	var over []*Pending
	var acts []func()
	if p.mustTakeBack(now) {
		back, ok := p.takeBack()
		if !ok {
			pool.mu.Unlock()
			w.killLiar()
			return isDoomed
		}
		over = p.giveBack(back)
		p.offer()
	}
	over = append(over, p.dropHeld()...)
	if p.gone || p.retire != "" {
		over = append(over, p.handOn()...)
	}
	for _, t := range p.flight[:min(len(p.flight), pool.slots())] {
		acts = append(acts, p.press(w, t, now)...)
		if d := t.nextStep(); !d.IsZero() {
			p.wakeAt(d)
		}
	}
	if p.hasAhead() {
		p.wakeAt(p.mark.Add(longHead))
	}
	why := isFine
	if len(p.flight) == 0 && len(p.held) == 0 {
		why = p.leaves()
	}
	switch {
	case why == isFine:
	case p.writing:
		why = isFine
		acts = append(acts, p.cutShort(w)...)
	default:
		p.open = false
	}
	pool.dispatch() // unlocks
	for _, t := range over {
		t.finish()
	}
	for _, act := range acts {
		act()
	}
	return why
}

// leaves tells why a process without a ticket goes, or isFine. With mu held.
func (p *place) leaves() ending {
	switch {
	case p.pool.over() || p.gone:
		return isDone
	case p.retire != "" || p.spent():
		return isRetired
	}
	return isFine
}

// cutShort bounds a write that nobody waits for any more: its ticket was taken back, and the process shall end. With mu held; what
// has to be done without it is returned.
func (p *place) cutShort(w *worker) (acts []func()) {
	switch {
	case p.long == 0 || p.early != nil: // it will not last
	case p.pool.killed.Err() != nil:
		return []func(){func() { w.proc.Kill() }}
	case !p.cut:
		p.cut = true
		end := time.Now().Add(p.pool.opts.Grace)
		return []func(){func() { w.conn.SetWriteDeadline(end) }}
	}
	return nil
}

// offer lists a place from which something was taken back, if it can have other tickets now: it comes after all others, for it
// may be stopped. With mu held.
func (p *place) offer() {
	p.stalled = p.stalled || len(p.flight) == 0
	if !p.listed && p.free() {
		p.listed = true
		p.pool.idle = slices.Insert(p.pool.idle, 0, p)
	}
}

// mustTakeBack tells whether what waits at the process should not.
func (p *place) mustTakeBack(now time.Time) bool {
	if p.hasAhead() && (now.Sub(p.mark) >= longHead || !p.open || p.retire != "" || p.pool.drained.Err() != nil) {
		return true
	}
	return p.claims && slices.ContainsFunc(p.flight, func(t *Pending) bool { return t.stage == stageRunning && p.pool.refuses(t) != nil })
}

// dropHeld finishes what was to be tried again, and shall not be any more.
func (p *place) dropHeld() (over []*Pending) {
	p.held = slices.DeleteFunc(p.held, func(t *Pending) bool {
		err := p.pool.refuses(t)
		if err != nil {
			t.cancelledEarly(OutcomeCancelled, err)
			p.close(t)
			over = append(over, t)
		}
		return err != nil
	})
	return over
}

// press ends the attempt that is under way, if there is a reason, step by step. What has to be done without mu it returns.
func (p *place) press(w *worker, t *Pending, now time.Time) (acts []func()) {
	pool := p.pool
	if t.reason == nil {
		t.reason = t.whyEnd(now)
	}
	if t.reason == nil && pool.terminated.Err() != nil {
		t.reason = context.Cause(pool.terminated)
	}
	to := t.stage
	switch {
	case pool.killed.Err() != nil:
		to = stageKill
	case t.stage == stageRunning && t.reason != nil:
		to = stageCancel
		if p.long == t.id {
			to = stageTerminate // the wire is busy with the arguments, and nothing runs yet
		}
	case t.stage > stageRunning && t.stage < stageKill && !now.Before(t.step):
		to = t.stage + 1
	}
	if to == t.stage {
		return nil
	}
	t.stage = to
	grace := pool.opts.Grace
	switch to {
	case stageCancel:
		t.step = now.Add(grace)
		id, word := t.id, t.reasonWord()
		return []func(){func() { w.atOnce(func() error { return w.tellCancel(id, word, grace*3/4) }) }}
	case stageTerminate:
		t.step = now.Add(grace / 2)
		return []func(){func() { w.proc.Terminate() }}
	}
	t.step = time.Time{}
	return []func(){func() { w.proc.Kill() }}
}

// leave ends the place.
func (p *place) leave() {
	pool := p.pool
	pool.mu.Lock()
	w := p.w
	p.open = false
	pool.mu.Unlock()
	if w != nil {
		w.stop(p, pool.opts.Grace)
		p.vacate(w)
	}
	pool.mu.Lock()
	p.ended = true
	over := p.held
	p.held = nil
	for _, t := range over {
		if err := pool.failure(); err != nil {
			t.result.Outcome, t.result.Err = OutcomeLost, err
		} else {
			t.cancelledEarly(OutcomeCancelled, context.Cause(pool.terminated))
		}
		p.close(t)
	}
	pool.mu.Unlock()
	for _, t := range over {
		t.finish()
	}
	p.timer.Stop()
	p.board.Close()
	pool.left(p)
}
