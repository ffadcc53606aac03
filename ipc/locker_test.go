package ipc

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"
)

func newTestLock(t testing.TB, o LockOptions) *Lock {
	t.Helper()
	l, err := NewLock(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// The helper "locker" gets a lock and then does what it is told, and answers.
func init() { helpers["locker"] = locker }

func locker(c *Conn) error {
	ctx := context.Background()
	var l Lock
	if err := c.Recv(ctx, &l); err != nil {
		return err
	}
	var held Held
	for {
		var op string
		if err := c.Recv(ctx, &op); err != nil {
			return err
		}
		step, cancel := context.WithCancel(ctx)
		if op == "acquire until told" {
			op = "acquire"
			go func() {
				var giveUp string
				c.Recv(ctx, &giveUp)
				cancel()
			}()
		}
		answer, err := lockStep(step, &l, &held, op)
		cancel()
		if err != nil {
			answer = err.Error()
		}
		if err := c.Send(ctx, answer); err != nil {
			return err
		}
	}
}

func lockStep(ctx context.Context, l *Lock, held *Held, op string) (string, error) {
	var err error
	ok := true
	switch op {
	case "acquire":
		*held, err = l.Acquire(ctx)
	case "acquire a while":
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		*held, err = l.Acquire(ctx)
	case "try":
		*held, ok, err = l.TryAcquire()
	case "release":
		return "released", held.Release()
	case "release any":
		return "released", l.Release()
	case "close":
		l.Close()
		*l, *held = Lock{}, Held{}
		return "closed", untilUnmapped("multiproc-lock")
	}
	switch {
	case err != nil:
		return "", err
	case !ok:
		return "busy", nil
	case held.OwnerDied():
		return "held, owner died", nil
	}
	return "held", nil
}

// untilUnmapped waits until the garbage collector has cleaned up after all locks.
func untilUnmapped(name string) error {
	for end := time.Now().Add(deadline); ; collect() {
		if n, err := mapsOf(name); n == 0 || err != nil {
			return err
		}
		if time.Now().After(end) {
			return errors.New("a lock that was closed stays mapped")
		}
	}
}

// startLocker starts a process that has l.
func startLocker(t *testing.T, l *Lock) *child {
	t.Helper()
	c := start(t, "locker")
	c.send(l)
	return c
}

// do has the process do something and checks its answer.
func (c *child) do(op, want string) {
	c.t.Helper()
	c.send(op)
	c.expect(want)
}

// untilWaiting waits until n processes stand in the queue of l.
func untilWaiting(t *testing.T, l *Lock, n int) {
	t.Helper()
	for end := time.Now().Add(deadline); l.Waiting() != n; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d processes wait, expected %d", l.Waiting(), n)
		}
	}
}

func mustAcquire(t *testing.T, l *Lock) Held {
	t.Helper()
	h, err := l.Acquire(within(t))
	if err != nil {
		t.Fatalf("acquire: %v", err)
	}
	return h
}

func mustRelease(t *testing.T, h Held) {
	t.Helper()
	if err := h.Release(); err != nil {
		t.Fatalf("release: %v", err)
	}
}

// The helper "contender" acquires and releases without end. What it does while it
// holds the lock shows every violation of the exclusion in the block.
func init() { helpers["contender"] = contender }
