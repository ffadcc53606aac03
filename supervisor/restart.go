package supervisor

import (
	"slices"
	"time"
)

// Restart says whether a child of a Supervisor is started again when it ends by itself.
type Restart int

const (
	Permanent Restart = iota // always
	Transient                // unless it ended with status 0
	Temporary                // never; it is forgotten when it has ended
)

func (r Restart) String() string {
	return []string{"permanent", "transient", "temporary"}[r]
}

// A Backoff says how long to wait before a child is started again: nothing after its first failure, then Min,
// 2·Min, 4·Min … up to Max. It begins anew when the child has run for Stable.
type Backoff struct {
	Min    time.Duration // 0 is 50 ms
	Max    time.Duration // 0 is 2 s
	Stable time.Duration // from readiness on; 0 is 10 s
}

// A restartPolicy decides what to do after a process ended that should not have. (Erlang/OTP's intensity and
// period, with back-off.) It reads no clock and keeps nothing: whoever asks brings the history.
type restartPolicy struct {
	intensity int           // so many failures within period are borne
	period    time.Duration //
	min, max  time.Duration // back-off: nothing, min, 2·min, 4·min … max
	stable    time.Duration // who ran for so long is well again; the pool, which counts failed starts only, has no use for it
}

var defaultRestart = restartPolicy{
	intensity: 5, period: 10 * time.Second,
	min: 50 * time.Millisecond, max: 2 * time.Second, stable: 10 * time.Second,
}

// next is called with the times of the failures up to now, the last included. It
// returns those that still count, and how long to wait before the next start, or
// that there should be none.
func (p restartPolicy) next(failures []time.Time, now time.Time) (counting []time.Time, after time.Duration, giveUp bool) {
	counting = p.within(failures, now)
	if len(counting) > p.intensity {
		return counting, 0, true
	}
	return counting, p.delay(len(counting)), false
}

// within returns those of the times that are in the period up to now.
func (p restartPolicy) within(times []time.Time, now time.Time) (counting []time.Time) {
	for _, t := range times {
		if now.Sub(t) < p.period {
			counting = append(counting, t)
		}
	}
	return counting
}

// delay is the back-off after so many failures in a row.
func (p restartPolicy) delay(row int) time.Duration {
	if row <= 1 {
		return 0
	}
	d := p.min
	for range row - 2 {
		if d >= p.max {
			break
		}
		d *= 2
	}
	return min(d, p.max)
}

// patience is how long intensity restarts in a row are held up by back-off, and by starts that may take d each. A
// period shorter than that would never see too many.
func (p restartPolicy) patience(d time.Duration) (all time.Duration) {
	for row := range min(p.intensity, 1000) + 1 {
		all += p.delay(row+1) + d
	}
	return all
}

// history is what a decision about a child rests on.
type history struct {
	restarts []time.Time // of all children of the Supervisor, as far as they count
	row      int         // failures of this child since it last ran for a stable time
}

// A childEnd is how a child ended that nobody had told to.
type childEnd struct {
	rule   Restart
	exit   Exit
	failed bool          // it did not start, was not ready in time, or gave no sign of life: the exit does not matter
	ran    time.Duration // since it was ready; 0 if it never was
}

// A verdict is what to do about it.
type verdict struct {
	action action
	after  time.Duration // of a restart
}

type action int

const (
	doNothing action = iota
	doRestart
	doGiveUp
)

// decide is next for a Supervisor: whether a child is started again depends on its rule and its exit; whether too many
// were, on all children; and how long to wait, on the child alone, lest one that is never well makes the others wait.
func (p restartPolicy) decide(h history, e childEnd, now time.Time) (history, verdict) {
	if e.ran >= p.stable {
		h.row = 0
	}
	if e.rule == Temporary || e.rule == Transient && !e.failed && e.exit.Success() {
		return h, verdict{action: doNothing}
	}
	h.row++
	h.restarts = p.within(append(slices.Clone(h.restarts), now), now)
	if len(h.restarts) > p.intensity {
		return h, verdict{action: doGiveUp}
	}
	return h, verdict{doRestart, p.delay(h.row)}
}
