package ipc

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"
)

// A thousand goroutines that wait for one thing cost a few threads, and all go on.
func TestWaitersCostNoThreads(t *testing.T) {
	const many = 1000
	rlock, condition := newTestRLock(t), newTestCondition(t)
	semaphore, event := newTestSemaphore(t, SemaphoreOptions{}), newTestEvent(t)
	barrier := newTestBarrier(t, many+1)
	var held RHeld
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
	} {
		t.Run(name, func(t *testing.T) {
			checkLeaks(t)
			if c.before != nil {
				c.before()
			}
			var all sync.WaitGroup
			for range many {
				all.Go(func() {
					if err := c.wait(); err != nil {
						t.Error(err)
					}
				})
			}
			untilIs(t, "waiting", c.waiting, c.enough)
			if n := threads(t); n >= 50 {
				t.Errorf("%d threads while %d goroutines wait", n, many)
			}
			c.release()
			done := in(func() error { all.Wait(); return nil })
			result(t, "all goroutines", done)
		})
	}
}

// Ten thousand of all kinds are created, used, passed and dropped, some closed and some
// not: nothing is left.
func TestManyPrimitives(t *testing.T) {
	checkLeaks(t)
	a, b, err := Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	count := func() int {
		n, err := mapsOf("multiproc-")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	collect()
	before := count()
	ctx := context.Background()
	for i := range 10000 {
		x, use := onePrimitive(t, i)
		if err := use(ctx); err != nil {
			t.Fatalf("%T: %v", x, err)
		}
		if i%10 < 5 {
			var got tools
			if err := a.Send(ctx, pack(x)); err != nil {
				t.Fatal(err)
			}
			if err := b.Recv(ctx, &got); err != nil {
				t.Fatal(err)
			}
		}
		if i%3 == 0 {
			x.Close()
		}
		if i%500 == 0 {
			collect() // the dropped ones keep a descriptor until then
		}
	}
	for end := time.Now().Add(deadline); count() > before; collect() {
		if time.Now().After(end) {
			t.Fatalf("%d mappings left, were %d", count(), before)
		}
	}
}

func onePrimitive(t *testing.T, i int) (io.Closer, func(ctx context.Context) error) {
	t.Helper()
	var err error
	defer func() {
		if err != nil {
			t.Fatal(err)
		}
	}()
	switch i % 5 {
	case 0:
		var l *RLock
		l, err = NewRLock("many")
		return l, func(ctx context.Context) error {
			h, err := l.Acquire(ctx)
			if err != nil {
				return err
			}
			return h.Release()
		}
	case 1:
		var s *Semaphore
		s, err = NewSemaphore(SemaphoreOptions{Permits: 1})
		return s, func(ctx context.Context) error {
			if err := s.Acquire(ctx); err != nil {
				return err
			}
			return s.Release()
		}
	case 2:
		var e *Event
		e, err = NewEvent("many")
		return e, func(ctx context.Context) error {
			if err := e.Wait(overCtx()); err != context.Canceled {
				return err
			}
			return e.Set()
		}
	case 3:
		var c *Condition
		c, err = NewCondition("many", nil)
		return c, func(ctx context.Context) error {
			h, err := c.Lock().Acquire(ctx)
			if err != nil {
				return err
			}
			if _, err := c.NotifyAll(ctx); err != nil {
				return err
			}
			return h.Release()
		}
	default:
		var b *Barrier
		b, err = NewBarrier("many", 1)
		return b, func(ctx context.Context) error { _, err := b.Wait(ctx); return err }
	}
}

// pack puts one primitive into a message.
func pack(x any) (k tools) {
	switch x := x.(type) {
	case *RLock:
		k.RLock = x
	case *Semaphore:
		k.Semaphore = x
	case *Event:
		k.Event = x
	case *Condition:
		k.Condition = x
	case *Barrier:
		k.Barrier = x
	}
	return k
}
