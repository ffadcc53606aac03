package ipc

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/proto"
)

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

// A queue whose memory says of its ring what cannot be is refused: to put into it would
// wait for ever.
func TestQueueForeignRing(t *testing.T) {
	checkLeaks(t)
	q := newTestQueue[int](t, QueueOptions{})
	h, fds := handleOf(t, q)
	again, err := unix.Dup(fds[0])
	if err != nil {
		t.Fatal(err)
	}
	const units = 65 // the word for the size of the ring
	q.x.Segment().Word(units).Store(3000)
	q.Detach() // else what arrives is this one
	if err := new(Queue[int]).DecodeHandle(h, fds); !errors.Is(err, ErrForeign) {
		t.Errorf("as a queue: %v", err)
	}
	p := proto.Payload{Bytes: append(proto.AppendExtHeader(nil, proto.ExtHandle, 3), handleQueue, 0, 1), FDs: []int{again}}
	left, err := proto.Unmarshal(p, new(any), proto.Limits{})
	CloseFDs(left)
	if !errors.Is(err, ErrForeign) {
		t.Errorf("as anything: %v", err)
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
