package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

func ctxFor(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	time.AfterFunc(d, cancel)
	return ctx
}

func TestFinalizers(t *testing.T) {
	checkLeaks(t)
	var ran []int
	for i := range 3 {
		AtExit(func() { ran = append(ran, i) })
	}
	remove := AtExit(func() { ran = append(ran, 99) })
	remove()
	remove()
	AtExit(func() { AtExit(func() { ran = append(ran, 4) }) }) // registered while they run
	if err := runFinalizers(short(t)); err != nil {
		t.Error(err)
	}
	if want := []int{4, 2, 1, 0}; !slices.Equal(ran, want) {
		t.Errorf("%v, want %v", ran, want)
	}
	if err := runFinalizers(short(t)); err != nil || len(ran) != 4 {
		t.Errorf("run again: %v, %v", ran, err)
	}
}

func TestFinalizerThatHangs(t *testing.T) {
	checkLeaks(t)
	release := make(chan bool)
	AtExit(func() { t.Error("ran after the time was over") })
	AtExit(func() { <-release })
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := runFinalizers(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	close(release)
	lastFinalizer()
}

func TestStopChildren(t *testing.T) {
	checkLeaks(t)
	line, lines := lineChan()
	begins := func(script string, change func(*Spec)) *Process {
		s := sh(script)
		s.Stdout = Output{Lines: line}
		change(&s)
		p := begin(t, s)
		receive(t, lines, "ready")
		return p
	}
	daemon := func(s *Spec) { s.Daemon = true }
	obeys := begins("echo ready; exec sleep 300", daemon)
	deaf := begins("trap '' TERM; echo ready; while :; do sleep 300; done", daemon)
	command := begins("echo ready; exec sleep 300", func(s *Spec) { s.Command = true })
	// Joined, not terminated: it ends by itself once the daemon is dead.
	joined := begins(fmt.Sprintf("echo ready; while [ -e /proc/%d ]; do sleep 0.01; done; exit 6", deaf.PID()), func(*Spec) {})

	if err := stopChildren(short(t), 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		p      *Process
		status int
	}{{"obedient daemon", obeys, -15}, {"deaf daemon", deaf, -9}, {"command", command, -15}, {"joined", joined, 6}} {
		if exit, dead := test.p.Exit(); !dead || exit.Status() != test.status {
			t.Errorf("%s: %v, %v; want %d", test.name, exit, dead, test.status)
		}
	}

	hangs := begins("echo ready; exec sleep 300", func(*Spec) {})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := stopChildren(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a child that does not end: %v", err)
	}
	if _, dead := hangs.Exit(); dead {
		t.Error("a child that is no daemon was killed")
	}
}
