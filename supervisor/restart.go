package supervisor

import "time"

// A restartPolicy decides what to do after a process that ended before it was
// ready. (Erlang/OTP's intensity and period, with back-off.)
type restartPolicy struct {
	intensity int           // so many failures within period are borne
	period    time.Duration //
	min, max  time.Duration // back-off: nothing, min, 2·min, 4·min … max
}

var defaultRestart = restartPolicy{intensity: 5, period: 10 * time.Second, min: 50 * time.Millisecond, max: 2 * time.Second}

// next is called with the times of the failures up to now, the last included. It
// returns those that still count, and how long to wait before the next start, or
// that there should be none.
func (p restartPolicy) next(failures []time.Time, now time.Time) (counting []time.Time, after time.Duration, giveUp bool) {
	for _, t := range failures {
		if now.Sub(t) < p.period {
			counting = append(counting, t)
		}
	}
	n := len(counting)
	if n > p.intensity {
		return counting, 0, true
	}
	if n <= 1 {
		return counting, 0, false
	}
	after = p.min
	for range n - 2 {
		after = min(2*after, p.max)
	}
	return counting, min(after, p.max), false
}
