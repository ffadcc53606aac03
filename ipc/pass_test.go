package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
)

// A kit has one of everything that can be passed, in every place of a message.
type kit struct {
	Lock   *Lock
	Locks  []*RLock
	Deep   map[string][]*Semaphore
	Event  Event // not behind a pointer
	Cond   *Condition
	Parts  struct{ Barrier *Barrier }
	Number *Value[int64]
	Pair   *Value[[3]int32]
	List   *Array[float64]
	Memory *SharedMemory
	Block  *Block
	Queue  *Queue[string]
	Tasks  *JoinableQueue[int]
	File   *File
	Conn   *Conn
	Way    *Conn
	None   *Lock
}

func (k *kit) close() {
	for _, c := range []io.Closer{k.Lock, k.Locks[0], k.Deep["s"][0], &k.Event, k.Cond, k.Parts.Barrier, k.Number, k.Pair, k.List, k.Memory, k.Block, k.Queue, k.Tasks, k.File, k.Conn, k.Way} {
		letGo(c)
	}
}

// letGo ends the use of v in this process.
func letGo(v io.Closer) {
	if q, ok := v.(interface{ Detach() error }); ok {
		q.Detach() // Close of a queue is for all
		return
	}
	v.Close()
}

// "user" uses every part of a kit.
func init() {
	helpers["user"] = func(c *Conn) error {
		ctx := context.Background()
		var k kit
		if err := c.Recv(ctx, &k); err != nil {
			return err
		}
		defer k.close()
		if k.None != nil {
			return errors.New("a nil lock has arrived as one")
		}
		h, err := k.Lock.Acquire(ctx)
		if err != nil {
			return err
		}
		r, err := k.Locks[0].Acquire(ctx)
		if err != nil {
			return err
		}
		_, err = Add(k.Number, 2)
		_, err2 := k.Pair.Update(func(x [3]int32) [3]int32 { x[1] = 7; return x })
		err = errors.Join(err, err2, k.Deep["s"][0].Acquire(ctx), k.Event.Set(), k.Queue.Put(ctx, "item"))
		k.List.Set(3, 2.5)
		copy(k.Memory.Bytes(), "bytes")
		k.Block.Word(0).Store(5)
		if err == nil {
			_, err = k.Tasks.Get(ctx)
		}
		if err == nil {
			err = k.Tasks.TaskDone()
		}
		fmt.Fprint(k.File, "written")
		if err == nil {
			err = errors.Join(k.Conn.Send(ctx, "over the conn"), k.Way.Send(ctx, "over the pipe"), r.Release(), h.Release())
		}
		if err != nil {
			return err
		}
		if _, err := k.Parts.Barrier.Wait(ctx); err != nil {
			return err
		}
		return c.Send(ctx, "all used")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// newTestKit returns a kit, and the ends that stay here.
func newTestKit(t *testing.T) (k *kit, file *os.File, conn, way *Conn) {
	t.Helper()
	k = &kit{Lock: must(NewLock(LockOptions{})), Locks: []*RLock{must(NewRLock(""))}, Event: *must(NewEvent("")),
		Deep:   map[string][]*Semaphore{"s": {must(NewSemaphore(SemaphoreOptions{Permits: 2}))}},
		Number: must(NewValue("", int64(40))), Pair: must(NewValue("", [3]int32{1, 2, 3})), List: must(NewArray[float64]("", 4)),
		Memory: must(NewSharedMemory(100)), Block: must(NewBlock(1)), Queue: must(NewQueue[string](QueueOptions{})),
		Tasks: must(NewJoinableQueue[int](QueueOptions{}))}
	k.Cond = must(NewCondition("", k.Locks[0]))
	k.Parts.Barrier = must(NewBarrier("", 2))
	if err := k.Tasks.Put(within(t), 1); err != nil {
		t.Fatal(err)
	}
	file, w := must2(os.Pipe())
	k.File = &File{w}
	conn, k.Conn = newTestPipe(t)
	way, k.Way = newTestPipeOneWay(t)
	t.Cleanup(func() { file.Close() })
	return k, file, conn, way
}

func must2[A, B any](a A, b B, err error) (A, B) {
	if err != nil {
		panic(err)
	}
	return a, b
}

// Every kind of handle, anywhere in a message, arrives usable in another process.
func TestConnPassesEverything(t *testing.T) {
	checkLeaks(t)
	k, file, conn, way := newTestKit(t)
	defer k.close()
	c := start(t, "user")
	c.send(k)
	k.File.Close()
	k.Conn.Close()
	k.Way.Close()
	if _, err := k.Parts.Barrier.Wait(within(t)); err != nil {
		t.Fatal(err)
	}
	c.expect("all used")
	if text, err := io.ReadAll(file); err != nil || string(text) != "written" {
		t.Errorf("file: %q, %v", text, err)
	}
	for name, c := range map[string]*Conn{"conn": conn, "pipe": way} {
		var s string
		if err := c.Recv(within(t), &s); err != nil || s != "over the "+name {
			t.Errorf("%s: %q, %v", name, s, err)
		}
		if err := c.Recv(within(t), &s); err != io.EOF {
			t.Errorf("%s at the end: %v", name, err)
		}
	}
	item, err := k.Queue.TryGet()
	if err != nil || item != "item" {
		t.Errorf("queue: %q, %v", item, err)
	}
	if n, err := k.Tasks.Unfinished(); err != nil || n != 0 {
		t.Errorf("tasks: %d, %v", n, err)
	}
	got := fmt.Sprint(k.Number.Get(), k.Pair.Get(), k.List.Get(3), " "+string(k.Memory.Bytes()[:5])+" ", k.Block.Word(0).Load(), k.Event.IsSet())
	if got != "42 [1 7 3] 2.5 bytes 5 true" {
		t.Error(got)
	}
	// What the other process held when it ended has come back.
	sem := k.Deep["s"][0]
	for range 2 {
		if err := sem.Acquire(within(t)); err != nil {
			t.Error(err)
		}
	}
}

// In an interface arrives what it is.
func TestConnHandlesWithoutAType(t *testing.T) {
	checkLeaks(t)
	k, _, _, _ := newTestKit(t)
	defer k.close()
	a, b := newTestPipe(t)
	if err := a.Send(within(t), []any{k.Lock, map[string]any{"r": k.Locks[0]}, k.Deep["s"], &k.Event, k.Cond, k.Parts.Barrier, k.Memory, k.Block, k.File, k.Conn, k.Way,
		k.Queue, k.Number, k.List}); err != nil {
		t.Fatal(err)
	}
	var got []any
	if err := b.Recv(within(t), &got); err != nil {
		t.Fatal(err)
	}
	var types string
	var shut func(v any)
	shut = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				shut(x)
			}
		case map[string]any:
			for _, x := range v {
				shut(x)
			}
		case io.Closer:
			types += fmt.Sprintf("%T ", v)
			letGo(v)
		default:
			t.Errorf("a handle has arrived as %T", v)
		}
	}
	shut(got)
	if want := "*ipc.Lock *ipc.RLock *ipc.Semaphore *ipc.Event *ipc.Condition *ipc.Barrier *ipc.SharedMemory *ipc.Block *ipc.File *ipc.Conn *ipc.Conn *ipc.Queue[interface {}] *ipc.Value[int64] *ipc.Array[float64] "; types != want {
		t.Errorf("arrived are %s, expected %s", types, want)
	}
}

// A handle in the place of another, or of a type of another shape, is an error that says
// what was found; the Conn goes on.
func TestConnHandlesOfAnotherKind(t *testing.T) {
	checkLeaks(t)
	k, _, _, _ := newTestKit(t)
	defer k.close()
	a, b := newTestPipe(t)
	all := []any{k.Lock, k.Locks[0], k.Deep["s"][0], &k.Event, k.Cond, k.Parts.Barrier, k.Number, k.List, k.Memory, k.Block, k.Queue, k.Tasks, k.File, k.Conn, k.Way}
	targets := []func() any{
		func() any { return new(Lock) }, func() any { return new(RLock) }, func() any { return new(Semaphore) }, func() any { return new(Event) },
		func() any { return new(Condition) }, func() any { return new(Barrier) }, func() any { return new(Value[int64]) }, func() any { return new(Array[float64]) },
		func() any { return new(SharedMemory) }, func() any { return new(Block) }, func() any { return new(Queue[string]) }, func() any { return new(JoinableQueue[int]) },
		func() any { return new(File) }, func() any { return new(Conn) }, func() any { return new(Conn) },
	}
	same := func(i, j int) bool { // a JoinableQueue is a Queue, whatever its items are
		conns := i >= 13 && j >= 13
		queues := (i == 10 || i == 11) && (j == 10 || j == 11)
		return i == j || conns || queues
	}
	for i, v := range all {
		for j, target := range targets {
			if err := a.Send(within(t), v); err != nil {
				t.Fatal(err)
			}
			x := target()
			err := b.Recv(within(t), x)
			switch x := x.(type) {
			case *Conn, *File, *Block:
				x.(io.Closer).Close() // the others are the same as ours, in this process
			}
			if same(i, j) && err != nil && i == j || !same(i, j) && !errors.Is(err, ErrForeign) {
				t.Errorf("%T into %T: %v", v, x, err)
			}
		}
	}
	for name, x := range map[string]any{"a larger value": new(Value[[500]int64]), "smaller elements": new(Array[int32]), "a number": new(int), "a lock in a list": new([]*Lock)} {
		for _, v := range []any{k.Number, k.List} {
			if err := a.Send(within(t), v); err != nil {
				t.Fatal(err)
			}
			if err := b.Recv(within(t), x); err == nil {
				t.Errorf("%T into %s: no error", v, name)
			}
		}
	}
	if err := a.Send(within(t), 1); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := b.Recv(within(t), &n); err != nil || n != 1 {
		t.Errorf("after all that: %d, %v", n, err)
	}
}

// A closed object is refused when it is sent, and the descriptors before it are closed.
func TestConnClosedHandlesAreRefused(t *testing.T) {
	checkLeaks(t)
	k, _, _, _ := newTestKit(t)
	a, _ := newTestPipe(t)
	l := newTestLock(t, LockOptions{})
	k.close()
	for _, v := range []any{k.Lock, k.Locks[0], k.Deep["s"][0], &k.Event, k.Cond, k.Parts.Barrier, k.Number, k.List, k.Memory, k.Block, k.Queue, k.Tasks, k.Conn, k.Way,
		new(Lock), new(RLock), new(Semaphore), new(Event), new(Condition), new(Barrier), new(Value[int]), new(Array[int]), new(SharedMemory), new(Block), new(Queue[int]), new(JoinableQueue[int]), new(File), new(Conn)} {
		if err := a.Send(within(t), []any{l, v}); !errors.Is(err, ErrClosed) {
			t.Errorf("%T, closed: %v", v, err)
		}
	}
	if err := a.Send(within(t), k.File); err == nil {
		t.Error("a closed file is sent")
	}
}
