package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/supervisor"
)

type rounds struct {
	Go, Back *ipc.Event
	Rounds   int
}

var follow = supervisor.NewTask("program.follow", func(ctx context.Context, in rounds) (woken int, err error) {
	for range in.Rounds {
		if err := in.Go.Wait(ctx); err != nil {
			return woken, err
		}
		woken++
		if err := errors.Join(in.Go.Clear(), in.Back.Set()); err != nil {
			return woken, err
		}
	}
	return woken, nil
})

// S10: five rounds of wait, set and clear. Each set wakes, clear re-arms.
func TestEventRounds(t *testing.T) {
	ctx, pool := program(t, 1)
	in := rounds{must[*ipc.Event](t)(ipc.NewEvent("go")), must[*ipc.Event](t)(ipc.NewEvent("back")), 5}
	defer in.Go.Close()
	defer in.Back.Close()
	f := must[*supervisor.Future[int]](t)(follow.Submit(ctx, pool, in))
	for round := range 5 {
		if in.Go.IsSet() {
			t.Errorf("round %d: still set", round)
		}
		if err := errors.Join(in.Go.Set(), in.Back.Wait(ctx), in.Back.Clear()); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	if woken, err := f.Get(ctx); woken != 5 || err != nil {
		t.Errorf("woken %d times, %v", woken, err)
	}
}

type turns struct {
	Cond *ipc.Condition
	Turn *ipc.Value[int64]
	Log  *ipc.Queue[string]
	Me   int64 // 0 or 1
}

// talk speaks three times, each time after the other has spoken.
var talk = supervisor.NewTask("program.talk", func(ctx context.Context, in turns) (struct{}, error) {
	held, err := in.Cond.Lock().Acquire(ctx)
	if err != nil {
		return struct{}{}, err
	}
	defer held.Release()
	for n := range 3 {
		if _, err := in.Cond.WaitFor(ctx, func() bool { return in.Turn.Get() == in.Me }); err != nil {
			return struct{}{}, err
		}
		if err := in.Log.Put(ctx, fmt.Sprintf("%c%d", 'a'+rune(in.Me), n+1)); err != nil {
			return struct{}{}, err
		}
		in.Turn.Set(1 - in.Me)
		if _, err := in.Cond.NotifyAll(ctx); err != nil {
			return struct{}{}, err
		}
	}
	return struct{}{}, nil
})

// S11: two processes wake each other in turn.
func TestConditionInTurn(t *testing.T) {
	ctx, pool := program(t, 2)
	in := turns{
		Cond: must[*ipc.Condition](t)(ipc.NewCondition("turn", nil)),
		Turn: must[*ipc.Value[int64]](t)(ipc.NewValue[int64]("turn", 0)),
		Log:  must[*ipc.Queue[string]](t)(ipc.NewQueue[string](ipc.QueueOptions{Name: "log"})),
	}
	var talks []*supervisor.Future[struct{}]
	for in.Me = range int64(2) {
		talks = append(talks, must[*supervisor.Future[struct{}]](t)(talk.Submit(ctx, pool, in)))
	}
	for _, f := range talks {
		must[struct{}](t)(f.Get(ctx))
	}
	said := must[[]string](t)(in.Log.GetUpTo(ctx, 10))
	if want := []string{"a1", "b1", "a2", "b2", "a3", "b3"}; !slices.Equal(said, want) {
		t.Errorf("said %v, want %v", said, want)
	}
}

type sleepers struct {
	Cond  *ipc.Condition
	Woken *ipc.Semaphore
}

// slumber waits to be notified, once.
var slumber = supervisor.NewTask("program.slumber", func(ctx context.Context, in sleepers) (struct{}, error) {
	held, err := in.Cond.Lock().Acquire(ctx)
	if err != nil {
		return struct{}{}, err
	}
	err = in.Cond.Wait(ctx)
	return struct{}{}, errors.Join(err, in.Woken.Release(), held.Release())
})

// S11: of five who wait, notify wakes 1, then 2, then all: exactly those.
func TestNotifyExactly(t *testing.T) {
	ctx, pool := program(t, 5)
	in := sleepers{
		Cond:  must[*ipc.Condition](t)(ipc.NewCondition("c", nil)),
		Woken: must[*ipc.Semaphore](t)(ipc.NewSemaphore(ipc.SemaphoreOptions{Name: "woken"})),
	}
	all := submitAll(t, ctx, pool, slumber, 5, in)
	left := 5
	for _, step := range []struct{ n, woken int }{{1, 1}, {2, 2}, {10, 2}, {1, 0}} {
		held := whenWaiting(t, ctx, in.Cond, left)
		n, err := in.Cond.Notify(ctx, step.n)
		if err := errors.Join(err, held.Release()); err != nil || n != step.woken {
			t.Fatalf("notify %d of %d: woke %d, %v; want %d", step.n, left, n, err, step.woken)
		}
		for range step.woken {
			if err := in.Woken.Acquire(ctx); err != nil {
				t.Fatalf("notified %d, but not so many woke: %v", step.woken, err)
			}
		}
		left -= step.woken
		if ok, _ := in.Woken.TryAcquire(); ok {
			t.Errorf("notify %d woke one more", step.n)
		}
	}
	for _, f := range all {
		must[struct{}](t)(f.Get(ctx))
	}
}

// whenWaiting returns the lock, held at a moment when so many wait.
func whenWaiting(t *testing.T, ctx context.Context, c *ipc.Condition, n int) ipc.RHeld {
	t.Helper()
	for {
		held, err := c.Lock().Acquire(ctx)
		if err != nil {
			t.Fatalf("%d wait, want %d: %v", c.Waiting(), n, err)
		}
		if c.Waiting() == n {
			return held
		}
		held.Release()
	}
}

var party = supervisor.NewTask("program.party", func(ctx context.Context, in struct{ Gate *ipc.Barrier }) (int, error) {
	return in.Gate.Wait(ctx)
})

// S9: a barrier whose party was killed in it is broken: nobody waits for the dead.
func TestBarrierOfTheKilled(t *testing.T) {
	ctx, pool := program(t, 1)
	gate := must[*ipc.Barrier](t)(ipc.NewBarrier("gate", 2))
	defer gate.Close()
	f := must[*supervisor.Future[int]](t)(party.Submit(ctx, pool, struct{ Gate *ipc.Barrier }{gate}))
	for gate.Waiting() == 0 {
		if err := ctx.Err(); err != nil {
			t.Fatalf("nobody came: %v", err)
		}
	}
	syscall.Kill(pool.Status()[0].PIDs[0], syscall.SIGKILL)
	if _, err := f.Get(ctx); err == nil {
		t.Error("the killed party passed")
	}
	if _, err := gate.Wait(ctx); !errors.Is(err, ipc.ErrBarrier) {
		t.Errorf("waited with the dead: %v", err)
	}
	if err := gate.Reset(); err != nil || gate.Broken() || gate.Waiting() != 0 {
		t.Errorf("reset: %v, broken %v, %d wait", err, gate.Broken(), gate.Waiting())
	}
}
