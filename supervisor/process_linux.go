package supervisor

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watchable puts a pidfd into the netpoller, so that waiting for a child parks a goroutine and no thread.
// (os.Process.Wait parks one thread per child.)
func watchable(pidfd, pid int) (*os.File, error) {
	if pidfd < 0 {
		// The child runs, but we could not watch it: unreaped and unrecorded it must not stay.
		unix.Kill(pid, unix.SIGKILL)
		wait4(pid)
		return nil, errors.New("the kernel gives no pidfd: Linux 5.4 or later is needed")
	}
	// NewFile registers only what is already non-blocking.
	if err := unix.SetNonblock(pidfd, true); err != nil {
		unix.Kill(pid, unix.SIGKILL)
		wait4(pid)
		unix.Close(pidfd)
		return nil, fmt.Errorf("pidfd: %w", err)
	}
	return os.NewFile(uintptr(pidfd), fmt.Sprintf("pidfd:%d", pid)), nil
}

// undo ends a process that must not run and that nobody knows of yet.
func (p *Process) undo() {
	unix.Kill(p.pid, unix.SIGKILL)
	wait4(p.pid)
	p.pidfd.Close()
}

// wait is the one waiter of this process.
func (p *Process) wait() {
	p.awaitDeath()
	p.reap()
	p.unlist()
	close(p.done)
	p.out.expectEnd()
	reapGroup(p.pid)
	if p.wire != nil && isSubreaper.Load() { // an entry that was killed had no time to see to its descendants
		sweepAdopted()
	}
	p.wire.end()
	p.out.wait()
	close(p.outputDone)
}

// awaitDeath returns when the process is dead: a zombie that nobody but us can reap.
func (p *Process) awaitDeath() {
	dead := func(fd uintptr) bool { return pollIn(int(fd), 0) }
	if rc, err := p.pidfd.SyscallConn(); err == nil {
		if rc.Read(dead) == nil {
			return
		}
	}
	// Not pollable: no kernel known does that to a pidfd. Park a thread rather than miss the end.
	for !pollIn(int(p.pidfd.Fd()), -1) {
	}
}

// reap kills what is left of the group, while the dead leader still reserves the group's number, then reaps
// the leader and publishes how it ended. Waiting is for this pid only, never for any child.
func (p *Process) reap() {
	// Normally returns at once. It blocks while somebody traces the zombie, which wait4 would do with locks held.
	err := retryEINTR(func() error {
		return unix.Waitid(unix.P_PID, p.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	children.mu.Lock()
	defer children.mu.Unlock()
	if err != nil { // ECHILD: stolen, so the number may be anybody's
		p.exit = Exit{Lost: true}
	} else {
		unix.Kill(-p.pid, unix.SIGKILL) // ESRCH when it has left its group
		p.exit = wait4(p.pid)
	}
	delete(children.live, p.pid)
	p.reaped = true
}

// wait4 reaps one child of ours that is dead or about to be.
func wait4(pid int) Exit {
	var ws syscall.WaitStatus
	var ru syscall.Rusage
	err := retryEINTR(func() error {
		_, err := syscall.Wait4(pid, &ws, 0, &ru)
		return err
	})
	if err != nil {
		return Exit{Lost: true}
	}
	return exitOf(ws, &ru)
}

// sendProcess and sendGroup are called with mu held and the process unreaped. A zombie takes signals without
// an error; ESRCH can only mean that there is nobody to hear it.
func (p *Process) sendProcess(sig syscall.Signal) error {
	err := unix.PidfdSendSignal(int(p.pidfd.Fd()), sig, nil, 0)
	return p.signalError(sig, err)
}

func (p *Process) sendGroup(sig syscall.Signal) error {
	err := unix.Kill(-p.pid, sig)
	if err == unix.ESRCH { // it has left its group, and nobody else is in it
		return p.sendProcess(sig)
	}
	return p.signalError(sig, err)
}

func (p *Process) signalError(sig syscall.Signal, err error) error {
	if err == nil || err == unix.ESRCH {
		return nil
	}
	return fmt.Errorf("supervisor: send %v to %s (pid %d): %w", sig, p.spec.Name, p.pid, err)
}

// Sentinel returns a descriptor that becomes readable when the process is dead, to be waited for together
// with others in poll(2) or to be handed to another process. It is the caller's to close. Inside Go, Done is
// simpler. Errors: ErrProcessClosed.
func (p *Process) Sentinel() (*os.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrProcessClosed
	}
	fd, err := unix.FcntlInt(p.pidfd.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("supervisor: sentinel of %s: %w", p.spec.Name, err)
	}
	return os.NewFile(uintptr(fd), p.pidfd.Name()), nil
}

// pollIn waits until fd is readable, at most d (rounded up to milliseconds; negative: for ever).
func pollIn(fd int, d time.Duration) bool {
	ms := -1
	if d >= 0 {
		ms = int((d + time.Millisecond - 1) / time.Millisecond)
	}
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, ms)
	return err == nil && n > 0
}

func retryEINTR(f func() error) error {
	for {
		if err := f(); err != syscall.EINTR {
			return err
		}
	}
}
