package supervisor

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// A program with few descriptors starts until there is no room, three times over.
var greedyHelper = helper("greedy", func([]string) {
	programs := []Program{entryLeaf.With("/dev/null"), sh("exec sleep 300")}
	hooked.Store(true) // its children are not helpers
	for range 3 {
		for _, program := range programs {
			var all []*Process
			for {
				p, err := Start(program)
				if err != nil {
					n := len(all)
					check(errors.Is(err, ErrTooMany) && errors.Is(err, syscall.EMFILE), "%v", err)
					check(strings.Contains(err.Error(), fmt.Sprintf("beside %d children", n)) && n > 3, "%d children: %v", n, err)
					break
				}
				all = append(all, p)
			}
			check(len(ActiveChildren()) == len(all), "%d children, %d active", len(all), len(ActiveChildren()))
			for _, p := range all {
				_, dead := p.Exit()
				check(!dead, "one has died of it")
				_, err := p.Stop(ctxFor(patience), -1)
				check(err == nil, "%v", err)
				helperWait(p.OutputDone(), "output")
				check(p.Close() == nil, "close")
			}
			check(!hasChildren(), "left: %s", describe(ownChildren()))
		}
	}
	fmt.Println(len(openFiles()))
	os.Exit(0)
})

// P16: asking for too many processes is a clear error, which costs nothing: what runs goes on, and there is room again when it has ended.
func TestTooManyProcesses(t *testing.T) {
	checkLeaks(t)
	var out Capture
	s := greedyHelper.spec()
	s.Limits = Limits{OpenFiles: 40}
	s.Stdout, s.Stderr = Output{Capture: &out}, Output{Tail: true}
	p := begin(t, s)
	exit := ended(t, p)
	var fds int
	if fmt.Sscan(string(out.Bytes()), &fds); !exit.Success() || fds == 0 || fds > 12 {
		t.Errorf("%v, %d descriptors at the end\n%s", exit, fds, quote(p.StderrTail()))
	}
}

// What else the system says when there is no room.
func TestNoRoom(t *testing.T) {
	for _, e := range []error{syscall.EAGAIN, syscall.ENOMEM, syscall.ENFILE} {
		err := startFailed("sh", &os.PathError{Op: "fork/exec", Path: "/bin/sh", Err: e})
		if !errors.Is(err, ErrTooMany) || !errors.Is(err, e) {
			t.Errorf("%v", err)
		}
	}
	if err := startFailed("sh", syscall.EPERM); errors.Is(err, ErrTooMany) || !errors.Is(err, syscall.EPERM) {
		t.Errorf("%v", err)
	}
}
