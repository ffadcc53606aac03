package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/supervisor"
)

type queueOf[T any] struct {
	Queue *ipc.Queue[T]
	Items []T
}

var putAny = supervisor.NewTask("program.put_any", func(ctx context.Context, in queueOf[any]) (int, error) {
	return in.Queue.PutAll(ctx, in.Items)
})

// Q1: a child puts [42, nil, "hello"], the parent gets it.
func TestQueueOfAnything(t *testing.T) {
	ctx, pool := program(t, 1)
	q := must[*ipc.Queue[any]](t)(ipc.NewQueue[any](ipc.QueueOptions{}))
	list := []any{int64(42), nil, "hello"}
	must[int](t)(putAny.Call(ctx, pool, queueOf[any]{q, []any{list, nil}}))
	if got, err := q.Get(ctx); err != nil || !reflect.DeepEqual(got, list) {
		t.Errorf("got %#v, %v", got, err)
	}
	if got, err := q.Get(ctx); err != nil || got != nil {
		t.Errorf("got %#v, %v", got, err)
	}
}

var putInts = supervisor.NewTask("program.put_ints", func(ctx context.Context, in queueOf[int]) (int, error) {
	for n, v := range in.Items {
		if err := in.Queue.Put(ctx, v); err != nil {
			return n, err
		}
	}
	return len(in.Items), nil
})

// Q2: exact answers about a Queue(3). The fourth put waits, and that can be seen.
func TestQueueOfThree(t *testing.T) {
	ctx, pool := program(t, 1)
	q := must[*ipc.Queue[int]](t)(ipc.NewQueue[int](ipc.QueueOptions{Items: 3}))
	check := func(when string, n int, full bool) {
		t.Helper()
		if q.Len() != n || q.Empty() != (n == 0) || q.Full() != full {
			t.Errorf("%s: len %d, empty %v, full %v", when, q.Len(), q.Empty(), q.Full())
		}
	}
	check("new", 0, false)
	if _, err := q.TryGet(); !errors.Is(err, ipc.ErrEmpty) {
		t.Errorf("get from an empty queue: %v", err)
	}
	f := must[*supervisor.Future[int]](t)(putInts.Submit(ctx, pool, queueOf[int]{q, []int{1, 2, 3, 4}}))
	for q.Putting() == 0 { // until the fourth put is seen to wait
		if err := ctx.Err(); err != nil {
			t.Fatalf("nobody waits to put: %v", err)
		}
	}
	check("after three", 3, true)
	if err := q.TryPut(5); !errors.Is(err, ipc.ErrFull) {
		t.Errorf("put into a full queue: %v", err)
	}
	if v, err := q.Get(ctx); v != 1 || err != nil {
		t.Errorf("got %d, %v", v, err)
	}
	must[int](t)(f.Get(ctx))
	check("when the fourth is in", 3, true)
	if rest, err := q.GetUpTo(ctx, 10); err != nil || !slices.Equal(rest, []int{2, 3, 4}) {
		t.Errorf("got %v, %v", rest, err)
	}
	if q.Putting() != 0 || q.Getting() != 0 {
		t.Errorf("%d wait to put, %d to get", q.Putting(), q.Getting())
	}
	check("at the end", 0, false)
}

var getInt = supervisor.NewTask("program.get_int", func(ctx context.Context, in queueOf[int]) (int, error) {
	return in.Queue.Get(ctx)
})

// Q2: a get from an empty queue waits until somebody puts.
func TestGetWaits(t *testing.T) {
	ctx, pool := program(t, 1)
	q := must[*ipc.Queue[int]](t)(ipc.NewQueue[int](ipc.QueueOptions{}))
	f := must[*supervisor.Future[int]](t)(getInt.Submit(ctx, pool, queueOf[int]{Queue: q}))
	for q.Getting() == 0 {
		if err := ctx.Err(); err != nil {
			t.Fatalf("nobody waits to get: %v", err)
		}
	}
	if err := q.Put(ctx, 7); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Get(ctx); got != 7 || err != nil {
		t.Errorf("got %d, %v", got, err)
	}
}

var consume = supervisor.NewTask("program.consume", func(ctx context.Context, in queueOf[int]) (got []int, err error) {
	for v, err := range in.Queue.All(ctx) {
		if err != nil {
			return got, err
		}
		got = append(got, v)
	}
	return got, nil
})

// Q4: a producer without an end, and consumers that stop when the queue is closed: each item once, in order.
func TestProducerWithoutEnd(t *testing.T) {
	ctx, pool := program(t, 3)
	q := must[*ipc.Queue[int]](t)(ipc.NewQueue[int](ipc.QueueOptions{Items: 10}))
	consumers := submitAll(t, ctx, pool, consume, 3, queueOf[int]{Queue: q})
	n := 0
	for ; n < 5000; n++ {
		if err := q.Put(ctx, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	var all []int
	for _, f := range consumers {
		got := must[[]int](t)(f.Get(ctx))
		if !slices.IsSorted(got) {
			t.Error("one consumer got items out of order")
		}
		all = append(all, got...)
	}
	slices.Sort(all)
	for i, v := range all {
		if i != v {
			t.Fatalf("item %d is %d", i, v)
		}
	}
	if err := q.Put(ctx, 1); len(all) != n || !errors.Is(err, ipc.ErrClosed) {
		t.Errorf("%d of %d items; put after the end: %v", len(all), n, err)
	}
}

type jobs struct{ Queue *ipc.JoinableQueue[int] }

var finish = supervisor.NewTask("program.finish", func(ctx context.Context, in jobs) (n int, err error) {
	for _, err := range in.Queue.All(ctx) {
		if err != nil {
			return n, err
		}
		if n++; n == 1 {
			continue // finished last
		}
		if err := in.Queue.TaskDone(); err != nil {
			return n, err
		}
	}
	if n > 0 {
		err = in.Queue.TaskDone()
	}
	return n, err
})

// Q6: join returns when all is done; one done too many is an error.
func TestJoin(t *testing.T) {
	ctx, pool := program(t, 2)
	in := jobs{must[*ipc.JoinableQueue[int]](t)(ipc.NewJoinableQueue[int](ipc.QueueOptions{}))}
	if err := in.Queue.Join(ctx); err != nil {
		t.Errorf("an unused queue: %v", err)
	}
	for v := range 100 {
		if err := in.Queue.Put(ctx, v); err != nil {
			t.Fatal(err)
		}
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := in.Queue.Join(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("joined with 100 unfinished: %v", err)
	}
	both := submitAll(t, ctx, pool, finish, 2, in)
	if err := in.Queue.Close(); err != nil { // the rest is drained
		t.Fatal(err)
	}
	if err := in.Queue.Join(ctx); err != nil {
		t.Errorf("join: %v", err)
	}
	n := 0
	for _, f := range both {
		n += must[int](t)(f.Get(ctx))
	}
	if left, err := in.Queue.Unfinished(); n != 100 || left != 0 || err != nil {
		t.Errorf("%d items, %d unfinished, %v", n, left, err)
	}
	if err := in.Queue.TaskDone(); !errors.Is(err, ipc.ErrDone) {
		t.Errorf("one done too many: %v", err)
	}
}

// A Messenger is an object whose methods talk over one queue, wherever it is.
type Messenger struct {
	Queue *ipc.Queue[string]
}

func (m Messenger) Send(ctx context.Context, s string) error    { return m.Queue.Put(ctx, s) }
func (m Messenger) Receive(ctx context.Context) (string, error) { return m.Queue.Get(ctx) }
func (m Messenger) SendAll(ctx context.Context, s ...string) error {
	_, err := m.Queue.PutAll(ctx, s)
	return err
}

var (
	sendOne = supervisor.NewTask("program.send", func(ctx context.Context, m Messenger) (struct{}, error) {
		return struct{}{}, m.Send(ctx, "one")
	})
	sendAll = supervisor.NewTask("program.send_all", func(ctx context.Context, m Messenger) (struct{}, error) {
		return struct{}{}, m.SendAll(ctx, "two", "three", "four")
	})
	receive = supervisor.NewTask("program.receive", func(ctx context.Context, m Messenger) (got []string, err error) {
		for range 4 {
			s, err := m.Receive(ctx)
			if err != nil {
				return got, err
			}
			got = append(got, s)
		}
		return got, nil
	})
)

// Q7: the methods of one object in three processes.
func TestObjectInThreeProcesses(t *testing.T) {
	ctx, pool := program(t, 3)
	m := Messenger{must[*ipc.Queue[string]](t)(ipc.NewQueue[string](ipc.QueueOptions{}))}
	receiver := must[*supervisor.Future[[]string]](t)(receive.Submit(ctx, pool, m))
	one := must[*supervisor.Future[struct{}]](t)(sendOne.Submit(ctx, pool, m))
	all := must[*supervisor.Future[struct{}]](t)(sendAll.Submit(ctx, pool, m))
	must[struct{}](t)(one.Get(ctx))
	must[struct{}](t)(all.Get(ctx))
	got := must[[]string](t)(receiver.Get(ctx))
	if text := strings.ReplaceAll(strings.Join(got, " "), "one", ""); strings.Join(strings.Fields(text), " ") != "two three four" || !slices.Contains(got, "one") {
		t.Errorf("received %q", got)
	}
}

type line struct{ Conn *ipc.Conn }

var chat = supervisor.NewTask("program.chat", func(ctx context.Context, in line) (got string, err error) {
	defer in.Conn.Close()
	if err := errors.Join(in.Conn.Send(ctx, []any{42, nil, "hello"}), in.Conn.Send(ctx, "")); err != nil {
		return "", err
	}
	return got, in.Conn.Recv(ctx, &got)
})

// Q8: two messages from the child, one from the parent, then the end.
func TestDuplexPipe(t *testing.T) {
	ctx, pool := program(t, 1)
	ours, theirs, err := ipc.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	f := must[*supervisor.Future[string]](t)(chat.Submit(ctx, pool, line{theirs}))
	theirs.Close()
	var first []any
	second := "?"
	if err := errors.Join(ours.Recv(ctx, &first), ours.Recv(ctx, &second), ours.Send(ctx, "bye")); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(first, []any{int64(42), nil, "hello"}) || second != "" {
		t.Errorf("got %#v and %q", first, second)
	}
	if got, err := f.Get(ctx); got != "bye" || err != nil {
		t.Errorf("the child got %q, %v", got, err)
	}
	if err := ours.Recv(ctx, &second); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
}

type big struct{ Memory *ipc.SharedMemory }

var checksum = supervisor.NewTask("program.checksum", func(_ context.Context, in big) (sum uint32, err error) {
	b := in.Memory.Bytes()
	sum = crc32.ChecksumIEEE(b)
	b[0] = 'X' // the parent sees it: there is one copy
	return sum, in.Memory.Close()
})

// Q9: a hundred megabytes go as a descriptor. Through a queue they are refused, and the error says why.
func TestBigThingsByHandle(t *testing.T) {
	const size = 100 << 20
	ctx, pool := program(t, 1)
	m := must[*ipc.SharedMemory](t)(ipc.NewSharedMemory(size))
	defer m.Close()
	b := m.Bytes()
	for i := 0; i < size; i += 4096 {
		b[i] = byte(i >> 12)
	}
	want := crc32.ChecksumIEEE(b)
	if sum, err := checksum.Call(ctx, pool, big{m}); err != nil || sum != want {
		t.Errorf("got %x, %v; want %x", sum, err, want)
	}
	if b[0] != 'X' || len(b) != size {
		t.Errorf("the child wrote into a copy")
	}
	q := must[*ipc.Queue[any]](t)(ipc.NewQueue[any](ipc.QueueOptions{}))
	if err := q.TryPut(m); !errors.Is(err, ipc.ErrHandle) {
		t.Errorf("memory put into a queue: %v", err)
	}
	if err := q.TryPut(b); err == nil {
		t.Error("100 MB were put into a queue")
	} else if fmt.Sprint(err) == "" || q.Len() != 0 {
		t.Errorf("%v, %d items", err, q.Len())
	}
}
