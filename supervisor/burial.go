package supervisor

import (
	"fmt"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// relieve ends a process that has done enough, in peace.
func (p *place) relieve(w *worker) {
	pool := p.pool
	pool.mu.Lock()
	why := p.retire
	if why == "" {
		why = "it has had its tickets"
	}
	pool.counts.Retired++
	pool.mu.Unlock()
	pool.log.Debug("worker is replaced", "place", p.number, "pid", w.proc.PID(), "because", why)
	pool.emit(PoolEvent{Kind: PoolRetired, Place: p.number, PID: w.proc.PID(), Why: why})
	w.stop(p, pool.opts.Grace)
	p.vacate(w)
}

// died buries a process that ended, or whose connection did.
func (p *place) died(w *worker) {
	d := lastMoment
	if w.breach() != nil {
		d = 0
	}
	p.bury(w, d)
}

// bury sees a process off, after giving it d to end by itself, and decides what becomes of the tickets that it had.
func (p *place) bury(w *worker, d time.Duration) {
	pool := p.pool
	pool.mu.Lock()
	p.open = false
	idle := len(p.flight) == 0 && len(p.doomed) == 0
	pool.mu.Unlock()
	w.proc.waitFor(pool.killed, d)
	_, itself := w.proc.Exit()
	exit := w.bury(pool, -1)
	p.awaitWriter()
	p.lastWords(w)
	p.sweep(w)
	pool.emit(PoolEvent{Kind: PoolDied, Place: p.number, PID: w.proc.PID(), Exit: exit})
	if idle {
		pool.log.Warn("worker died", "place", p.number, "pid", w.proc.PID(), "exit", exit.String())
	}
	e := WorkerDiedError{
		Worker: p.number, PID: w.proc.PID(), Exit: exit,
		PeakMemory: peakOn(p.board, w.proc.PID()), Stderr: w.proc.StderrTail(),
	}
	pool.mu.Lock()
	pool.counts.Died++
	over := p.disown(w, e, itself)
	p.vacateLocked()
	notes := p.takeNotes()
	pool.dispatch() // unlocks
	for _, t := range over {
		t.finish()
	}
	notes.tell(pool)
}

// lastMoment is what a process that ends by itself gets before it is killed.
const lastMoment = time.Second

// awaitWriter waits until nobody writes to the process any more; its connection is closed.
func (p *place) awaitWriter() {
	for {
		p.pool.mu.Lock()
		writing := p.writing
		p.pool.mu.Unlock()
		if !writing {
			return
		}
		<-p.poke
	}
}

// lastWords takes the answers that a dead process has kept back.
func (p *place) lastWords(w *worker) {
	p.pool.mu.Lock()
	wanted := map[uint64]bool{}
	for _, t := range p.flight {
		wanted[t.id] = true
	}
	p.pool.mu.Unlock()
	if list := w.kept(p.board, func(id uint64) bool { return wanted[id] }); len(list) > 0 {
		p.answered(list)
	}
}

// disown decides what becomes of the tickets of a dead process, and returns those that are over. With mu held.
func (p *place) disown(w *worker, e WorkerDiedError, itself bool) (over []*Pending) {
	for _, f := range p.doomed {
		if p.decide(f.t, f.v) {
			over = append(over, f.t)
		}
	}
	p.doomed = nil
	var back []*Pending
	for _, t := range p.flight {
		begun := p.begun(w, t)
		if !begun && t.reason == nil && t.stage == stageRunning && t.voids < maxVoids {
			t.voids++
			back = append(back, t)
			continue
		}
		if p.decide(t, p.concludeDeath(w, t, e, itself, begun)) {
			over = append(over, t)
		}
	}
	p.flight = nil
	for _, t := range back {
		t.place, t.since = nil, time.Time{}
	}
	return append(over, p.giveBack(back)...)
}

// begun tells whether the process has begun the ticket, as far as its page knows.
func (p *place) begun(w *worker, t *Pending) bool {
	if w.deaf() != nil || w.lied.Load() || !w.hello.Has(proto.CapScoreboard) {
		return true
	}
	if !p.claims && p.pool.slots() > 1 {
		return true // the page shows one of them
	}
	if !p.claims || !boardOf(p.board, w.proc.PID()) {
		return begun(p.board, w.proc.PID(), t.id)
	}
	return proto.Claim(p.board.Word(proto.ScoreClaim).Load()).Begun(p.lastID) >= t.id
}

// concludeDeath is the end of an attempt by the death of the process.
func (p *place) concludeDeath(w *worker, t *Pending, e WorkerDiedError, itself, begun bool) sequel {
	r := &t.result
	t.begins(p.mark)
	r.Worker, r.PID, r.Started, r.Elapsed = p.number, e.PID, t.since, time.Since(t.since)
	e.Ticket, e.Attempt = t.ID(), t.made+1
	if n := p.board.Word(proto.ScoreItem).Load(); boardOf(p.board, e.PID) && n <= uint64(t.ticket.chunk) {
		e.Element = int(n)
	}
	var err error = &e
	switch breach, deaf := w.breach(), w.deaf(); {
	case w.tooLarge.Load():
		t.reason = ErrMemory
	case breach != nil:
		err = fmt.Errorf("%w (killed, because: %w)", &e, breach)
	case deaf != nil:
		err = fmt.Errorf("%w (killed, because: %w)", &e, deaf)
	case !itself && t.stage < stageTerminate:
		err = fmt.Errorf("%w (killed, because it closed its connection)", &e)
	}
	return t.conclude(e.outcome(), err, false, !begun)
}

// vacate leaves the place empty.
func (p *place) vacate(w *worker) {
	p.sweep(w)
	p.pool.mu.Lock()
	defer p.pool.mu.Unlock()
	p.vacateLocked()
}

func (p *place) vacateLocked() {
	p.w, p.open, p.flight, p.doomed, p.ahead, p.bytes, p.given, p.retire, p.stalled = nil, false, nil, nil, 0, 0, 0, "", false
}

// sweep kills what a dead worker has left behind.
func (p *place) sweep(w *worker) {
	if p.pool.opts.Subreaper {
		killOrphans(nil)
	} else {
		killCommands(p.board, w.born)
	}
}
