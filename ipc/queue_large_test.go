package ipc

import (
	"bytes"
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
	"github.com/seed-185a7250/multiproc/proto"
)

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
