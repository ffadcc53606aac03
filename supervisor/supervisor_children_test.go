package supervisor

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// OTP's start_child, terminate_child, restart_child and delete_child.
func TestChildrenComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		tr := newTroupe(t)
		s := tr.open(tr.options(RestForOne, "ab"))
		tr.did("+a +b")
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Error(err)
			}
		}
		refused := func(err, want error) {
			t.Helper()
			if !errors.Is(err, want) {
				t.Errorf("%v, expected %v", err, want)
			}
		}
		must(s.StartChild(ctx, actorSpec("c")))
		refused(s.StartChild(ctx, actorSpec("c")), ErrChildExists)
		tr.die("b", failedExit) // it has its place in the order
		tr.did("+c -c +b +c")
		refused(s.RestartChild(ctx, "b"), ErrChildRunning)
		refused(s.DeleteChild(ctx, "b"), ErrChildRunning)
		refused(s.TerminateChild(ctx, "x"), ErrNoChild)
		refused(s.RestartChild(ctx, "x"), ErrNoChild)
		refused(s.DeleteChild(ctx, "x"), ErrNoChild)
		must(s.TerminateChild(ctx, "b"))
		must(s.TerminateChild(ctx, "b"))
		tr.after(time.Hour, "-b") // nobody goes with it, and nobody brings it back
		if got := states(s); got != "a running, b terminated, c running" {
			t.Error(got)
		}
		must(s.RestartChild(ctx, "b"))
		must(s.TerminateChild(ctx, "b"))
		must(s.DeleteChild(ctx, "b"))
		refused(s.RestartChild(ctx, "b"), ErrNoChild)
		tr.did("+b -b")
		s.Close()
		tr.did("-c -a")
		for _, err := range []error{s.StartChild(ctx, actorSpec("d")), s.TerminateChild(ctx, "a"), s.RestartChild(ctx, "a"), s.DeleteChild(ctx, "a")} {
			refused(err, ErrSupervisorEnded)
		}
	})
}

// A start that was asked for and fails is told to who asked, and is nobody's failure.
func TestStartChildFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTroupe(t)
		s := tr.open(tr.options(OneForAll, "ab"))
		tr.fail("c", errNoStart)
		if err := s.StartChild(t.Context(), actorSpec("c")); !errors.Is(err, errNoStart) {
			t.Error(err)
		}
		if got := states(s); got != "a running, b running" {
			t.Error(got)
		}
		s.TerminateChild(t.Context(), "b")
		tr.fail("b", errNoStart)
		if err := s.RestartChild(t.Context(), "b"); !errors.Is(err, errNoStart) {
			t.Error(err)
		}
		if got := states(s); got != "a running, b terminated" || s.Status().Restarts != 0 {
			t.Error(got, s.Status().Restarts)
		}
		tr.did("+a +b +c -b +b")
	})
}

// A wait that is cancelled changes nothing; and who waits for a child that somebody else terminates is told.
func TestChildRequestsAndContexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTroupe(t)
		s := tr.open(tr.options(OneForOne, "a"))
		slow := actorSpec("b")
		slow.Ready = Readiness{Notify: true}
		tr.quiet("b")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errNoStart)
		defer cancel()
		if err := s.StartChild(ctx, slow); !errors.Is(err, errNoStart) {
			t.Error(err)
		}
		if got := states(s); got != "a running, b starting" {
			t.Error(got)
		}
		give(tr.sign("b").ready)
		if got := states(s); got != "a running, b running" {
			t.Error(got)
		}
		slow.ID = "c"
		tr.quiet("c")
		answer := make(chan error)
		go func() { answer <- s.StartChild(t.Context(), slow) }()
		synctest.Wait()
		if err := s.TerminateChild(t.Context(), "c"); err != nil {
			t.Error(err)
		}
		if err := <-answer; !errors.Is(err, ErrChildTerminated) {
			t.Error(err)
		}
		if err := s.RestartChild(ctx, "c"); !errors.Is(err, errNoStart) { // ended before: nothing was asked
			t.Error(err)
		}
		if got := states(s); got != "a running, b running, c terminated" {
			t.Error(got)
		}
		ctx, cancel = context.WithTimeoutCause(t.Context(), time.Second, errNoStart)
		defer cancel()
		if err := s.RestartChild(ctx, "c"); !errors.Is(err, errNoStart) {
			t.Error(err)
		}
		go func() { answer <- s.StartChild(t.Context(), actorSpec("d")) }() // in its turn, after c
		synctest.Wait()
		s.Terminate()
		if err := <-answer; !errors.Is(err, ErrSupervisorEnded) {
			t.Error(err)
		}
	})
}

// Back-off can be cut short: terminate, and start again.
func TestTerminateDuringBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTroupe(t)
		s := tr.open(tr.options(OneForOne, "a"))
		tr.die("a", failedExit)
		tr.did("+a +a")
		tr.die("a", failedExit)
		if got := states(s); got != "a waiting" {
			t.Error(got)
		}
		if err := s.RestartChild(t.Context(), "a"); !errors.Is(err, ErrChildRunning) {
			t.Error(err)
		}
		if err := s.TerminateChild(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		tr.after(time.Hour, "")
		if err := s.RestartChild(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		tr.did("+a")
	})
}

// A Supervisor as a child: stopped in its place, and started again when it gives up; its own failures are not its parent's.
func TestTreeOfSupervisors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTroupe(t)
		inner := tr.options(OneForAll, "xy")
		inner.Name, inner.Intensity, inner.Events = "inner", 1, nil
		o := tr.options(RestForOne, "abc")
		o.Children[1] = ChildSpec{Tree: &inner}
		o.launcher = func(ctx context.Context, c ChildSpec, s signs) (runner, func(), error) {
			if c.Tree != nil {
				return o.launch(ctx, c, s)
			}
			return tr.launch(ctx, c, s)
		}
		s := tr.open(o)
		tr.did("+a +x +y +c")
		if got := states(s); got != "a running, inner running, c running" {
			t.Error(got)
		}
		tr.die("x", failedExit)
		tr.did("-y +x +y")
		tr.deaf("x")            // from its next start on
		tr.die("x", failedExit) // now it gives up
		tr.did("-y -c +x +y +c")
		last := s.Status().Children[1].Last
		if last == nil || last.Exit.Code != 1 || last.Stderr[0] != "supervisor: inner gives up: more than 1 restarts in 1m40s: child x (pid 5): exit status 1; last line: last words of x" {
			t.Errorf("%+v", last)
		}
		tr.die("a", failedExit)
		tr.did("-c -y -x")
		tr.after(5*time.Second, "!x +a +x +y +c")
		s.Terminate()
		tr.after(5*time.Second, "-c -y -x !x -a")
	})
	synctest.Test(t, func(t *testing.T) { // one that does not start
		tr := newTroupe(t)
		tr.fail("y", errNoStart)
		inner := tr.options(OneForOne, "xy")
		o := SupervisorOptions{Children: []ChildSpec{{Tree: &inner}}}
		_, err := NewSupervisor(t.Context(), o)
		if !errors.Is(err, errNoStart) {
			t.Error(err)
		}
		tr.did("+x +y -x")
	})
}
