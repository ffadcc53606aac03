package supervisor

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// check ends a helper program with a message for the test, and everybody below it.
func check(ok bool, format string, args ...any) {
	if !ok {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
		SetSubreaper()
		killDescendants(patience)
		os.Exit(1)
	}
}

// runHelper runs a helper program whose status is the verdict. These tests need processes of their own: being a subreaper
// is for ever, and the sweeping functions would take the test binary's children.
func runHelper(t *testing.T, h *helperProgram, args ...string) {
	t.Helper()
	s := h.spec(args...)
	s.Stderr = Output{Tail: true}
	p := begin(t, s)
	if exit := ended(t, p); !exit.Success() {
		t.Errorf("%s %v: %v\n%s", h.name, args, exit, strings.Join(p.StderrTail(), "\n"))
	}
}

// detach leaves n processes behind, each in a session of its own and running a script. It ends when they
// have left, so that its own end does not take them along.
var detachHelper = helper("detach", func(args []string) {
	n, _ := strconv.Atoi(args[0])
	for range n {
		cmd := exec.Command("sh", "-c", args[1])
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		check(cmd.Start() == nil, "start")
	}
})

func helperStart(s Spec) *Process {
	p, err := Start(s)
	check(err == nil, "%v", err)
	return p
}

func helperWait(c <-chan struct{}, what string) {
	select {
	case <-c:
	case <-time.After(patience):
		check(false, "not within %v: %s", patience, what)
	}
}

var orphansHelper = helper("orphans", func([]string) {
	check(SetSubreaper() == nil, "no subreaper")
	keep := helperStart(sh("exec sleep 300"))
	foreign := exec.Command("sleep", "300") // started by other means, spared by request
	check(foreign.Start() == nil, "start")
	p := helperStart(detachHelper.spec("3", "sleep 300 & sleep 300; :"))
	helperWait(p.Done(), "the command ends")
	check(len(ownChildren()) == 5, "adopted: %s", describe(ownChildren()))
	n := killOrphans(func(pid int) bool { return pid == foreign.Process.Pid })
	check(n >= 3 && n <= 9, "killed %d orphans", n)
	left := descendants()
	check(len(left) == 2, "left: %s", describe(left))
	check(killOrphans(func(pid int) bool { return pid == foreign.Process.Pid }) == 0, "orphans again")
	_, dead := keep.Exit()
	check(!dead, "a recorded child was killed")
	foreign.Process.Kill()
	check(foreign.Wait() != nil && foreign.ProcessState != nil, "the foreign child's status was stolen")
	exit, err := keep.Stop(ctxFor(patience), 0)
	check(err == nil && exit.Status() == -15, "%v, %v", exit, err)
	check(!hasChildren(), "children left: %s", describe(ownChildren()))
})

func TestKillOrphans(t *testing.T) {
	checkLeaks(t)
	detachHelper.used.Store(true) // by the helpers
	runHelper(t, orphansHelper)
}

// Children are born and die while orphans are swept: none is taken for an orphan, no status is lost.
var stormHelper = helper("storm", func([]string) {
	check(SetSubreaper() == nil, "no subreaper")
	stop, swept := make(chan bool), make(chan bool)
	go func() {
		defer close(swept)
		for {
			select {
			case <-stop:
				return
			default:
				killOrphans(nil)
			}
		}
	}()
	for i := range 100 {
		p := helperStart(sh(fmt.Sprintf("setsid sleep 300 & sh -c 'sh -c \"sleep 300; :\" & :'; exit %d", i)))
		exit, err := p.Join(ctxFor(patience))
		check(err == nil && exit.Status() == i, "%v, %v; want %d", exit, err, i)
		p.Close()
	}
	close(stop)
	<-swept
	killOrphans(nil)
	check(poll(func() bool { killOrphans(nil); return !hasChildren() }), "left: %s", describe(descendants()))
})

func TestSweepingBesideStarts(t *testing.T) {
	checkLeaks(t)
	runHelper(t, stormHelper)
}

// The members of a dead child's group fall to us when we are a subreaper: no zombie stays.
var groupHelper = helper("group", func([]string) {
	check(SetSubreaper() == nil, "no subreaper")
	for range 20 {
		p := helperStart(sh("sleep 300 & sleep 300 & sh -c 'sleep 300; :' & exit 4"))
		exit, err := p.Join(ctxFor(patience))
		check(err == nil && exit.Status() == 4, "%v, %v", exit, err)
	}
	check(!hasChildren(), "left: %s", describe(descendants()))
})

func TestGroupIsReaped(t *testing.T) {
	checkLeaks(t)
	runHelper(t, groupHelper)
}

var descendantsHelper = helper("descendants", func([]string) {
	check(SetSubreaper() == nil, "no subreaper")
	var ready []<-chan string
	add := func(s Spec) {
		line, lines := lineChan()
		s.Stdout = Output{Lines: line}
		helperStart(s)
		ready = append(ready, lines)
	}
	add(sh("echo; while :; do setsid sleep 300 & sleep 0.01; done"))   // has children all the time
	add(sh("echo; trap '' TERM INT HUP; while :; do sleep 300; done")) // deaf
	add(sh("echo; kill -STOP $$"))                                     // stopped
	// Orphaned, and forking as fast as it can, for a while.
	add(detachHelper.spec("1", "echo; for i in $(seq 500); do (setsid sleep 300 &) ; done; sleep 300"))
	foreign := exec.Command("sleep", "300")
	check(foreign.Start() == nil, "start")
	for _, c := range ready {
		select {
		case <-c:
		case <-time.After(patience):
			check(false, "not ready")
		}
	}
	before := ActiveChildren()
	check(len(before) >= 3, "%d active", len(before))
	err := killDescendants(patience)
	check(err == nil, "%v", err)
	check(!hasChildren() && len(descendants()) == 0, "left: %s", describe(descendants()))
	for _, p := range before {
		helperWait(p.Done(), "recorded child has its exit")
		exit, _ := p.Exit()
		check(!exit.Lost, "status of a recorded child lost")
	}
	p := helperStart(sh("exit 0")) // starting is possible again
	helperWait(p.OutputDone(), "one more")
})

func TestKillDescendants(t *testing.T) {
	checkLeaks(t)
	runHelper(t, descendantsHelper)
}

func TestParseStat(t *testing.T) {
	rest := " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20"
	for _, comm := range []string{"sh", "a b", "evil) R 9 (x", "", "\n"} {
		s, ok := parseStat([]byte("42 (" + comm + ")" + rest))
		if !ok || s.pid != 42 || s.comm != comm || s.state != 'S' || s.ppid != 1 || s.pgrp != 2 || s.session != 3 || s.start != 4711 {
			t.Errorf("%q: %+v %v", comm, s, ok)
		}
	}
	for _, bad := range []string{"", "42", "42 (sh", "42 (sh) S 1", ")("} {
		if s, ok := parseStat([]byte(bad)); ok {
			t.Errorf("%q: %+v", bad, s)
		}
	}
}

// Both ways to find children agree.
func TestOwnChildren(t *testing.T) {
	checkLeaks(t)
	want := map[int]bool{}
	for range 5 {
		want[begin(t, sh("exec sleep 300")).PID()] = true
	}
	for name, list := range map[string][]procStat{"children file": ownChildren(), "walk": allProcesses()[os.Getpid()]} {
		if len(list) != len(want) {
			t.Errorf("%s: %s", name, describe(list))
		}
		for _, s := range list {
			if !want[s.pid] {
				t.Errorf("%s: %d is none of ours", name, s.pid)
			}
		}
	}
}

// A pid that has gone to somebody else is not signalled.
func TestStatOfAnotherProcess(t *testing.T) {
	checkLeaks(t)
	p := begin(t, sh("exec sleep 300"))
	s := mustStat(t, p.PID())
	s.start-- // as if read before the number was given again
	s.kill()
	if fd := s.open(); fd >= 0 {
		syscall.Close(fd)
		t.Error("opened")
	}
	if !alive(mustStat(t, p.PID())) {
		t.Error("the wrong process was killed")
	}
}
