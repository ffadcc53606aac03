package ipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
	"github.com/seed-185a7250/multiproc/proto"
)

// The helper "queuer" does with a queue what it is told.
type queueOrder struct {
	Do    string
	Value any
	N     int
}

type queueAnswer struct {
	Value any
	N     int
	Err   string
}

func init() { helpers["queuer"] = queuer }

func queuer(c *Conn) error {
	return queuerWith(c, func(queueOrder) (queueAnswer, bool) { return queueAnswer{}, false })
}

// queuerWith carries out orders; more is asked first.
func queuerWith(c *Conn, more func(queueOrder) (queueAnswer, bool)) error {
	ctx := context.Background()
	var arrived any
	if err := c.Recv(ctx, &arrived); err != nil {
		return err
	}
	var q JoinableQueue[any]
	switch a := arrived.(type) {
	case *Queue[any]:
		q.Queue = *a
	case *JoinableQueue[any]:
		q = *a
	}
	arrived = nil
	for {
		var o queueOrder
		if err := c.Recv(ctx, &o); err != nil {
			return err
		}
		if o.Do == "exit" {
			return nil
		}
		a, ok := more(o)
		if !ok {
			if err := a.carryOut(&q, o); err != nil {
				a.Err = err.Error()
			}
		}
		if err := c.Send(ctx, a); err != nil {
			return err
		}
	}
}

func (a *queueAnswer) carryOut(q *JoinableQueue[any], o queueOrder) (err error) {
	ctx := context.Background()
	switch o.Do {
	case "put":
		return q.Put(ctx, o.Value)
	case "put bytes":
		return q.Put(ctx, bytes.Repeat([]byte{byte(o.N)}, o.N))
	case "put many":
		for i := range o.N {
			if err := q.Put(ctx, i); err != nil {
				return err
			}
		}
		return nil
	case "try put":
		return q.TryPut(o.Value)
	case "get":
		a.Value, err = q.Get(ctx)
		return err
	case "get a while":
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		a.Value, err = q.Get(ctx)
		return err
	case "get bytes":
		v, err := q.Get(ctx)
		if b, ok := v.([]byte); ok {
			a.N = len(b)
			if !bytes.Equal(b, bytes.Repeat(b[:1], len(b))) {
				return errors.New("not whole")
			}
		}
		return err
	case "try get":
		a.Value, err = q.TryGet()
		return err
	case "done":
		return q.TaskDone()
	case "join":
		return q.Join(ctx)
	case "close":
		return q.Close()
	case "close now":
		return q.CloseNow()
	case "detach":
		q.Detach()
		*q = JoinableQueue[any]{}
		return untilUnmapped("multiproc-queue")
	case "len":
		a.N = q.Len()
		return nil
	}
	return fmt.Errorf("unknown order %q", o.Do)
}

// startQueuer starts a process that has the queue.
func startQueuer(t testing.TB, q proto.HandleEncoder) *child {
	t.Helper()
	c := start(t, "queuer")
	c.send(q)
	return c
}

func (c *child) order(do string, v any) { c.t.Helper(); c.send(queueOrder{Do: do, Value: v}) }

func (c *child) answers(want any, wantErr error) {
	c.t.Helper()
	a := recv[queueAnswer](c)
	text := ""
	if wantErr != nil {
		text = wantErr.Error()
	}
	if a.Err != text || !reflect.DeepEqual(a.Value, want) {
		c.t.Fatalf("the other process got %.100q and the error %q, expected %.100q and %q", fmt.Sprint(a.Value), a.Err, fmt.Sprint(want), text)
	}
}

func (c *child) puts(v any) { c.t.Helper(); c.order("put", v); c.answers(nil, nil) }
func (c *child) gets(v any) { c.t.Helper(); c.order("get", nil); c.answers(v, nil) }

func newTestQueue[T any](t testing.TB, o QueueOptions) *Queue[T] {
	t.Helper()
	q, err := NewQueue[T](o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Detach() })
	return q
}

func newTestJoinable[T any](t testing.TB, o QueueOptions) *JoinableQueue[T] {
	t.Helper()
	q, err := NewJoinableQueue[T](o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Detach() })
	return q
}

// until waits until what is said is true.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !is(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", deadline, what)
		}
	}
}

func mustPut[T any](t testing.TB, q *Queue[T], v T) {
	t.Helper()
	if err := q.Put(within(t), v); err != nil {
		t.Fatalf("put: %v", err)
	}
}

func mustGet[T any](t testing.TB, q *Queue[T], want T) {
	t.Helper()
	got, err := q.Get(within(t))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %#v, %v, expected %#v", got, err, want)
	}
}

func endedContext() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

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

// SEMANTICS 14: a value that cannot be encoded is an error from Put, at once.
func TestQueueRefusesWhatCannotBeEncoded(t *testing.T) {
	q := newTestQueue[any](t, QueueOptions{})
	if err := q.Put(within(t), make(chan int)); !errors.Is(err, proto.ErrUnsupported) {
		t.Errorf("a channel: %v", err)
	}
	if n, err := q.PutAll(within(t), []any{1, func() {}}); n != 0 || !errors.Is(err, proto.ErrUnsupported) {
		t.Errorf("a number and a function: %d, %v", n, err)
	}
	if q.Len() != 0 {
		t.Errorf("%d items", q.Len())
	}
}

// An item that holds a handle is refused, and its descriptors are closed.
func TestQueueRefusesHandles(t *testing.T) {
	checkLeaks(t)
	q := newTestQueue[any](t, QueueOptions{})
	l := newTestLock(t, LockOptions{})
	for _, v := range []any{l, q, map[string]any{"in": []any{l}}} {
		if err := q.Put(within(t), v); !errors.Is(err, ErrHandle) {
			t.Errorf("%T: %v", v, err)
		}
		if err := q.TryPut(v); !errors.Is(err, ErrHandle) {
			t.Errorf("%T: %v", v, err)
		}
	}
	if q.Len() != 0 {
		t.Errorf("%d items", q.Len())
	}
}

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

// PROGRAMS Q1, and what else there is.
func TestQueueTypes(t *testing.T) {
	q := newTestQueue[any](t, QueueOptions{})
	other := startQueuer(t, q)
	for _, v := range []any{
		[]any{int64(42), nil, "hello"}, nil, true, false, int64(0), int64(-1), int64(127), int64(128),
		int64(math.MinInt64), int64(math.MaxInt64), uint64(math.MaxUint64), 1.5, math.Inf(-1), "", "héllo",
		strings.Repeat("long", 100), []byte{}, []byte("bytes"), bytes.Repeat([]byte{7}, 5000),
		map[string]any{"a": []any{int64(1)}}, time.Unix(1, 5),
	} {
		other.puts(v)
		if at, ok := v.(time.Time); ok {
			got, err := q.Get(within(t))
			if g, ok := got.(time.Time); err != nil || !ok || !g.Equal(at) {
				t.Fatalf("got %v, %v", got, err)
			}
			continue
		}
		mustGet(t, q, v)
		mustPut(t, q, v)
		other.gets(v)
	}
}

func roundTrip[T any](t *testing.T, vs ...T) {
	t.Helper()
	q := newTestQueue[T](t, QueueOptions{Bytes: 4096})
	for _, v := range vs {
		mustPut(t, q, v)
		mustGet(t, q, v)
	}
	if n, err := q.PutAll(within(t), vs); n != len(vs) || err != nil {
		t.Fatalf("put all %T: %d, %v", vs, n, err)
	}
	got, err := q.GetUpTo(within(t), len(vs)+1)
	if err != nil || !reflect.DeepEqual(got, vs) {
		t.Fatalf("got %#v, %v, expected %#v", got, err, vs)
	}
}

func TestQueueOfOneType(t *testing.T) {
	type point struct {
		X, Y int
		Name *string
	}
	name, long := "p", strings.Repeat("s", 300)
	type id int
	roundTrip(t, 0, -1, math.MaxInt, math.MinInt, 1000)
	roundTrip[int64](t, 0, -1, math.MaxInt64, math.MinInt64)
	roundTrip[uint64](t, 0, 1, math.MaxUint64)
	roundTrip[int8](t, 0, -128, 127)
	roundTrip[id](t, 0, 5)
	roundTrip(t, 0, 1.5, math.MaxFloat64)
	roundTrip[float32](t, 0, 1.5)
	roundTrip(t, true, false)
	roundTrip(t, "", "a", long)
	roundTrip(t, []byte{}, []byte(long), nil)
	roundTrip(t, []string{"a"}, nil)
	roundTrip(t, map[string]int{"a": 1})
	roundTrip(t, point{1, 2, &name}, point{})
	roundTrip(t, &point{1, 2, nil}, nil)
}

// A value of another shape is an error of the Get that takes it, and the next one is
// good again.
func TestQueueForeignShape(t *testing.T) {
	q := newTestJoinable[any](t, QueueOptions{})
	ints := Queue[int]{x: q.x}
	small := Queue[int8]{x: q.x}
	blobs := &Queue[[]byte]{x: q.x}
	mustPut(t, &q.Queue, any("text"))
	mustPut(t, &q.Queue, any(7))
	if _, err := ints.Get(within(t)); !errors.Is(err, proto.ErrMismatch) {
		t.Fatalf("a text as a number: %v", err)
	}
	mustGet(t, &ints, 7)
	mustPut(t, &q.Queue, any(300))
	if _, err := small.TryGet(); !errors.Is(err, proto.ErrMismatch) {
		t.Fatalf("300 as an int8: %v", err)
	}
	for _, v := range []any{1, "two", 3} {
		mustPut(t, &q.Queue, v)
	}
	if got, err := ints.GetUpTo(within(t), 10); !errors.Is(err, proto.ErrMismatch) || !reflect.DeepEqual(got, []int{1, 3}) {
		t.Fatalf("1, two, 3 as numbers: %v, %v", got, err)
	}
	mustPut(t, &q.Queue, any(1))
	if _, err := GetInto(within(t), blobs, make([]byte, 10)); err == nil || q.Len() != 0 {
		t.Fatalf("a number as bytes: %v", err)
	}
	var l Lock
	h, fds := handleOf(t, q)
	h.Kind = handleLock
	var j JoinableQueue[int]
	if err := j.DecodeHandle(handleOf(t, newTestQueue[int](t, QueueOptions{}))); !errors.Is(err, ErrForeign) {
		t.Fatalf("a queue as a joinable one: %v", err)
	}
	if err := l.DecodeHandle(h, fds); !errors.Is(err, ErrForeign) {
		t.Fatalf("a queue as a lock: %v", err)
	}
}

func handleOf(t *testing.T, v proto.HandleEncoder) (proto.Handle, []int) {
	t.Helper()
	h, fds, err := v.EncodeHandle()
	if err != nil {
		t.Fatal(err)
	}
	return h, fds
}

// PITFALLS 20: 64 MiB pass whole; more is an error of the caller; memory is given back.
func TestQueueHugeItems(t *testing.T) {
	checkLeaks(t)
	q := newTestQueue[any](t, QueueOptions{})
	other := startQueuer(t, q)
	for _, n := range []int{64 << 20, 2<<20 - 20, 2 << 20, 2<<20 + 20, 3 << 20} {
		other.send(queueOrder{Do: "put bytes", N: n})
		v, err := q.Get(within(t))
		if b, ok := v.([]byte); err != nil || !ok || !bytes.Equal(b, bytes.Repeat([]byte{byte(n)}, n)) {
			t.Fatalf("%d bytes: %d, %v", n, len(b), err)
		}
		other.answers(nil, nil)
	}
	if kept := memoryOf(t, q.x); kept > 8<<20 {
		t.Errorf("%d bytes are kept for an empty queue", kept)
	}
	blobs := &Queue[[]byte]{x: q.x}
	for _, n := range []int{shm.MaxItem - 4, shm.MaxItem + 1, 1 << 30} {
		if err := blobs.Put(within(t), make([]byte, n)); !errors.Is(err, proto.ErrTooLarge) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if n, err := q.PutAll(within(t), []any{1, make([]byte, 70<<20)}); n != 0 || !errors.Is(err, proto.ErrTooLarge) {
		t.Errorf("70 MiB in a batch: %d, %v", n, err)
	}
	mustPut(t, blobs, make([]byte, 100))
	if _, err := GetInto(within(t), blobs, make([]byte, 99)); !errors.Is(err, proto.ErrTooLarge) || q.Len() != 1 {
		t.Fatalf("into a buffer that is too short: %v, %d items left", err, q.Len())
	}
	if b, err := GetInto(within(t), blobs, make([]byte, 200)); len(b) != 100 || err != nil {
		t.Fatalf("into a buffer: %d, %v", len(b), err)
	}
}

// memoryOf returns how many bytes the kernel has given to a queue.
func memoryOf(t *testing.T, x *shm.Queue) int64 {
	t.Helper()
	fd, err := x.Segment().Dup()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

// Large and huge items by several writers and readers at once.
func TestQueueLargeItemsAtOnce(t *testing.T) {
	q := newTestQueue[any](t, QueueOptions{Bytes: 1 << 20})
	sizes := []int{1, 4000, 100 << 10, 400 << 10, 700 << 10, 5 << 20, 9}
	var all sync.WaitGroup
	for range 2 {
		put, get := startQueuer(t, q), startQueuer(t, q)
		all.Go(func() {
			for range 5 {
				for _, n := range sizes {
					put.Send(within(t), queueOrder{Do: "put bytes", N: n})
					var a queueAnswer
					if err := put.Recv(within(t), &a); err != nil || a.Err != "" {
						t.Errorf("put: %v, %q", err, a.Err)
					}
				}
			}
		})
		all.Go(func() {
			for range 5 * len(sizes) {
				get.Send(within(t), queueOrder{Do: "get bytes"})
				var a queueAnswer
				if err := get.Recv(within(t), &a); err != nil || a.Err != "" {
					t.Errorf("get: %v, %q", err, a.Err)
				}
			}
		})
	}
	all.Wait()
	if q.Len() != 0 {
		t.Errorf("%d items left", q.Len())
	}
}

// A large item gets in though others put small ones as fast as there is room.
func TestQueueLargeItemBesideManySmall(t *testing.T) {
	q := newTestQueue[any](t, QueueOptions{Bytes: 64 << 10})
	a, b := startQueuer(t, q), startQueuer(t, q)
	for _, c := range []*child{a, b} {
		c.send(queueOrder{Do: "put many", N: math.MaxInt32})
	}
	until(t, "the queue is full", q.Full)
	large := startQueuer(t, q)
	large.send(queueOrder{Do: "put bytes", N: 30 << 10})
	for end := time.Now().Add(deadline); ; {
		v, err := q.Get(within(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := v.([]byte); ok {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the large item does not get in")
		}
	}
	large.answers(nil, nil)
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
