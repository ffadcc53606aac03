package ipc

import (
	"bytes"
	"context"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

// SEMANTICS 16: later puts fail, gets drain, then ErrClosed. (PROGRAMS Q4)
func TestQueueClose(t *testing.T) {
	checkLeaks(t)
	q := newTestQueue[any](t, QueueOptions{Items: 2})
	other, late := startQueuer(t, q), startQueuer(t, q)
	mustPut(t, q, any("a"))
	mustPut(t, q, any("b"))
	other.order("put", "c")
	until(t, "one process waits to put", func() bool { return q.Putting() == 1 })
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	other.answers(nil, ErrClosed)
	if err := q.Put(within(t), "d"); err != ErrClosed {
		t.Fatalf("put after Close: %v", err)
	}
	if q.Len() != 2 || !q.Closed() {
		t.Fatalf("%d items are left, closed %v", q.Len(), q.Closed())
	}
	other.gets("a")
	var left []any
	for v, err := range q.All(within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, v)
	}
	if !reflect.DeepEqual(left, []any{"b"}) {
		t.Fatalf("left: %v", left)
	}
	for _, do := range []string{"get", "try get", "put", "try put"} {
		late.order(do, 1)
		late.answers(nil, ErrClosed)
	}
	if err := q.Close(); err != nil {
		t.Fatalf("second Close: %v", err)
	}
}

// SEMANTICS 16: who waits for an item is woken, in every process.
func TestQueueCloseWakesEveryone(t *testing.T) {
	q := newTestQueue[any](t, QueueOptions{})
	a, b := startQueuer(t, q), startQueuer(t, q)
	a.order("get", nil)
	b.order("get", nil)
	until(t, "two processes wait to get", func() bool { return q.Getting() == 2 })
	q.Close()
	a.answers(nil, ErrClosed)
	b.answers(nil, ErrClosed)
}

// SEMANTICS 16: immediate drops what is left, counts it as done, and wakes getters,
// putters and joiners.
func TestQueueCloseNow(t *testing.T) {
	checkLeaks(t)
	for _, redeliver := range []bool{false, true} {
		q := newTestJoinable[any](t, QueueOptions{Items: 2, Redeliver: redeliver})
		put, join, get := startQueuer(t, q), startQueuer(t, q), startQueuer(t, q)
		put.puts("a")
		get.gets("a")
		put.puts("b")
		put.puts("c")
		put.order("put", "d")
		join.order("join", nil)
		until(t, "one process waits to put", func() bool { return q.Putting() == 1 })
		if err := q.CloseNow(); err != nil {
			t.Fatal(err)
		}
		put.answers(nil, ErrClosed)
		get.order("get", nil)
		get.answers(nil, ErrClosed)
		if n, err := q.Unfinished(); n != 1 || err != nil || q.Len() != 0 {
			t.Fatalf("%d unfinished, %v, %d items", n, err, q.Len())
		}
		get.order("done", nil)
		get.answers(nil, nil)
		join.answers(nil, nil)
	}
}

// SEMANTICS 16: who waits to get when the queue is dropped.
func TestQueueCloseNowWakesGetters(t *testing.T) {
	q := newTestQueue[any](t, QueueOptions{})
	other := startQueuer(t, q)
	other.order("get", nil)
	until(t, "one process waits to get", func() bool { return q.Getting() == 1 })
	q.CloseNow()
	other.answers(nil, ErrClosed)
}

// SEMANTICS 17, PITFALLS 6: a process that has put a lot ends without a reader, and what
// it put is there.
func TestQueueExitWaitsForNoReader(t *testing.T) {
	q := newTestQueue[any](t, QueueOptions{})
	other := startQueuer(t, q)
	big := strings.Repeat("x", 1<<20)
	for range 3 {
		other.puts(big)
	}
	other.order("exit", nil)
	exited := make(chan error)
	go func() { exited <- other.cmd.Wait() }()
	other.dead = true
	select {
	case err := <-exited:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(deadline):
		t.Fatal("the process does not end")
	}
	for range 3 {
		mustGet(t, q, any(big))
	}
}

// Detach ends the use in one process, also of those who wait; others go on.
func TestQueueDetach(t *testing.T) {
	checkLeaks(t)
	q := newTestQueue[any](t, QueueOptions{Items: 1})
	other := startQueuer(t, q)
	failed := make(chan error)
	go func() {
		_, err := q.Get(context.Background())
		failed <- err
	}()
	until(t, "one process waits to get", func() bool { return q.Getting() == 1 })
	q.Detach()
	if err := <-failed; err != ErrClosed {
		t.Fatalf("get during Detach: %v", err)
	}
	if err := q.Put(within(t), 1); err != ErrClosed {
		t.Fatalf("put after Detach: %v", err)
	}
	if _, err := q.TryGet(); err != ErrClosed {
		t.Fatalf("get after Detach: %v", err)
	}
	if _, _, err := q.EncodeHandle(); err != ErrClosed {
		t.Fatalf("passed on after Detach: %v", err)
	}
	other.puts(1)
	other.gets(int64(1))
	var zero Queue[int]
	if _, err := zero.Get(within(t)); err != ErrClosed || zero.Len() != 0 || zero.Put(within(t), 1) != ErrClosed {
		t.Fatalf("the zero queue: %v", err)
	}
}

// A process may detach while its own goroutines are copying.
func TestQueueDetachWhileInUse(t *testing.T) {
	for range 20 {
		q := newTestQueue[[]byte](t, QueueOptions{Bytes: 1 << 20})
		any := &Queue[any]{x: q.x}
		other := startQueuer(t, any)
		var all sync.WaitGroup
		for i := range 4 {
			b := bytes.Repeat([]byte{byte(i + 1)}, 50000*(i+1))
			all.Go(func() {
				for q.Put(context.Background(), b) == nil {
				}
			})
		}
		for i := range 5 {
			other.send(queueOrder{Do: "get bytes"})
			if a := recv[queueAnswer](other); a.Err != "" {
				t.Fatal(a.Err)
			}
			if i == 3 {
				q.Detach()
			}
		}
		all.Wait()
		other.puts("on it goes")
		for {
			other.order("get", nil)
			if a := recv[queueAnswer](other); a.Value == "on it goes" {
				break
			}
		}
		other.kill()
	}
}
