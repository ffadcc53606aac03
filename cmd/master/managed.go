package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
	"github.com/seed-185a7250/multiproc/supervisor"
)

// A jobManager serves a job's objects to whoever is not handed them: commands, programs in other languages, other masters. Those
// of kinds that only a manager has live in it; the others are deposited there under their names. A job gets one when it has
// something to be served so, or when it is asked for with -socket.
type jobManager struct {
	*supervisor.Manager
	client *ipc.Client // of the master itself
}

// managerTime is what any one step of the master's own with its manager may take, before something is wrong.
const managerTime = 30 * time.Second

// managed tells whether the job has an object of a manager.
func (j *Job) managed() bool {
	for _, s := range j.Shared {
		if s.managed() {
			return true
		}
	}
	return false
}

// managed tells whether an object lives in the manager.
func (s Shared) managed() bool { return s.Managed || sharedKinds[s.Kind].open == nil }

// openJobManager starts the manager, if the job needs one, and tells all processes started from now on where it is.
func openJobManager(o Options, job *Job, scratch scratchDir) (*jobManager, error) {
	if o.Socket == "" && !job.managed() {
		return nil, nil
	}
	path := o.Socket
	if path == "" {
		path = filepath.Join(scratch.path, "manager.sock")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("manager: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), managerTime)
	defer cancel()
	m, err := supervisor.StartManager(context.Background(), supervisor.ManagerOptions{Path: path, Inside: true, RefuseShutdown: true})
	if err != nil {
		return nil, fmt.Errorf("manager: %w", err)
	}
	client, err := m.Connect(ctx)
	if err == nil {
		err = os.Setenv(socketEnv, path)
	}
	if err != nil {
		m.Stop(context.Background())
		return nil, fmt.Errorf("manager: %w", err)
	}
	return &jobManager{m, client}, nil
}

// create makes an object that lives in the manager.
func (m *jobManager) create(s Shared) (*ipc.Proxy, error) {
	ctx, cancel := context.WithTimeout(context.Background(), managerTime)
	defer cancel()
	return ipc.NewProxy(ctx, m.client, s.Kind, ipc.ManagedOptions{Name: s.Name, Keep: true}, sharedKinds[s.Kind].managed(s)...)
}

// deposit makes an object in shared memory known under its name.
func (m *jobManager) deposit(name string, object any) error {
	h, ok := object.(proto.HandleEncoder)
	if !ok || m == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), managerTime)
	defer cancel()
	_, err := m.client.Deposit(ctx, h, ipc.ManagedOptions{Name: name, Keep: true})
	return err
}

// offer lets clients submit to the pool, unless the job calls something else so.
func (m *jobManager) offer(pool *supervisor.Pool) error {
	if m == nil {
		return nil
	}
	if err := pool.Offer(m.Server()); !errors.Is(err, ipc.ErrExists) {
		return err
	}
	return nil
}

func (m *jobManager) close() {
	if m == nil {
		return
	}
	m.client.Close()
	m.Stop(context.Background())
}

// What the kinds of a manager are created with: see PROTOCOL.md.

func (s Shared) handoffArg() any { return map[string]any{"handoff": s.Handoff} }

func noArgs(Shared) []any          { return nil }
func lockArgs(s Shared) []any      { return []any{s.handoffArg()} }
func semaphoreArgs(s Shared) []any { return []any{s.Permits, s.handoffArg()} }
func barrierArgs(s Shared) []any   { return []any{s.Parties} }
func queueArgs(s Shared) []any     { return []any{s.Size} }

func collectionArgs(s Shared) []any {
	if s.Items == nil {
		return nil
	}
	return []any{s.Items}
}

func valueArgs(s Shared) []any {
	if s.Type == floatType {
		return []any{s.Type, s.number(0).float}
	}
	return []any{s.Type, s.number(0).whole}
}

func arrayArgs(s Shared) []any {
	list := make([]any, max(s.Size, len(s.Numbers)))
	code := "q"
	for i := range list {
		list[i] = s.number(i).whole
	}
	if s.Type == floatType {
		code = "d"
		for i := range list {
			list[i] = s.number(i).float
		}
	}
	return []any{code, list}
}
