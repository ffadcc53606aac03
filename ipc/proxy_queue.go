package ipc

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/seed-185a7250/multiproc/proto"
)

// A QueueKind is in which order a queue gives its items.
type QueueKind string

const (
	FIFO     QueueKind = "queue"          // in which they came
	Joinable QueueKind = "joinable_queue" // so too; every kind can be joined
	Simple   QueueKind = "simple_queue"   // so too
	LIFO     QueueKind = "lifo_queue"     // the last one first
	Priority QueueKind = "priority_queue" // the smallest first; of equal ones, the one that came first
)

var queueKinds = []string{string(FIFO), string(Joinable), string(Simple), string(LIFO), string(Priority)}

// A ManagedQueue passes values of type T between anybody who has it, through a manager. An item is given to one of those who get, in the order in which they asked; a get that is
// cancelled, or whose connection has ended, takes none. Any kind knows which items are not finished yet: see TaskDone and Join.
//
// Close is for all, as closing a channel is for all goroutines; the end of the use of this proxy is Detach.
type ManagedQueue[T any] struct {
	Proxy `msgpack:"-"`
}

// NewManagedQueue creates an empty queue of a kind, for maxsize items; 0: any number.
func NewManagedQueue[T any](ctx context.Context, c *Client, o ManagedOptions, kind QueueKind, maxsize int) (*ManagedQueue[T], error) {
	p, err := c.createProxy(ctx, o, string(kind), maxsize)
	if err != nil {
		return nil, err
	}
	return &ManagedQueue[T]{p}, nil
}

// OpenManagedQueue returns the queue with this name, of any kind. It returns ErrUnknown if there is none, ErrForeign if that is something else.
func OpenManagedQueue[T any](ctx context.Context, c *Client, name string) (*ManagedQueue[T], error) {
	p, err := c.openProxy(ctx, name, queueKinds...)
	if err != nil {
		return nil, err
	}
	return &ManagedQueue[T]{p}, nil
}

// DecodeHandle implements proto.HandleDecoder.
func (q *ManagedQueue[T]) DecodeHandle(h proto.Handle, fds []int) error {
	return q.decode(h, fds, queueKinds...)
}

// Put puts an item, or waits for room until ctx ends, and returns the error of ctx then. It returns ErrClosed after Close; and ErrType for an item that has no order with another in a
// queue of kind Priority.
func (q *ManagedQueue[T]) Put(ctx context.Context, v T) error { return q.put(ctx, v, true) }

// TryPut puts an item if there is room, and returns ErrFull if not.
func (q *ManagedQueue[T]) TryPut(ctx context.Context, v T) error { return q.put(ctx, v, false) }

func (q *ManagedQueue[T]) put(ctx context.Context, v T, wait bool) error {
	x, err := q.begin(ctx, "put", 1)
	if err != nil {
		return err
	}
	defer x.free()
	put(x, &v)
	if wait {
		return x.call(ctx, 0)
	}
	return x.try(ctx, 0)
}

// Get takes an item, or waits for one until ctx ends, and returns the error of ctx then. After Close it returns what is left, then ErrClosed. An item that does not fit a T is taken too.
func (q *ManagedQueue[T]) Get(ctx context.Context) (T, error) { return q.get(ctx, true) }

// TryGet takes an item if there is one, and returns ErrEmpty if not.
func (q *ManagedQueue[T]) TryGet(ctx context.Context) (T, error) { return q.get(ctx, false) }

func (q *ManagedQueue[T]) get(ctx context.Context, wait bool) (v T, err error) {
	x, err := q.begin(ctx, "get", 0)
	if err != nil {
		return v, err
	}
	defer x.free()
	if wait {
		err = x.call(ctx, 0)
	} else {
		err = x.try(ctx, 0)
	}
	if err != nil {
		return v, err
	}
	return resultOf[T](x)
}

// PutAll puts all of vs, with nothing between them, or, when ctx ends before there is room for all, none. With a ctx that has ended it puts as many as there is room for. It returns how many
// it put.
func (q *ManagedQueue[T]) PutAll(ctx context.Context, vs []T) (int, error) {
	if len(vs) == 0 {
		return 0, nil
	}
	n, err := ask[int](ctx, &q.Proxy, "put_many", some(vs))
	if err == nil && n < len(vs) {
		err = ctx.Err()
	}
	return n, err
}

// GetUpTo waits for an item until ctx ends, and takes up to n at once. n is at least 1.
func (q *ManagedQueue[T]) GetUpTo(ctx context.Context, n int) ([]T, error) {
	return askEach(ctx, &q.Proxy, partOf[T], "get_many", n)
}

// All gets items until the queue is closed and empty, or ctx ends; the error of that is its last element, unless it is ErrClosed.
func (q *ManagedQueue[T]) All(ctx context.Context) iter.Seq2[T, error] {
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
func (q *ManagedQueue[T]) Len(ctx context.Context) (int, error) {
	return ask[int](ctx, &q.Proxy, "len")
}

// Empty tells whether there is no item, Full whether there is no room for one.
func (q *ManagedQueue[T]) Empty(ctx context.Context) (bool, error) {
	return ask[bool](ctx, &q.Proxy, "empty")
}

// Full: see Empty.
func (q *ManagedQueue[T]) Full(ctx context.Context) (bool, error) {
	return ask[bool](ctx, &q.Proxy, "full")
}

// MaxSize returns how many items there may be; 0 or less: any number.
func (q *ManagedQueue[T]) MaxSize(ctx context.Context) (int, error) {
	return ask[int](ctx, &q.Proxy, "maxsize")
}

// SetMaxSize changes how many items there may be, and returns how many it was before.
func (q *ManagedQueue[T]) SetMaxSize(ctx context.Context, n int) (int, error) {
	return ask[int](ctx, &q.Proxy, "maxsize", n)
}

// TaskDone says that n items that were got are finished. It returns ErrDone, and changes nothing, if there are not so many.
func (q *ManagedQueue[T]) TaskDone(ctx context.Context, n int) error {
	err := q.tell(ctx, "task_done", n)
	if errors.Is(err, ErrValue) {
		err = fmt.Errorf("%w: %w", ErrDone, err)
	}
	return err
}

// Join waits until every item that was put is finished, or ctx ends.
func (q *ManagedQueue[T]) Join(ctx context.Context) error { return q.tell(ctx, "join") }

// Unfinished returns how many items are not finished.
func (q *ManagedQueue[T]) Unfinished(ctx context.Context) (int, error) {
	return ask[int](ctx, &q.Proxy, "unfinished")
}

// Close shuts the queue down for all: nothing can be put any more, those who wait to put get ErrClosed, what is in it can be taken, then Get returns ErrClosed. Closing twice is fine.
func (q *ManagedQueue[T]) Close(ctx context.Context) error { return q.tell(ctx, "close") }

// CloseNow shuts the queue down for all and drops what is in it, which counts as finished.
func (q *ManagedQueue[T]) CloseNow(ctx context.Context) error { return q.tell(ctx, "close", true) }

// Closed tells whether the queue was closed. It may still hold items.
func (q *ManagedQueue[T]) Closed(ctx context.Context) (bool, error) {
	return ask[bool](ctx, &q.Proxy, "closed")
}

// Getting returns how many wait for an item, Putting how many wait for room.
func (q *ManagedQueue[T]) Getting(ctx context.Context) (int, error) {
	return ask[int](ctx, &q.Proxy, "getting")
}

// Putting: see Getting.
func (q *ManagedQueue[T]) Putting(ctx context.Context) (int, error) {
	return ask[int](ctx, &q.Proxy, "putting")
}

// Detach ends the use of this proxy: what Close is for others.
func (q *ManagedQueue[T]) Detach() error {
	q.Discard()
	return nil
}
