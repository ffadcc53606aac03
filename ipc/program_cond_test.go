package ipc

import (
	"context"
	"testing"
)

// What was acquired before a wait is released after it, level by level, though the lock was given away meanwhile.
func TestReleaseAfterWait(t *testing.T) {
	checkLeaks(t)
	c := mustMake[*Condition](t)(NewCondition("c", nil))
	defer c.Lock().Close()
	mine, other := WithOwner(within(t)), WithOwner(within(t))
	outer, err := c.Lock().Acquire(mine)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := c.Lock().Acquire(mine)
	if err != nil {
		t.Fatal(err)
	}
	before := outer.Token()
	notified := make(chan error, 1)
	go func() { notified <- notifyOne(other, c) }()
	if err := c.Wait(mine); err != nil {
		t.Fatal(err)
	}
	if err := <-notified; err != nil {
		t.Fatal(err)
	}
	if now := outer.Token(); now < before+2 || now != inner.Token() {
		t.Errorf("token %d and %d after the wait, %d before it, with another holder between", now, inner.Token(), before)
	}
	for i, held := range []RHeld{inner, outer} {
		if _, ok, _ := c.Lock().TryAcquire(other); ok {
			t.Errorf("free before release %d", i+1)
		}
		if err := held.Release(); err != nil {
			t.Errorf("release %d: %v", i+1, err)
		}
	}
	if h, ok, err := c.Lock().TryAcquire(other); !ok || err != nil {
		t.Errorf("not free after the last release: %v", err)
	} else if err := outer.Release(); err != ErrNotHeld {
		t.Errorf("released once more, from under another: %v", err)
	} else {
		h.Release()
	}
}

// notifyOne notifies when somebody waits.
func notifyOne(ctx context.Context, c *Condition) error {
	for {
		h, err := c.Lock().Acquire(ctx)
		if err != nil {
			return err
		}
		n, err := c.Notify(ctx, 1)
		if h.Release(); err != nil || n == 1 {
			return err
		}
	}
}
