package supervisor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Supervisors over real processes.

func newTestSupervisor(t *testing.T, o SupervisorOptions) *Supervisor {
	t.Helper()
	checkLeaks(t)
	s, err := NewSupervisor(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Kill()
		receive(t, s.Done(), "the end of the Supervisor")
	})
	return s
}

// sleeper is a child that does nothing, and hears SIGTERM.
func sleeper(id string) ChildSpec { return ChildSpec{ID: id, Program: sh("exec sleep 300")} }

func childStatus(t testing.TB, s *Supervisor, id string) ChildStatus {
	t.Helper()
	list := s.Status().Children
	i := slices.IndexFunc(list, func(c ChildStatus) bool { return c.ID == id })
	if i < 0 {
		t.Fatalf("no child %q: %+v", id, list)
	}
	return list[i]
}

// awaitStart waits until a child runs for the nth time.
func awaitStart(t testing.TB, s *Supervisor, id string, n int) ChildStatus {
	t.Helper()
	eventually(t, func() bool {
		c := childStatus(t, s, id)
		return c.Starts >= n && c.State == ChildRunning
	}, "child %s runs for the %d. time", id, n)
	return childStatus(t, s, id)
}

func TestKilledChildIsReplaced(t *testing.T) {
	s := newTestSupervisor(t, SupervisorOptions{Children: []ChildSpec{sleeper("a"), sleeper("b"), sleeper("c")}})
	before := s.Status().Children
	old := mustStat(t, before[1].PID)
	syscall.Kill(old.pid, syscall.SIGKILL)
	b := awaitStart(t, s, "b", 2)
	if st := mustStat(t, b.PID); alive(old) || st.ppid != os.Getpid() || st.pgrp != st.pid {
		t.Errorf("old %+v, new %+v", old, st)
	}
	if b.Last.PID != old.pid || b.Last.Exit.Status() != -9 || b.Restarts != 1 {
		t.Errorf("%+v", b)
	}
	for _, i := range []int{0, 2} {
		if now := s.Status().Children[i]; now.PID != before[i].PID || now.Starts != 1 {
			t.Errorf("%+v, was %+v", now, before[i])
		}
	}
}

// The end of the context stops all, those deaf to SIGTERM too, and what they have forked.
func TestSupervisorLeavesNobody(t *testing.T) {
	lines, c := lineChan()
	deaf := sh("trap '' TERM; sleep 300 & echo $!; echo $$; echo ready; while :; do wait; done")
	deaf.Grace, deaf.Stdout = 100*time.Millisecond, Output{Lines: lines}
	checkLeaks(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s, err := NewSupervisor(ctx, SupervisorOptions{Strategy: OneForAll, Children: []ChildSpec{
		sleeper("first"), {ID: "deaf", Program: deaf, Ready: Readiness{Line: "ready"}}, sleeper("last"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	family := pids(t, c, 2)
	for _, c := range s.Status().Children {
		family = append(family, mustStat(t, c.PID))
	}
	cancel()
	if err := s.Join(short(t)); err != nil {
		t.Error(err)
	}
	for i, want := range []int{-15, -9, -15} {
		if c := s.Status().Children[i]; c.Last.Exit.Status() != want || c.State != ChildTerminated || c.PID != 0 {
			t.Errorf("%+v: %v", c, c.Last)
		}
	}
	eventually(t, func() bool { return !slices.ContainsFunc(family, alive) }, "nobody is left")
}

// A stopped process gives no sign of life; it dies with what it has forked, and another is started.
var beatingHelper = helper("beating", func(args []string) {
	p := helperStart(sh("exec sleep 300"))
	fmt.Println(p.PID())
	Ready()
	for range time.Tick(10 * time.Millisecond) {
		Alive()
	}
})

func beating(every time.Duration, lines LineFunc) ChildSpec {
	s := beatingHelper.spec()
	s.Stdout = Output{Lines: lines}
	return ChildSpec{ID: "beating", Program: s, Ready: Readiness{Notify: true}, Liveness: Liveness{Every: every}}
}

func TestStoppedChildIsReplaced(t *testing.T) {
	lines, c := lineChan()
	s := newTestSupervisor(t, SupervisorOptions{Children: []ChildSpec{beating(2*time.Second, lines)}})
	below := pids(t, c, 1)
	old := mustStat(t, childStatus(t, s, "beating").PID)
	syscall.Kill(old.pid, syscall.SIGSTOP)
	now := awaitStart(t, s, "beating", 2)
	if !errors.Is(now.Last, ErrSilent) || now.Last.Exit.Status() != -9 || alive(old) {
		t.Errorf("%v", now.Last)
	}
	below = append(below, pids(t, c, 1)...)
	eventually(t, func() bool { return !alive(below[0]) }, "what the first one has started is gone")
	if !alive(below[1]) {
		t.Error("what the second one has started is gone")
	}
}

// Whoever was stopped himself blames nobody for silence.
var stoppedMasterHelper = helper("stopped master", func([]string) {
	const every = 300 * time.Millisecond
	s, err := NewSupervisor(context.Background(), SupervisorOptions{Intensity: -1, Children: []ChildSpec{beating(every, nil)}})
	check(err == nil, "%v", err)
	fmt.Println("ready")
	os.Stdin.Read(make([]byte, 1)) // until continued
	<-time.After(2 * every)        // what is to be seen is that nothing happens
	st := s.Status()
	check(!st.Ending && st.Children[0].Starts == 1, "%+v: %v", st, st.Children[0].Last)
	check(s.Close() == nil, "close")
})

func TestStoppedSupervisor(t *testing.T) {
	checkLeaks(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	spec := stoppedMasterHelper.spec()
	lines, c := lineChan()
	spec.Stdin, spec.Stdout, spec.Stderr = r, Output{Lines: lines}, Output{Tail: true}
	p := begin(t, spec)
	receive(t, c, "the Supervisor")
	p.Signal(syscall.SIGSTOP)
	<-time.After(time.Second) // it misses three signs of life at least
	p.Signal(syscall.SIGCONT)
	w.Write([]byte("\n"))
	if exit := ended(t, p); !exit.Success() {
		t.Errorf("%v\n%s", exit, strings.Join(p.StderrTail(), "\n"))
	}
}

// What a process has said before it ended counts, however soon it ended: it was ready.
var readyAndGoneHelper = helper("ready and gone", func([]string) { Ready() })

func TestReadyAndGone(t *testing.T) {
	for name, c := range map[string]ChildSpec{
		"line":   {Program: sh("echo ready"), Ready: Readiness{Line: "ready"}},
		"notify": {Program: readyAndGoneHelper.spec(), Ready: Readiness{Notify: true}},
	} {
		c.ID, c.Restart = name, Temporary
		s := newTestSupervisor(t, SupervisorOptions{})
		for range 20 {
			if err := s.StartChild(short(t), c); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			eventually(t, func() bool { return len(s.Status().Children) == 0 }, "%s is forgotten", name)
		}
	}
}

func TestNotifySocketIsReadToTheEnd(t *testing.T) {
	checkLeaks(t)
	s := newSigns()
	n, err := listenNotify(s)
	if err != nil {
		t.Fatal(err)
	}
	n.pid = os.Getpid()
	t.Setenv(notifyEnv, n.name)
	Alive()
	notify("READY=1")
	n.conn.SetReadDeadline(time.Now()) // close comes before anything was read
	go n.read()
	n.close()
	receive(t, s.ready, "READY")
	receive(t, s.alive, "WATCHDOG")
}

// The other ways to become ready, and not to.
func TestReadiness(t *testing.T) {
	lines, c := lineChan()
	printing := sh("echo starting; echo now listening on port 7; exec sleep 300")
	printing.Stdout = Output{Lines: lines}
	dir := t.TempDir()
	s := newTestSupervisor(t, SupervisorOptions{Children: []ChildSpec{
		{ID: "line", Program: printing, Ready: Readiness{Line: "listening"}},
		{ID: "check", Program: sh("touch " + dir + "/there; exec sleep 300"), Ready: Readiness{
			Check: func(context.Context) error { _, err := os.Stat(dir + "/there"); return err },
		}},
	}})
	if a, b := receive(t, c, "a line"), receive(t, c, "another"); a != "starting" || b != "now listening on port 7" {
		t.Errorf("the lines that were watched: %q, %q", a, b)
	}
	err := s.StartChild(short(t), ChildSpec{ID: "mute", Program: sh("exec sleep 300"), Ready: Readiness{Notify: true, Timeout: 50 * time.Millisecond}})
	if !errors.Is(err, ErrNotReady) {
		t.Error(err)
	}
	err = s.StartChild(short(t), ChildSpec{ID: "dead", Program: sh("echo so be it >&2; exit 3"), Ready: Readiness{Line: "ready"}})
	if want := "exit status 3; last line: so be it"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("%v, expected …%s", err, want)
	}
	if n := len(s.Status().Children); n != 2 {
		t.Errorf("%d children, expected 2", n)
	}
}

// A program made for systemd is understood; one that is no part of the child is not listened to.
var systemdHelper = helper("systemd", func([]string) {
	check(os.Getenv("WATCHDOG_USEC") == "60000000", "WATCHDOG_USEC=%s", os.Getenv("WATCHDOG_USEC"))
	stranger := helperStart(readyAndGoneHelper.spec()) // has our environment, but leads a group of its own
	helperWait(stranger.Done(), "the stranger")
	fmt.Println("told by a stranger")
	os.Stdin.Read(make([]byte, 1))
	notify("STATUS=all is well\nREADY=1\nMAINPID=1\n")
	select {}
})

func TestSystemdProtocol(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "@somebody-else's")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	s := newTestSupervisor(t, SupervisorOptions{})
	spec, lines := systemdHelper.spec(), make(chan string, 10)
	spec.Stdin, spec.Stdout = r, Output{Lines: func(b []byte, _ bool) { lines <- string(b) }}
	started := make(chan error, 1)
	go func() {
		started <- s.StartChild(short(t), ChildSpec{ID: "daemon", Program: spec, Ready: Readiness{Notify: true}, Liveness: Liveness{Every: time.Minute}})
	}()
	receive(t, lines, "word that the stranger has spoken")
	if c := childStatus(t, s, "daemon"); c.State != ChildStarting {
		t.Errorf("%+v", c)
	}
	w.Write([]byte("\n"))
	if err := receive(t, started, "the start"); err != nil {
		t.Error(err)
	}
}

// A program that ends at once, again and again, costs nothing that stays.
func TestManyRestarts(t *testing.T) {
	s := newTestSupervisor(t, SupervisorOptions{
		Intensity: math.MaxInt, Backoff: Backoff{Min: time.Millisecond, Max: time.Millisecond},
		Children: []ChildSpec{
			{ID: "a", Program: Spec{Path: "true"}},
			{ID: "b", Program: readyAndGoneHelper.spec(), Ready: Readiness{Notify: true}},
		},
	})
	eventually(t, func() bool { return childStatus(t, s, "a").Restarts > 100 && childStatus(t, s, "b").Restarts > 20 }, "many restarts")
}

// PITFALLS 28: a storm ends, with the reason.
func TestStormEnds(t *testing.T) {
	s := newTestSupervisor(t, SupervisorOptions{Name: "web", Backoff: Backoff{Min: time.Millisecond}, Children: []ChildSpec{
		sleeper("a"), {ID: "b", Program: sh("echo port 80 is taken >&2; exit 1")},
	}})
	err := s.Join(short(t))
	last, _ := errors.AsType[*ChildError](err)
	if !errors.Is(err, ErrRestartLimit) || last == nil || last.ID != "b" || last.Exit.Code != 1 || !slices.Equal(last.Stderr, []string{"port 80 is taken"}) {
		t.Errorf("%v", err)
	}
	if c := childStatus(t, s, "b"); c.Starts != 6 {
		t.Errorf("%+v", c)
	}
}

// An entry as a child: a function in a process of its own, whose children die with it.
var supervisedEntry = NewEntry("test.supervised", func(ctx context.Context, greeting string) error {
	p, err := Start(sh("exec sleep 300"))
	if err != nil {
		return err
	}
	fmt.Println(p.PID())
	fmt.Println(greeting, os.Getpid())
	Ready()
	<-ctx.Done()
	p.Kill()
	return nil
})

func TestSupervisedEntry(t *testing.T) {
	lines, c := lineChan()
	s := newTestSupervisor(t, SupervisorOptions{Children: []ChildSpec{{
		Program: supervisedEntry.With("hello from", Spec{Stdout: Output{Lines: lines}}), Ready: Readiness{Notify: true},
	}}})
	var below []procStat
	for n := 1; n <= 3; n++ {
		e := awaitStart(t, s, "test.supervised", n)
		below = append(below, pids(t, c, 1)...)
		if line, want := receive(t, c, "a greeting"), fmt.Sprintf("hello from %d", e.PID); line != want {
			t.Errorf("%q, expected %q", line, want)
		}
		if n < 3 {
			syscall.Kill(e.PID, syscall.SIGKILL)
		}
	}
	s.Close()
	if e := childStatus(t, s, "test.supervised"); e.Last.Exit.Status() != -15 {
		t.Errorf("%v", e.Last)
	}
	if alive(below[2]) {
		t.Error("an entry that was terminated left its child")
	}
}

// An entry that has a Supervisor of its own, and is told to end: so are the Supervisor's children, each as its rule says.
var supervisingEntry = NewEntry("test.supervising", func(ctx context.Context, _ struct{}) error {
	c := sh("trap 'echo told to stop; exit' TERM; echo ready; while :; do sleep 0.01; done")
	c.Stdout = Output{Inherit: true}
	ready := sh("exec sleep 300")
	_, err := NewSupervisor(context.Background(), SupervisorOptions{Children: []ChildSpec{{ID: "a", Program: c}, {ID: "b", Program: ready}}})
	if err == nil {
		<-ctx.Done()
	}
	return err
})

func TestSupervisorInEntry(t *testing.T) {
	checkLeaks(t)
	lines, c := lineChan()
	p, err := supervisingEntry.Start(struct{}{}, Spec{Stdout: Output{Lines: lines}, Stderr: Output{Tail: true}, Grace: patience})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if line := receive(t, c, "the child"); line != "ready" {
		t.Errorf("%q", line)
	}
	p.Terminate()
	if line := receive(t, c, "the child, again"); line != "told to stop" {
		t.Errorf("%q", line)
	}
	if exit := ended(t, p); exit.Status() != -15 || len(p.StderrTail()) != 0 {
		t.Errorf("%v, %q", exit, p.StderrTail())
	}
}

// The master dies without a word, and nobody is left: no command, no entry, nobody whom an entry has started.
var dyingMasterHelper = helper("dying master", func([]string) {
	p, err := inherited() // as Main does first
	check(p == nil && err == nil, "%v", err)
	says := Spec{Stdout: Output{Inherit: true}}
	command := sh("echo $$; exec sleep 300")
	command.Stdout = Output{Inherit: true}
	_, err = NewSupervisor(context.Background(), SupervisorOptions{Children: []ChildSpec{
		{Program: command},
		{Program: supervisedEntry.With("I am", says), Ready: Readiness{Notify: true}},
	}})
	check(err == nil, "%v", err)
	select {}
})

func TestMasterOfSupervisorKilled(t *testing.T) {
	checkLeaks(t)
	spec := dyingMasterHelper.spec()
	lines, c := lineChan()
	spec.Stdout, spec.Stderr = Output{Lines: lines}, Output{Tail: true}
	p := begin(t, spec)
	family := pids(t, c, 2)
	var pid int
	if _, err := fmt.Sscanf(receive(t, c, "the entry"), "I am %d", &pid); err != nil {
		t.Fatal(err, p.StderrTail())
	}
	family = append(family, mustStat(t, pid))
	p.Signal(syscall.SIGKILL)
	ended(t, p)
	eventually(t, func() bool { return !slices.ContainsFunc(family, alive) }, "nobody is left: %s", describe(family))
}

// With Subreaper, what left the group of a dead child goes too.
var reapingHelper = helper("reaping", func([]string) {
	c := make(chan string, 10)
	spec := sh("setsid sh -c 'echo $$; exec sleep 300' & wait")
	spec.Stdout = Output{Lines: func(b []byte, _ bool) { c <- string(b) }}
	s, err := NewSupervisor(context.Background(), SupervisorOptions{Subreaper: true, Children: []ChildSpec{{ID: "a", Program: spec}}})
	check(err == nil, "%v", err)
	var pid int
	fmt.Sscan(<-c, &pid)
	stray, ok := readStat(pid)
	check(ok && stray.session == pid, "%+v", stray)
	syscall.Kill(s.Status().Children[0].PID, syscall.SIGKILL)
	fmt.Sscan(<-c, &pid)
	check(!alive(stray), "the stray one lives when the next is started")
	check(s.Close() == nil && !hasChildren(), "close")
})

func TestSupervisorReaps(t *testing.T) {
	checkLeaks(t)
	runHelper(t, reapingHelper)
}

// A daemonic process has no children, and so no Supervisor.
var taskSupervises = NewTask("test.supervises", func(ctx context.Context, _ struct{}) (string, error) {
	_, err := NewSupervisor(ctx, SupervisorOptions{Children: []ChildSpec{sleeper("a")}})
	return fmt.Sprint(errors.Is(err, ErrDaemonChild), err), nil
})

func TestSupervisorInDaemon(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	if got, err := taskSupervises.Call(within(t), p, struct{}{}); got != "true "+ErrDaemonChild.Error() || err != nil {
		t.Errorf("%s, %v", got, err)
	}
}
