package supervisor

import (
	"slices"
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

// What a Supervisor does about an end, by rule and exit: OTP's supervisor.erl, do_restart and add_restart.
func TestRestartDecisions(t *testing.T) {
	const s = time.Second
	p := restartPolicy{intensity: 3, period: 10 * s, min: s, max: 5 * s, stable: 20 * s}
	none := restartPolicy{intensity: 0, period: 10 * s, min: s, max: 5 * s, stable: 20 * s}
	clean, failed, killed, lost := Exit{}, Exit{Code: 1}, Exit{Signal: 9}, Exit{Lost: true}
	now := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name   string
		policy restartPolicy
		ago    []time.Duration // earlier restarts
		row    int
		end    childEnd
		want   verdict
		left   int // restarts that count
		then   int // row
	}{
		{"permanent, clean", p, nil, 0, childEnd{Permanent, clean, false, s}, verdict{doRestart, 0}, 1, 1},
		{"permanent, failed", p, nil, 0, childEnd{Permanent, failed, false, s}, verdict{doRestart, 0}, 1, 1},
		{"permanent, killed", p, nil, 0, childEnd{Permanent, killed, false, s}, verdict{doRestart, 0}, 1, 1},
		{"transient, clean", p, nil, 0, childEnd{Transient, clean, false, s}, verdict{doNothing, 0}, 0, 0},
		{"transient, failed", p, nil, 0, childEnd{Transient, failed, false, s}, verdict{doRestart, 0}, 1, 1},
		{"transient, killed", p, nil, 0, childEnd{Transient, killed, false, s}, verdict{doRestart, 0}, 1, 1},
		{"transient, nobody knows how", p, nil, 0, childEnd{Transient, lost, false, s}, verdict{doRestart, 0}, 1, 1},
		{"transient, clean before it was ready", p, nil, 0, childEnd{Transient, clean, true, 0}, verdict{doRestart, 0}, 1, 1},
		{"temporary, clean", p, nil, 0, childEnd{Temporary, clean, false, s}, verdict{doNothing, 0}, 0, 0},
		{"temporary, killed", p, nil, 0, childEnd{Temporary, killed, false, s}, verdict{doNothing, 0}, 0, 0},
		{"temporary, not started", p, nil, 0, childEnd{Temporary, clean, true, 0}, verdict{doNothing, 0}, 0, 0},

		{"the second in a row", p, []time.Duration{s}, 1, childEnd{Permanent, killed, false, s}, verdict{doRestart, s}, 2, 2},
		{"the third in a row", p, []time.Duration{2 * s, s}, 2, childEnd{Permanent, killed, false, s}, verdict{doRestart, 2 * s}, 3, 3},
		{"too many", p, []time.Duration{3 * s, 2 * s, s}, 3, childEnd{Permanent, killed, false, s}, verdict{doGiveUp, 0}, 4, 4},
		{"too many, of others", p, []time.Duration{3 * s, 2 * s, s}, 0, childEnd{Permanent, killed, false, s}, verdict{doGiveUp, 0}, 4, 1},
		{"too many of others, but no restart", p, []time.Duration{3 * s, 2 * s, s}, 0, childEnd{Transient, clean, false, s}, verdict{doNothing, 0}, 3, 0},
		{"many, but not in the period", p, []time.Duration{12 * s, 11 * s, 10 * s}, 3, childEnd{Permanent, killed, false, s}, verdict{doRestart, 4 * s}, 1, 4},
		{"many in a row: the back-off has a limit", p, nil, 100, childEnd{Permanent, killed, false, s}, verdict{doRestart, 5 * s}, 1, 101},
		{"none is borne", none, nil, 0, childEnd{Permanent, killed, false, s}, verdict{doGiveUp, 0}, 1, 1},
		{"none is borne, and none is needed", none, nil, 0, childEnd{Transient, clean, false, s}, verdict{doNothing, 0}, 0, 0},

		{"after a stable run", p, nil, 100, childEnd{Permanent, killed, false, 20 * s}, verdict{doRestart, 0}, 1, 1},
		{"after a run that was almost stable", p, nil, 2, childEnd{Permanent, killed, false, 20*s - 1}, verdict{doRestart, 2 * s}, 1, 3},
		{"silent after a stable run", p, nil, 2, childEnd{Permanent, killed, true, 20 * s}, verdict{doRestart, 0}, 1, 1},
		{"the clock was set back", p, []time.Duration{-3 * s, -2 * s, -s}, 0, childEnd{Permanent, killed, false, s}, verdict{doGiveUp, 0}, 4, 1},
	} {
		h := history{row: c.row}
		for _, d := range c.ago {
			h.restarts = append(h.restarts, now.Add(-d))
		}
		before := slices.Clone(h.restarts)
		got, v := c.policy.decide(h, c.end, now)
		if v != c.want || len(got.restarts) != c.left || got.row != c.then {
			t.Errorf("%s: %+v, %d count, %d in a row; want %+v, %d, %d", c.name, v, len(got.restarts), got.row, c.want, c.left, c.then)
		}
		if !slices.Equal(before, h.restarts) {
			t.Errorf("%s: the history that was handed in has changed", c.name)
		}
	}
}

// A child that fails now and then, for years, is borne, at no growing cost.
func TestHistoryForgets(t *testing.T) {
	p := defaultRestart
	var h history
	now := time.Now()
	for range 10000 {
		var v verdict
		now = now.Add(p.stable)
		h, v = p.decide(h, childEnd{rule: Permanent, ran: p.stable}, now)
		if (v != verdict{doRestart, 0}) || len(h.restarts) > 2 {
			t.Fatalf("%+v, %d count", v, len(h.restarts))
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
