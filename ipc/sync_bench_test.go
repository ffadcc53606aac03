package ipc

import (
	"context"
	"testing"
)

// What costs how much when nobody else wants it.

func BenchmarkRLockFree(b *testing.B) {
	l, err := NewRLock("")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
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

func BenchmarkSemaphoreFree(b *testing.B) {
	for _, mode := range []struct {
		name string
		o    SemaphoreOptions
	}{{"owned", SemaphoreOptions{Permits: 3}}, {"handoff", SemaphoreOptions{Permits: 3, Handoff: true}}} {
		b.Run(mode.name, func(b *testing.B) {
			s, err := NewSemaphore(mode.o)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Acquire(ctx); err != nil {
					b.Fatal(err)
				}
				if err := s.Release(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A pong is two of a kind, to play ping-pong with: the ponger waits for the first and
// answers by the second.
type pong struct {
	Semaphores []*Semaphore
	Events     []*Event
	Turns      *turns
}

func init() { helpers["ponger"] = ponger }

func ponger(c *Conn) error {
	ctx := context.Background()
	var x pong
	if err := c.Recv(ctx, &x); err != nil {
		return err
	}
	if x.Turns != nil {
		return takeTurns(ctx, *x.Turns)
	}
	for {
		if err := x.wait(ctx, 0); err != nil {
			return err
		}
		if err := x.wake(1); err != nil {
			return err
		}
	}
}

func (x *pong) wait(ctx context.Context, i int) error {
	if x.Semaphores != nil {
		return x.Semaphores[i].Acquire(ctx)
	}
	if err := x.Events[i].Wait(ctx); err != nil {
		return err
	}
	return x.Events[i].Clear()
}

func (x *pong) wake(i int) error {
	if x.Semaphores != nil {
		return x.Semaphores[i].Release()
	}
	return x.Events[i].Set()
}

func playPong(b *testing.B, x pong) {
	start(b, "ponger").send(x)
	ctx := context.Background()
	for b.Loop() {
		if err := x.wake(0); err != nil {
			b.Fatal(err)
		}
		if err := x.wait(ctx, 1); err != nil {
			b.Fatal(err)
		}
	}
}

// The time for a round trip: one wakes the other, which wakes the first.
func BenchmarkSemaphorePingPong(b *testing.B) {
	playPong(b, pong{Semaphores: []*Semaphore{
		newTestSemaphore(b, SemaphoreOptions{}), newTestSemaphore(b, SemaphoreOptions{})}})
}

func BenchmarkEventPingPong(b *testing.B) {
	playPong(b, pong{Events: []*Event{newTestEvent(b), newTestEvent(b)}})
}

func BenchmarkConditionPingPong(b *testing.B) {
	block, err := NewBlock(8)
	if err != nil {
		b.Fatal(err)
	}
	defer block.Close()
	x := turns{Condition: newTestCondition(b), Block: block, Me: 1, Rounds: 1 << 40}
	start(b, "ponger").send(pong{Turns: &x})
	x.Me, x.Rounds = 0, 1
	for b.Loop() {
		if err := takeTurns(context.Background(), x); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBarrierPingPong(b *testing.B) {
	barrier := newTestBarrier(b, 2)
	p := start(b, "actor")
	p.send(tools{Barrier: barrier}, "comes 1000000000")
	for b.Loop() {
		if _, err := barrier.Wait(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
