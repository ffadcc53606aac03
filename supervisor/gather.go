package supervisor

import (
	"context"
	"fmt"
	"iter"
	"slices"
)

// Gather waits for all futures, whatever gives their results, and returns the values in the order of the arguments. The first
// error to come is returned at once, with no values; the others go on, as in Python. See [GatherAll] for all errors.
//
// When ctx ends, Gather returns an error that wraps its cause, and the futures go on: to end them too, submit them under
// the same context, or see [CancelAll]. It needs no goroutine, and nothing of it stays in a future. So it is with
// GatherAll, Wait and AsCompleted.
func Gather[R any](ctx context.Context, fs ...*Future[R]) ([]R, error) {
	c := collect(fs)
	defer c.release()
	values := make([]R, len(fs))
	for n := range values {
		i, err := c.next(ctx)
		if err != nil {
			return nil, fmt.Errorf("supervisor: gather: %d of %d are done: %w", n, len(fs), err)
		}
		if values[i], err = c.fs[i].Get(ctx); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// An Answer is what a future has come to.
type Answer[R any] struct {
	Value R
	Err   error
}

// GatherAll waits for all and returns their values and errors in the order of the arguments: Python's gather with
// return_exceptions. When ctx ends, that is the error of those not done.
func GatherAll[R any](ctx context.Context, fs ...*Future[R]) []Answer[R] {
	answers := make([]Answer[R], len(fs))
	for i, f := range fs {
		answers[i].Value, answers[i].Err = f.Get(ctx)
	}
	return answers
}

// Group returns at once the future of what [Gather] would return, so that groups can be gathered, and be members of groups.
// Cancel cancels the members; the group then ends with the first error that comes of that.
func Group[R any](fs ...*Future[R]) *Future[[]R] {
	fs = slices.Clone(fs)
	g := &Future[[]R]{ready: true, stop: func(cause error) { CancelAll(cause, fs...) }}
	go func() { g.settle(Gather(context.Background(), fs...)) }()
	return g
}

// CancelAll cancels each: see [Pending.Cancel]. It does not wait.
func CancelAll[R any](cause error, fs ...*Future[R]) {
	for _, f := range fs {
		f.Cancel(cause)
	}
}

// Until says what [Wait] waits for.
type Until int

const (
	AllCompleted   Until = iota // all are done
	FirstCompleted              // at least one is done
	FirstError                  // at least one is done with an error, or all are done
)

// Wait waits, and tells who is done and who is not, each in the order of the arguments, also if there is an error: that of
// ctx. Without arguments it returns at once.
func Wait[R any](ctx context.Context, until Until, fs ...*Future[R]) (done, pending []*Future[R], err error) {
	c := collect(fs)
	defer c.release()
	for n := range fs {
		var i int
		if i, err = c.next(ctx); err != nil {
			err = fmt.Errorf("supervisor: wait: %d of %d are done: %w", n, len(fs), err)
			break
		}
		if c.fs[i].meets(until) {
			break
		}
	}
	for _, f := range fs {
		if f.p.kept.Load() {
			done = append(done, f)
		} else {
			pending = append(pending, f)
		}
	}
	return done, pending, err
}

// meets tells whether this one, which is done, ends the wait.
func (f *Future[R]) meets(until Until) bool {
	switch until {
	case FirstCompleted:
		return true
	case FirstError:
		_, err := f.Get(context.Background())
		return err != nil
	default:
		return false
	}
}

// AsCompleted yields each future once it is done, in the order of completion; those that are done already come first. When
// ctx ends, it yields nil and the error, and is over. One that is broken off can be ranged over again, from the start.
func AsCompleted[R any](ctx context.Context, fs ...*Future[R]) iter.Seq2[*Future[R], error] {
	fs = slices.Clone(fs)
	return func(yield func(*Future[R], error) bool) {
		c := collect(fs)
		defer c.release()
		for n := range fs {
			i, err := c.next(ctx)
			if err != nil {
				yield(nil, fmt.Errorf("supervisor: as completed: %d of %d are done: %w", n, len(fs), err))
				return
			}
			if !yield(fs[i], nil) {
				return
			}
		}
	}
}
