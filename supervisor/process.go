package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

var (
	// ErrRunning: Close was called on a process that has not ended. Stop it first, or wait for Done.
	ErrRunning = errors.New("supervisor: process is still running")

	// ErrProcessClosed: the handle was used after Close.
	ErrProcessClosed = errors.New("supervisor: process handle is closed")

	// ErrStuck: the process has been sent SIGKILL and is not gone ten seconds later. It sleeps in the kernel
	// (state D, a dead network file system for instance). Done will be closed when it leaves it.
	ErrStuck = errors.New("supervisor: process does not die: it sleeps in the kernel")
)

// stuckAfter is how long Stop waits for a process that was sent SIGKILL.
const stuckAfter = 10 * time.Second

// Process is one operating-system process that we started. It is used once: there is no restart. It leads
// a process group of its own. Any number of goroutines may call any method at any time.
type Process struct {
	spec  Spec
	pid   int
	pidfd *os.File // in the netpoller
	seq   uint64

	// mu orders signals against reaping: a number (the group's) is signalled only with mu held and reaped
	// false, and wait4, which gives the number free, happens with mu held too. So no number is ever
	// signalled that may belong to somebody else.
	mu     sync.Mutex
	reaped bool
	closed bool

	out        outputs
	done       chan struct{} // closed once: exit is set
	outputDone chan struct{} // closed once, after done
	exit       Exit
}

// Start starts a process. It returns when the program runs (exec has succeeded), or with an error that
// names the program. Errors: ErrDaemonChild, ErrHookMissed, exec.ErrNotFound, fs.ErrNotExist,
// fs.ErrPermission and what else the kernel says.
//
// The child gets its own process group, the death signal, descriptors 0–2 and Inherit, and nothing else:
// its descriptor count does not depend on how many siblings it has.
func Start(spec Spec) (*Process, error) {
	if err := startAllowed(spec); err != nil {
		return nil, err
	}
	name := spec.Name
	spec, err := spec.prepared()
	if name == "" {
		name = spec.Name
	}
	if err != nil {
		return nil, fmt.Errorf("supervisor: start %s: %w", name, err)
	}
	p := &Process{spec: spec, done: make(chan struct{}), outputDone: make(chan struct{})}
	if err := p.launch(); err != nil {
		return nil, fmt.Errorf("supervisor: start %s: %w", name, err)
	}
	p.out.start()
	go p.wait()
	return p, nil
}

// launch makes the pipes and the child, and records it.
func (p *Process) launch() error {
	cmd := &exec.Cmd{Path: p.spec.Path, Args: p.spec.Args, Env: p.spec.Env, Dir: p.spec.Dir}
	if p.spec.Stdin != nil { // a nil *os.File in an interface is not nil
		cmd.Stdin = p.spec.Stdin
	}
	if p.spec.Inherit != nil {
		cmd.ExtraFiles = []*os.File{p.spec.Inherit}
	}
	pidfd := -1
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: p.spec.DeathSignal, PidFD: &pidfd}

	ours, err := p.out.connect(cmd, p.spec)
	defer func() {
		for _, f := range ours { // the child's ends
			f.Close()
		}
	}()
	if err != nil {
		return err
	}
	onLaunchThread(func() {
		startLock <- struct{}{}
		defer func() { <-startLock }()
		if err = cmd.Start(); err != nil {
			return
		}
		p.pid = cmd.Process.Pid
		cmd.Process.Release() // os/exec keeps a pidfd of its own, and would wait on a thread
		if p.pidfd, err = watchable(pidfd, p.pid); err == nil {
			children.add(p)
		}
	})
	if err != nil {
		p.out.abandon()
		return explainStart(err, p.spec)
	}
	return nil
}

// explainStart adds what the kernel's ENOENT does not tell.
func explainStart(err error, s Spec) error {
	if errors.Is(err, fs.ErrNotExist) {
		if _, statErr := os.Stat(s.Path); statErr == nil {
			return fmt.Errorf("%w (the file is there: the interpreter that it names is not)", err)
		}
	}
	return err
}

// PID is the process's number. It may belong to somebody else once the process is reaped: show it, do not signal it.
func (p *Process) PID() int { return p.pid }

// Name is Spec.Name, or its default.
func (p *Process) Name() string { return p.spec.Name }

// Daemon tells whether the process is terminated, not awaited, when this one ends.
func (p *Process) Daemon() bool { return p.spec.Daemon }

// Done is closed when the process is dead, its group has been sent SIGKILL and it is reaped. It never waits
// for output: for that there are OutputDone and Join.
func (p *Process) Done() <-chan struct{} { return p.done }

// OutputDone is closed after Done, when everything that the process and its group wrote to a pipe of ours
// has been delivered, and StderrTail and Capture are complete. A process that left the group and still holds
// the pipe delays it by a fifth of a second at most; a stderr consumer that blocks, by a second; a stdout
// consumer that blocks, for as long as it does.
func (p *Process) OutputDone() <-chan struct{} { return p.outputDone }

// Exit is how the process ended; false before that.
func (p *Process) Exit() (Exit, bool) {
	select {
	case <-p.done:
		return p.exit, true
	default:
		return Exit{}, false
	}
}

// StderrTail returns the last lines that the process wrote to a piped stderr: 20 at most, each cut at
// 4 KiB. Complete when OutputDone is closed; after Close too.
func (p *Process) StderrTail() []string { return p.out.tail.lines() }

// Join waits until the process is dead and its output delivered, and returns how it ended. When ctx ends
// first: the Exit, if the process is dead (a context that has ended polls), else an error that wraps the context's.
// Errors: ErrProcessClosed; the context's cause.
func (p *Process) Join(ctx context.Context) (Exit, error) {
	if err := p.usable(); err != nil {
		return Exit{}, err
	}
	select {
	case <-p.done:
	default:
		select {
		case <-p.done:
		case <-ctx.Done():
			return Exit{}, fmt.Errorf("supervisor: join %s: %w", p.spec.Name, context.Cause(ctx))
		}
	}
	select {
	case <-p.outputDone:
	case <-ctx.Done():
	}
	return p.exit, nil
}

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

// Close frees the handle. ErrRunning while the process runs. Twice is fine. Afterwards whatever returns an
// error returns ErrProcessClosed, and the rest what it did before.
func (p *Process) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	if !p.reaped {
		return fmt.Errorf("%w: %s (pid %d)", ErrRunning, p.spec.Name, p.pid)
	}
	p.closed = true
	return p.pidfd.Close()
}

func (p *Process) usable() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrProcessClosed
	}
	return nil
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
