package ipc_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
)

// Any of these objects can be an argument of a task, or be sent over a Conn; here one process has both sides.

func ExampleRLock() {
	ctx := ipc.WithOwner(context.Background()) // a worker has done that for each ticket
	lock, err := ipc.NewRLock("account")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lock.Close()
	outer, _ := lock.Acquire(ctx)
	inner, _ := lock.Acquire(ctx) // the owner has it already
	fmt.Println(outer.Level(), inner.Level())
	_, ok, _ := lock.TryAcquire(ipc.WithOwner(ctx))
	fmt.Println("another owner:", ok)
	fmt.Println(inner.Release(), outer.Release(), outer.Release())
	// Output:
	// 1 2
	// another owner: false
	// <nil> <nil> ipc: not held
}

func ExampleSemaphore() {
	ctx := context.Background()
	door, err := ipc.NewSemaphore(ipc.SemaphoreOptions{Permits: 3, Bounded: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer door.Close()
	for range 3 {
		door.Acquire(ctx)
	}
	ok, _ := door.TryAcquire()
	fmt.Println(ok, door.Value())
	for range 3 {
		door.Release()
	}
	fmt.Println(door.Value(), door.Release())
	// Output:
	// false 0
	// 3 ipc: released too often
}

func ExampleEvent() {
	ctx := context.Background()
	green, err := ipc.NewEvent("green")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer green.Close()
	soon, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	fmt.Println(green.Wait(soon))
	green.Set()
	fmt.Println(green.Wait(ctx), green.IsSet())
	green.Clear()
	fmt.Println(green.IsSet())
	// Output:
	// context deadline exceeded
	// <nil> true
	// false
}

func ExampleQueue() {
	ctx := context.Background()
	q, err := ipc.NewQueue[any](ipc.QueueOptions{Items: 3})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer q.Detach()
	n, _ := q.PutAll(ctx, []any{[]any{42, nil, "hello"}, nil, "end"})
	fmt.Println(n, q.Len(), q.Full(), q.TryPut("one more"))
	q.Close() // what is in it can still be taken
	for v, err := range q.All(ctx) {
		fmt.Println(v, err)
	}
	_, err = q.Get(ctx)
	fmt.Println(errors.Is(err, ipc.ErrClosed))
	// Output:
	// 3 3 true ipc: queue is full
	// [42 <nil> hello] <nil>
	// <nil> <nil>
	// end <nil>
	// true
}

func ExampleJoinableQueue() {
	ctx := context.Background()
	q, err := ipc.NewJoinableQueue[string](ipc.QueueOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer q.Detach()
	q.Put(ctx, "wash")
	q.Put(ctx, "dry")
	for range 2 {
		what, _ := q.Get(ctx)
		left, _ := q.Unfinished()
		fmt.Println(what, left)
		q.TaskDone()
	}
	fmt.Println(q.Join(ctx))
	fmt.Println(q.TaskDone())
	// Output:
	// wash 2
	// dry 1
	// <nil>
	// ipc: more items done than taken
}

func ExampleValue() {
	n, err := ipc.NewValue("count", 40)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer n.Close()
	fmt.Println(ipc.Add(n, 2))
	fmt.Println(n.Update(func(n int) int { return n * n }))
	fmt.Println(n.CompareAndSwap(1764, 7))
	fmt.Println(n.Get())
	// Output:
	// 42 <nil>
	// 1764 <nil>
	// true <nil>
	// 7
}

func ExampleArray() {
	a, err := ipc.NewArray[float64]("samples", 4)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer a.Close()
	held, _ := a.Lock().Acquire(context.Background())
	copy(a.Slice(), []float64{1, 0.5}) // the memory itself
	held.Release()
	a.Set(3, -1)
	fmt.Println(a.Len(), a.Slice())
	// Output: 4 [1 0.5 0 -1]
}
