package supervisor

import (
	"errors"
	"fmt"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// An attempt is what a pool notes of a ticket: where it is, and how its present execution goes. The pool's mu guards it, until
// the ticket is over.
type attempt struct {
	where whereabouts
	place *place // that has it: handed over, or kept between two attempts

	id     uint64        // of the run, while it is handed over
	sent   uint64        // what its process has been sent up to its end; see place.alone
	expect time.Duration // what it is thought to take
	speed  *speed        // of its task
	cause  error         // why it is cancelled; nil if it is not

	made  int       // attempts that are over and count
	voids int       // those that do not: nothing was begun
	since time.Time // when the present one began, as far as it is known; zero: not yet

	lent   int       // processes to which its arguments are being written; they may not be the one that has it any more
	loose  bool      // the last of them closes the descriptors: the ticket is over
	early  sequel    // of an answer that came before all was sent
	reason error     // why the present one was told to end; nil if it was not
	stage  stage     //
	step   time.Time // when the next stage begins
}

// Whereabouts say who has a ticket.
type whereabouts int

const (
	isNew     whereabouts = iota
	isLater               // in the backlog, until it is due
	isWaiting             // in the backlog
	isHanded              // at a process
	isHeld                // at a place, between two attempts
	isOver                // it has its result
)

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

// A sequel says what becomes of a ticket after an attempt.
type sequel int

const (
	isFinal sequel = iota // it has its result
	isAgain               // it is tried again
	isVoid                // too, and the attempt costs nothing
)

// ends notes that the ticket has its result. With the pool's mu held.
func (a *attempt) ends() {
	a.where, a.place, a.loose = isOver, nil, a.lent > 0
}

// begins notes that the present attempt is under way since t.
func (a *attempt) begins(t time.Time) {
	if a.since.IsZero() {
		a.since = t
	}
}

// elements that the ticket has.
func (t *Pending) elements() int { return max(t.ticket.chunk, 1) }

// attempts that there may be.
func (t *Pending) attempts() int { return max(t.ticket.Attempts, 1) }

// conclude makes the outcome of an attempt that of the ticket, and tells what is next. final: no other attempt would go
// otherwise. With the pool's mu held.
func (t *Pending) conclude(o Outcome, err error, final, void bool) sequel {
	t.result.Outcome, t.result.Err = o, err
	if t.reason != nil && o != OutcomeOK {
		final = t.judge() || final
		void = false
	}
	if void && t.voids < maxVoids {
		t.voids++
		return isVoid
	}
	t.made++
	t.result.Attempts = t.made
	if o == OutcomeOK || final || t.made >= t.attempts() {
		return isFinal
	}
	return isAgain
}

// judge makes the reason for which the attempt was ended its outcome, and tells
// whether there must not be another.
func (t *Pending) judge() (final bool) {
	r := &t.result
	switch {
	case errors.Is(t.reason, ErrTimeout):
		r.Outcome = OutcomeTimeout
	case errors.Is(t.reason, ErrMemory):
		r.Outcome = OutcomeMemory
	default:
		r.Outcome, final = OutcomeCancelled, true
	}
	r.Err = fmt.Errorf("%w: %w", t.reason, r.Err)
	return final
}

// answered is the end of an attempt with a response. Whatever it says came from the task, so a
// result counts also if the attempt was told to end in the meantime. ending tells that the process ends by it.
func (t *Pending) answered(a answer) (v sequel, ending bool) {
	m := a.message
	if m.Fault == nil {
		t.result.Value = proto.Payload{Bytes: m.Result, FDs: a.fds}
		return t.conclude(OutcomeOK, nil, true, false), false
	}
	switch m.Fault.Kind {
	case proto.KindPanic:
		return t.conclude(OutcomePanic, m.Fault, false, false), true
	case proto.KindStopping, proto.KindBusy: // somebody else told it to end, for instance
		return t.conclude(OutcomeError, m.Fault, false, t.reason == nil), true
	case proto.KindUnknownTask, proto.KindArguments, proto.KindUnknownMethod:
		return t.conclude(OutcomeError, m.Fault, true, false), false
	}
	return t.conclude(OutcomeError, m.Fault, false, false), false
}

// cancelledEarly is the result of a ticket that does not begin any more. After an attempt, that is what became of it.
func (t *Pending) cancelledEarly(o Outcome, err error) {
	if t.made == 0 {
		t.result.Outcome, t.result.Err = o, err
	}
}

func notBegun(cause error) error {
	return fmt.Errorf("supervisor: cancelled before it began: %w", cause)
}

// retryAfter is how long the next attempt waits.
func (t *Pending) retryAfter() time.Duration {
	d := t.ticket.Backoff
	for range t.made - 1 {
		if d >= maxBackoff/2 {
			return maxBackoff
		}
		d *= 2
	}
	return min(d, maxBackoff)
}

// maxBackoff is the longest that a ticket waits for its next attempt, unless its Backoff is longer.
const maxBackoff = time.Hour

// whyEnd tells why the attempt that is under way must end now; nil: it need not.
func (t *Pending) whyEnd(now time.Time) error {
	switch {
	case t.cause != nil:
		return t.cause
	case t.ticket.Timeout > 0 && !t.since.IsZero() && now.Sub(t.since) >= t.ticket.Timeout:
		return fmt.Errorf("%w: %v have passed", ErrTimeout, t.ticket.Timeout)
	}
	return nil
}

// reasonWord is the reason as the worker is told it.
func (t *Pending) reasonWord() string {
	if errors.Is(t.reason, ErrTimeout) {
		return proto.KindTimeout
	}
	return proto.KindCancelled
}

// nextStep returns when somebody has to look after the attempt again; the zero time if never.
func (t *Pending) nextStep() time.Time {
	switch {
	case t.stage > stageRunning:
		return t.step
	case t.ticket.Timeout > 0 && !t.since.IsZero():
		return t.since.Add(t.ticket.Timeout)
	}
	return time.Time{}
}
