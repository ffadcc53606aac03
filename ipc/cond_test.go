package ipc

import (
	"context"
	"errors"
	"testing"
	"time"
)

func newTestCondition(t testing.TB) *Condition {
	t.Helper()
	c, err := NewCondition("condition", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		c.Lock().Close()
	})
	return c
}

// awaiting has so many actors wait for the condition, one after the other.
func awaiting(t *testing.T, c *Condition, procs ...*child) {
	t.Helper()
	for _, p := range procs {
		before := c.Waiting()
		p.do("lock", "held")
		p.send("await")
		untilIs(t, "waiting", c.Waiting, before+1)
	}
}

func mustNotify(t testing.TB, ctx context.Context, c *Condition, n, want int) {
	t.Helper()
	h := mustLock(t, ctx, c.Lock())
	got, err := c.Notify(ctx, n)
	if err != nil || got != want {
		t.Fatalf("notify(%d): %d, %v; expected %d", n, got, err, want)
	}
	mustUnlock(t, h)
}

func TestConditionNeedsTheLock(t *testing.T) {
	c := newTestCondition(t)
	a := startActor(t, tools{Condition: c})
	a.do("await", "ipc: not held")
	a.do("notify 1", "ipc: not held")
	me := WithOwner(context.Background())
	h := mustLock(t, me, c.Lock())
	a.do("await", "ipc: not held")
	a.do("notify 1", "ipc: not held")
	other := WithOwner(context.Background())
	if err := c.Wait(other); err != ErrNotHeld {
		t.Fatalf("wait by another owner: %v", err)
	}
	if _, err := c.NotifyAll(other); err != ErrNotHeld {
		t.Fatalf("notify by another owner: %v", err)
	}
	if ok, err := c.WaitFor(other, func() bool { return true }); ok || err != ErrNotHeld {
		t.Fatalf("wait by another owner: %v, %v", ok, err)
	}
	mustUnlock(t, h)
}

func TestConditionOfNoLock(t *testing.T) {
	if _, err := NewCondition("", new(RLock)); !errors.Is(err, ErrClosed) {
		t.Errorf("a condition with a zero lock: %v", err)
	}
}

// Notify lets go at most n of those who wait now: 1, then 2, then all of 5.
func TestConditionNotify(t *testing.T) {
	checkLeaks(t)
	c := newTestCondition(t)
	ctx := WithOwner(context.Background())
	mustNotify(t, ctx, c, 3, 0) // nobody; and it is not kept for later
	procs := startActors(t, 5, tools{Condition: c})
	awaiting(t, c, procs...)
	mustNotify(t, ctx, c, 1, 1)
	untilIs(t, "waiting", c.Waiting, 4)
	procs[0].expect("notified") // the one that has waited longest
	procs[0].do("unlock", "unlocked")
	mustNotify(t, ctx, c, 2, 2)
	for range 2 {
		whoAnswers(t, procs[1:3], "notified").do("unlock", "unlocked")
	}
	awaiting(t, c, procs[:3]...)
	untilIs(t, "waiting", c.Waiting, 5)
	mustNotify(t, ctx, c, 1<<40, 5)
	for range procs {
		whoAnswers(t, procs, "notified").do("unlock", "unlocked")
	}
	untilIs(t, "waiting", c.Waiting, 0)
}

// whoAnswers returns the next of procs that says so, or anything if want is empty.
func whoAnswers(t *testing.T, procs []*child, want string) *child {
	t.Helper()
	for end := time.Now().Add(deadline); time.Now().Before(end); {
		for _, p := range procs {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
			var got string
			err := p.Recv(ctx, &got)
			cancel()
			if err == nil && want != "" && got != want {
				t.Fatalf("helper says %q, expected %q", got, want)
			}
			if err == nil {
				return p
			}
		}
	}
	t.Fatalf("nobody says %q", want)
	return nil
}

// Two processes wake each other in turn.
func TestConditionInTurn(t *testing.T) {
	c := newTestCondition(t)
	block, err := NewBlock(8)
	if err != nil {
		t.Fatal(err)
	}
	defer block.Close()
	p := start(t, "turns")
	p.send(turns{Condition: c, Block: block, Me: 1, Rounds: 300})
	if err := takeTurns(within(t), turns{Condition: c, Block: block, Me: 0, Rounds: 300}); err != nil {
		t.Fatal(err)
	}
	p.expect("done")
	if got := block.Word(0).Load(); got != 600 {
		t.Fatalf("%d turns, expected 600", got)
	}
}

type turns struct {
	Condition *Condition
	Block     *Block
	Me        int
	Rounds    int
}

func takeTurns(ctx context.Context, x turns) error {
	h, err := x.Condition.Lock().Acquire(ctx)
	if err != nil {
		return err
	}
	turn := x.Block.Word(0)
	for range x.Rounds {
		if ok, err := x.Condition.WaitFor(ctx, func() bool { return int(turn.Load())%2 == x.Me }); !ok {
			return err
		}
		turn.Store(turn.Load() + 1)
		if _, err := x.Condition.Notify(ctx, 1); err != nil {
			return err
		}
	}
	return h.Release()
}

func init() {
	helpers["turns"] = func(c *Conn) error {
		var x turns
		if err := c.Recv(context.Background(), &x); err != nil {
			return err
		}
		if err := takeTurns(context.Background(), x); err != nil {
			return err
		}
		return c.Send(context.Background(), "done")
	}
}

// All levels are released and taken again, and what was acquired before is released
// afterwards as if nothing had happened.
func TestConditionLevels(t *testing.T) {
	checkLeaks(t)
	c := newTestCondition(t)
	a := startActor(t, tools{Condition: c})
	a.do("lock", "held")
	a.do("lock", "held")
	a.do("lock", "held")
	a.do("token", "1")
	a.send("await")
	untilIs(t, "waiting", c.Waiting, 1)
	ctx := context.Background()
	h, ok, err := c.Lock().TryAcquire(ctx)
	if !ok || err != nil {
		t.Fatalf("the lock of one who waits: %v, %v", ok, err)
	}
	if n, err := c.NotifyAll(ctx); n != 1 || err != nil {
		t.Fatalf("notify: %d, %v", n, err)
	}
	mustUnlock(t, h)
	a.expect("notified")
	a.do("token", "3") // 2 was here
	for range 3 {
		if _, ok, _ := c.Lock().TryAcquire(ctx); ok {
			t.Fatal("not all levels were taken again")
		}
		a.do("unlock", "unlocked")
	}
	a.do("unlock", "ipc: not held")
	mustUnlock(t, mustLock(t, ctx, c.Lock()))
}

func TestConditionWaitFor(t *testing.T) {
	c := newTestCondition(t)
	one, two := WithOwner(context.Background()), WithOwner(context.Background())
	n := 0 // guarded by the lock, which the race detector knows
	done := in(func() error {
		h, err := c.Lock().Acquire(one)
		if err != nil {
			return err
		}
		defer h.Release()
		ok, err := c.WaitFor(one, func() bool { return n >= 3 })
		if !ok || n != 3 {
			t.Errorf("waited for 3: %v with %d, %v", ok, n, err)
		}
		return err
	})
	for range 3 {
		untilIs(t, "waiting", c.Waiting, 1)
		h := mustLock(t, two, c.Lock())
		n++
		if _, err := c.Notify(two, 1); err != nil {
			t.Fatal(err)
		}
		mustUnlock(t, h)
	}
	if err := result(t, "WaitFor", done); err != nil {
		t.Fatal(err)
	}
	h := mustLock(t, two, c.Lock())
	ctx, cancel := context.WithTimeout(two, time.Millisecond)
	defer cancel()
	asked := 0
	if ok, err := c.WaitFor(ctx, func() bool { asked++; return false }); ok || err != context.DeadlineExceeded || asked < 2 {
		t.Fatalf("waited for nothing: %v, %v, asked %d times", ok, err, asked)
	}
	if ok, err := c.WaitFor(ctx, func() bool { return true }); !ok || err != nil {
		t.Fatalf("waited for what is: %v, %v", ok, err)
	}
	mustUnlock(t, h)
}

// A wait that is cancelled takes the lock again before it returns.
func TestConditionCancelled(t *testing.T) {
	checkLeaks(t)
	c := newTestCondition(t)
	a, b := startActor(t, tools{Condition: c}), startActor(t, tools{Condition: c})
	a.do("lock", "held")
	a.send("await until told")
	untilIs(t, "waiting", c.Waiting, 1)
	awaiting(t, c, b)
	h := mustLock(t, context.Background(), c.Lock())
	a.send("give up")
	untilIs(t, "waiting", c.Waiting, 1)
	untilIs(t, "waiting for the lock", c.Lock().Waiting, 1)
	if n, err := c.NotifyAll(context.Background()); n != 1 || err != nil {
		t.Fatalf("notify beside one who has given up: %d, %v", n, err)
	}
	mustUnlock(t, h)
	first := whoAnswers(t, []*child{a, b}, "")
	second := a
	if first == a {
		second = b
	}
	if _, ok, _ := c.Lock().TryAcquire(context.Background()); ok {
		t.Fatal("it does not hold the lock again")
	}
	first.do("unlock", "unlocked")
	recv[string](second)
	second.do("unlock", "unlocked")
	a.do("lock", "held")
	a.do("await a while", "context deadline exceeded")
	a.do("unlock", "unlocked")
}

// Goroutines of one process are notified one by one, the oldest first.
func TestConditionGoroutines(t *testing.T) {
	checkLeaks(t)
	c := newTestCondition(t)
	order := make(chan int, 10)
	for i := range 10 {
		go func() {
			ctx := WithOwner(context.Background())
			h, err := c.Lock().Acquire(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			if err := c.Wait(ctx); err != nil {
				t.Error(err)
			}
			order <- i
			if err := h.Release(); err != nil {
				t.Error(err)
			}
		}()
		untilIs(t, "waiting", c.Waiting, i+1)
	}
	ctx := WithOwner(context.Background())
	for i := range 10 {
		mustNotify(t, ctx, c, 1, 1)
		select {
		case got := <-order:
			if got != i {
				t.Fatalf("goroutine %d was notified as number %d", got, i)
			}
		case <-time.After(deadline):
			t.Fatalf("notification %d has reached nobody", i)
		}
	}
}

// The dead do not count, and a notification is not lost with one that dies before it has
// the lock again.
func TestConditionDeadWaiters(t *testing.T) {
	checkLeaks(t)
	c := newTestCondition(t)
	ctx := context.Background()
	dead, next := startActor(t, tools{Condition: c}), startActor(t, tools{Condition: c})
	awaiting(t, c, dead, next)
	dead.kill()
	mustNotify(t, ctx, c, 1, 1)
	next.expect("notified")
	next.do("unlock", "unlocked")

	dead = startActor(t, tools{Condition: c})
	awaiting(t, c, dead, next)
	h := mustLock(t, ctx, c.Lock())
	if n, err := c.Notify(ctx, 1); n != 1 || err != nil {
		t.Fatalf("notify: %d, %v", n, err)
	}
	dead.kill() // it was notified and has not got the lock
	untilIs(t, "waiting", c.Waiting, 0)
	mustUnlock(t, h)
	next.expect("notified")
	next.do("unlock", "unlocked")
}

// Who waits and takes the lock from a dead one is told.
func TestConditionOwnerDied(t *testing.T) {
	c := newTestCondition(t)
	a, b := startActor(t, tools{Condition: c}), startActor(t, tools{Condition: c})
	awaiting(t, c, a)
	b.do("lock", "held")
	b.do("notify 1", "1")
	b.kill()
	a.expect("notified, owner died")
	a.do("unlock", "unlocked")
}

// A lock that is shared by two conditions.
func TestConditionsWithOneLock(t *testing.T) {
	checkLeaks(t)
	l := newTestRLock(t)
	full, err := NewCondition("full", l)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	empty, err := NewCondition("empty", l)
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	a, b := startActor(t, tools{Condition: full}), startActor(t, tools{Condition: empty})
	awaiting(t, full, a)
	awaiting(t, empty, b)
	mustNotify(t, context.Background(), empty, 5, 1)
	b.expect("notified")
	b.do("unlock", "unlocked")
	mustNotify(t, context.Background(), full, 5, 1)
	a.expect("notified")
}

func TestConditionClose(t *testing.T) {
	checkLeaks(t)
	c := newTestCondition(t)
	ctx := WithOwner(context.Background())
	var h RHeld
	waits := in(func() (err error) {
		if h, err = c.Lock().Acquire(ctx); err != nil {
			return err
		}
		return c.Wait(ctx)
	})
	untilIs(t, "waiting", c.Waiting, 1)
	a := startActor(t, tools{Condition: c})
	awaiting(t, c, a)
	c.Close()
	if err := result(t, "wait during Close", waits); err != ErrClosed {
		t.Fatalf("wait during Close: %v", err)
	}
	if _, err := c.NotifyAll(ctx); err != ErrClosed {
		t.Fatalf("notify after Close: %v", err)
	}
	if err := c.Wait(ctx); err != ErrClosed {
		t.Fatalf("wait after Close: %v", err)
	}
	mustUnlock(t, h) // it is held all the same
	b := startActor(t, tools{RLock: c.Lock()})
	b.do("lock", "held")
}
