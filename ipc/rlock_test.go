package ipc

import (
	"context"
	"errors"
	"testing"
)

func newTestRLock(t testing.TB) *RLock {
	t.Helper()
	l, err := NewRLock("rlock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func mustLock(t testing.TB, ctx context.Context, l *RLock) RHeld {
	t.Helper()
	h, err := l.Acquire(ctx)
	if err != nil {
		t.Fatalf("acquire: %v", err)
	}
	return h
}

func mustUnlock(t testing.TB, h RHeld) {
	t.Helper()
	if err := h.Release(); err != nil {
		t.Fatalf("release: %v", err)
	}
}

func TestRLockLevels(t *testing.T) {
	checkLeaks(t)
	l := newTestRLock(t)
	k := tools{RLock: l}
	a, b := startActor(t, k), startActor(t, k)
	for range 3 {
		a.do("lock", "held")
	}
	b.do("trylock", "busy")
	b.send("lock")
	untilIs(t, "waiting", l.Waiting, 1)
	a.do("unlock", "unlocked")
	a.do("unlock", "unlocked")
	if _, ok, err := l.TryAcquire(within(t)); ok || err != nil {
		t.Fatalf("one of three levels is held: %v, %v", ok, err)
	}
	a.do("unlock", "unlocked")
	b.expect("held")
	b.do("unlock", "unlocked")
	a.do("unlock", "ipc: not held")
}

func TestRLockOwners(t *testing.T) {
	l := newTestRLock(t)
	one, two := WithOwner(context.Background()), WithOwner(context.Background())
	outer := mustLock(t, one, l)
	inner := mustLock(t, one, l)
	if outer.Level() != 1 || inner.Level() != 2 || inner.Token() != outer.Token() {
		t.Fatalf("levels %d and %d, tokens %d and %d", outer.Level(), inner.Level(), outer.Token(), inner.Token())
	}
	for _, ctx := range []context.Context{two, context.Background()} {
		if _, ok, err := l.TryAcquire(ctx); ok || err != nil {
			t.Fatalf("another owner beside the one that holds it: %v, %v", ok, err)
		}
	}
	other := in(func() error {
		h, err := l.Acquire(two)
		if err != nil {
			return err
		}
		return h.Release()
	})
	untilIs(t, "waiting", l.Waiting, 1)
	mustUnlock(t, outer) // in any order
	mustUnlock(t, inner)
	if err := result(t, "the other owner", other); err != nil {
		t.Fatal(err)
	}
	if err := inner.Release(); err != ErrNotHeld {
		t.Fatalf("released too often: %v", err)
	}
	late := mustLock(t, two, l)
	if err := outer.Release(); err != ErrNotHeld {
		t.Fatalf("release by one who does not hold it any more: %v", err)
	}
	mustUnlock(t, late)
	if err := (RHeld{}).Release(); err != ErrNotHeld {
		t.Fatalf("release of nothing: %v", err)
	}
}

// Goroutines of one owner share what it holds; who gives the last level up while
// another takes one more must not leave that one with nothing.
func TestRLockOneOwnerManyGoroutines(t *testing.T) {
	l := newTestRLock(t)
	block, err := NewBlock(stormWords)
	if err != nil {
		t.Fatal(err)
	}
	defer block.Close()
	other := start(t, "storm rlock")
	other.send(squall{Tools: tools{RLock: l}, Block: block})
	var wrong int
	done := make(chan int)
	for range 4 {
		go func() {
			bad := 0
			for range 20000 {
				h, err := l.Acquire(context.Background())
				if err != nil {
					bad++
					continue
				}
				block.Word(wordBeat).Load()
				if !h.r.x.Holds(h.Token()) {
					bad++
				}
				if h.Release() != nil {
					bad++
				}
			}
			done <- bad
		}()
	}
	for range 4 {
		wrong += <-done
	}
	if wrong != 0 {
		t.Fatalf("%d times somebody held nothing", wrong)
	}
}

// A goroutine notes that it has acquired the lock, and has come half way, when another one
// of the same owner looks: that one must not take for the holding of now what is still
// written of the one before. If it did, it would hold a level that nobody counts.
func TestRLockHalfNoted(t *testing.T) {
	l := newTestRLock(t)
	r := l.r
	h, err := l.Acquire(within(t))
	if err != nil || h.Release() != nil {
		t.Fatal(err)
	}
	x, err := r.x.Acquire(within(t))
	if err != nil {
		t.Fatal(err)
	}
	r.last = x.Token << 1
	if again, ok := r.again(0); ok {
		t.Fatalf("level %d of a holding that is not noted yet", again.Level())
	}
	first := r.first(0, x)
	again, ok := r.again(0)
	if !ok || again.Level() != 2 {
		t.Fatalf("level %d of a holding that is noted: %v", again.Level(), ok)
	}
	if err := errors.Join(again.Release(), first.Release()); err != nil {
		t.Fatal(err)
	}
}

// After a Condition.Wait the holding has its old name, and another token.
func TestRLockResumed(t *testing.T) {
	l := newTestRLock(t)
	c, err := NewCondition("c", l)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	h, err := l.Acquire(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(overCtx()); err != context.Canceled {
		t.Fatalf("wait: %v", err)
	}
	again, err := l.Acquire(within(t))
	if err != nil || again.Level() != 2 {
		t.Fatalf("level %d, %v", again.Level(), err)
	}
	if _, ok, err := l.TryAcquire(WithOwner(within(t))); ok || err != nil {
		t.Fatalf("another owner: %v, %v", ok, err)
	}
	if err := errors.Join(h.Release(), again.Release()); err != nil {
		t.Fatal(err)
	}
	if h.Release() != ErrNotHeld || again.Release() != ErrNotHeld {
		t.Error("released twice")
	}
	if h, err := l.Acquire(WithOwner(within(t))); err != nil || h.Release() != nil {
		t.Error("not free at the end")
	}
}

func TestRLockDeadOwner(t *testing.T) {
	checkLeaks(t)
	l := newTestRLock(t)
	for _, how := range []string{"lock", "trylock"} {
		owner, next := startActor(t, tools{RLock: l}), startActor(t, tools{RLock: l})
		owner.do("lock", "held")
		owner.do("lock", "held")
		owner.kill()
		next.do(how, "held, owner died")
		next.do("lock", "held, owner died") // the same holding
		next.do("unlock", "unlocked")
		next.do("unlock", "unlocked")
		next.do("lock", "held")
		next.do("unlock", "unlocked")
	}
	owner, next := startActor(t, tools{RLock: l}), startActor(t, tools{RLock: l})
	owner.do("lock", "held")
	next.send("lock")
	untilIs(t, "waiting", l.Waiting, 1)
	owner.kill()
	next.expect("held, owner died")
	next.do("token", "8")
}

func TestRLockContext(t *testing.T) {
	checkLeaks(t)
	l := newTestRLock(t)
	a := startActor(t, tools{RLock: l})
	a.do("lock", "held")
	if _, err := l.Acquire(overCtx()); err != context.Canceled {
		t.Fatalf("held by another, with an ended context: %v", err)
	}
	b := startActor(t, tools{RLock: l})
	b.do("lock a while", "context deadline exceeded")
	a.do("lock a while", "held")
	a.do("unlock", "unlocked")
	a.do("unlock", "unlocked")
	h, err := l.Acquire(overCtx())
	if err != nil {
		t.Fatalf("free, with an ended context: %v", err)
	}
	if _, err := l.Acquire(overCtx()); err != nil {
		t.Fatalf("one level more, with an ended context: %v", err)
	}
	b.send("lock")
	untilIs(t, "waiting", l.Waiting, 1)
	mustUnlock(t, h)
	mustUnlock(t, h)
	b.expect("held")
}

func TestRLockClose(t *testing.T) {
	checkLeaks(t)
	l := newTestRLock(t)
	one := WithOwner(context.Background())
	h := mustLock(t, one, l)
	failed := in(func() error { _, err := l.Acquire(context.Background()); return err })
	b := startActor(t, tools{RLock: l})
	b.send("lock")
	untilIs(t, "waiting", l.Waiting, 2)
	l.Close()
	if err := result(t, "acquire during Close", failed); err != ErrClosed {
		t.Fatalf("acquire during Close: %v", err)
	}
	b.expect("held, owner died")
	if err := h.Release(); err != ErrNotHeld {
		t.Fatalf("release after Close: %v", err)
	}
	if _, err := l.Acquire(one); err != ErrClosed {
		t.Fatalf("acquire after Close: %v", err)
	}
}
