package ipc

import (
	"errors"
	"path/filepath"
	"testing"
)

// serveAt serves a manager at a path; stop ends it.
func serveAt(t *testing.T, path string, o ManagerOptions) (m *Manager, stop func()) {
	t.Helper()
	m, err := NewManager(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen(path, ConnOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t)
	served := in(func() error { return m.Serve(ctx, l) })
	stop = func() {
		l.Close()
		m.Close()
		if err := result(t, "serve", served); err != nil {
			t.Errorf("serve: %v", err)
		}
	}
	return m, stop
}

// A client that reconnects finds its objects by their names in the next manager, and repeats no call.
func TestClientReconnects(t *testing.T) {
	checkLeaks(t)
	path, ctx := filepath.Join(t.TempDir(), "manager.sock"), within(t)
	_, stop := serveAt(t, path, ManagerOptions{})
	c := connect(t, path, ConnectOptions{Reconnect: true})
	first := c.Instance()
	v := make1[*ManagedValue[int]](t)(NewManagedValue(ctx, c, ManagedOptions{Name: "v"}, 1))
	nameless := make1[*ManagedValue[int]](t)(NewManagedValue(ctx, c, ManagedOptions{}, 1))
	other := make1[*ManagedEvent](t)(NewManagedEvent(ctx, c, ManagedOptions{Name: "other"}))
	l := make1[*ManagedLock](t)(NewManagedLock(ctx, c, ManagedOptions{Name: "l"}))
	held := make1[ManagedHeld](t)(l.Acquire(ctx))
	wait := in(func() error { return other.Wait(ctx) })
	untilIs(t, "waiting", func() int { d, _ := other.Describe(ctx); return d.Waiting }, 1)
	stop()
	wantErr(t, "the call under way", result(t, "wait", wait), ErrGone)
	_, err := v.Get(ctx)
	wantErr(t, "a call while there is no manager", err, ErrGone)

	_, stop = serveAt(t, path, ManagerOptions{})
	defer stop()
	maker := connect(t, path, ConnectOptions{})
	make1[*ManagedValue[int]](t)(NewManagedValue(ctx, maker, ManagedOptions{Name: "v"}, 2))
	make1[*ManagedValue[int]](t)(NewManagedValue(ctx, maker, ManagedOptions{Name: "other"}, 2))
	make1[*ManagedLock](t)(NewManagedLock(ctx, maker, ManagedOptions{Name: "l"}))
	gives(t, "by its name", 2)(v.Get(ctx))
	if c.Instance() == first {
		t.Error("another manager has the same instance")
	}
	wantRefs(t, v, 2, 0)
	_, err = nameless.Get(ctx)
	wantErr(t, "one without a name", err, ErrGone)
	wantErr(t, "one that is another kind now", other.Set(ctx), ErrGone)
	wantErr(t, "release of what the old connection held", held.Release(), ErrNotHeld)
	gives(t, "locked", false)(l.Locked(ctx))
	v.Close()
	wantErr(t, "reconnect a good connection", c.Reconnect(ctx), nil)
	c.Close()
	wantErr(t, "reconnect after Close", c.Reconnect(ctx), ErrClosed)
	_, err = v.Get(ctx)
	wantErr(t, "a call after Close", err, ErrClosed)
}

// Without the option the end is the end, until Reconnect is called.
func TestClientReconnectByHand(t *testing.T) {
	checkLeaks(t)
	path, ctx := filepath.Join(t.TempDir(), "manager.sock"), within(t)
	_, stop := serveAt(t, path, ManagerOptions{})
	c := connect(t, path, ConnectOptions{})
	v := make1[*ManagedValue[int]](t)(NewManagedValue(ctx, c, ManagedOptions{Name: "v"}, 1))
	stop()
	wantErr(t, "reconnect while there is no manager", untilGone(t, c), ErrGone)
	_, stop = serveAt(t, path, ManagerOptions{})
	defer stop()
	_, err := v.Get(ctx)
	wantErr(t, "before", err, ErrGone)
	maker := connect(t, path, ConnectOptions{})
	make1[*ManagedValue[int]](t)(NewManagedValue(ctx, maker, ManagedOptions{Name: "v"}, 3))
	wantErr(t, "reconnect", c.Reconnect(ctx), nil)
	gives(t, "after", 3)(v.Get(ctx))
}

// untilGone sees that the manager has ended, which nobody tells a client that waits for nothing, and reconnects.
func untilGone(t *testing.T, c *Client) error {
	t.Helper()
	if err := c.Ping(within(t)); !errors.Is(err, ErrGone) {
		t.Errorf("ping: %v", err)
	}
	return c.Reconnect(within(t))
}

// A manager that persists is the same after its restart, and so are its objects: one without a name is found by its number.
func TestClientReconnectsPersisted(t *testing.T) {
	checkLeaks(t)
	dir := t.TempDir()
	path, o, ctx := filepath.Join(dir, "manager.sock"), ManagerOptions{Persist: filepath.Join(dir, "store")}, within(t)
	_, stop := serveAt(t, path, o)
	c := connect(t, path, ConnectOptions{})
	first := c.Instance()
	d := make1[*Dict[string, int]](t)(NewDict[string, int](ctx, c, ManagedOptions{Keep: true}))
	wantErr(t, "set", d.Set(ctx, "k", 7), nil)
	stop()
	_, stop = serveAt(t, path, o)
	defer stop()
	wantErr(t, "reconnect", untilGone(t, c), nil)
	gives(t, "the value", 7)(d.Get(ctx, "k"))
	if c.Instance() != first {
		t.Error("the manager has another instance")
	}
}
