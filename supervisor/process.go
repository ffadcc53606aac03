package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/seed-185a7250/multiproc/proto"
)

var (
	// ErrRunning: Close was called on a process that has not ended. Stop it first, or wait for Done.
	ErrRunning = errors.New("supervisor: process is still running")

	// ErrProcessClosed: the handle was used after Close.
	ErrProcessClosed = errors.New("supervisor: process handle is closed")

	// ErrTooMany: the system has no room for one more process: no number for it, no memory, or no descriptor in this process. What runs is not
	// touched; when some have ended there is room again.
	ErrTooMany = errors.New("supervisor: too many processes")

	// ErrNotParent: a Process was put into an argument or a result. Only the process that has started it can wait for it; give
	// others its Sentinel.
	ErrNotParent = errors.New("supervisor: a process belongs to its parent and cannot be passed on")
)

// Process is one operating-system process that we started. It is used once: there is no restart. It leads
// a process group of its own, unless its Spec says otherwise. Any number of goroutines may call any method at any time.
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

	wire   *wire  // to an entry; else nil
	unlist func() // takes the group of a task's command off the scoreboard

	out        outputs
	done       chan struct{} // closed once: exit is set
	outputDone chan struct{} // closed once, after done
	exit       Exit
}

// A Program is what can be started, any number of times, each time as a process of its own: a Spec (a command), or an
// Entry with its argument (Entry.With).
type Program interface {
	// spec says how it is run.
	spec() Spec
	// start starts it, run as s says: as spec does, or with changes.
	start(s Spec) (*Process, error)
}

func (s Spec) spec() Spec { return s }

func (Spec) start(s Spec) (*Process, error) {
	if err := startAllowed(s); err != nil {
		return nil, err
	}
	return start(s, nil)
}

// Start starts a process of p. It returns when the program runs (exec has succeeded), or with an error that
// names the program. Errors: ErrDaemonChild, ErrHookMissed, ErrTooMany, exec.ErrNotFound, fs.ErrNotExist,
// fs.ErrPermission and what else the kernel says.
//
// The child gets its own process group (but see Spec.ShareGroup), the death signal, descriptors 0–2 and Inherit, and nothing else that
// this process has opened: its descriptor count does not depend on how many siblings it has. (What this
// process was itself born with, and has not marked close-on-exec, is passed on as Unix does.)
func Start(p Program) (*Process, error) { return p.start(p.spec()) }

// start starts a process. w is nil unless it runs an entry; it is the process's from here on.
func start(spec Spec, w *wire) (*Process, error) {
	spec, err := spec.prepared()
	p := &Process{spec: spec, wire: w, done: make(chan struct{}), outputDone: make(chan struct{})}
	if err == nil {
		err = p.launch()
	}
	if err != nil {
		w.end()
		return nil, startFailed(spec.Name, err)
	}
	w.begin()
	p.unlist = func() {}
	if commands != nil && spec.Command {
		p.unlist = commands.command(p.pid)
	}
	p.out.start()
	go p.wait()
	return p, nil
}

// launch makes the pipes and the child, and records it.
func (p *Process) launch() error {
	cmd := &exec.Cmd{Path: p.spec.Path, Args: p.spec.Args, Env: p.spec.Env, Dir: p.spec.Dir}
	if p.spec.Stdin != nil { // here and below: a nil *os.File in an interface is not nil
		cmd.Stdin = p.spec.Stdin
	}
	if p.spec.Inherit != nil {
		cmd.ExtraFiles = []*os.File{p.spec.Inherit}
	}
	pidfd := -1
	limited := p.spec.Limits != Limits{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: !p.spec.ShareGroup, Pdeathsig: p.spec.DeathSignal, PidFD: &pidfd, Ptrace: limited}

	stdout, stderr, release, err := p.out.connect(p.spec)
	defer release()
	if err != nil {
		return err
	}
	if stdout != nil {
		cmd.Stdout = stdout
	}
	if stderr != nil {
		cmd.Stderr = stderr
	}
	// Should we die before the child has asked for its death signal, it sees that its parent has changed and
	// ends itself (syscall.forkAndExecInChild does that); alive, we have nothing to check.
	onLaunchThread(func() {
		startLock <- struct{}{}
		defer unlockStarts()
		if err = cmd.Start(); err != nil {
			return
		}
		p.pid = cmd.Process.Pid
		cmd.Process.Release() // os/exec keeps a pidfd of its own, and would wait on a thread
		if p.pidfd, err = watchable(pidfd, p.pid); err != nil {
			return
		}
		if limited {
			if err = imposeAtBirth(p.pid, p.spec.Limits); err != nil {
				p.undo()
				return
			}
		}
		children.add(p)
	})
	if err != nil {
		p.out.abandon()
		return explainStart(err, p.spec)
	}
	return nil
}

// startFailed says what could not be started and why.
func startFailed(name string, err error) error {
	for _, e := range []error{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: start %s beside %d children: %w", ErrTooMany, name, len(ActiveChildren()), err)
		}
	}
	return fmt.Errorf("supervisor: start %s: %w", name, err)
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

// lookPath finds a program by its bare name in the PATH that the child will have, as Python's subprocess
// does: a ticket that sets PATH means it for its own command too. Empty and relative elements do not count.
func lookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	if env == nil {
		env = os.Environ()
	}
	var path string
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = v
		}
	}
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue
		}
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", &exec.Error{Name: name, Err: exec.ErrNotFound}
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
// 4 KiB. If they are only the end of a Go program's crash, its first ten lines stand before them, and a line
// that says how many are left out. Complete when OutputDone is closed; after Close too.
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

// EncodeHandle implements proto.HandleEncoder: it refuses. ErrNotParent.
func (p *Process) EncodeHandle() (proto.Handle, []int, error) {
	return proto.Handle{}, nil, fmt.Errorf("%w: %s (pid %d)", ErrNotParent, p.spec.Name, p.pid)
}

func (p *Process) usable() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrProcessClosed
	}
	return nil
}
