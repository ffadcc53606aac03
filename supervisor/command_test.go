package supervisor

import (
	"context"
	"os"
	"strconv"
	"syscall"
	"testing"

	"github.com/seed-185a7250/multiproc/ipc"
)

// Runs a shell command that has a child, tells both pids, and waits.
var taskCommand = NewTask("test.command", func(ctx context.Context, m meeting) (int, error) {
	line, lines := lineChan()
	s := sh("sleep 300 & echo $!; wait")
	s.Command, s.Stdout = true, Output{Lines: line}
	p, err := Start(s)
	if err != nil {
		return 0, err
	}
	below, err := strconv.Atoi(<-lines)
	if err != nil {
		return 0, err
	}
	if err := m.Conn.Send(ctx, []int{os.Getpid(), p.PID(), below}); err != nil {
		return 0, err
	}
	exit, err := p.Join(ctx)
	return exit.Status(), err
})

// PITFALLS 13 and 38: the death signal reaches a worker's command, but not the command's child. A master that is
// no subreaper finds that by the page, on which the worker lists the groups of its commands.
func TestCommandsOfDeadWorker(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGSEGV} {
		ours, theirs, err := ipc.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		f := submit(t, taskCommand, p, meeting{theirs})
		theirs.Close()
		var met []int
		if err := ours.Recv(within(t), &met); err != nil {
			t.Fatal(err)
		}
		ours.Close()
		var all []procStat
		for _, pid := range met {
			s := mustStat(t, pid)
			t.Cleanup(s.kill)
			all = append(all, s)
		}
		syscall.Kill(met[0], sig)
		if r := result(t, f); r.Err == nil {
			t.Errorf("%v: %+v", sig, r)
		}
		for _, s := range all {
			eventually(t, func() bool { return !alive(s) }, "%v: %d (%s) dead", sig, s.pid, s.comm)
		}
	}
}
