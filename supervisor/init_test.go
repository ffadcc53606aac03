package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A program as process 1 of a container of its own.
var initHelper = helper("init", func([]string) {
	check(os.Getpid() == 1, "pid %d", os.Getpid())
	check(unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, "") == nil && unix.Mount("proc", "/proc", "proc", 0, "") == nil, "mount /proc")
	hooked.Store(true)
	Main(func(ctx context.Context) error {
		for i := range 20 {
			// Two orphans each, which end by themselves, one at once and one when its parent has long ended.
			p := helperStart(sh(fmt.Sprintf("setsid sh -c 'sleep 0.1 & sleep 0.1 & sh -c :' & setsid true & exit %d", i)))
			exit, err := p.Join(ctx)
			check(err == nil && exit.Status() == i, "%v, %v; want %d", exit, err, i)
		}
		foreign := exec.Command("sh", "-c", "exit 9")
		check(foreign.Start() == nil, "start")
		check(poll(func() bool { return len(orphanZombies()) == 0 && len(ownChildren()) == 1 }), "left: %s", describe(ownChildren()))
		err := foreign.Wait()
		check(foreign.ProcessState != nil && foreign.ProcessState.ExitCode() == 9, "somebody else has reaped it: %v", err)
		p, err := entryEnd.Start("code 7")
		check(err == nil, "%v", err)
		exit, err := p.Join(ctx)
		check(err == nil && exit.Status() == 7, "%v, %v", exit, err)
		check(poll(func() bool { return !hasChildren() }), "left: %s", describe(ownChildren()))
		return nil
	})
})

// orphanZombies lists the dead among our children that are in other groups.
func orphanZombies() []procStat {
	return slices.DeleteFunc(ownChildren(), func(s procStat) bool { return s.state != 'Z' || s.pgrp == unix.Getpgrp() })
}

// PITFALLS 27: as process 1 it reaps what falls to it, and takes nobody's status away.
func TestAsProcessOne(t *testing.T) {
	checkLeaks(t)
	s := initHelper.spec()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = s.Args
	var errs strings.Builder
	cmd.Stderr = &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	if errors.Is(err, syscall.EPERM) {
		t.Skip("no right to make a pid namespace")
	}
	if err != nil {
		t.Errorf("%v\n%s", err, errs.String())
	}
}
