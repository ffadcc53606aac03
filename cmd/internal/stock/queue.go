package stock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// PutArgs are the arguments of the task queue.put.
type PutArgs struct {
	Queue any
	Items []any     // put in this order, null included; an item that no queue can hold is refused before any is put
	Wait  *Duration // how long each may wait for room; nil: as long as the ticket may take
	After any       // an event or a barrier to wait for first
	Then  any       // an event to set or a barrier to come to at the end
	Close bool      // and then nothing more can be put

	Every   Duration // between two items; 0: none
	Endless bool     // the items again and again, until the queue is closed
}

// A PutResult tells how many items were put.
type PutResult struct {
	Put int
	PID int `msgpack:"pid"`
}

// GetArgs are the arguments of the task queue.get, which takes items until it has enough or there will be no more.
type GetArgs struct {
	Queue     any
	Count     int       // how many; 0: until the queue is closed and empty
	UntilNull bool      // an item that is null is the last
	Wait      *Duration // how long to wait for each; nil: as long as the ticket may take
	Quiet     bool      // do not show the items, only count them
	After     any       // as for queue.put
	Then      any       //
}

// A GetResult is what a consumer got. It is the value of the error, too, when it got less than it should.
type GetResult struct {
	Count int   // a last null not counted
	Items []any // the first thousand; none when quiet
	PID   int   `msgpack:"pid"`
}

// CloseArgs are the arguments of the task queue.close.
type CloseArgs struct {
	Queue any
	Now   bool // drop what is in it
	After any  // as for queue.put
}

// JoinArgs are the arguments of the task queue.join, which waits until all items of a joinable queue are finished.
type JoinArgs struct {
	Queue any
	After any  // as for queue.put
	Close bool // when they are
}

// A QueueResult is what queue.close and queue.join leave behind.
type QueueResult struct {
	Left int // items in the queue
	PID  int `msgpack:"pid"`
}

// keptItems is how many items a result has.
const keptItems = 1000

// A someQueue is a queue of a job, in shared memory or of a manager.
type someQueue struct {
	anyQueue
	joinable joinable // nil if it is not
}

type anyQueue interface {
	Put(ctx context.Context, item any) error
	TryPut(item any) error
	Get(ctx context.Context) (any, error)
	TryGet() (any, error)
	Len() int
	Name() string
	Close() error
	CloseNow() error
}

type joinable interface {
	TaskDone() error
	Join(ctx context.Context) error
	Unfinished() (int, error)
}

func queueOf(task string, v any) (someQueue, error) {
	switch q := v.(type) {
	case *ipc.Queue[any]:
		return someQueue{anyQueue: q}, nil
	case *ipc.JoinableQueue[any]:
		return someQueue{&q.Queue, q}, nil
	case *ipc.Proxy:
		if slices.Contains(managedQueueKinds, q.Kind()) {
			m := managedQueue{&ipc.ManagedQueue[any]{Proxy: *q}}
			return someQueue{m, m}, nil
		}
	}
	_, err := need[*ipc.Queue[any]](task, "queue", v)
	return someQueue{}, err
}

// finished says that an item was dealt with.
func (q someQueue) finished() error {
	if q.joinable == nil {
		return nil
	}
	return q.joinable.TaskDone()
}

// within bounds one wait. For a queue, no time at all is not an ended context: it is another question.
func within(ctx context.Context, wait *Duration) (context.Context, context.CancelFunc) {
	if wait == nil {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, time.Duration(*wait))
}

// put puts one item.
func (q someQueue) put(ctx context.Context, item any, wait *Duration) error {
	if wait != nil && *wait == 0 {
		return q.TryPut(item)
	}
	bounded, cancel := within(ctx, wait)
	defer cancel()
	err := q.Put(bounded, item)
	if err != nil && ctx.Err() == nil && bounded.Err() != nil {
		return ipc.ErrFull
	}
	return err
}

// get takes one item.
func (q someQueue) get(ctx context.Context, wait *Duration) (any, error) {
	if wait != nil && *wait == 0 {
		return q.TryGet()
	}
	bounded, cancel := within(ctx, wait)
	defer cancel()
	item, err := q.Get(bounded)
	if err != nil && ctx.Err() == nil && bounded.Err() != nil {
		return nil, ipc.ErrEmpty
	}
	return item, err
}

// failed is an error of a task that has done part of its work: the result tells which.
func failed(ctx context.Context, text string, err error, result any) error {
	fault := &proto.Fault{Kind: proto.KindError, Text: fmt.Sprintf("%s: %v", text, err)}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, context.DeadlineExceeded):
		fault.Kind = proto.KindTimeout
	case cause != nil:
		fault.Kind = proto.KindCancelled
	}
	if p, err := proto.Marshal(result); err == nil {
		fault.Value = p.Bytes
	}
	return fmt.Errorf("%w: %w", fault, err)
}

func queuePut(ctx context.Context, c call, in PutArgs, out io.Writer) (PutResult, error) {
	const task = "queue.put"
	r := PutResult{PID: os.Getpid()}
	q, err := queueOf(task, in.Queue)
	if err != nil {
		return r, err
	}
	if err := in.check(); err != nil {
		return r, err
	}
	if err := after(ctx, task, in.After); err != nil {
		return r, err
	}
	if err := in.putAll(ctx, q, &r); err != nil {
		return r, err
	}
	fmt.Fprintln(out, c.line(r.PID, "put %s into %s", itemsText(r.Put), q.Name()))
	if err := then(ctx, task, in.Then); err != nil {
		return r, failed(ctx, "queue.put", err, r)
	}
	if in.Close {
		return r, q.Close()
	}
	return r, nil
}

func (in PutArgs) check() error {
	switch {
	case len(in.Items) == 0 && (in.Endless || !in.Close):
		return badArgs(`queue.put: no "items"; expected a list such as [1, "two", null]`)
	case in.Endless && in.Close:
		return badArgs(`queue.put: "endless" and "close" exclude each other: there is no last item`)
	}
	return checkItems(in.Items)
}

// putAll puts the items. A producer without an end has done its work when there is no queue any more.
func (in PutArgs) putAll(ctx context.Context, q someQueue, r *PutResult) error {
	for in.Endless || r.Put < len(in.Items) {
		var err error
		if r.Put > 0 {
			err = pause(ctx, time.Duration(in.Every))
		}
		if err == nil {
			err = q.put(ctx, in.Items[r.Put%len(in.Items)], in.Wait)
		}
		switch {
		case in.Endless && errors.Is(err, ipc.ErrClosed):
			return nil
		case err != nil:
			of := fmt.Sprintf(" of %d", len(in.Items))
			if in.Endless {
				of = ""
			}
			return failed(ctx, fmt.Sprintf("queue.put: %s: item %d%s", q.Name(), r.Put+1, of), err, *r)
		}
		r.Put++
	}
	return nil
}

// checkItems refuses what cannot lie in a queue.
func checkItems(items []any) error {
	for i, item := range items {
		p, err := proto.Marshal(item)
		ipc.CloseFDs(p.FDs)
		if err == nil && len(p.FDs) > 0 {
			return badArgs("queue.put: item %d is or has a shared object in it; a queue holds values only", i+1)
		}
		if err != nil {
			return badArgs("queue.put: item %d: %v", i+1, err)
		}
	}
	return nil
}

func itemsText(n int) string {
	if n == 1 {
		return "1 item"
	}
	return fmt.Sprintf("%d items", n)
}

func queueGet(ctx context.Context, c call, in GetArgs, out io.Writer) (GetResult, error) {
	r := GetResult{PID: os.Getpid()}
	if !in.Quiet {
		r.Items = []any{} // not null, if there are none
	}
	if in.Count < 0 {
		return r, badArgs("queue.get: count: found %d; expected 1 or more, or none at all", in.Count)
	}
	q, err := queueOf("queue.get", in.Queue)
	if err != nil {
		return r, err
	}
	if err := after(ctx, "queue.get", in.After); err != nil {
		return r, err
	}
	err = q.each(ctx, in.Count, in.UntilNull, in.Wait, func(item any) error {
		r.Count++
		if in.Quiet {
			return nil
		}
		if len(r.Items) < keptItems {
			r.Items = append(r.Items, item)
		}
		fmt.Fprintln(out, c.line(r.PID, "got %s", itemText(item)))
		return nil
	})
	if err != nil {
		return r, failed(ctx, fmt.Sprintf("queue.get: %s: after %s", q.Name(), itemsText(r.Count)), err, r)
	}
	if err := then(ctx, "queue.get", in.Then); err != nil {
		return r, failed(ctx, "queue.get", err, r)
	}
	return r, nil
}

// each gives items to do until there are enough (count, where it is not 0), or there will be none. An item is finished when do has
// returned.
func (q someQueue) each(ctx context.Context, count int, untilNull bool, wait *Duration, do func(any) error) error {
	for n := 0; count == 0 || n < count; n++ {
		item, err := q.get(ctx, wait)
		if errors.Is(err, ipc.ErrClosed) && count == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		if item == nil && untilNull {
			return q.finished()
		}
		if err := errors.Join(do(item), q.finished()); err != nil {
			return err
		}
	}
	return nil
}

// itemText is an item as a job file has it.
func itemText(item any) string {
	text, err := json.Marshal(item)
	if err != nil {
		return fmt.Sprint(item) // a Go program may put what JSON has not
	}
	return string(text)
}

func queueClose(ctx context.Context, c call, in CloseArgs, out io.Writer) (QueueResult, error) {
	r := QueueResult{PID: os.Getpid()}
	q, err := queueOf("queue.close", in.Queue)
	if err != nil {
		return r, err
	}
	if err := after(ctx, "queue.close", in.After); err != nil {
		return r, err
	}
	shut := q.Close
	if in.Now {
		shut = q.CloseNow
	}
	if err := shut(); err != nil {
		return r, fmt.Errorf("queue.close: %s: %w", q.Name(), err)
	}
	r.Left = q.Len()
	fmt.Fprintln(out, c.line(r.PID, "closed %s with %s in it", q.Name(), itemsText(r.Left)))
	return r, nil
}

func queueJoin(ctx context.Context, c call, in JoinArgs, out io.Writer) (QueueResult, error) {
	r := QueueResult{PID: os.Getpid()}
	q, err := queueOf("queue.join", in.Queue)
	if err == nil && q.joinable == nil {
		_, err = need[*ipc.JoinableQueue[any]]("queue.join", "queue", in.Queue)
	}
	if err != nil {
		return r, err
	}
	if err := after(ctx, "queue.join", in.After); err != nil {
		return r, err
	}
	if err := q.joinable.Join(ctx); err != nil {
		left, _ := q.joinable.Unfinished()
		return r, fmt.Errorf("queue.join: %s: %s not finished: %w", q.Name(), itemsText(left), err)
	}
	fmt.Fprintln(out, c.line(r.PID, "joined %s: all is done", q.Name()))
	if in.Close {
		return r, q.Close()
	}
	return r, nil
}
