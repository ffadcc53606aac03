package supervisor

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// ErrStuck: the process has been sent SIGKILL and is not gone ten seconds later. It sleeps in the kernel
// (state D: a dead network file system, for instance). Done will be closed when it wakes.
var ErrStuck = errors.New("supervisor: process does not die: it sleeps in the kernel")

// stuckAfter is how long Stop waits for a process that was sent SIGKILL; a variable for the test.
var stuckAfter = 10 * time.Second

// Signal sends a signal to the process alone, through its pidfd. On a dead process: nothing, and no error.
func (p *Process) Signal(sig syscall.Signal) error {
	return p.whileUnreaped(func() error { return p.sendProcess(sig) })
}

// SignalGroup sends a signal to every process of the group. On a dead process: nothing, and no error.
func (p *Process) SignalGroup(sig syscall.Signal) error {
	return p.whileUnreaped(func() error { return p.sendGroup(sig) })
}

// Terminate sends SIGTERM to the group, and SIGCONT, because a stopped process would not hear of it.
func (p *Process) Terminate() error {
	return p.whileUnreaped(func() error {
		return errors.Join(p.sendGroup(syscall.SIGTERM), p.sendGroup(syscall.SIGCONT))
	})
}

// Interrupt sends SIGINT to the group.
func (p *Process) Interrupt() error { return p.SignalGroup(syscall.SIGINT) }

// Kill sends SIGKILL to the group; and to the process itself, should it have left its group.
func (p *Process) Kill() error {
	return p.whileUnreaped(func() error {
		return errors.Join(p.sendGroup(syscall.SIGKILL), p.sendProcess(syscall.SIGKILL))
	})
}

// Stop ends the process: SIGTERM to the group, grace, SIGKILL to the group, reaped. A grace of 0 is that of
// the Spec; a negative one means SIGKILL at once. It needs no help from the process and returns when Done is
// closed. When ctx ends, the grace ends, and Stop returns with the context's cause without waiting longer;
// Done will be closed soon after.
//
// Only a process that sleeps uninterruptibly in the kernel resists SIGKILL: then ErrStuck after ten seconds.
func (p *Process) Stop(ctx context.Context, grace time.Duration) (Exit, error) {
	if grace == 0 {
		grace = p.spec.Grace
	}
	if grace > 0 && p.Terminate() == nil { // what may not be terminated is killed, or says why not
		p.waitFor(ctx, grace)
	}
	if exit, dead := p.Exit(); dead {
		return exit, p.usable()
	}
	if err := p.Kill(); err != nil {
		return Exit{}, err
	}
	p.waitFor(ctx, stuckAfter)
	if exit, dead := p.Exit(); dead {
		return exit, nil
	}
	if ctx.Err() != nil {
		return Exit{}, fmt.Errorf("supervisor: stop %s: %w", p.spec.Name, context.Cause(ctx))
	}
	return Exit{}, fmt.Errorf("supervisor: stop %s (pid %d): %w", p.spec.Name, p.pid, ErrStuck)
}

// waitFor waits for the end of the process, of ctx, or of d.
func (p *Process) waitFor(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-p.done:
	case <-ctx.Done():
	case <-t.C:
	}
}

// whileUnreaped runs send while the process's number is certainly its own.
func (p *Process) whileUnreaped(send func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrProcessClosed
	}
	if p.reaped {
		return nil
	}
	return send()
}
