package supervisor

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Children start in order, each when the one before is ready, and are stopped in reverse, each when the one after is gone.
func TestStartAndStopOrder(t *testing.T) {
	for _, strategy := range []Strategy{OneForOne, OneForAll, RestForOne} {
		synctest.Test(t, func(t *testing.T) {
			tr := newTroupe(t)
			o := tr.options(strategy, "abc")
			o.Children[1].Ready = Readiness{Notify: true}
			tr.quiet("b")
			tr.ends["c"] = time.Second
			go func() {
				time.Sleep(3 * time.Second)
				tr.did("+a +b")
				give(tr.sign("b").ready)
			}()
			s := tr.open(o)
			tr.did("+c")
			if d := s.Status().Children[2].Since.Sub(s.Status().Children[0].Since); d != 3*time.Second {
				t.Errorf("c was ready %v after a, expected 3 s", d)
			}
			s.Terminate()
			tr.did("-c")
			tr.after(time.Second, "-b -a")
			if err := s.Join(t.Context()); err != nil || !s.Status().Ending {
				t.Errorf("%v, %+v", err, s.Status())
			}
			if got, want := tr.kinds(), "started a, ready a, started b, ready b, started c, ready c, "+
				"stop c, ended c, stop b, ended b, stop a, ended a, over"; got != want {
				t.Errorf("events: %s\nexpected: %s", got, want)
			}
		})
	}
}

// Who goes with whom.
func TestStrategies(t *testing.T) {
	for _, c := range []struct {
		strategy Strategy
		dies     string
		did      string
		same     []bool // who keeps its process
	}{
		{OneForOne, "b", "+b", []bool{true, false, true, true}},
		{OneForAll, "b", "-d -c -a +a +b +c +d", []bool{false, false, false, false}},
		{RestForOne, "b", "-d -c +b +c +d", []bool{true, false, false, false}},
		{RestForOne, "d", "+d", []bool{true, true, true, false}},
		{OneForAll, "d", "-c -b -a +a +b +c +d", []bool{false, false, false, false}},
	} {
		synctest.Test(t, func(t *testing.T) {
			tr := newTroupe(t)
			s := tr.open(tr.options(c.strategy, "abcd"))
			tr.did("+a +b +c +d")
			before := pidsOf(s)
			tr.die(c.dies, failedExit)
			tr.did(c.did)
			for i, pid := range pidsOf(s) {
				if same := pid == before[i]; same != c.same[i] {
					t.Errorf("%v, %s dies: child %d keeps its process: %v", c.strategy, c.dies, i, same)
				}
			}
			if st := s.Status(); st.Restarts != 1 || st.Counting != 1 {
				t.Errorf("%v: %d restarts, %d count: a group is one", c.strategy, st.Restarts, st.Counting)
			}
		})
	}
}

// Several die at once; more while the first are being seen to.
func TestDeathsWhileOthersStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTroupe(t)
		tr.ends["d"] = time.Second
		s := tr.open(tr.options(RestForOne, "abcd"))
		tr.did("+a +b +c +d")
		tr.die("c", failedExit)
		tr.did("-d")
		tr.die("a", failedExit) // now all have to go; d is on its way, and b is next
		tr.did("")
		tr.after(time.Second, "-b +a +b +c +d")
		if st := s.Status(); st.Restarts != 2 {
			t.Errorf("%d restarts, expected 2", st.Restarts)
		}
		tr.die("b", failedExit)
		tr.did("-d")
		tr.die("c", failedExit) // is to be stopped anyhow: not its failure
		tr.after(time.Second, "+b +c +d")
		if st := s.Status(); st.Restarts != 3 || st.Children[2].Restarts != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// OTP: one that was terminated, or has ended well, comes back with its group; a temporary one does not.
func TestGroupsBringBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTroupe(t)
		o := tr.options(OneForAll, "abcd")
		o.Children[1].Restart = Transient
		o.Children[2].Restart = Temporary
		s := tr.open(o)
		if err := s.TerminateChild(t.Context(), "d"); err != nil {
			t.Fatal(err)
		}
		tr.die("b", Exit{})
		tr.did("+a +b +c +d -d")
		if got := states(s); got != "a running, b finished, c running, d terminated" {
			t.Error(got)
		}
		tr.die("a", failedExit)
		tr.did("-c +a +b +d")
		if got := states(s); got != "a running, b running, d running" {
			t.Error(got)
		}
	})
}

func TestRestartRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTroupe(t)
		o := tr.options(OneForOne, "abc")
		o.Children[1].Restart, o.Children[2].Restart = Transient, Temporary
		s := tr.open(o)
		tr.did("+a +b +c")
		for _, id := range []string{"a", "b", "c"} {
			tr.die(id, Exit{})
		}
		tr.did("+a")
		if got := states(s); got != "a running, b finished" {
			t.Error(got)
		}
		if last := s.Status().Children[1].Last; last == nil || !last.Exit.Success() || last.PID != 2 {
			t.Errorf("b's last end: %+v", last)
		}
	})
}

// Drained, a Supervisor starts nobody any more, and ends with the last that ends by itself.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTroupe(t)
		s := tr.open(tr.options(OneForAll, "abc"))
		tr.did("+a +b +c")
		s.Drain()
		tr.die("b", failedExit)
		tr.die("a", Exit{})
		tr.did("")
		if got := states(s); got != "a finished, b finished, c running" || s.Status().Ending {
			t.Error(got)
		}
		if err := s.StartChild(t.Context(), actorSpec("d")); !errors.Is(err, ErrSupervisorEnded) {
			t.Error(err)
		}
		tr.die("c", Exit{})
		if err := s.Join(t.Context()); err != nil || !s.Status().Ending {
			t.Errorf("%v, %+v", err, s.Status())
		}
		s.Drain()
	})
}

// Who waits for back-off, or is stopped for another's sake, does not come back. The end can be had sooner.
func TestDrainMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTroupe(t)
		tr.ends["c"] = time.Second
		s := tr.open(tr.options(RestForOne, "abc"))
		tr.die("b", failedExit)
		tr.did("+a +b +c -c")
		s.Drain()
		tr.after(time.Minute, "")
		if got := states(s); got != "a running, b terminated, c terminated" {
			t.Error(got)
		}
		s.Terminate()
		tr.did("-a")
		if err := s.Join(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// With the last of its children a Supervisor ends, if that is asked for, and tells in the end of all.
func TestEndWithLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTroupe(t)
		o := tr.options(OneForOne, "abc")
		o.EndWithLast = true
		o.Children[0].Restart, o.Children[1].Restart = Transient, Temporary
		s := tr.open(o)
		tr.die("a", failedExit)
		tr.die("b", failedExit)
		tr.did("+a +b +c +a")
		if err := s.TerminateChild(t.Context(), "c"); err != nil {
			t.Error(err)
		}
		tr.did("-c")
		tr.die("a", Exit{})
		if err := s.Join(t.Context()); err != nil {
			t.Error(err)
		}
		if got := states(s); got != "a finished, c terminated" || s.Status().Restarts != 1 {
			t.Errorf("%s, %+v", got, s.Status())
		}
		o = tr.options(OneForOne, "d")
		o.EndWithLast, o.Children[0].Restart = true, Temporary
		s = tr.open(o)
		tr.die("d", failedExit)
		if err := s.Join(t.Context()); err != nil {
			t.Error(err)
		}
		if got := states(s); got != "d finished" || s.Status().Children[0].Last.Exit != failedExit {
			t.Errorf("%s, %+v", got, s.Status())
		}
	})
}

// Back-off: at once, 1 s, 2 s, 4 s, 8 s, 8 s; and from the beginning after a stable run. Meanwhile nobody else waits.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTroupe(t)
		o := tr.options(OneForOne, "ab")
		o.Intensity = 1000
		s := tr.open(o)
		tr.did("+a +b")
		for _, d := range []time.Duration{0, 1, 2, 4, 8, 8} {
			tr.die("a", failedExit)
			if d *= time.Second; d > 0 {
				tr.after(d-1, "")
				if st := s.Status().Children[0]; st.State != ChildWaiting || time.Until(st.Due) != 1 {
					t.Errorf("%+v, due in %v", st, time.Until(st.Due))
				}
			}
			tr.after(1, "+a")
		}
		tr.die("b", failedExit)
		tr.did("+b")
		time.Sleep(time.Minute)
		tr.die("a", failedExit)
		tr.did("+a")
	})
}

// In one-for-all nobody is started in vain while the one that failed waits.
func TestBackoffOfAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTroupe(t)
		tr.open(tr.options(OneForAll, "abc"))
		tr.did("+a +b +c")
		tr.die("b", failedExit)
		tr.did("-c -a +a +b +c")
		tr.die("b", failedExit)
		tr.did("-c -a")
		tr.after(time.Second, "+a +b +c")
	})
}

// Too many restarts in the period: children are stopped in reverse, and the error says who and how.
func TestIntensity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTroupe(t)
		s := tr.open(tr.options(OneForOne, "abc"))
		tr.did("+a +b +c")
		for _, id := range []string{"a", "b", "c"} { // it is the sum that counts
			tr.die(id, failedExit)
			tr.did("+" + id)
		}
		tr.die("b", Exit{Signal: 9})
		tr.did("-c -a")
		err := s.Join(t.Context())
		ended, _ := errors.AsType[*ChildError](err)
		if !errors.Is(err, ErrRestartLimit) || ended == nil || ended.ID != "b" || ended.Exit.Status() != -9 {
			t.Fatalf("%v", err)
		}
		want := "supervisor: supervisor gives up: more than 3 restarts in 1m40s: child b (pid 5): signal: killed; last line: last words of b"
		if err.Error() != want || s.Err() != err {
			t.Errorf("%v\nexpected %s", err, want)
		}
		if err := s.StartChild(t.Context(), actorSpec("d")); !errors.Is(err, ErrSupervisorEnded) {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) { // the same number, not in the period
		tr := newTroupe(t)
		s := tr.open(tr.options(OneForOne, "a"))
		for range 100 {
			time.Sleep(101 * time.Second / 3)
			tr.die("a", failedExit)
			synctest.Wait()
		}
		if st := s.Status(); st.Ending || st.Restarts != 100 {
			t.Errorf("%+v", st)
		}
	})
}

// PITFALLS 28: who never gets well is given up, whatever it takes for an attempt, with the numbers that nobody chose.
func TestDefaultsGiveUp(t *testing.T) {
	for _, o := range []SupervisorOptions{
		{},
		{Children: []ChildSpec{{Program: Spec{}, Ready: Readiness{Notify: true}}}},
		{Children: []ChildSpec{{Program: Spec{}, Ready: Readiness{Notify: true, Timeout: time.Hour}}}},
		{Intensity: 50},
		{Intensity: -1},
		{Backoff: Backoff{Min: time.Minute}},
	} {
		o, err := o.filled()
		if err != nil {
			t.Fatal(err)
		}
		var attempt time.Duration
		for _, c := range o.Children {
			attempt = c.Ready.Timeout
		}
		var h history
		var v verdict
		now, n := time.Now(), 0
		for ; v.action != doGiveUp && n < 1000; n++ {
			now = now.Add(v.after + attempt)
			h, v = o.policy.decide(h, childEnd{rule: Permanent, failed: true}, now)
		}
		if n != o.policy.intensity+1 {
			t.Errorf("%+v: %d failures, expected to give up after %d", o.policy, n, o.policy.intensity+1)
		}
	}
}

// A start that fails is a failure when it is a restart; when it is the first, the Supervisor does not start.
func TestStartFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTroupe(t)
		tr.fail("c", errNoStart)
		_, err := NewSupervisor(t.Context(), tr.options(OneForOne, "abcd"))
		if !errors.Is(err, errNoStart) || err.Error() != "supervisor: child c: no such program" {
			t.Error(err)
		}
		tr.did("+a +b +c -b -a")
	})
	synctest.Test(t, func(t *testing.T) { // not ready in time
		tr := newTroupe(t)
		tr.quiet("b")
		o := tr.options(OneForAll, "abc")
		o.Children[1].Ready = Readiness{Notify: true}
		_, err := NewSupervisor(t.Context(), o)
		if !errors.Is(err, ErrNotReady) {
			t.Error(err)
		}
		tr.did("+a +b !b -a")
	})
	synctest.Test(t, func(t *testing.T) { // the context ends
		tr := newTroupe(t)
		tr.quiet("b")
		o := tr.options(OneForAll, "abc")
		o.Children[1].Ready = Readiness{Notify: true}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errNoStart)
		defer cancel()
		_, err := NewSupervisor(ctx, o)
		if !errors.Is(err, errNoStart) {
			t.Error(err)
		}
		tr.did("+a +b -b -a")
	})
	synctest.Test(t, func(t *testing.T) { // a restart
		tr := newTroupe(t)
		s := tr.open(tr.options(RestForOne, "abc"))
		tr.did("+a +b +c")
		tr.fail("b", errNoStart)
		tr.die("b", failedExit)
		tr.did("-c +b")
		tr.after(time.Second, "+b")
		tr.fail("b", nil)
		tr.after(2*time.Second, "+b +c")
		if st := s.Status(); st.Restarts != 3 || st.Children[1].Row != 3 {
			t.Errorf("%+v", st)
		}
	})
}

// A first child that fails again while a later one has its first start.
func TestDeathDuringStart(t *testing.T) {
	for strategy, want := range map[Strategy]string{OneForOne: "+a", OneForAll: "-b +a +b", RestForOne: "-b +a +b"} {
		synctest.Test(t, func(t *testing.T) {
			tr := newTroupe(t)
			tr.quiet("b")
			o := tr.options(strategy, "abc")
			o.Children[1].Ready = Readiness{Notify: true}
			go func() {
				time.Sleep(time.Second)
				tr.did("+a +b")
				tr.die("a", failedExit)
				tr.did(want)
				give(tr.sign("b").ready)
			}()
			tr.open(o)
			tr.did("+c")
		})
	}
}

// Each is stopped by its own rule.
func TestStopRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTroupe(t)
		o := tr.options(OneForOne, "abc")
		for i, grace := range []time.Duration{Infinity, BrutalKill, 7 * time.Second} {
			o.Children[i].Program = Spec{Path: "/bin/true", Grace: grace}
			tr.ends[o.Children[i].ID] = time.Hour
		}
		o.launcher = tr.graces
		s := tr.open(o)
		tr.did("+a +b +c")
		s.Terminate()
		tr.did("-c")
		tr.after(7*time.Second-1, "")
		tr.after(1, "!c !b -a")
		tr.after(time.Hour-1, "")
		tr.after(1, "")
		if err := s.Join(t.Context()); err != nil {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) { // Kill cuts them short
		tr := newTroupe(t)
		o := tr.options(OneForOne, "abc")
		for _, c := range o.Children {
			tr.ends[c.ID] = time.Hour
		}
		s := tr.open(o)
		tr.did("+a +b +c")
		s.Terminate()
		tr.did("-c")
		s.Kill()
		synctest.Wait()
		select {
		case <-s.Done():
		default:
			t.Error("not at once")
		}
		tr.did("!c -b !b -a !a")
	})
}

// graces is a launch whose actors have the grace of their Spec.
func (tr *troupe) graces(ctx context.Context, c ChildSpec, s signs) (runner, func(), error) {
	a, release, err := tr.launch(ctx, c, s)
	return graceful{a, c.Program.spec().Grace}, release, err
}

type graceful struct {
	runner
	grace time.Duration
}

func (g graceful) Stop(ctx context.Context, grace time.Duration) (Exit, error) {
	if grace == 0 {
		grace = g.grace
	}
	return g.runner.Stop(ctx, grace)
}

func TestWrongOptions(t *testing.T) {
	program := Spec{Path: "/bin/true"}
	check := func(context.Context) error { return nil }
	one := func(c ChildSpec) SupervisorOptions { return SupervisorOptions{Children: []ChildSpec{c}} }
	for _, c := range []struct {
		want string
		opts SupervisorOptions
	}{
		{"strategy 3", SupervisorOptions{Strategy: 3}},
		{"period -1ns", SupervisorOptions{Period: -1}},
		{"child exists already: true", SupervisorOptions{Children: []ChildSpec{{Program: program}, {Program: program}}}},
		{"either Program or Tree must be set", one(ChildSpec{ID: "a"})},
		{"either Program or Tree must be set", one(ChildSpec{Tree: &SupervisorOptions{Children: make([]ChildSpec, 1)}})},
		{"restart rule 7", one(ChildSpec{Program: program, Restart: 7})},
		{"only one of Ready.Notify", one(ChildSpec{Program: program, Ready: Readiness{Notify: true, Line: "x"}})},
		{"Liveness.Check without Every", one(ChildSpec{Program: program, Liveness: Liveness{Check: check}})},
		{"Ready.Line needs a stdout", one(ChildSpec{Program: Spec{Stdout: Output{Inherit: true}}, Ready: Readiness{Line: "x"}})},
		{"a Tree has no Ready", one(ChildSpec{Tree: &SupervisorOptions{}, Ready: Readiness{Notify: true}})},
		{"child nowhere", one(ChildSpec{Program: Spec{Path: "nowhere"}})},
	} {
		s, err := NewSupervisor(t.Context(), c.opts)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, expected %q", err, c.want)
		}
	}
}
