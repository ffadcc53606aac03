package supervisor

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime/debug"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// Submit has ex run f and returns at once, or waits while the backlog is full, until ctx ends. It returns ErrClosed after
// Close, Drain or Terminate.
//
// When ctx ends later, or the future is cancelled, f does not begin if it has not, and else its own context ends, with that
// cause; the future is done when f has returned. An error of f is wrapped in the cause then; a value counts. A panic is an
// error too, a *proto.Fault with the stack.
func Submit[R any](ctx context.Context, ex *Executor, f func(ctx context.Context) (R, error)) (*Future[R], error) {
	return SubmitAt(ctx, ex, time.Time{}, f)
}

// SubmitAfter is Submit, and f begins no sooner than d from now: Python's Timer. Those that are due begin in that order.
func SubmitAfter[R any](ctx context.Context, ex *Executor, d time.Duration, f func(ctx context.Context) (R, error)) (*Future[R], error) {
	return SubmitAt(ctx, ex, time.Now().Add(d), f)
}

// SubmitAt is Submit, and f begins no sooner than at a time; one that is over means now.
func SubmitAt[R any](ctx context.Context, ex *Executor, due time.Time, f func(ctx context.Context) (R, error)) (*Future[R], error) {
	future := &Future[R]{ready: true}
	j := &job{
		due: due,
		run: func(ctx context.Context) { future.run(ctx, f) },
		refuse: func(err error) {
			var zero R
			future.settle(zero, err)
		},
	}
	future.stop = func(cause error) { ex.cancel(j, cause) }
	if err := ex.submit(ctx, j); err != nil {
		return nil, err
	}
	return future, nil
}

// run settles the future with what comes of f, however it ends.
func (f *Future[R]) run(ctx context.Context, fn func(ctx context.Context) (R, error)) {
	var value, zero R
	var err error
	returned := false
	defer func() {
		switch {
		case !returned:
			f.settle(zero, unreturned("function", recover()))
		case err != nil:
			f.settle(zero, because(ctx, err))
		default:
			f.settle(value, nil)
		}
	}()
	value, err = fn(ipc.WithOwner(ctx))
	returned = true
}

// unreturned is the fault of what, a task or a function, that has not returned; v is what was recovered: nil, if it has ended its
// goroutine.
func unreturned(what string, v any) *proto.Fault {
	if v == nil {
		return &proto.Fault{Kind: proto.KindGoexit, Text: "the " + what + " ended its goroutine without a result", Stack: string(debug.Stack())}
	}
	return &proto.Fault{Kind: proto.KindPanic, Text: fmt.Sprintf("panic: %v", v), Stack: string(debug.Stack())}
}

// because wraps the error of a function whose context has ended in the cause of that.
func because(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if cause == nil || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w: %w", cause, err)
}

// Map has ex run f with each of args, and yields the results in that order. An error is one of the results, and the next
// comes after it. Arguments are taken as they are needed: no more than four for each worker are under way, or done and
// not yet yielded. When the loop is left, what is left is cancelled; when ctx ends, its cause is the last error.
func Map[A, R any](ctx context.Context, ex *Executor, args iter.Seq[A], f func(ctx context.Context, arg A) (R, error)) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		m := mapping[R]{ctx: ctx, yield: yield, limit: 4 * ex.workers}
		for arg := range args {
			if !m.giveReady() {
				return
			}
			future, err := Submit(ctx, ex, func(ctx context.Context) (R, error) { return f(ctx, arg) })
			if err != nil {
				var zero R
				_ = m.giveAll() && yield(zero, err)
				return
			}
			m.window = append(m.window, future)
		}
		m.giveAll()
	}
}

// A mapping is a loop over Map.
type mapping[R any] struct {
	ctx    context.Context
	yield  func(R, error) bool
	limit  int          // of the window
	window []*Future[R] // submitted and not yet yielded, in order
}

// give yields the first result; false: there shall be no more.
func (m *mapping[R]) give() bool {
	value, err := m.window[0].Get(m.ctx)
	m.window = m.window[1:]
	return m.yield(value, err) && (err == nil || m.ctx.Err() == nil)
}

// giveReady yields what is done, and makes room for one more.
func (m *mapping[R]) giveReady() bool {
	for len(m.window) > 0 && (len(m.window) >= m.limit || m.window[0].p.kept.Load()) {
		if !m.give() {
			return false
		}
	}
	return true
}

func (m *mapping[R]) giveAll() bool {
	for len(m.window) > 0 {
		if !m.give() {
			return false
		}
	}
	return true
}
