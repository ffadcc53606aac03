package ipc

import (
	"context"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

// The helper "client" holds a lock and a permit, waits for an item and for an event, and pours calls, until it is killed.
func init() { helpers["client"] = clientToKill }

type toKill struct {
	Address string
	Lock    string
	Permits string
	Queue   string
}

func clientToKill(conn *Conn) error {
	ctx := context.Background()
	var k toKill
	if err := conn.Recv(ctx, &k); err != nil {
		return err
	}
	c, err := Connect(ctx, k.Address, ConnectOptions{})
	if err != nil {
		return err
	}
	lock, err := OpenManagedLock(ctx, c, k.Lock)
	if err != nil {
		return err
	}
	permits, err := OpenManagedSemaphore(ctx, c, k.Permits)
	if err != nil {
		return err
	}
	queue, err := OpenManagedQueue[int](ctx, c, k.Queue)
	if err != nil {
		return err
	}
	if _, err := lock.Acquire(ctx); err != nil {
		return err
	}
	if err := permits.Acquire(ctx); err != nil {
		return err
	}
	go queue.Get(ctx)
	mine, err := NewList[int](ctx, c, ManagedOptions{})
	if err != nil {
		return err
	}
	if err := conn.Send(ctx, "holding"); err != nil {
		return err
	}
	big := make([]int, 10_000) // so that some are killed half-way through a frame
	for {
		for range 10 {
			mine.Start("extend", big)
		}
		if err := mine.Clear(ctx); err != nil {
			return err
		}
	}
}

// A client that is killed gives back all that it held, takes nothing that it waited for, and leaves no reference.
func TestClientKilled(t *testing.T) {
	checkLeaks(t)
	_, path := startManager(t)
	c, ctx := connect(t, path, ConnectOptions{}), within(t)
	k := toKill{path, "lock", "permits", "queue"}
	lock := make1[*ManagedLock](t)(NewManagedLock(ctx, c, ManagedOptions{Name: k.Lock}))
	permits := make1[*ManagedSemaphore](t)(NewManagedSemaphore(ctx, c, ManagedOptions{Name: k.Permits}, 1))
	queue := make1[*ManagedQueue[int]](t)(NewManagedQueue[int](ctx, c, ManagedOptions{Name: k.Queue}, FIFO, 0))
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	for i := range rounds {
		p := start(t, "client")
		p.send(k)
		p.expect("holding")
		for range rand.IntN(2000) {
			runtime.Gosched()
		}
		p.kill()
		killed := time.Now()
		wantErr(t, "put", queue.Put(ctx, i), nil)
		gives(t, "the item that the dead waited for", i)(queue.Get(ctx))
		held := make1[ManagedHeld](t)(lock.Acquire(ctx))
		wantErr(t, "the permit of the dead", permits.Acquire(ctx), nil)
		if took := time.Since(killed); took > deadline/3 {
			t.Errorf("all that took %v", took)
		}
		if !held.OwnerDied() {
			t.Error("the owner's death is not told")
		}
		wantErr(t, "release", held.Release(), nil)
		wantErr(t, "release", permits.Release(ctx), nil)
		untilIs(t, "objects", objects(t, c), 3)
		wantRefs(t, lock, 1, 0)
	}
}
