package ipc

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
	"github.com/seed-185a7250/multiproc/proto"
)

// A JoinableQueue is a Queue that knows which items are not finished yet: those in it,
// and those that were taken and not said to be done.
//
// What a process took and had not finished when it died (or detached) is given to others
// or counts as finished and lost; see QueueOptions.Redeliver. With Redeliver an item is
// finished at least once, and keeps its bytes of the queue until then.
type JoinableQueue[T any] struct {
	Queue[T] `msgpack:"-"` // not a field: the handle itself
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

// EncodeHandle implements proto.HandleEncoder.
func (q *JoinableQueue[T]) EncodeHandle() (proto.Handle, []int, error) {
	return q.Queue.EncodeHandle()
}

// DecodeHandle implements proto.HandleDecoder. It returns ErrForeign for anything but a
// joinable queue.
func (q *JoinableQueue[T]) DecodeHandle(h proto.Handle, fds []int) error {
	var plain Queue[T]
	if err := plain.DecodeHandle(h, fds); err != nil {
		return err
	}
	if !plain.x.Joinable() {
		return fmt.Errorf("%w: a queue, not a joinable one", ErrForeign)
	}
	q.Queue = plain
	return nil
}

// A Task is an item that was taken, with its name: so that several goroutines of one
// process may finish theirs in any order, and Redeliver knows which are left.
type Task[T any] struct {
	Value T
	x     *shm.Queue
	pos   uint32
	done  *atomic.Bool
}

// Take is Get for a Task.
func (q *JoinableQueue[T]) Take(ctx context.Context) (Task[T], error) {
	if q.x == nil {
		return Task[T]{}, ErrClosed
	}
	t, err := q.x.Take(ctx, true)
	if err != nil {
		return Task[T]{}, getError(err)
	}
	b := append([]byte(nil), t.Content()...)
	task := Task[T]{x: q.x, pos: t.Pos(), done: new(atomic.Bool)}
	t.Accept()
	t.Close()
	task.Value, err = decodeItem[T](b)
	return task, err
}

// Done says that the task is finished. It returns ErrDone the second time.
func (t Task[T]) Done() error {
	if t.x == nil || t.done.Swap(true) {
		return ErrDone
	}
	return named(t.x.DoneAt(t.pos))
}

// TaskDone says that an item is finished: the one that this process took first of those
// that it has not finished, or if there is none, one that any other took. It returns
// ErrDone if there is none. A process that finishes its items in another order than it
// took them uses Take.
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

// Lost returns how many items were taken by processes that died before they had finished
// them, and given to nobody else.
func (q *JoinableQueue[T]) Lost() (int, error) {
	if q.x == nil {
		return 0, ErrClosed
	}
	n, err := q.x.Lost()
	return n, named(err)
}

// Join waits until every item is finished, or ctx ends; at once if there never was one.
func (q *JoinableQueue[T]) Join(ctx context.Context) error {
	if q.x == nil {
		return ErrClosed
	}
	return named(q.x.Join(ctx))
}
