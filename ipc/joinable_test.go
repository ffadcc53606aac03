package ipc

import (
	"context"
	"testing"
)

// SEMANTICS 15.
func TestJoinableQueueCounts(t *testing.T) {
	checkLeaks(t)
	q := newTestJoinable[any](t, QueueOptions{})
	if err := q.Join(within(t)); err != nil {
		t.Fatalf("join of an unused queue: %v", err)
	}
	if err := q.TaskDone(); err != ErrDone {
		t.Fatalf("done without a put: %v", err)
	}
	other := startQueuer(t, q)
	for i := range 3 {
		other.puts(i)
	}
	if err := q.TaskDone(); err != ErrDone {
		t.Fatalf("done before anything was taken: %v", err)
	}
	other.gets(int64(0))
	mustGet(t, &q.Queue, any(int64(1)))
	mustGet(t, &q.Queue, any(int64(2)))
	joined := make(chan error)
	go func() { joined <- q.Join(within(t)) }()
	for want := 3; want > 0; want-- {
		if n, err := q.Unfinished(); n != want || err != nil {
			t.Fatalf("%d unfinished, %v, expected %d", n, err, want)
		}
		if err := q.Join(endedContext()); err != context.Canceled {
			t.Fatalf("join with %d unfinished: %v", want, err)
		}
		if err := q.TaskDone(); err != nil { // the last one is that of the other process
			t.Fatal(err)
		}
	}
	if err := <-joined; err != nil {
		t.Fatalf("join: %v", err)
	}
	other.order("done", nil)
	other.answers(nil, ErrDone)
	other.order("join", nil)
	other.answers(nil, nil)
}

// What a dead consumer took and did not finish is given to another, or counts as
// finished and lost.
func TestJoinableQueueDeadConsumer(t *testing.T) {
	checkLeaks(t)
	for _, redeliver := range []bool{false, true} {
		q := newTestJoinable[any](t, QueueOptions{Redeliver: redeliver})
		dies, next := startQueuer(t, q), startQueuer(t, q)
		for i := range 4 {
			mustPut(t, &q.Queue, any(i))
		}
		for i := range int64(3) {
			dies.gets(i)
		}
		dies.order("done", nil)
		dies.answers(nil, nil)
		joined := make(chan error)
		go func() { joined <- q.Join(within(t)) }()
		next.gets(int64(3))
		if redeliver {
			next.order("get", nil)
			until(t, "one process waits to get", func() bool { return q.Getting() == 1 })
		}
		dies.kill()
		if redeliver {
			next.answers(int64(1), nil)
			next.gets(int64(2))
			next.order("done", nil)
			next.answers(nil, nil)
			next.order("done", nil)
			next.answers(nil, nil)
		}
		next.order("done", nil)
		next.answers(nil, nil)
		if err := <-joined; err != nil {
			t.Fatal(err)
		}
		want := 2
		if redeliver {
			want = 0
		}
		if n, err := q.Lost(); n != want || err != nil {
			t.Fatalf("%d lost, %v, expected %d", n, err, want)
		}
		if n, err := q.Unfinished(); n != 0 || err != nil || q.Len() != 0 {
			t.Fatalf("%d unfinished, %v, %d items", n, err, q.Len())
		}
		if err := q.TaskDone(); err != ErrDone {
			t.Fatalf("one more: %v", err)
		}
	}
}

// The same when the consumer lives, but gives the queue up.
func TestJoinableQueueDetachedConsumer(t *testing.T) {
	q := newTestJoinable[any](t, QueueOptions{Redeliver: true})
	other := startQueuer(t, q)
	mustPut(t, &q.Queue, any("a"))
	other.gets("a")
	other.order("detach", nil)
	mustGet(t, &q.Queue, any("a"))
	other.answers(nil, nil)
	if err := q.TaskDone(); err != nil {
		t.Fatal(err)
	}
	if err := q.Join(within(t)); err != nil {
		t.Fatal(err)
	}
}

// And that at once, whatever of the queue its program still refers to.
func TestJoinableQueueDetachGivesBack(t *testing.T) {
	checkLeaks(t)
	for _, redeliver := range []bool{false, true} {
		q := newTestJoinable[any](t, QueueOptions{Redeliver: redeliver})
		gets, joins := startQueuer(t, q), startQueuer(t, q)
		mustPut(t, &q.Queue, any("a"))
		mustGet(t, &q.Queue, any("a"))
		joins.order("join", nil)
		if redeliver {
			gets.order("get", nil)
			until(t, "one process waits to get", func() bool { return q.Getting() == 1 })
		}
		q.Detach()
		if redeliver {
			gets.answers("a", nil)
			gets.order("done", nil)
			gets.answers(nil, nil)
		}
		joins.answers(nil, nil)
		gets.order("done", nil)
		gets.answers(nil, ErrDone)
		if err := q.TaskDone(); err != ErrClosed {
			t.Fatalf("done after Detach: %v", err)
		}
	}
}

// After Close an item that a living process has taken may still come back: who waits for
// one gets it, and learns that there will be none when all are finished.
func TestJoinableQueueConsumerDiesAfterClose(t *testing.T) {
	checkLeaks(t)
	q := newTestJoinable[any](t, QueueOptions{Redeliver: true})
	dies, next, last := startQueuer(t, q), startQueuer(t, q), startQueuer(t, q)
	mustPut(t, &q.Queue, any("a"))
	dies.gets("a")
	joined := in(func() error { return q.Join(within(t)) })
	next.order("get", nil)
	until(t, "one process waits to get", func() bool { return q.Getting() == 1 })
	q.Close()
	if _, err := q.TryGet(); err != ErrEmpty {
		t.Fatalf("while an item may come back: %v", err)
	}
	if ready, err := Wait(endedContext(), q); len(ready) != 0 || err != context.Canceled {
		t.Fatalf("ready while an item may come back: %v, %v", ready, err)
	}
	dies.kill()
	next.answers("a", nil)
	last.order("get", nil)
	until(t, "another process waits to get", func() bool { return q.Getting() == 1 })
	next.order("done", nil)
	next.answers(nil, nil)
	last.answers(nil, ErrClosed)
	if err := result(t, "join", joined); err != nil {
		t.Fatalf("join: %v", err)
	}
	if _, err := q.TryGet(); err != ErrClosed {
		t.Fatalf("when all is finished: %v", err)
	}
	if ready, err := Wait(endedContext(), q); len(ready) != 1 || err != nil {
		t.Fatalf("ready when all is finished: %v, %v", ready, err)
	}
}

// Consumers that finish what they have when there is nothing more do not wait for each
// other without end.
func TestJoinableQueueBatchesAtTheEnd(t *testing.T) {
	checkLeaks(t)
	q := newTestJoinable[any](t, QueueOptions{Redeliver: true})
	var all []*child
	for i := range int64(3) {
		c := startQueuer(t, q)
		mustPut(t, &q.Queue, any(i))
		c.gets(i)
		all = append(all, c)
	}
	q.Close()
	for i, c := range all[:2] {
		c.order("get", nil)
		until(t, "it waits to get", func() bool { return q.Getting() == i+1 })
	}
	all[2].order("get", nil)
	for _, c := range []*child{all[2], all[1], all[0]} {
		c.answers(nil, ErrClosed)
		c.order("done", nil)
		c.answers(nil, nil)
	}
	if err := q.Join(within(t)); err != nil {
		t.Fatal(err)
	}
}

// Who only looks, too, sees what a dead consumer has left.
func TestJoinableQueueLookAfterADeath(t *testing.T) {
	checkLeaks(t)
	q := newTestJoinable[any](t, QueueOptions{Redeliver: true})
	dies := startQueuer(t, q)
	mustPut(t, &q.Queue, any("a"))
	dies.gets("a")
	if ready, err := Wait(endedContext(), q); len(ready) != 0 || err != context.Canceled {
		t.Fatalf("with nothing in it: %v, %v", ready, err)
	}
	dies.kill()
	if ready, err := Wait(endedContext(), q); len(ready) != 1 || err != nil {
		t.Fatalf("after a death: %v, %v", ready, err)
	}
	mustGet(t, &q.Queue, any("a"))
}

// Tasks are finished in any order; what is left when the process dies is what was not.
func TestTasksInAnyOrder(t *testing.T) {
	for _, redeliver := range []bool{false, true} {
		q := newTestJoinable[int](t, QueueOptions{Redeliver: redeliver, Bytes: 4096})
		var tasks []Task[int]
		for round := range 300 { // often round the ring
			for i := range 5 {
				mustPut(t, &q.Queue, 5*round+i)
			}
			for range 5 {
				task, err := q.Take(within(t))
				if err != nil || task.Value != 5*round+len(tasks) {
					t.Fatalf("took %v, %v", task.Value, err)
				}
				tasks = append(tasks, task)
			}
			for _, i := range []int{3, 0, 4, 2, 1} {
				if err := tasks[i].Done(); err != nil {
					t.Fatalf("round %d: done: %v", round, err)
				}
				if err := tasks[i].Done(); err != ErrDone {
					t.Fatalf("done again: %v", err)
				}
			}
			tasks = tasks[:0]
		}
		if err := q.Join(endedContext()); err != nil {
			t.Fatalf("join: %v", err)
		}
	}
}
