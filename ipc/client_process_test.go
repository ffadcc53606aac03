package ipc

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"
)

// A manager that is stopped answers nothing; a call ends with its context all the same, and then the connection with it, for
// nobody knows what the call may still do.
func TestClientStoppedManager(t *testing.T) {
	checkLeaks(t)
	m, path := startManager(t)
	c := connect(t, path, ConnectOptions{Patience: 50 * time.Millisecond})
	v := mustCreate(t, c, "value", ManagedOptions{})
	other := in(func() error {
		e := mustCreate(t, c, "event", ManagedOptions{})
		_, err := c.Call(context.Background(), e, "wait")
		return err
	})
	untilIs(t, "calls that wait", func() int {
		s, err := c.Stats(within(t))
		if err != nil {
			t.Fatal(err)
		}
		return s.Waiting
	}, 1)
	m.stop()
	ctx, cancel := context.WithTimeout(within(t), 10*time.Millisecond)
	defer cancel()
	_, err := c.Call(ctx, v, "get")
	if !errors.Is(err, ErrGone) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call to a stopped manager: %v", err)
	}
	if err := result(t, "the other call", other); !errors.Is(err, ErrGone) {
		t.Errorf("the other call: %v", err)
	}
	if err := c.Ping(within(t)); !errors.Is(err, ErrGone) {
		t.Errorf("a later call: %v", err)
	}
	m.signal(syscall.SIGCONT)
	again := connect(t, path, ConnectOptions{})
	if err := again.Ping(within(t)); err != nil {
		t.Errorf("a new connection: %v", err)
	}
}

// A full socket does not hold up the end of a context either.
func TestClientStoppedManagerFull(t *testing.T) {
	checkLeaks(t)
	m, path := startManager(t)
	c := connect(t, path, ConnectOptions{Patience: 50 * time.Millisecond})
	v := mustCreate(t, c, "value", ManagedOptions{})
	m.stop()
	ctx, cancel := context.WithTimeout(within(t), 10*time.Millisecond)
	defer cancel()
	if _, err := c.Call(ctx, v, "set", make([]byte, 4<<20)); !errors.Is(err, ErrGone) {
		t.Errorf("a call to a stopped manager: %v", err)
	}
	m.signal(syscall.SIGCONT)
}

// A manager that is killed is gone for all at once.
func TestClientKilledManager(t *testing.T) {
	checkLeaks(t)
	m, path := startManager(t)
	c := connect(t, path, ConnectOptions{})
	e := mustCreate(t, c, "event", ManagedOptions{})
	var waits []<-chan error
	for range 8 {
		waits = append(waits, in(func() error { _, err := c.Call(context.Background(), e, "wait"); return err }))
	}
	untilIs(t, "calls that wait", func() int {
		s, err := c.Stats(within(t))
		if err != nil {
			t.Fatal(err)
		}
		return s.Waiting
	}, len(waits))
	m.kill()
	for _, w := range waits {
		if err := result(t, "a call under way", w); !errors.Is(err, ErrGone) {
			t.Errorf("a call under way: %v", err)
		}
	}
	if err := c.Ping(within(t)); !errors.Is(err, ErrGone) {
		t.Errorf("a later call: %v", err)
	}
}

// Calls and their cancels, many at a time over one connection: an item that a get has taken is never lost.
func TestClientCancelStorm(t *testing.T) {
	checkLeaks(t)
	_, path := startManager(t)
	c := connect(t, path, ConnectOptions{})
	ctx := within(t)
	lock := make1[*ManagedLock](t)(NewManagedLock(ctx, c, ManagedOptions{}))
	const goroutines, rounds = 8, 100
	var all []<-chan error
	for g := range goroutines {
		all = append(all, in(func() error {
			mine := WithOwner(ctx)
			for i := range rounds {
				short, cancel := context.WithTimeout(mine, time.Duration((g*i)%7)*100*time.Microsecond)
				h, err := lock.Acquire(short)
				cancel()
				if errors.Is(err, context.DeadlineExceeded) {
					continue
				}
				if err != nil {
					return fmt.Errorf("acquire: %w", err)
				}
				if err := h.Release(); err != nil {
					return fmt.Errorf("release: %w", err)
				}
			}
			return nil
		}))
	}
	for _, done := range all {
		if err := result(t, "a goroutine", done); err != nil {
			t.Error(err)
		}
	}
	if locked, err := lock.Locked(ctx); locked || err != nil {
		t.Errorf("locked afterwards: %v, %v", locked, err)
	}
}
