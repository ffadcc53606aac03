package ipc

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A nest is a process, in a group or session of its own, that starts others. These
// strangers have nothing to do with those that the test starts, nor with the founder of
// what they use: they dial a socket in the file system, and get over it what other helpers
// get over the descriptor that they inherit.
type nest struct {
	*child
	l *Listener
}

const dialEnv = "IPC_TEST_DIAL"

type nestOrder struct {
	Start string // a helper
	Path  string // that it dials
	Stop  int    // a pid
	Reap  int
}

type nestAnswer struct {
	Pid int
	Err string
}

func init() {
	helpers["nest"] = func(c *Conn) error {
		if err := leaveFamily(); err != nil {
			return err
		}
		brood := map[int]*exec.Cmd{}
		defer func() {
			for _, cmd := range brood {
				cmd.Process.Kill()
				cmd.Wait()
			}
		}()
		for {
			var o nestOrder
			if err := c.Recv(context.Background(), &o); err != nil {
				return err
			}
			var a nestAnswer
			if err := a.carryOut(brood, o); err != nil {
				a.Err = err.Error()
			}
			if err := c.Send(context.Background(), a); err != nil {
				return err
			}
		}
	}
}

func (a *nestAnswer) carryOut(brood map[int]*exec.Cmd, o nestOrder) error {
	switch {
	case o.Start != "":
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), helperEnv+"="+o.Start, dialEnv+"="+o.Path)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Start(); err != nil {
			return err
		}
		a.Pid = cmd.Process.Pid
		brood[a.Pid] = cmd
		return nil
	case o.Stop != 0:
		return stopAndSee(o.Stop)
	}
	cmd := brood[o.Reap]
	delete(brood, o.Reap)
	return cmd.Wait()
}

// leaveFamily leaves the session in a long run, which has the machine for itself, and else
// only the group. The kernel shares processors out between sessions (autogroup, sched(7)),
// and Linux 6.18 does it badly when the processes of one wake each other all the time:
// everybody else stood still for up to six seconds at a time, the tests of other packages
// too.
func leaveFamily() error {
	if os.Getenv(roundsEnv) == "" {
		return unix.Setpgid(0, 0)
	}
	_, err := unix.Setsid()
	return err
}

// stopAndSee stops a child of this process, and waits until all its threads have stopped.
func stopAndSee(pid int) error {
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		return err
	}
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return err
		}
	}
}

func newNest(t testing.TB) *nest {
	t.Helper()
	return &nest{start(t, "nest"), newTestListener(t, filepath.Join(t.TempDir(), "nest"))}
}

func (n *nest) order(o nestOrder) (pid int, err error) {
	n.t.Helper()
	n.send(o)
	a := recv[nestAnswer](n.child)
	if a.Err != "" {
		err = errors.New(a.Err)
	}
	return a.Pid, err
}

// start starts a helper that is a stranger.
func (n *nest) start(name string) *child {
	t := n.t
	t.Helper()
	pid, err := n.order(nestOrder{Start: name, Path: n.l.Path()})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := n.l.Accept(within(t))
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, Conn: conn, cmd: &exec.Cmd{Process: &os.Process{Pid: pid}}, nest: n}
	t.Cleanup(func() {
		conn.Close()
		if !c.dead && !n.dead {
			c.kill()
		}
	})
	return c
}

// startMixed starts helper number i: every second one is a stranger.
func (n *nest) startMixed(i int, name string) *child {
	n.t.Helper()
	if i%2 == 0 {
		return start(n.t, name)
	}
	return n.start(name)
}
