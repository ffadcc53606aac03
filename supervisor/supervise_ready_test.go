package supervisor

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Who gives no sign of life is killed, and treated as dead; who does, is not.
func TestLiveness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTroupe(t)
		o := tr.options(OneForOne, "ab")
		o.Children[0].Liveness = Liveness{Every: time.Minute}
		var dead atomic.Bool
		o.Children[1].Liveness = Liveness{Every: time.Minute, Check: func(context.Context) error {
			if dead.Load() {
				return errNoStart
			}
			return nil
		}}
		s := tr.open(o)
		tr.did("+a +b")
		for range 10 {
			tr.after(time.Minute-1, "")
			give(tr.sign("a").alive)
		}
		tr.after(time.Minute-1, "")
		tr.after(1, "!a +a")
		if last := s.Status().Children[0].Last; !errors.Is(last, ErrSilent) || last.Exit.Status() != -9 {
			t.Errorf("%+v", last)
		}
		dead.Store(true)
		for range 70 {
			time.Sleep(time.Second)
			give(tr.sign("a").alive)
		}
		tr.did("!b +b")
	})
}

// A check is asked until it says yes, and then no more.
func TestReadyChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTroupe(t)
		o := tr.options(OneForOne, "a")
		asked := 0
		tr.quiet("a")
		o.Children[0].Ready.Check = func(context.Context) error {
			if asked++; asked < 100 {
				return errNoStart
			}
			return nil
		}
		begin := time.Now()
		tr.open(o)
		if d := time.Since(begin); asked != 100 || d != 99*readyCheckEvery {
			t.Errorf("ready after %d questions and %v", asked, d)
		}
		tr.after(time.Hour, "+a")
		if asked != 100 {
			t.Errorf("asked again: %d", asked)
		}
	})
}

// What a process has said before its end may be heard after it: then it was ready, and is not tried again for that.
func TestLateSigns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTroupe(t)
		o := tr.options(OneForOne, "a")
		o.Children[0].Restart, o.Children[0].Ready.Notify = Transient, true
		tr.quiet("a")
		o.launcher = func(ctx context.Context, c ChildSpec, s signs) (runner, func(), error) {
			r, _, err := tr.launch(ctx, c, s)
			tr.die("a", Exit{})
			return r, func() { give(s.ready) }, err
		}
		s := tr.open(o)
		if got := states(s); got != "a finished" {
			t.Error(got)
		}
		tr.did("+a")
	})
}

// A check that returns when it likes holds nobody up.
func TestHangingChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTroupe(t)
		o := tr.options(OneForOne, "ab")
		hang := make(chan struct{})
		defer close(hang)
		o.Children[0].Liveness = Liveness{Every: time.Second, Check: func(context.Context) error { <-hang; return nil }}
		tr.quiet("b")
		o.Children[1].Ready.Check = func(context.Context) error { <-hang; return nil }
		_, err := NewSupervisor(t.Context(), o)
		if !errors.Is(err, ErrNotReady) && !errors.Is(err, ErrRestartLimit) {
			t.Error(err)
		}
	})
}

// Events are never waited for: what finds no room is counted.
func TestEventsWithoutRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTroupe(t)
		o := tr.options(OneForOne, "abc")
		events := make(chan ChildEvent, 2)
		o.Events = events
		s := tr.open(o)
		if n := s.Status().Dropped; n != 4 {
			t.Errorf("%d dropped, expected 4", n)
		}
		<-events
		<-events
		tr.die("a", failedExit)
		synctest.Wait()
		if e := <-events; e.Kind != EventEnded || e.Child != "a" || e.Dropped != 4 || e.End.Exit != failedExit || e.Supervisor != "supervisor" {
			t.Errorf("%+v", e)
		}
		if e := <-events; e.Kind != EventRestart || e.Dropped != 4 {
			t.Errorf("%+v", e)
		}
	})
}
