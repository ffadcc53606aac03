package ipc

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
	"github.com/seed-185a7250/multiproc/proto"
)

// QueueOptions of a Queue; the zero value is good.
type QueueOptions struct {
	// Name is for people.
	Name string
	// Items is how many items the queue may hold; 0 is no bound but Bytes.
	Items int
	// Bytes is how many bytes of items it may hold, each with some ten bytes around it,
	// rounded up to a power of two; 0 is 4 MiB, the most 4 GiB. Memory is used as it is
	// needed. An item of more than half of that is taken too, one at a time.
	Bytes int
	// Redeliver, for a JoinableQueue, gives the items that a process took and had not
	// finished when it died to another. Otherwise they count as finished, and as Lost. So
	// after Close, Get waits as long as another process has such an item (but not for one
	// that itself waits so, with items of its own): ErrClosed means that none comes back.
	Redeliver bool

	joinable bool
}

// A Queue passes values of type T between goroutines of any process: first in, first
// out, each to one of those who get. A value is in it whole or not at all, whoever dies
// at whatever moment; an item that was taken is lost with the process that took it. No
// process needs another one to end, be the queue empty or full.
//
// A value with a handle in it (a lock, a file) is refused with ErrHandle. An item is up
// to 64 MiB long.
//
// Close is for all processes, as closing a channel is for all goroutines; what Close is
// for a Lock, the end of its use in this process, is Detach. A queue that nobody uses
// any more is freed by the garbage collectors of those who had it.
type Queue[T any] struct{ x *shm.Queue }

// NewQueue creates an empty queue.
func NewQueue[T any](o QueueOptions) (*Queue[T], error) {
	if o.Redeliver {
		return nil, fmt.Errorf("ipc: new queue: Redeliver is for a JoinableQueue")
	}
	x, err := newQueue(o)
	if err != nil {
		return nil, err
	}
	return &Queue[T]{x: x}, nil
}

func newQueue(o QueueOptions) (*shm.Queue, error) {
	if o.Items < 0 || o.Bytes < 0 || o.Bytes > 1<<32 {
		return nil, fmt.Errorf("ipc: queue of %d items and %d bytes, expected at least 0 and at most 4 GiB", o.Items, o.Bytes)
	}
	if o.Bytes == 0 {
		o.Bytes = 4 << 20
	}
	flags := uint64(0)
	if o.joinable {
		flags |= shm.FlagJoin
	}
	if o.Redeliver {
		flags |= shm.FlagRedeliver
	}
	s, err := shm.Create(shm.QueueConfig(o.Name, o.Bytes, flags), buildQueue)
	if err != nil {
		return nil, fmt.Errorf("ipc: new queue: %w", err)
	}
	x := s.Object().(*shm.Queue)
	x.Init(o.Bytes, uint64(o.Items))
	return x, nil
}

func buildQueue(s *shm.Segment) any { return shm.NewQueue(s) }

// Put appends v, or waits for room until ctx ends. A value that cannot be encoded is an
// error at once (ErrHandle, proto.ErrUnsupported, proto.ErrTooLarge). It returns
// ErrClosed after Close.
func (q *Queue[T]) Put(ctx context.Context, v T) error { return q.put(ctx, v, true) }

// TryPut appends v if there is room, and returns ErrFull if not.
func (q *Queue[T]) TryPut(v T) error { return q.put(context.Background(), v, false) }

func (q *Queue[T]) put(ctx context.Context, v T, wait bool) error {
	if q.x == nil {
		return ErrClosed
	}
	var scratch [128]byte
	head, body, ok := encodeQuick(scratch[:0], &v)
	if !ok {
		return q.putSlow(ctx, v, wait)
	}
	err := q.x.TryPut(ctx, head, body, wait)
	if err == shm.ErrWouldBlock && wait {
		// Not scratch itself: else every call would have to get it from the heap.
		_, err = q.x.PutAll(ctx, []shm.Item{{append([]byte(nil), head...), body}})
	}
	if err == nil {
		return nil
	}
	return putError(err)
}

// putSlow is for values that are encoded by reflection.
func (q *Queue[T]) putSlow(ctx context.Context, v T, wait bool) error {
	b, err := encodeItem(v)
	if err == nil {
		err = q.x.TryPut(ctx, b, nil, wait)
	}
	if err == shm.ErrWouldBlock && wait {
		_, err = q.x.PutAll(ctx, []shm.Item{{b}})
	}
	return putError(err)
}

// PutAll appends all of vs, in this order but maybe with others between them, or as
// many as it can until ctx ends, and returns how many. If one cannot be encoded, none is
// appended.
func (q *Queue[T]) PutAll(ctx context.Context, vs []T) (int, error) {
	if q.x == nil {
		return 0, ErrClosed
	}
	items, err := encodeAll(vs)
	if err != nil {
		return 0, err
	}
	n, err := q.x.PutAll(ctx, items)
	return n, putError(err)
}

func putError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, shm.ErrWouldBlock):
		return ErrFull
	case errors.Is(err, shm.ErrTooLarge):
		return fmt.Errorf("ipc: queue: %w: an item of more than %d bytes", proto.ErrTooLarge, shm.MaxItem)
	}
	return named(err)
}

// Get takes the oldest item, or waits for one until ctx ends. After Close it returns
// what is left, then ErrClosed. An item that does not fit a T is taken too, and the error
// is that of proto.Unmarshal.
func (q *Queue[T]) Get(ctx context.Context) (T, error) { return q.get(ctx, true) }

// TryGet takes the oldest item if there is one, and returns ErrEmpty if not.
func (q *Queue[T]) TryGet() (T, error) { return q.get(context.Background(), false) }

func (q *Queue[T]) get(ctx context.Context, wait bool) (v T, err error) {
	if q.x == nil {
		return v, ErrClosed
	}
	t, err := q.x.Take(ctx, wait)
	if err != nil {
		return v, getError(err)
	}
	if decodeQuick(t.Content(), &v) {
		t.Accept()
		t.Close()
		return v, nil
	}
	// From a copy, so that the others can go on.
	b := append([]byte(nil), t.Content()...)
	t.Accept()
	t.Close()
	return decodeItem[T](b)
}

// GetUpTo waits for an item until ctx ends, and takes up to n of them at once. With an
// error, those that fit a T are returned with it.
func (q *Queue[T]) GetUpTo(ctx context.Context, n int) ([]T, error) {
	if q.x == nil {
		return nil, ErrClosed
	}
	if n < 1 {
		return nil, fmt.Errorf("ipc: get up to %d items, expected at least 1", n)
	}
	t, err := q.x.Take(ctx, true)
	if err != nil {
		return nil, getError(err)
	}
	var l later[T]
	vs := make([]T, 0, min(n, 64))
	for more := true; more; {
		var v T
		if b := t.Content(); !decodeQuick(b, &v) {
			l.add(len(vs), b)
		}
		vs = append(vs, v)
		t.Accept()
		if more = len(vs) < n; more {
			more, err = t.Next()
		}
	}
	t.Close()
	vs, late := l.decode(vs)
	return vs, errors.Join(named(err), late)
}

func getError(err error) error {
	if errors.Is(err, shm.ErrWouldBlock) {
		return ErrEmpty
	}
	return named(err)
}

// GetInto takes the oldest item of a queue of bytes into buf and returns the part that
// it fills. If the item is longer it stays, and the error (proto.ErrTooLarge) tells how
// long it is.
func GetInto(ctx context.Context, q *Queue[[]byte], buf []byte) ([]byte, error) {
	if q.x == nil {
		return nil, ErrClosed
	}
	t, err := q.x.Take(ctx, true)
	if err != nil {
		return nil, getError(err)
	}
	defer t.Close()
	content, err := proto.ParseBin(t.Content())
	if err != nil {
		t.Accept()
		return nil, fmt.Errorf("ipc: queue: %w", err)
	}
	if len(content) > len(buf) {
		return nil, fmt.Errorf("ipc: queue: %w: an item of %d bytes for a buffer of %d", proto.ErrTooLarge, len(content), len(buf))
	}
	t.Accept()
	return buf[:copy(buf, content)], nil
}

// All gets items until the queue is closed and empty, or ctx ends; the error of that is
// its last element, unless it is ErrClosed.
func (q *Queue[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			v, err := q.Get(ctx)
			if errors.Is(err, ErrClosed) {
				return
			}
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// Len returns how many items there are, exactly so many at one moment.
func (q *Queue[T]) Len() int {
	if q.x == nil {
		return 0
	}
	return q.x.Len()
}

// Empty tells whether there is no item.
func (q *Queue[T]) Empty() bool { return q.Len() == 0 }

// Full tells whether not even an item of no length could be put now.
func (q *Queue[T]) Full() bool { return q.x != nil && q.x.Full() }

// Getting returns how many processes wait for an item, however many goroutines of each.
func (q *Queue[T]) Getting() int {
	if q.x == nil {
		return 0
	}
	return q.x.Getting()
}

// Putting returns how many processes wait for room, likewise.
func (q *Queue[T]) Putting() int {
	if q.x == nil {
		return 0
	}
	return q.x.Putting()
}

// Close shuts the queue down for all processes: nothing can be put any more, those who
// wait to put return ErrClosed, what is in it can be taken, then Get returns ErrClosed.
// Closing twice is fine.
func (q *Queue[T]) Close() error { return q.shutdown(false) }

// CloseNow shuts the queue down for all processes and drops what is in it. In a
// JoinableQueue that counts as finished.
func (q *Queue[T]) CloseNow() error { return q.shutdown(true) }

func (q *Queue[T]) shutdown(now bool) error {
	if q.x == nil {
		return ErrClosed
	}
	return named(q.x.Shutdown(now))
}

// Closed tells whether the queue was closed, by any process. It may still hold items.
func (q *Queue[T]) Closed() bool { return q.x == nil || q.x.Shut() }

// Name returns QueueOptions.Name.
func (q *Queue[T]) Name() string {
	if q.x == nil {
		return ""
	}
	return q.x.Segment().Name()
}

// Detach ends the use of the queue in this process, for all its handles: those who wait
// return ErrClosed. Other processes go on. Detaching twice is fine.
func (q *Queue[T]) Detach() error {
	if q.x != nil {
		q.x.Segment().Close()
	}
	return nil
}

// EncodeHandle implements proto.HandleEncoder.
func (q *Queue[T]) EncodeHandle() (proto.Handle, []int, error) {
	if q.x == nil {
		return proto.Handle{}, nil, ErrClosed
	}
	return encodeSegment(handleQueue, q.x.Segment())
}

// DecodeHandle implements proto.HandleDecoder. It returns ErrForeign for anything but a
// queue; whether its items fit T is seen when one is taken.
func (q *Queue[T]) DecodeHandle(h proto.Handle, fds []int) error {
	x, err := openQueue(h, fds)
	if err == nil {
		q.x = x
	}
	return err
}

func openQueue(h proto.Handle, fds []int) (*shm.Queue, error) {
	s, err := openSegment(h, fds, handleQueue, shm.KindQueue, buildQueue)
	if err != nil {
		return nil, err
	}
	x := s.Object().(*shm.Queue)
	if x.Cap() == 0 {
		return nil, fmt.Errorf("%w: a queue without a ring that fits its memory", ErrForeign)
	}
	return x, nil
}
