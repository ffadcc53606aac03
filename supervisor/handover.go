package supervisor

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// This file is the way of tickets from the backlog to a process and back while nothing goes wrong; it has no goroutine of its own. Who
// submits hands over to a place that is free; who reads the answers of a process finishes its tickets and hands over the next.
//
// A process that claims its runs is handed short ones ahead, as many as it is thought to do in aheadTime, so that the round trip
// is hidden. What it has not begun can be taken back at any time: the page's claim word is swapped for one of the next
// epoch, and the process drops the runs of an earlier one. So nothing ever waits behind a long task: see place.tend.

const (
	aheadTime  = 200 * time.Microsecond // what a process may have ahead
	aheadCount = 128
	aheadBytes = 32 << 10              // of arguments: they fit into the socket
	longHead   = 2 * time.Millisecond  // nothing is left waiting behind a task that takes so long
	shortLimit = 50 * time.Millisecond // a ticket with a shorter time-out is not handed ahead

	// sendAhead is how long arguments may be to be written by anybody, and room how much may lie in the socket then: what fits
	// into its buffer does not block. All else has a goroutine of its own for that.
	sendAhead = 64 << 10
	room      = 128 << 10
	overhead  = 512 // of a run in the buffer, beside what is written
)

// A handed is a run as it is written. It shares nothing with its ticket that changes: the answer may be here before the write
// has returned.
type handed struct {
	id    uint64
	task  string
	args  proto.Payload
	run   proto.Run
	alone bool // writing it may block, or needs the descriptors to stay open
}

// alone tells whether the run of a ticket has a batch of its own, and a goroutine to write that. How much of what was written
// the process has not read is known by its answers, as it reads in order.
func (p *place) alone(t *Pending) bool {
	return isLong(t.ticket.Args) || len(t.ticket.ID) > sendAhead || p.sent+t.size()-p.read > room
}

// size is how much of the socket's buffer a run takes, at most and about.
func (t *Pending) size() uint64 {
	return uint64(len(t.ticket.Args.Bytes)+len(t.ticket.ID)+len(t.ticket.Task)) + overhead
}

func isLong(args proto.Payload) bool { return len(args.Bytes) >= sendAhead || len(args.FDs) > 0 }

// feed hands tickets to the place until it takes no more. It is called with the pool's mu held and returns without it.
func (p *place) feed() {
	if p.writing {
		p.pool.mu.Unlock()
		return
	}
	p.writing = true
	for p.take(); len(p.batch) > 0; p.take() {
		w := p.w
		if p.batch[0].alone {
			t := p.flight[len(p.flight)-1]
			p.long = t.id
			t.lent++
			p.pool.mu.Unlock()
			go p.sendLong(w, t)
			return
		}
		p.pool.mu.Unlock()
		p.send(w)
		p.pool.mu.Lock()
	}
	p.writing = false
	p.sends++
	p.rested()
	p.pool.mu.Unlock()
}

// take makes the tickets that the place is handed now its batch, and numbers them as runs. With mu held, by who has set writing.
func (p *place) take() {
	clear(p.batch)
	p.batch = p.batch[:0]
	for p.open {
		t := p.candidate(len(p.batch))
		if t == nil {
			break
		}
		if len(p.flight) == 0 {
			p.mark = time.Now()
			t.begins(p.mark)
		} else if len(p.flight) < p.pool.slots() {
			t.begins(time.Now())
		}
		p.lastID++
		t.id, t.where, t.place = p.lastID, isHanded, p
		t.reason, t.stage = nil, stageRunning
		if len(p.flight) == cap(p.flight) {
			p.flight = append(make([]*Pending, 0, 2*aheadCount+len(p.flight)), p.flight...)
		}
		p.flight = append(p.flight, t)
		h := handed{id: t.id, task: t.ticket.Task, args: t.ticket.Args, run: p.runOptions(t), alone: p.alone(t)}
		p.batch = append(p.batch, h)
		p.sent += t.size()
		t.sent = p.sent
		p.ahead += t.expect
		p.bytes += len(t.ticket.Args.Bytes)
		p.given++
		if d := t.nextStep(); !d.IsZero() {
			p.wakeAt(d)
		}
		if h.alone {
			break
		}
	}
	if p.hasAhead() {
		p.wakeAt(p.mark.Add(longHead))
	}
}

// hasAhead tells whether the process was handed something ahead that it may not have begun yet.
func (p *place) hasAhead() bool {
	n := len(p.flight)
	return n > p.pool.slots() && p.flight[n-1].id > p.firm
}

// candidate takes the next ticket for the place out of where it waits, if the place may have it.
func (p *place) candidate(batch int) *Pending {
	pool := p.pool
	if len(p.held) > 0 {
		t := p.held[0]
		if len(p.flight) >= pool.slots() || batch > 0 && p.alone(t) {
			return nil
		}
		p.held = slices.Delete(p.held, 0, 1)
		return t
	}
	t := pool.backlog.peek()
	switch {
	case t == nil, p.spent():
		return nil
	case len(p.flight) >= pool.slots() && !p.mayWaitHere(t):
		return nil
	case batch > 0 && p.alone(t):
		return nil
	}
	t.expect = t.speed.expect(t.elements())
	if isLong(t.ticket.Args) {
		t.expect = unknown
	}
	pool.backlog.pop()
	pool.atPlaces++
	pool.admit()
	return t
}

// mayWaitHere tells whether a ticket may be handed over behind those that the place has.
func (p *place) mayWaitHere(t *Pending) bool {
	size := len(t.ticket.Args.Bytes)
	return p.claims && !p.stalled && p.pool.slots() == 1 && len(p.flight) < aheadCount &&
		p.ahead+t.speed.expect(t.elements()) <= aheadTime && p.bytes+size <= aheadBytes && !p.alone(t) && len(t.ticket.ID) < aheadBytes/aheadCount &&
		(t.ticket.Timeout == 0 || t.ticket.Timeout >= shortLimit)
}

// send writes the runs of the batch to the process, in one go.
func (p *place) send(w *worker) {
	p.out = p.out[:0]
	for _, h := range p.batch {
		p.out = h.appendFrame(p.out)
	}
	if w.conn.WriteFrames(p.out) != nil {
		w.drain() // its end is closed: it is dead, or will be
	}
	if cap(p.out) > 4*sendAhead {
		p.out = nil
	}
}

// sendLong writes the one run of the batch, that of t, its arguments from where they are. It may block when the worker does not
// read. Meanwhile the ticket may be taken back, and be over, or at another process.
func (p *place) sendLong(w *worker, t *Pending) {
	h := p.batch[0]
	err := h.write(w.conn)
	tooLarge := errors.Is(err, proto.ErrTooLarge) // nothing was sent, and nobody was hurt
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.killDeaf()
	case err != nil && !tooLarge:
		w.drain()
	}
	p.pool.mu.Lock()
	p.writing, p.long, p.cut = false, 0, false
	p.sends++
	if t.lent--; t.loose && t.lent == 0 {
		defer closePayload(h.args)
	}
	early := p.early
	p.early = nil
	over := false
	switch {
	case tooLarge:
		if early = p.handedOver(h.id); early != nil {
			early.conclude(OutcomeError, err, true, false)
			p.close(early)
			over = true
		}
	case early != nil:
		// The answer came before all was sent. If it does not read the rest, it is of no use any more.
		if over = p.decide(early, early.early); err != nil {
			p.open = false
			w.proc.Kill()
		}
		w.conn.SetWriteDeadline(time.Time{})
	}
	p.feed()
	if over {
		early.finish()
	}
}

// handedOver takes the ticket of a run off those that are handed over; nil if it is not there.
func (p *place) handedOver(id uint64) *Pending {
	i := slices.IndexFunc(p.flight, func(t *Pending) bool { return t.id == id })
	if i < 0 {
		return nil
	}
	return p.unload(i)
}

// runOptions are what the worker is told of a ticket.
func (p *place) runOptions(t *Pending) proto.Run {
	r := proto.Run{
		Ticket: t.ticket.ID, Timeout: t.ticket.Timeout, Attempt: t.made + 1, Attempts: t.attempts(), Chunk: t.ticket.chunk,
	}
	if p.claims {
		r.Epoch = uint64(p.epoch)
	}
	if r.Ticket == "" {
		r.Seq = t.number
	}
	return r
}

// write writes the run, the arguments from where they are.
func (h handed) write(c *ipc.Conn) error {
	head := proto.AppendRunHead(proto.AppendRequestHead(nil, h.id, proto.MethodRun), h.task)
	if len(h.args.Bytes) == 0 {
		head = proto.AppendNil(head)
	}
	return c.WriteFrame(h.args.FDs, head, h.args.Bytes, proto.AppendRunTail(nil, h.run))
}

// lastTicket makes a ticket of the place's own, the last of its process, and counts it as handed over.
func (p *place) lastTicket(fin Ticket) (*Pending, handed) {
	p.pool.mu.Lock()
	defer p.pool.mu.Unlock()
	p.lastID++
	p.mark = time.Now()
	h := handed{id: p.lastID, task: fin.Task, args: fin.Args, run: proto.Run{Ticket: fin.ID}}
	if p.claims {
		h.run.Epoch = uint64(p.epoch)
	}
	fin.Args = proto.Payload{} // they stay the pool's
	t := &Pending{pool: p.pool, ticket: fin}
	t.id, t.where, t.place, t.speed, t.since = p.lastID, isHanded, p, new(speed), p.mark
	p.flight = append(p.flight, t)
	return t, h
}

// appendFrame appends the run as a whole frame.
func (h handed) appendFrame(b []byte) []byte {
	start := len(b)
	var head [proto.HeaderSize]byte
	b = proto.AppendRequestHead(append(b, head[:]...), h.id, proto.MethodRun)
	b = proto.AppendRunHead(b, h.task)
	if len(h.args.Bytes) == 0 {
		b = proto.AppendNil(b)
	}
	b = proto.AppendRunTail(append(b, h.args.Bytes...), h.run)
	proto.AppendHeader(b[:start], proto.Header{Length: len(b) - start - proto.HeaderSize})
	return b
}

// unload takes the i-th ticket off those that are handed over.
func (p *place) unload(i int) *Pending {
	t := p.flight[i]
	p.ahead -= t.expect
	p.bytes -= len(t.ticket.Args.Bytes)
	if i > 0 {
		p.flight = slices.Delete(p.flight, i, i+1)
		return t
	}
	p.flight[0] = nil
	p.flight = p.flight[1:] // to move the rest up for each would cost more than all else here
	return t
}

// answered takes what the process has answered, finishes those tickets and hands over the next. The error is what the
// process did against the protocol.
func (p *place) answered(list []answer) (err error) {
	now := time.Now()
	p.pool.mu.Lock()
	each := p.took(now) / time.Duration(len(list))
	done := p.done[:0]
	var stale []int                                     // closing descriptors may block, whatever they are
	share := now.Sub(p.mark) / time.Duration(len(list)) // they ran one after another; nobody has noted when each began
	for i, a := range list {
		t := p.handedOver(a.message.ID)
		if t == nil {
			stale = append(stale, a.fds...)
			err = fmt.Errorf("%w: answer to request %d, which is not under way", ErrProtocol, a.message.ID)
			continue
		}
		t.begins(p.mark.Add(time.Duration(i) * share))
		t.speed.learn(each, t.elements())
		p.read = max(p.read, t.sent)
		end := now
		if p.pool.slots() == 1 {
			end = p.mark.Add(time.Duration(i+1) * share)
		}
		if p.settle(t, a, end) {
			done = append(done, t)
		}
	}
	p.mark, p.stalled = now, false
	for i := range min(len(p.flight), p.pool.slots()) {
		p.flight[i].begins(now)
	}
	notes := p.takeNotes()
	p.feed() // unlocks
	for i, t := range done {
		t.finish()
		done[i] = nil
	}
	p.done = done[:0]
	notes.tell(p.pool)
	ipc.CloseFDs(stale)
	return err
}

// took returns how long the tickets have taken that are answered now: as long as the process says that it has spent in them, or else since
// the last answer. What it says decides only how many it is handed ahead.
func (p *place) took(now time.Time) time.Duration {
	since := now.Sub(p.mark)
	if !p.claims {
		return since
	}
	spent := p.board.Word(proto.ScoreSpent).Load()
	took := time.Duration(spent - p.spentBefore)
	p.spentBefore = spent
	if took <= 0 || took > since {
		return since
	}
	return took
}

// settle makes of an answer what becomes of its ticket, and tells whether that is over.
func (p *place) settle(t *Pending, a answer, end time.Time) bool {
	r := &t.result
	r.Worker, r.PID, r.Started, r.Elapsed = p.number, p.w.proc.PID(), t.since, end.Sub(t.since)
	v, ending := t.answered(a)
	if ending || t.stage >= stageTerminate {
		// The process is ending, answer or not. The result is given when it has ended.
		p.open = false
		p.doomed = append(p.doomed, fate{t, v})
		p.wake()
		return false
	}
	if p.long == a.message.ID {
		// It has read the end of the arguments before that was noticed here; or it has not waited for it. See sendLong.
		p.early, t.early = t, v
		p.w.conn.SetWriteDeadline(time.Now().Add(drainLimit))
		return false
	}
	return p.decide(t, v)
}

// A fate is what becomes of a ticket when the process is gone that had it.
type fate struct {
	t *Pending
	v sequel
}

// decide puts a ticket where its sequel says, and tells whether it is over.
func (p *place) decide(t *Pending, v sequel) bool {
	t.since = time.Time{}
	if v != isFinal {
		if err := p.pool.refuses(t); err != nil {
			t.cancelledEarly(OutcomeCancelled, err)
			v = isFinal
		}
	}
	switch {
	case v == isFinal:
		p.close(t)
		return true
	case v == isAgain && t.ticket.Backoff > 0:
		p.retried(t)
		now := time.Now()
		t.ticket.At, t.place = now.Add(t.retryAfter()), nil
		p.pool.atPlaces--
		p.pool.backlog.push(t, now)
		p.pool.alarm()
		return false
	case v == isAgain:
		p.retried(t)
	}
	t.where = isHeld
	p.held = append(p.held, t)
	return false
}

// retried notes that a ticket is tried again.
func (p *place) retried(t *Pending) {
	p.pool.counts.Retried++
	p.notes = append(p.notes, retryNote(t))
}

// close marks a ticket of the place as over.
func (p *place) close(t *Pending) {
	t.ends()
	p.pool.unfollow(t)
	if t.number == 0 {
		return
	}
	p.answers++
	p.pool.count(t.result.Outcome)
	p.pool.atPlaces--
	if p.pool.over() {
		p.pool.wakePlaces()
	}
}

// takeBack gets back what the process has not begun. It fails if the process writes what it must not. With mu held.
func (p *place) takeBack() (back []*Pending, ok bool) {
	if !p.claims || len(p.flight) == 0 {
		return nil, true
	}
	word := p.board.Word(proto.ScoreClaim)
	for range maxClaims {
		old := word.Load()
		if proto.Claim(old).Epoch() != p.epoch {
			return nil, false
		}
		begun := proto.Claim(old).Begun(p.lastID)
		if word.CompareAndSwap(old, uint64(proto.NewClaim(p.epoch+1, begun))) {
			p.epoch++
			p.firm = p.lastID
			return p.unbegun(begun), true
		}
	}
	return nil, false
}

// maxClaims is how many claims come in between at most while the master makes one: there is a run for each.
const maxClaims = 1000

// unbegun removes the tickets behind the run that was begun last.
func (p *place) unbegun(begun uint64) []*Pending {
	i := len(p.flight)
	for i > 0 && p.flight[i-1].id > begun {
		i--
	}
	back := slices.Clone(p.flight[i:])
	for range back {
		t := p.unload(len(p.flight) - 1)
		t.place, t.since = nil, time.Time{}
		p.given--
	}
	return back
}

// giveBack is for what was taken back: it waits again, or is over if it was cancelled or no more tickets begin.
func (p *place) giveBack(back []*Pending) (over []*Pending) {
	again := back[:0:0]
	for _, t := range back {
		if err := p.pool.refuses(t); err != nil {
			t.cancelledEarly(OutcomeCancelled, err)
			p.close(t)
			over = append(over, t)
		} else {
			t.place = nil
			again = append(again, t)
		}
	}
	p.pool.atPlaces -= len(again)
	p.pool.backlog.unshift(again)
	return over
}
