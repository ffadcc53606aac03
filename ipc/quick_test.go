package ipc

import (
	"context"
	"testing"
	"time"
)

func init() {
	helpers["qput"] = func(c *Conn) error {
		var q Queue[int]
		if err := c.Recv(context.Background(), &q); err != nil {
			return err
		}
		for i := 0; ; i++ {
			if err := q.Put(context.Background(), i); err != nil {
				return err
			}
		}
	}
}

func TestQueueQuick(t *testing.T) {
	checkLeaks(t)
	q, err := NewQueue[int](QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	c := start(t, "qput")
	c.send(q)
	begin := time.Now()
	ctx := context.Background()
	for i := range 3000000 {
		v, err := q.Get(ctx)
		if err != nil || v != i {
			t.Fatal(v, i, err)
		}
	}
	t.Log(float64(3000000)/time.Since(begin).Seconds(), "per second")
}

func BenchmarkSemaphoreFree(b *testing.B) {
	s, err := NewSemaphore(SemaphoreOptions{Permits: 3})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	ctx := context.Background()
	for b.Loop() {
		if err := s.Acquire(ctx); err != nil {
			b.Fatal(err)
		}
		if err := s.Release(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRLockFree(b *testing.B) {
	s, err := NewRLock("")
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	ctx := context.Background()
	for b.Loop() {
		h, err := s.Acquire(ctx)
		if err != nil {
			b.Fatal(err)
		}
		if err := h.Release(); err != nil {
			b.Fatal(err)
		}
	}
}
