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
	// rounded up to a power of two; 0 is 4 MiB. A larger item than half of that is taken
	// too, one at a time.
	Bytes int
	// Redeliver, for a JoinableQueue, gives the items that a process took and had not
	// finished when it died to another. Otherwise they count as finished.
	Redeliver bool

	joinable bool
}

// A Queue passes values of type T between goroutines of any process: first in, first
// out, each to one of those who get. A value is in it whole or not at all, whoever dies
// at whatever moment; an item that was taken is lost with the process that took it.
//
// A value with a handle in it (a lock, a file) is refused with ErrHandle. An item is up
// to 64 MiB long.
type Queue[T any] struct{ x *shm.Queue }

// NewQueue creates an empty queue.
func NewQueue[T any](o QueueOptions) (*Queue[T], error) {
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
// ErrClosed after CloseQueue.
func (q *Queue[T]) Put(ctx context.Context, v T) error { return q.putOne(ctx, v, true) }

// TryPut appends v if there is room, and returns ErrFull if not.
func (q *Queue[T]) TryPut(v T) error { return q.putOne(context.Background(), v, false) }

func (q *Queue[T]) putOne(ctx context.Context, v T, wait bool) error {
	if q.x == nil {
		return ErrClosed
	}
	var scratch [128]byte
	head, body, err := encodeItem(scratch[:0], v)
	if err != nil {
		return err
	}
	return putError(q.x.Put(ctx, head, body, wait))
}

// PutAll appends all of vs, in this order but maybe with others between them, or as
// many as it can until ctx ends, and returns how many.
func (q *Queue[T]) PutAll(ctx context.Context, vs []T) (int, error) {
	if q.x == nil {
		return 0, ErrClosed
	}
	heads, bodies := make([][]byte, len(vs)), make([][]byte, len(vs))
	buf := make([]byte, 0, 16*len(vs))
	for i, v := range vs {
		before := len(buf)
		head, body, err := encodeItem(buf, v)
		if err != nil {
			return 0, err
		}
		heads[i], bodies[i] = head[before:], body
		buf = head
	}
	done := 0
	err := q.x.PutAll(ctx, len(vs), func(i int) ([]byte, []byte) {
		done = i
		return heads[i], bodies[i]
	}, true)
	if err == nil {
		done = len(vs)
	}
	return done, putError(err)
}

func putError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, shm.ErrWouldBlock):
		return ErrFull
	case errors.Is(err, shm.ErrTooLarge):
		return fmt.Errorf("ipc: queue: %w: an item of more than %d bytes", proto.ErrTooLarge, shm.MaxItem-8)
	}
	return named(err)
}

// Get takes the oldest item, or waits for one until ctx ends. After CloseQueue it
// returns what is left, then ErrClosed.
func (q *Queue[T]) Get(ctx context.Context) (v T, err error) {
	return v, q.getOne(ctx, &v, true)
}

// TryGet takes the oldest item if there is one, and returns ErrEmpty if not.
func (q *Queue[T]) TryGet() (v T, err error) {
	return v, q.getOne(context.Background(), &v, false)
}

func (q *Queue[T]) getOne(ctx context.Context, v *T, wait bool) error {
	if q.x == nil {
		return ErrClosed
	}
	var d decoder
	err := q.x.Get(ctx, 1, func(b []byte) { d.take(v, b) }, wait)
	if err != nil {
		return getError(err)
	}
	return d.finish(v)
}

// GetUpTo waits for an item until ctx ends, and takes up to n of them at once.
func (q *Queue[T]) GetUpTo(ctx context.Context, n int) ([]T, error) {
	if q.x == nil {
		return nil, ErrClosed
	}
	if n < 1 {
		return nil, fmt.Errorf("ipc: get up to %d items, expected at least 1", n)
	}
	vs := make([]T, 0, min(n, 64))
	var first error
	err := q.x.Get(ctx, n, func(b []byte) {
		var v T
		var d decoder
		d.take(&v, b)
		if err := d.finish(&v); err != nil && first == nil {
			first = err
		}
		vs = append(vs, v)
	}, true)
	if err != nil {
		return nil, getError(err)
	}
	return vs, first
}

func getError(err error) error {
	if errors.Is(err, shm.ErrWouldBlock) {
		return ErrEmpty
	}
	return named(err)
}

// GetInto takes the oldest item of a Queue[[]byte] into buf and returns the part that it
// fills. If the item is longer, it is lost and the error tells how long it is.
func GetInto(ctx context.Context, q *Queue[[]byte], buf []byte) ([]byte, error) {
	if q.x == nil {
		return nil, ErrClosed
	}
	var failed error
	err := q.x.Get(ctx, 1, func(b []byte) {
		content, err := proto.ParseBin(b)
		if err == nil && len(content) > len(buf) {
			err = fmt.Errorf("ipc: queue: %w: an item of %d bytes for a buffer of %d", proto.ErrTooLarge, len(content), len(buf))
		}
		buf, failed = buf[:copy(buf, content)], err
	}, true)
	if err != nil {
		return nil, getError(err)
	}
	return buf, failed
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

// Len returns how many items there are.
func (q *Queue[T]) Len() int {
	if q.x == nil {
		return 0
	}
	return q.x.Len()
}

// Empty tells whether there is none, Full whether there is room for none.
func (q *Queue[T]) Empty() bool { return q.Len() == 0 }

// Full: see Empty.
func (q *Queue[T]) Full() bool {
	if q.x == nil {
		return false
	}
	full, _ := q.x.Full()
	return full
}

// Getting returns how many processes wait for an item, Putting how many for room.
func (q *Queue[T]) Getting() int {
	if q.x == nil {
		return 0
	}
	return q.x.Getting()
}

// Putting: see Getting.
func (q *Queue[T]) Putting() int {
	if q.x == nil {
		return 0
	}
	return q.x.Putting()
}

// CloseQueue shuts the queue down for all processes: nothing can be put any more, what
// is in it can be taken, then Get returns ErrClosed.
func (q *Queue[T]) CloseQueue() error { return q.shutdown(false) }

// CloseNow shuts the queue down for all processes and drops what is in it.
func (q *Queue[T]) CloseNow() error { return q.shutdown(true) }

func (q *Queue[T]) shutdown(now bool) error {
	if q.x == nil {
		return ErrClosed
	}
	return named(q.x.Shutdown(now))
}

// Name returns QueueOptions.Name.
func (q *Queue[T]) Name() string {
	if q.x == nil {
		return ""
	}
	return q.x.Segment().Name()
}

// Close ends the use of the queue in this process only; see CloseQueue.
func (q *Queue[T]) Close() error {
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

// DecodeHandle implements proto.HandleDecoder.
func (q *Queue[T]) DecodeHandle(h proto.Handle, fds []int) error {
	s, err := openSegment(h, fds, handleQueue, shm.KindQueue, buildQueue)
	if err == nil {
		q.x = s.Object().(*shm.Queue)
	}
	return err
}

// A JoinableQueue is a Queue that knows which items are not finished yet: those in it,
// and those that were taken and for which nobody has called TaskDone.
type JoinableQueue[T any] struct {
	Queue[T] `msgpack:"-"` // not a field of it, but what it is
}

// NewJoinableQueue creates an empty queue.
func NewJoinableQueue[T any](o QueueOptions) (*JoinableQueue[T], error) {
	o.joinable = true
	x, err := newQueue(o)
	if err != nil {
		return nil, err
	}
	return &JoinableQueue[T]{Queue: Queue[T]{x: x}}, nil
}

// DecodeHandle implements proto.HandleDecoder. It returns ErrForeign for a queue that does not know what is finished.
func (q *JoinableQueue[T]) DecodeHandle(h proto.Handle, fds []int) error {
	if err := q.Queue.DecodeHandle(h, fds); err != nil {
		return err
	}
	if !q.x.Joinable() {
		q.x = nil // not closed: other handles of it may be in use here
		return fmt.Errorf("%w: a queue, expected a joinable queue", ErrForeign)
	}
	return nil
}

// TaskDone says that an item is finished: one that this process took, or if there is
// none, one that any other took. It returns ErrDone if there is none.
func (q *JoinableQueue[T]) TaskDone() error {
	if q.x == nil {
		return ErrClosed
	}
	return named(q.x.Done())
}

// Unfinished returns how many items are not finished.
func (q *JoinableQueue[T]) Unfinished() (int, error) {
	if q.x == nil {
		return 0, ErrClosed
	}
	n, err := q.x.Unfinished()
	return n, named(err)
}

// Join waits until every item is finished, or ctx ends.
func (q *JoinableQueue[T]) Join(ctx context.Context) error {
	if q.x == nil {
		return ErrClosed
	}
	return named(q.x.Join(ctx))
}

// encodeItem appends the encoding of v to b; the bytes of a large []byte stay where
// they are, as the body.
func encodeItem(b []byte, v any) (head, body []byte, err error) {
	switch v := v.(type) {
	case int:
		return proto.AppendInt(b, int64(v)), nil, nil
	case int64:
		return proto.AppendInt(b, v), nil, nil
	case uint64:
		return proto.AppendUint(b, v), nil, nil
	case string:
		return proto.AppendString(b, v), nil, nil
	case []byte:
		if v != nil {
			return proto.AppendBinHeader(b, len(v)), v, nil
		}
	}
	p, err := proto.Marshal(v)
	if len(p.FDs) > 0 {
		CloseFDs(p.FDs)
		if err == nil {
			err = ErrHandle
		}
	}
	if err != nil {
		return nil, nil, err
	}
	return append(b, p.Bytes...), nil, nil
}

// A decoder decodes one item: what is quick at once, where the content lies, and the
// rest from a copy when the queue is not held any more.
type decoder struct {
	late []byte
	done bool
	err  error
}

func (d *decoder) take(v any, b []byte) {
	switch v := v.(type) {
	case *int:
		n, err := proto.ParseInt(b)
		*v, d.err, d.done = int(n), err, err == nil
	case *int64:
		*v, d.err = proto.ParseInt(b)
		d.done = d.err == nil
	case *[]byte:
		if content, err := proto.ParseBin(b); err == nil {
			*v, d.done = append(make([]byte, 0, len(content)), content...), true
		}
	}
	if !d.done {
		d.late = append([]byte(nil), b...)
	}
}

func (d *decoder) finish(v any) error {
	if d.done {
		return nil
	}
	left, err := proto.Unmarshal(proto.Payload{Bytes: d.late}, v, proto.Limits{})
	CloseFDs(left)
	if err != nil {
		return fmt.Errorf("ipc: queue: %w", err)
	}
	return nil
}
