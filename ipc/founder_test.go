package ipc

import (
	"context"
	"testing"
)

// A founder makes what others use. It holds what it can, so that its death matters, and is
// killed when the others are at work. A founding is what it makes beside one of each kind.
type founding struct {
	Options  QueueOptions
	Joinable bool
}

type founded struct {
	Tools tools
	Queue *Queue[[]byte]
	Joins *JoinableQueue[[]byte] // instead
}

func init() { helpers["founder"] = founder }

func founder(c *Conn) error {
	ctx := context.Background()
	var f founding
	if err := c.Recv(ctx, &f); err != nil {
		return err
	}
	k := f.make()
	if err := c.Send(ctx, k); err != nil {
		return err
	}
	k.Tools.Lock.Acquire(ctx)
	k.Tools.RLock.Acquire(ctx)
	k.Tools.Semaphore.Acquire(ctx)
	k.Tools.Number.Lock().Acquire(ctx)
	if k.Joins != nil {
		k.Joins.TryGet()
	} else {
		k.Queue.TryGet()
	}
	if err := c.Send(ctx, "founded"); err != nil {
		return err
	}
	var never string
	return c.Recv(ctx, &never)
}

func (f *founding) make() (k founded) {
	condition := must(NewCondition("c", nil))
	k.Tools = tools{
		Lock: must(NewLock(LockOptions{})), RLock: must(NewRLock("r")), Event: must(NewEvent("e")),
		Semaphore: must(NewSemaphore(SemaphoreOptions{Permits: stormPermits})),
		Condition: condition, Full: must(NewCondition("full", condition.Lock())), Barrier: must(NewBarrier("b", 4)),
		Number: must(NewValue("n", int64(0))), Sums: must(NewValue("s", stormSums{})),
	}
	if f.Joinable {
		k.Joins = must(NewJoinableQueue[[]byte](f.Options))
	} else {
		k.Queue = must(NewQueue[[]byte](f.Options))
	}
	return k
}

// found starts a founder.
func found(t *testing.T, o founding) (f *child, k founded) {
	t.Helper()
	f = start(t, "founder")
	f.send(o)
	k = recv[founded](f)
	t.Cleanup(func() {
		(&acting{tools: k.Tools}).close()
		if k.Joins != nil {
			k.Joins.Detach()
		} else {
			k.Queue.Detach()
		}
	})
	f.expect("founded")
	return f, k
}
