package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-185a7250/multiproc/ipc"
)

// bothManagers runs a test with a manager in a process of its own and with one inside.
func bothManagers(t *testing.T, test func(t *testing.T, o ManagerOptions)) {
	for _, inside := range []bool{false, true} {
		t.Run(fmt.Sprintf("inside=%t", inside), func(t *testing.T) {
			checkLeaks(t)
			test(t, ManagerOptions{Inside: inside})
		})
	}
}

func startManager(t *testing.T, o ManagerOptions) *Manager {
	t.Helper()
	m, err := StartManager(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Stop(within(t)) })
	return m
}

func connectTo(t *testing.T, m *Manager) *ipc.Client {
	t.Helper()
	c, err := m.Connect(within(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func gone(path string) bool {
	_, err := os.Stat(filepath.Dir(path))
	return errors.Is(err, os.ErrNotExist)
}

func TestManagerServes(t *testing.T) {
	bothManagers(t, func(t *testing.T, o ManagerOptions) {
		m := startManager(t, o)
		if info, err := os.Stat(filepath.Dir(m.Address())); err != nil || info.Mode() != os.ModeDir|0o700 {
			t.Errorf("its directory: %v, %v", info.Mode(), err)
		}
		if (m.Process() == nil) != o.Inside || (m.Server() == nil) == o.Inside {
			t.Errorf("process %v, server %v", m.Process(), m.Server())
		}
		ctx := within(t)
		a, b := connectTo(t, m), connectTo(t, m)
		d, err := ipc.NewDict[string, int](ctx, a, ipc.ManagedOptions{Name: "db"})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if err := d.Set(ctx, "n", 7); err != nil {
			t.Fatal(err)
		}
		same, err := ipc.OpenDict[string, int](ctx, b, "db")
		if err != nil {
			t.Fatal(err)
		}
		defer same.Close()
		if n, err := same.Get(ctx, "n"); n != 7 || err != nil {
			t.Errorf("get: %v, %v", n, err)
		}
		for range 2 {
			if err := m.Stop(ctx); err != nil {
				t.Errorf("stop: %v", err)
			}
		}
		if _, err := same.Get(ctx, "n"); !errors.Is(err, ipc.ErrGone) {
			t.Errorf("after stop: %v", err)
		}
		if !gone(m.Address()) {
			t.Error("its directory is left")
		}
		if _, err := m.Connect(ctx); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("connect after stop: %v", err)
		}
	})
}

// A manager is stopped by the end of the context, and by a client.
func TestManagerEnds(t *testing.T) {
	bothManagers(t, func(t *testing.T, o ManagerOptions) {
		ctx, cancel := context.WithCancel(context.Background())
		m, err := StartManager(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		receive(t, m.Done(), "the manager has ended with its context")
		if err := m.Stop(within(t)); err != nil {
			t.Error(err)
		}
		m = startManager(t, o)
		if err := connectTo(t, m).Shutdown(within(t)); err != nil {
			t.Error(err)
		}
		receive(t, m.Done(), "the manager has ended because a client told it to")
		if err := m.Stop(within(t)); err != nil || !gone(m.Address()) {
			t.Errorf("%v, directory gone: %v", err, gone(m.Address()))
		}
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		if m, err := StartManager(ended, o); err == nil {
			receive(t, m.Done(), "the manager has ended with a context that had")
		}
	})
}

// When a manager is killed its clients get one error, those too that wait, and whoever started it is told.
func TestManagerKilled(t *testing.T) {
	checkLeaks(t)
	m := startManager(t, ManagerOptions{})
	c := connectTo(t, m)
	e, err := ipc.NewManagedEvent(within(t), c, ipc.ManagedOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	waited := make(chan error)
	go func() { waited <- e.Wait(within(t)) }()
	eventually(t, func() bool {
		s, err := c.Stats(within(t))
		return err == nil && s.Waiting == 1
	}, "a call waits")
	if err := m.Process().Kill(); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, waited, "the call has ended"); !errors.Is(err, ipc.ErrGone) {
		t.Errorf("a call that waited: %v", err)
	}
	if err := e.Set(within(t)); !errors.Is(err, ipc.ErrGone) {
		t.Errorf("a later call: %v", err)
	}
	receive(t, m.Done(), "the manager has ended")
	if err := m.Stop(within(t)); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("stop of one that was killed: %v", err)
	}
	if !gone(m.Address()) {
		t.Error("its directory is left")
	}
}

func TestManagerCannotListen(t *testing.T) {
	bothManagers(t, func(t *testing.T, o ManagerOptions) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		o.Path = filepath.Join(file, "s")
		if m, err := StartManager(context.Background(), o); err == nil || !strings.Contains(err.Error(), o.Path) {
			t.Errorf("below a file: %v, %v", m, err)
		}
	})
}

// A daemonic process has no manager of its own, but may serve one inside.
func TestManagerOfDaemon(t *testing.T) {
	p := newTestPool(t, PoolOptions{Workers: 1})
	for inside, want := range map[bool]string{true: "<nil>", false: ErrDaemonChild.Error()} {
		if got, err := taskManager.Call(within(t), p, inside); err != nil || !strings.HasSuffix(got, want) {
			t.Errorf("inside %v: %q, %v; want %q", inside, got, err, want)
		}
	}
}

var taskManager = NewTask("test.manager", func(ctx context.Context, inside bool) (string, error) {
	m, err := StartManager(ctx, ManagerOptions{Inside: inside})
	if err == nil {
		err = m.Stop(ctx)
	}
	return fmt.Sprint(err), nil
})

func init() {
	programs["manager"] = func(ctx context.Context, dir string) error {
		m, err := StartManager(ctx, ManagerOptions{})
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "address"), []byte(fmt.Sprint(m.Process().PID(), " ", m.Address())), 0o600); err != nil {
			return err
		}
		poll(func() bool { // or until it is killed
			_, err := os.Stat(filepath.Join(dir, "return"))
			return err == nil
		})
		return nil
	}
}

// A manager ends with the program: when that returns, and when it is killed.
func TestManagerEndsWithProgram(t *testing.T) {
	for _, how := range []string{"return", "kill"} {
		var pid int
		var address string
		got := runProgram(t, "manager", func(dir string, p *Process) {
			eventually(t, func() bool {
				b, err := os.ReadFile(filepath.Join(dir, "address"))
				n, _ := fmt.Sscan(string(b), &pid, &address)
				return err == nil && n == 2
			}, "the manager listens")
			if how == "return" {
				if err := os.WriteFile(filepath.Join(dir, "return"), nil, 0o600); err != nil {
					t.Error(err)
				}
			} else if err := p.sendProcess(syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		})
		eventually(t, func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH }, "%s: the manager (pid %d) has ended", how, pid)
		if how == "return" && (!got.exit.Success() || !gone(address)) {
			t.Errorf("%v: %s; its directory is gone: %v", got.exit, got.err, gone(address))
		}
		os.RemoveAll(filepath.Dir(address)) // which one that is killed cannot promise
	}
}
