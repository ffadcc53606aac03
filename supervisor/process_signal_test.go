package supervisor

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"
)

func TestSignals(t *testing.T) {
	checkLeaks(t)
	for _, test := range []struct {
		name   string
		send   func(*Process) error
		status int
	}{
		{"Terminate", (*Process).Terminate, -15},
		{"Kill", (*Process).Kill, -9},
		{"Interrupt", (*Process).Interrupt, -2},
		{"Signal", func(p *Process) error { return p.Signal(syscall.SIGUSR1) }, -10},
		{"SignalGroup", func(p *Process) error { return p.SignalGroup(syscall.SIGUSR2) }, -12},
	} {
		p := begin(t, sh("exec sleep 300"))
		if err := test.send(p); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if exit := ended(t, p); exit.Status() != test.status {
			t.Errorf("%s: %v", test.name, exit)
		}
		if err := test.send(p); err != nil {
			t.Errorf("%s on a dead process: %v", test.name, err)
		}
		if exit, err := p.Stop(short(t), 0); err != nil || exit.Status() != test.status {
			t.Errorf("%s, stopped when dead: %v, %v", test.name, exit, err)
		}
	}
}

// PITFALLS 14: the number of a reaped process may be somebody else's by now.
func TestReusedNumberIsNotSignalled(t *testing.T) {
	checkLeaks(t)
	stdin, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	s := sh("read x; exit 7")
	s.Stdin = stdin
	p, q := begin(t, sh("exit 0")), begin(t, s)
	ended(t, p)
	was := p.pid
	p.pid = q.pid
	for _, send := range []func() error{p.Kill, p.Terminate, p.Interrupt,
		func() error { return p.SignalGroup(syscall.SIGKILL) }, func() error { return p.Signal(syscall.SIGKILL) }} {
		if err := send(); err != nil {
			t.Error(err)
		}
	}
	p.pid = was
	w.Close()
	if exit := ended(t, q); exit.Status() != 7 {
		t.Errorf("somebody else was signalled: %v", exit)
	}
}

func TestClose(t *testing.T) {
	checkLeaks(t)
	p := begin(t, sh("exec sleep 300"))
	if err := p.Close(); !errors.Is(err, ErrRunning) {
		t.Errorf("close while it runs: %v", err)
	}
	p.Kill()
	ended(t, p)
	for range 2 {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	_, joinErr := p.Join(short(t))
	_, stopErr := p.Stop(short(t), 0)
	_, sentinelErr := p.Sentinel()
	for i, err := range []error{joinErr, stopErr, sentinelErr, p.Signal(0), p.SignalGroup(0),
		p.Terminate(), p.Kill(), p.Interrupt()} {
		if err != ErrProcessClosed {
			t.Errorf("operation %d after Close: %v", i, err)
		}
	}
	if exit, dead := p.Exit(); !dead || exit.Status() != -9 {
		t.Errorf("exit after Close: %v, %v", exit, dead)
	}
}

func TestSentinel(t *testing.T) {
	checkLeaks(t)
	p := begin(t, sh("exec sleep 300"))
	f, err := p.Sentinel()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if pollIn(int(f.Fd()), 0) {
		t.Error("ready before the end")
	}
	p.Kill()
	if !pollIn(int(f.Fd()), patience) {
		t.Error("not ready after the end")
	}
}

// PITFALLS 13, within the group.
func TestKillReachesGroup(t *testing.T) {
	checkLeaks(t)
	for _, test := range []struct {
		name string
		end  func(*Process)
	}{
		{"Kill", func(p *Process) { p.Kill() }},
		{"Terminate", func(p *Process) { p.Terminate() }},
		{"the leader dies alone", func(p *Process) { p.Signal(syscall.SIGKILL) }},
	} {
		line, lines := lineChan()
		s := sh("sh -c 'echo $$; exec sleep 300' & sh -c 'sh -c \"echo \\$\\$; exec sleep 300\"; :' & wait")
		s.Stdout = Output{Lines: line}
		p := begin(t, s)
		below := pids(t, lines, 2)
		test.end(p)
		ended(t, p)
		for _, s := range below {
			eventually(t, func() bool { return !alive(s) }, "%s: %d (%s) dead", test.name, s.pid, s.comm)
		}
	}
}

func TestStop(t *testing.T) {
	checkLeaks(t)
	const deaf = "trap '' TERM INT; echo ready; while :; do sleep 300; done"
	for _, test := range []struct {
		name   string
		script string
		stop   bool // by SIGSTOP, beforehand
		grace  time.Duration
		status int
	}{
		{"obeys", "echo ready; exec sleep 300", false, patience, -15},
		{"obeys with a status", "trap 'exit 9' TERM; echo ready; sleep 300 & wait", false, patience, 9},
		{"deaf", deaf, false, 50 * time.Millisecond, -9},
		{"no grace", "trap 'exit 9' TERM; echo ready; sleep 300 & wait", false, -1, -9},
		{"stopped", "echo ready; exec sleep 300", true, patience, -15},
		{"stopped and deaf", deaf, true, 50 * time.Millisecond, -9},
	} {
		line, lines := lineChan()
		s := sh(test.script)
		s.Stdout = Output{Lines: line}
		p := begin(t, s)
		receive(t, lines, test.name+": ready")
		if test.stop {
			p.Signal(syscall.SIGSTOP)
			eventually(t, func() bool { return mustStat(t, p.PID()).state == 'T' }, "%s: stopped", test.name)
		}
		exit, err := p.Stop(short(t), test.grace)
		if err != nil || exit.Status() != test.status {
			t.Errorf("%s: %v, %v; want %d", test.name, exit, err, test.status)
		}
	}
}

func TestStopWhenContextEnds(t *testing.T) {
	checkLeaks(t)
	line, lines := lineChan()
	s := sh("trap '' TERM; echo ready; while :; do sleep 300; done")
	s.Stdout = Output{Lines: line}
	p := begin(t, s)
	receive(t, lines, "ready")
	if exit, err := p.Stop(ctxEnded, time.Hour); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", exit, err)
	}
	if exit := ended(t, p); exit.Status() != -9 {
		t.Errorf("%v", exit)
	}
}

// A process that sleeps in the kernel cannot be had for a test; one whose reaping is held up looks the same.
func TestStopOfStuckProcess(t *testing.T) {
	checkLeaks(t)
	defer func(d time.Duration) { stuckAfter = d }(stuckAfter)
	stuckAfter = 10 * time.Millisecond
	p := begin(t, sh("exec sleep 300"))
	children.mu.Lock()
	_, err := p.Stop(context.Background(), -1)
	children.mu.Unlock()
	if !errors.Is(err, ErrStuck) {
		t.Errorf("%v", err)
	}
	ended(t, p)
}
