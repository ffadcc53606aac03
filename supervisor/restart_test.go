package supervisor

import (
	"testing"
	"time"
)

func TestRestartPolicy(t *testing.T) {
	const ms = time.Millisecond
	p := restartPolicy{intensity: 5, period: 10 * time.Second, min: 50 * ms, max: 300 * ms}
	never := restartPolicy{intensity: 0, period: time.Second, min: ms, max: ms}
	now := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name     string
		policy   restartPolicy
		ago      []time.Duration // when the failures were
		counting int
		after    time.Duration
		giveUp   bool
	}{
		{"the first", p, []time.Duration{0}, 1, 0, false},
		{"the second", p, []time.Duration{ms, 0}, 2, 50 * ms, false},
		{"the third", p, []time.Duration{2 * ms, ms, 0}, 3, 100 * ms, false},
		{"the fourth", p, []time.Duration{3 * ms, 2 * ms, ms, 0}, 4, 200 * ms, false},
		{"at most max", p, []time.Duration{4, 3, 2, 1, 0}, 5, 300 * ms, false},
		{"too many", p, []time.Duration{5, 4, 3, 2, 1, 0}, 6, 0, true},
		{"too many, but long ago", p, []time.Duration{time.Hour, time.Hour, time.Hour, time.Hour, time.Hour, 0}, 1, 0, false},
		{"at the edge of the period", p, []time.Duration{10 * time.Second, 10*time.Second - 1, 0}, 2, 50 * ms, false},
		{"at the same moment", p, []time.Duration{0, 0, 0, 0, 0, 0}, 6, 0, true},
		{"none is borne", never, []time.Duration{0}, 1, 0, true},
		{"in the future (the clock was set back)", p, []time.Duration{-time.Hour, 0}, 2, 50 * ms, false},
	} {
		var failures []time.Time
		for _, d := range c.ago {
			failures = append(failures, now.Add(-d))
		}
		counting, after, giveUp := c.policy.next(failures, now)
		if len(counting) != c.counting || after != c.after || giveUp != c.giveUp {
			t.Errorf("%s: %d count, after %v, give up %v; want %d, %v, %v", c.name, len(counting), after, giveUp, c.counting, c.after, c.giveUp)
		}
	}
}

// What counts is forgotten with the period, so back-off begins again after a stable run (PITFALLS 28), and a long
// life costs no memory.
func TestRestartPolicyForgets(t *testing.T) {
	p := defaultRestart
	now := time.Now()
	var failures []time.Time
	for range 1000 {
		var after time.Duration
		var giveUp bool
		now = now.Add(p.period/3 + 1)
		failures, after, giveUp = p.next(append(failures, now), now)
		if giveUp || after > 2*p.min || len(failures) > 3 {
			t.Fatalf("one failure every %v: %d count, after %v, give up %v", p.period/3, len(failures), after, giveUp)
		}
	}
}

// PITFALLS 41: deaths by poisoned tickets are no failures to start, and do not stop a healthy pool.
func TestPoisonedTicketsDoNotStopThePool(t *testing.T) {
	o := testOptions(2)
	o.restart = restartPolicy{intensity: 1, period: time.Hour, min: time.Millisecond, max: time.Millisecond}
	p := newTestPool(t, o)
	for range 20 {
		if r := result(t, submit(t, taskEnd, p, "kill", Ticket{Attempts: 2})); r.Outcome != OutcomeSignal || r.Attempts != 2 {
			t.Fatalf("%+v", r)
		}
	}
	if got, err := taskSquare.Call(within(t), p, 6); got != 36 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
}
