package ipc

import (
	"context"
	"syscall"
	"testing"
	"time"
)

// SEMANTICS 12: a bound of items, ErrFull at once or at the limit of the context; the
// one put too many is seen to wait (PROGRAMS Q2).
func TestQueueFull(t *testing.T) {
	checkLeaks(t)
	q := newTestQueue[any](t, QueueOptions{Items: 3})
	other := startQueuer(t, q)
	for i := range 3 {
		if q.Full() || q.Len() != i {
			t.Fatalf("full %v, %d items, after %d", q.Full(), q.Len(), i)
		}
		other.puts(int64(i))
	}
	if !q.Full() || q.Len() != 3 {
		t.Fatalf("full %v, %d items, after 3", q.Full(), q.Len())
	}
	if err := q.TryPut(3); err != ErrFull {
		t.Fatalf("try to put into a full queue: %v", err)
	}
	if err := q.Put(endedContext(), 3); err != context.Canceled {
		t.Fatalf("put with an ended context: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := q.Put(ctx, 3); err != context.DeadlineExceeded {
		t.Fatalf("put with a limit: %v", err)
	}
	other.order("try put", 3)
	other.answers(nil, ErrFull)
	other.order("put", 3)
	until(t, "one process waits to put", func() bool { return q.Putting() == 1 })
	for i := range 4 {
		mustGet(t, q, any(int64(i)))
	}
	other.answers(nil, nil)
	if q.Putting() != 0 || !q.Empty() {
		t.Fatalf("%d wait to put, %d items", q.Putting(), q.Len())
	}
}

// SEMANTICS 12: bounded by bytes.
func TestQueueFullOfBytes(t *testing.T) {
	q := newTestQueue[any](t, QueueOptions{Bytes: 4096})
	n := 0
	for ; q.TryPut(int64(n)) == nil; n++ {
		if n > 4096 {
			t.Fatal("no end")
		}
	}
	if n < 4096/32 || !q.Full() || q.Len() != n {
		t.Fatalf("%d items fit, full %v, %d items", n, q.Full(), q.Len())
	}
	other := startQueuer(t, q)
	other.order("put", int64(n))
	until(t, "one process waits to put", func() bool { return q.Putting() == 1 })
	for i := range n {
		mustGet(t, q, any(int64(i)))
	}
	other.answers(nil, nil)
	mustGet(t, q, any(int64(n)))
}

// SEMANTICS 12: ErrEmpty at once, or at the limit of the context.
func TestQueueEmpty(t *testing.T) {
	checkLeaks(t)
	q := newTestQueue[any](t, QueueOptions{})
	if _, err := q.TryGet(); err != ErrEmpty || !q.Empty() {
		t.Fatalf("try to get from an empty queue: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := q.Get(ctx); err != context.DeadlineExceeded {
		t.Fatalf("get with a limit: %v", err)
	}
	other := startQueuer(t, q)
	other.order("try get", nil)
	other.answers(nil, ErrEmpty)
	other.order("get", nil)
	until(t, "one process waits to get", func() bool { return q.Getting() == 1 })
	mustPut(t, q, any("hello"))
	other.answers("hello", nil)
	if q.Getting() != 0 {
		t.Fatalf("%d wait to get", q.Getting())
	}
}

// SEMANTICS 13: first in, first out per producer; between producers by arrival.
func TestQueueOrder(t *testing.T) {
	q := newTestQueue[any](t, QueueOptions{Bytes: 4096})
	a, b := startQueuer(t, q), startQueuer(t, q)
	for i := range int64(100) {
		a.puts(2 * i)
		b.puts(2*i + 1)
		if i%2 == 1 {
			for j := range int64(4) {
				mustGet(t, q, any(2*(i-1)+j))
			}
		}
	}
	for _, c := range []*child{a, b} {
		c.send(queueOrder{Do: "put many", N: 20000})
	}
	var next [20000]int // how often seen
	for range 2 * len(next) {
		v, err := q.Get(within(t))
		if err != nil {
			t.Fatal(err)
		}
		i := v.(int64)
		if i > 0 && next[i-1] <= next[i] {
			t.Fatalf("%d comes for the %d. time, and %d came %d times", i, next[i]+1, i-1, next[i-1])
		}
		next[i]++
	}
	a.answers(nil, nil)
	b.answers(nil, nil)
}

// PITFALLS 22: Len, Empty and Full are exact, and cost nobody his place.
func TestQueueLenIsExact(t *testing.T) {
	for _, redeliver := range []bool{false, true} {
		q := newTestJoinable[any](t, QueueOptions{Items: 5, Redeliver: redeliver})
		other := startQueuer(t, q)
		for i := 1; i <= 5; i++ {
			other.puts(i)
			if q.Len() != i || q.Empty() || q.Full() != (i == 5) {
				t.Fatalf("%d items, empty %v, full %v after %d", q.Len(), q.Empty(), q.Full(), i)
			}
		}
		for i := 4; i >= 0; i-- {
			other.gets(int64(5 - i))
			if q.Len() != i || q.Empty() != (i == 0) || q.Full() {
				t.Fatalf("%d items, empty %v, full %v, expected %d", q.Len(), q.Empty(), q.Full(), i)
			}
		}
	}
}

func TestQueueBatches(t *testing.T) {
	q := newTestQueue[int](t, QueueOptions{Items: 10})
	vs := make([]int, 25)
	for i := range vs {
		vs[i] = i
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if n, err := q.PutAll(ctx, vs); n != 10 || err != context.DeadlineExceeded {
		t.Fatalf("put 25 where 10 fit: %d, %v", n, err)
	}
	if n, err := q.PutAll(within(t), nil); n != 0 || err != nil {
		t.Fatalf("put nothing: %d, %v", n, err)
	}
	if _, err := q.GetUpTo(within(t), 0); err == nil {
		t.Fatal("get up to 0 items")
	}
	put := make(chan error)
	go func() {
		_, err := q.PutAll(within(t), vs[10:])
		put <- err
	}()
	for got := 0; got < len(vs); {
		vs, err := q.GetUpTo(within(t), 4)
		if err != nil || len(vs) == 0 || len(vs) > 4 {
			t.Fatalf("got %v, %v", vs, err)
		}
		for _, v := range vs {
			if v != got {
				t.Fatalf("got %d, expected %d", v, got)
			}
			got++
		}
	}
	if err := <-put; err != nil {
		t.Fatal(err)
	}
	mustPut(t, q, 1)
	q.Close()
	if n, err := q.PutAll(within(t), vs); n != 0 || err != ErrClosed {
		t.Fatalf("put after Close: %d, %v", n, err)
	}
	if vs, err := q.GetUpTo(within(t), 5); len(vs) != 1 || err != nil {
		t.Fatalf("the rest: %v, %v", vs, err)
	}
	if _, err := q.GetUpTo(within(t), 5); err != ErrClosed {
		t.Fatalf("after the end: %v", err)
	}
}

// A stopped process that was waiting, and was woken, holds up nobody.
func TestQueueStoppedGetterHoldsUpNobody(t *testing.T) {
	q := newTestQueue[any](t, QueueOptions{})
	stopped, next := startQueuer(t, q), startQueuer(t, q)
	stopped.order("get", nil)
	until(t, "one process waits to get", func() bool { return q.Getting() == 1 })
	stopped.stop()
	for i := range int64(5) {
		next.order("get", nil)
		until(t, "two processes wait to get", func() bool { return q.Getting() == 2 })
		mustPut(t, q, any(i))
		next.answers(i, nil)
	}
	stopped.signal(syscall.SIGCONT)
	mustPut(t, q, any("last"))
	stopped.answers("last", nil)
}

func TestQueueStoppedPutterHoldsUpNobody(t *testing.T) {
	q := newTestQueue[any](t, QueueOptions{Items: 1})
	stopped, next := startQueuer(t, q), startQueuer(t, q)
	mustPut(t, q, any("first"))
	stopped.order("put", "stopped")
	until(t, "one process waits to put", func() bool { return q.Putting() == 1 })
	stopped.stop()
	for i := range int64(5) {
		next.order("put", i)
		until(t, "two processes wait to put", func() bool { return q.Putting() == 2 })
		v, err := q.Get(within(t))
		if want := any(i - 1); err != nil || i > 0 && v != want {
			t.Fatalf("got %v, %v", v, err)
		}
		next.answers(nil, nil)
	}
	stopped.signal(syscall.SIGCONT)
	mustGet(t, q, any(int64(4)))
	mustGet(t, q, any("stopped"))
	stopped.answers(nil, nil)
}

func TestQueueOptionsAreChecked(t *testing.T) {
	for _, o := range []QueueOptions{{Items: -1}, {Bytes: -1}, {Bytes: 1<<32 + 1}, {Redeliver: true}} {
		if _, err := NewQueue[int](o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	q := newTestQueue[[]byte](t, QueueOptions{Name: "jobs", Bytes: 1 << 32})
	if q.Name() != "jobs" {
		t.Errorf("name %q", q.Name())
	}
	for range 3 {
		mustPut(t, q, make([]byte, 64<<20))
	}
	for range 3 {
		mustGet(t, q, make([]byte, 64<<20))
	}
}
