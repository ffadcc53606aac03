package ipc

import (
	"errors"
	"testing"
)

// A condition that comes with something that is no lock of its own harms not the condition
// that the process has; and one whose lock is closed is not sent, and leaves nothing open.
func TestConditionWithAWrongLock(t *testing.T) {
	checkLeaks(t)
	c := newTestCondition(t)
	h, fds, err := c.EncodeHandle()
	if err != nil {
		t.Fatal(err)
	}
	CloseFDs(fds[1:])
	e := newTestEvent(t)
	_, wrong, err := e.EncodeHandle()
	if err != nil {
		t.Fatal(err)
	}
	if err := new(Condition).DecodeHandle(h, append(fds[:1], wrong...)); !errors.Is(err, ErrForeign) {
		t.Errorf("with an event for a lock: %v", err)
	}
	ctx := WithOwner(within(t))
	held := mustLock(t, ctx, c.Lock())
	if _, err := c.Notify(ctx, 1); err != nil {
		t.Errorf("the condition that was there: %v", err)
	}
	mustUnlock(t, held)

	c.Lock().Close()
	if _, fds, err := c.EncodeHandle(); err != ErrClosed || fds != nil {
		t.Errorf("sent without its lock: %d descriptors, %v", len(fds), err)
	}
}

// A message that turns out bad does no harm to the objects in it, which others of this process hold, or of any.
func TestBadMessageHarmsNothing(t *testing.T) {
	checkLeaks(t)
	l := mustMake[*Lock](t)(NewLock(LockOptions{}))
	q := mustMake[*JoinableQueue[int]](t)(NewJoinableQueue[int](QueueOptions{}))
	s := mustMake[*Semaphore](t)(NewSemaphore(SemaphoreOptions{Permits: 1}))
	m := mustMake[*SharedMemory](t)(NewSharedMemory(1))
	for _, into := range []any{
		new(struct {
			L *Lock
			Q *Queue[int]
			S *Semaphore
			M *SharedMemory
			Z int
		}),
		new(struct {
			L, Q, S, M any
			Z          int
		}),
	} {
		if err := travel(t, map[string]any{"l": l, "q": q, "s": s, "m": m, "z": "no number"}, into); err == nil {
			t.Fatal("no error")
		}
		if _, fds, err := m.EncodeHandle(); err != nil {
			t.Errorf("the memory: %v", err)
		} else {
			CloseFDs(fds)
		}
		if h, ok, err := l.TryAcquire(); !ok || err != nil {
			t.Errorf("the lock: %v, %v", ok, err)
		} else {
			h.Release()
		}
		if err := q.TryPut(1); err != nil {
			t.Errorf("the queue: %v", err)
		}
		if ok, err := s.TryAcquire(); !ok || err != nil {
			t.Errorf("the semaphore: %v, %v", ok, err)
		} else {
			s.Release()
		}
	}
}
