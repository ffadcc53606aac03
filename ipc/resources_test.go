package ipc

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
)

// A thousand goroutines that wait for one thing cost a few threads, and all go on.
func TestWaitersCostNoThreads(t *testing.T) {
	const many = 1000
	rlock, condition := newTestRLock(t), newTestCondition(t)
	semaphore, event := newTestSemaphore(t, SemaphoreOptions{}), newTestEvent(t)
	barrier := newTestBarrier(t, many+1)
	empty, full := newTestQueue[int](t, QueueOptions{}), newTestQueue[int](t, QueueOptions{Items: 1})
	mustPut(t, full, 0)
	tasks := newTestJoinable[int](t, QueueOptions{})
	mustPut(t, &tasks.Queue, 0)
	number := mustMake[*Value[int]](t)(NewValue("", 0))
	a, b := newTestPipe(t)
	var held RHeld
	var locked Held
	for name, c := range map[string]struct {
		before  func()
		wait    func() error
		waiting func() int
		enough  int
		release func()
	}{
		"RLock": {
			before: func() { held = mustLock(t, WithOwner(context.Background()), rlock) },
			wait: func() error {
				h, err := rlock.Acquire(WithOwner(context.Background()))
				if err != nil {
					return err
				}
				return h.Release()
			},
			waiting: rlock.Waiting, enough: 1,
			release: func() { mustUnlock(t, held) },
		},
		"Semaphore": {
			wait:    func() error { return semaphore.Acquire(context.Background()) },
			waiting: semaphore.Waiting, enough: 1,
			release: func() {
				for range many {
					semaphore.Release()
				}
			},
		},
		"Event": {
			wait:    func() error { return event.Wait(context.Background()) },
			waiting: event.x.Members, enough: many,
			release: func() { event.Set() },
		},
		"Condition": {
			wait: func() error {
				ctx := WithOwner(context.Background())
				h, err := condition.Lock().Acquire(ctx)
				if err != nil {
					return err
				}
				if err := condition.Wait(ctx); err != nil {
					return err
				}
				return h.Release()
			},
			waiting: condition.Waiting, enough: many,
			release: func() { mustNotify(t, WithOwner(context.Background()), condition, many, many) },
		},
		"Barrier": {
			wait:    func() error { _, err := barrier.Wait(context.Background()); return err },
			waiting: barrier.Waiting, enough: many,
			release: func() { barrier.Wait(context.Background()) },
		},
		"Value": {
			before: func() { locked = mustAcquire(t, number.Lock()) },
			wait: func() error {
				h, err := number.Lock().Acquire(context.Background())
				if err != nil {
					return err
				}
				return h.Release()
			},
			waiting: number.Lock().Waiting, enough: 1,
			release: func() { mustRelease(t, locked) },
		},
		"Queue, empty": {
			wait:    func() error { _, err := empty.Get(context.Background()); return err },
			waiting: empty.Getting, enough: 1,
			release: func() {
				for i := range many {
					mustPut(t, empty, i)
				}
			},
		},
		"Queue, full": {
			wait:    func() error { return full.Put(context.Background(), 1) },
			waiting: full.Putting, enough: 1,
			release: func() {
				for range many + 1 {
					if _, err := full.Get(within(t)); err != nil {
						t.Error(err)
					}
				}
			},
		},
		"JoinableQueue": {
			wait: func() error { return tasks.Join(context.Background()) },
			release: func() {
				mustGet(t, &tasks.Queue, 0)
				tasks.TaskDone()
			},
		},
		"Conn": {
			wait: func() error { var n int; return b.Recv(context.Background(), &n) },
			release: func() {
				for i := range many {
					if err := a.Send(within(t), i); err != nil {
						t.Error(err)
					}
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			checkLeaks(t)
			if c.before != nil {
				c.before()
			}
			var all sync.WaitGroup
			var begun atomic.Int32
			for range many {
				all.Go(func() {
					begun.Add(1)
					if err := c.wait(); err != nil {
						t.Error(err)
					}
				})
			}
			untilIs(t, "begun", func() int { return int(begun.Load()) }, many)
			if c.waiting != nil {
				untilIs(t, "waiting", c.waiting, c.enough)
			}
			if n := threads(t); n >= 50 {
				t.Errorf("%d threads while %d goroutines wait", n, many)
			}
			c.release()
			done := in(func() error { all.Wait(); return nil })
			result(t, "all goroutines", done)
			if n := threads(t); n >= 50 {
				t.Errorf("%d threads when %d goroutines have waited", n, many) // threads stay
			}
		})
	}
}
