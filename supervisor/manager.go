package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
)

// ManagerOptions of StartManager; the zero value is good.
type ManagerOptions struct {
	// Path is where the manager listens; it must be in a directory that other users cannot
	// enter. "" is a socket in a directory of its own, with mode 0700, which is removed when the manager has ended.
	Path string
	// Limits of each connection; zero fields have their defaults.
	Limits ipc.ManagerLimits
	// Persist is a directory where objects outlive the manager; "" is none.
	Persist string
	// RefuseShutdown keeps clients from ending it.
	RefuseShutdown bool

	// Inside serves it in this process: the fastest way for this process, but what the manager
	// holds is as mortal as this process, and shares its memory.
	Inside bool
	// Spec says how the process is run, if it is one of its own: its name, its grace, where its stderr goes. It is a
	// daemon in any case.
	Spec Spec
	// StartTimeout is what the process has to listen; 0 is 10 s.
	StartTimeout time.Duration
}

// A Manager is a running server of shared objects (see [ipc.Manager]), in a process of its own or in
// this one. Any process of this user can connect to it; when it has ended, however, all its
// clients get ipc.ErrGone. It is not started again: its objects would be others.
type Manager struct {
	path    string
	dir     string // that it owns; "" for none
	process *Process
	server  *ipc.Manager
	tell    context.CancelFunc // the server inside, to end
	release func() bool        // stops watching the context of StartManager

	stopping atomic.Bool
	done     chan struct{}
	err      error // why it ended, if not because it was told to; set before done is closed
}

// StartManager starts a manager and returns when it listens. When ctx ends, it is stopped. Its
// process dies with this one, and needs Main, as an [Entry] does; a daemonic process may not
// start one, but may serve one inside. Errors are those of Entry.Start, and what keeps it from
// listening.
func StartManager(ctx context.Context, o ManagerOptions) (*Manager, error) {
	m := &Manager{path: o.Path, done: make(chan struct{})}
	if m.path == "" {
		dir, err := os.MkdirTemp("", "multiproc-") // 0700 whatever the umask
		if err != nil {
			return nil, fmt.Errorf("supervisor: directory of a manager: %w", err)
		}
		m.dir, m.path = dir, filepath.Join(dir, "manager.sock")
	}
	begin := m.spawn
	if o.Inside {
		begin = m.serve
	}
	if err := begin(ctx, o); err != nil {
		m.clean()
		return nil, err
	}
	m.release = context.AfterFunc(ctx, func() { m.halt(context.Background()) })
	return m, nil
}

// Address is where clients connect to: see ipc.Connect.
func (m *Manager) Address() string { return m.path }

// Process returns the process, nil if the manager is inside this one.
func (m *Manager) Process() *Process { return m.process }

// Server returns the manager if it is inside this process, else nil.
func (m *Manager) Server() *ipc.Manager { return m.server }

// Done is closed when the manager has ended, for whatever reason.
func (m *Manager) Done() <-chan struct{} { return m.done }

// Connect connects to the manager.
func (m *Manager) Connect(ctx context.Context) (*ipc.Client, error) {
	return ipc.Connect(ctx, m.path, ipc.ConnectOptions{})
}

// Stop ends the manager, and all connections to it, and returns when it has ended: by force, if
// it must, after the grace of its Spec. When ctx ends it does not wait longer. Stopping again,
// from anywhere, does nothing more. The error is why it failed, if it did not end because it was told to.
func (m *Manager) Stop(ctx context.Context) error {
	m.release()
	return m.halt(ctx)
}

func (m *Manager) halt(ctx context.Context) error {
	m.stopping.Store(true)
	if m.process == nil {
		m.tell()
	} else if _, err := m.process.Stop(ctx, 0); err != nil && !errors.Is(err, ErrProcessClosed) {
		return err
	}
	select {
	case <-m.done:
		return m.err
	case <-ctx.Done():
		return fmt.Errorf("supervisor: stop the manager: %w", context.Cause(ctx))
	}
}

func (m *Manager) clean() {
	if m.dir != "" {
		os.RemoveAll(m.dir)
	}
}

// serve serves it in this process.
func (m *Manager) serve(_ context.Context, o ManagerOptions) error {
	server, l, err := openManager(managerCall{Path: m.path, Limits: o.Limits, Persist: o.Persist, RefuseShutdown: o.RefuseShutdown})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.server, m.tell = server, cancel
	go func() {
		defer close(m.done)
		m.err = serveManager(ctx, server, l)
		cancel()
		m.clean()
	}()
	return nil
}

// spawn starts its process and waits until that listens.
func (m *Manager) spawn(ctx context.Context, o ManagerOptions) error {
	s := o.Spec
	s.Daemon = true
	if s.Name == "" {
		s.Name = "manager"
	}
	if e := s.Stderr; !e.Inherit && e.File == nil && !e.piped() {
		s.Stderr = Output{Tail: true}
	}
	call := managerCall{Path: m.path, Dir: m.dir, Limits: o.Limits, Persist: o.Persist, RefuseShutdown: o.RefuseShutdown}
	p, err := managerEntry.Start(call, s)
	if err != nil {
		return err
	}
	m.process = p
	watch := func() {
		<-p.Done()
		m.clean()
		if exit, _ := p.Exit(); !exit.Success() && !m.stopping.Load() {
			m.err = fmt.Errorf("supervisor: the manager has ended: %v%s", exit, lastWords(p))
		}
		close(m.done)
		p.Close()
	}
	if err = m.awaitReady(ctx, o); err != nil {
		p.Stop(context.WithoutCancel(ctx), -1)
		watch()
		return err
	}
	go watch()
	return nil
}

func (m *Manager) awaitReady(ctx context.Context, o ManagerOptions) error {
	limit := o.StartTimeout
	if limit == 0 {
		limit = 10 * time.Second
	}
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-m.process.Ready():
		return nil
	case <-m.process.Done():
		exit, _ := m.process.Exit()
		return fmt.Errorf("supervisor: the manager does not listen: %v%s", exit, lastWords(m.process))
	case <-late.C:
		return fmt.Errorf("supervisor: the manager does not listen: not ready within %v", limit)
	case <-ctx.Done():
		return fmt.Errorf("supervisor: start a manager: %w", context.Cause(ctx))
	}
}

func lastWords(p *Process) string {
	if tail := p.StderrTail(); len(tail) > 0 {
		return ": " + lastWord(tail)
	}
	return ""
}

// A managerCall is the argument of managerEntry.
type managerCall struct {
	Path           string
	Dir            string // to be removed in the end
	Limits         ipc.ManagerLimits
	Persist        string
	RefuseShutdown bool
}

// managerEntry is the process of a manager.
var managerEntry = NewEntry("multiproc.manager", func(ctx context.Context, c managerCall) error {
	if c.Dir != "" {
		defer os.RemoveAll(c.Dir)
	}
	m, l, err := openManager(c)
	if err != nil {
		return err
	}
	Ready()
	return serveManager(ctx, m, l)
})

// openManager makes a manager that listens, and does not serve yet.
func openManager(c managerCall) (*ipc.Manager, *ipc.Listener, error) {
	m, err := ipc.NewManager(ipc.ManagerOptions{Limits: c.Limits, Persist: c.Persist, RefuseShutdown: c.RefuseShutdown})
	if err != nil {
		return nil, nil, err
	}
	l, err := ipc.ListenPrivate(c.Path, ipc.ConnOptions{})
	if err != nil {
		m.Close()
		return nil, nil, err
	}
	return m, l, nil
}

// serveManager serves until ctx ends, or a client calls shutdown.
func serveManager(ctx context.Context, m *ipc.Manager, l *ipc.Listener) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	served := make(chan error, 1)
	go func() {
		served <- m.Serve(ctx, l)
		end()
	}()
	select {
	case <-ctx.Done():
	case <-m.ShutDown():
		end()
	}
	err := errors.Join(<-served, l.Close())
	return errors.Join(err, m.Close())
}
