package ipc

import (
	"context"
	"syscall"
	"testing"
	"time"
)

func TestLockBetweenProcesses(t *testing.T) {
	checkLeaks(t)
	l := newTestLock(t, LockOptions{Name: "mutex"})
	a := startLocker(t, l)
	b := startLocker(t, l)
	a.do("acquire", "held")
	b.do("try", "busy")
	if _, ok, err := l.TryAcquire(); ok || err != nil {
		t.Fatalf("TryAcquire beside another process: %v, %v", ok, err)
	}
	b.send("acquire")
	untilWaiting(t, l, 1)
	a.do("release", "released")
	b.expect("held")
	b.do("release", "released")
	if h := mustAcquire(t, l); h.Token() != 3 || h.OwnerDied() {
		t.Fatalf("third holder has token %d, owner died %v", h.Token(), h.OwnerDied())
	}
}

func TestLockIsNotReentrantAndReleasedOnce(t *testing.T) {
	l := newTestLock(t, LockOptions{})
	h := mustAcquire(t, l)
	if _, ok, _ := l.TryAcquire(); ok {
		t.Fatal("acquired twice")
	}
	mustRelease(t, h)
	if err := h.Release(); err != ErrNotHeld {
		t.Fatalf("second release: %v", err)
	}
	again := mustAcquire(t, l)
	if err := h.Release(); err != ErrNotHeld {
		t.Fatalf("release with the token of an earlier holding: %v", err)
	}
	mustRelease(t, again)
	if err := (Held{}).Release(); err != ErrNotHeld {
		t.Fatalf("release of nothing: %v", err)
	}
}

func TestLockContext(t *testing.T) {
	checkLeaks(t)
	l := newTestLock(t, LockOptions{})
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	h, err := l.Acquire(ended)
	if err != nil {
		t.Fatalf("a free lock with an ended context: %v", err)
	}
	if _, err := l.Acquire(ended); err != context.Canceled {
		t.Fatalf("a held lock with an ended context: %v", err)
	}
	other := startLocker(t, l)
	other.do("acquire a while", "context deadline exceeded")
	mustRelease(t, h)
	other.do("acquire", "held")
}

func TestLockDeadOwner(t *testing.T) {
	checkLeaks(t)
	l := newTestLock(t, LockOptions{})
	for _, how := range []string{"acquire", "try"} {
		owner, next := startLocker(t, l), startLocker(t, l)
		owner.do("acquire", "held")
		owner.kill()
		next.do(how, "held, owner died")
		next.do("release", "released")
		next.do("acquire", "held") // told once
		next.do("release", "released")
	}
	owner, next := startLocker(t, l), startLocker(t, l)
	owner.do("acquire", "held")
	next.send("acquire")
	untilWaiting(t, l, 1)
	owner.kill()
	next.expect("held, owner died")
}

func TestLockStoppedOwnerIsNotDead(t *testing.T) {
	l := newTestLock(t, LockOptions{})
	owner := startLocker(t, l)
	owner.do("acquire", "held")
	owner.stop()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if _, err := l.Acquire(ctx); err != context.DeadlineExceeded {
		t.Fatalf("acquire from a stopped owner: %v", err)
	}
	owner.signal(syscall.SIGCONT)
	owner.do("release", "released")
	if h := mustAcquire(t, l); h.OwnerDied() {
		t.Fatal("the owner that was stopped counts as dead")
	}
}

func TestLockStoppedWaiterHoldsUpNobody(t *testing.T) {
	l := newTestLock(t, LockOptions{})
	h := mustAcquire(t, l)
	stopped, next := startLocker(t, l), startLocker(t, l)
	stopped.send("acquire")
	untilWaiting(t, l, 1)
	stopped.stop()
	next.send("acquire")
	untilWaiting(t, l, 2)
	mustRelease(t, h) // wakes the stopped one
	for range 5 {
		next.expect("held")
		next.do("release", "released")
		h := mustAcquire(t, l)
		next.send("acquire")
		untilWaiting(t, l, 2)
		mustRelease(t, h)
	}
	next.expect("held")
	stopped.signal(syscall.SIGCONT)
	next.do("release", "released")
	stopped.expect("held")
}

func TestLockDeadWaiterHoldsUpNobody(t *testing.T) {
	checkLeaks(t)
	l := newTestLock(t, LockOptions{})
	for range 20 {
		h := mustAcquire(t, l)
		dead, next := startLocker(t, l), startLocker(t, l)
		dead.send("acquire")
		untilWaiting(t, l, 1)
		next.send("acquire")
		untilWaiting(t, l, 2)
		// Stopped, so that it is woken and dies before it can look.
		dead.stop()
		mustRelease(t, h)
		dead.kill()
		next.expect("held")
		next.do("release", "released")
		next.kill()
	}
}

func TestLockHandoff(t *testing.T) {
	l := newTestLock(t, LockOptions{Handoff: true})
	holder, other := startLocker(t, l), startLocker(t, l)
	holder.do("acquire", "held")
	holder.kill()
	if _, ok, err := l.TryAcquire(); ok || err != nil {
		t.Fatalf("a handoff lock passed on by a death: %v, %v", ok, err)
	}
	other.do("release any", "released")
	h := mustAcquire(t, l)
	if h.OwnerDied() {
		t.Fatal("in handoff mode nobody owns it")
	}
	other.send("acquire")
	untilWaiting(t, l, 1)
	mustRelease(t, h)
	other.expect("held")
	plain := newTestLock(t, LockOptions{})
	mustAcquire(t, plain)
	if err := plain.Release(); err != ErrNotHeld {
		t.Fatalf("Release without handoff: %v", err)
	}
}

func TestLockClose(t *testing.T) {
	checkLeaks(t)
	l := newTestLock(t, LockOptions{})
	other := startLocker(t, l)
	h := mustAcquire(t, l)
	failed := make(chan error)
	go func() {
		_, err := l.Acquire(context.Background())
		failed <- err
	}()
	other.send("acquire")
	untilWaiting(t, l, 2)
	l.Close()
	if err := <-failed; err != ErrClosed {
		t.Fatalf("acquire during Close: %v", err)
	}
	other.expect("held, owner died")
	if err := h.Release(); err != ErrNotHeld {
		t.Fatalf("release after Close: %v", err)
	}
	if _, err := l.Acquire(context.Background()); err != ErrClosed {
		t.Fatalf("acquire after Close: %v", err)
	}
	if _, _, err := l.EncodeHandle(); err != ErrClosed {
		t.Fatalf("passed on after Close: %v", err)
	}
}

func BenchmarkLockFree(b *testing.B) {
	l := newTestLock(b, LockOptions{})
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		h, err := l.Acquire(ctx)
		if err != nil {
			b.Fatal(err)
		}
		if err := h.Release(); err != nil {
			b.Fatal(err)
		}
	}
}
