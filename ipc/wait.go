package ipc

import (
	"context"
	"errors"
	"sync"
)

// Waitable is what Wait can wait for: a Conn, a Queue, an Event, or what Done makes of
// a channel. WaitReady returns nil when it is ready, and takes nothing.
type Waitable interface {
	WaitReady(ctx context.Context) error
}

// Done makes a Waitable of a channel that is closed when something is over, such as
// that of a process.
func Done(c <-chan struct{}) Waitable { return doneChannel(c) }

type doneChannel <-chan struct{}

func (d doneChannel) WaitReady(ctx context.Context) error {
	select {
	case <-d:
		return nil
	default:
	}
	select {
	case <-d:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Wait waits until at least one of several things is ready, or ctx ends, and returns
// the indices of those that are. An ended context polls. The error is that of ctx if
// none is, or of the first that fails. It takes nothing: what is ready may be taken by
// another goroutine or process before the caller comes to it.
func Wait(ctx context.Context, things ...Waitable) (ready []int, err error) {
	for {
		if ready, err = look(things); len(ready) > 0 || err != nil {
			return ready, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err = waitAny(ctx, things); err != nil {
			// To look again may find nothing wrong, as with a Conn behind its deadline.
			if ready, _ = look(things); len(ready) > 0 {
				return ready, nil
			}
			return nil, err
		}
	}
}

// waitAny waits until one thing was ready or failed, or ctx ends, and until no goroutine
// of it is left. It returns a failure that is not the end of ctx.
func waitAny(ctx context.Context, things []Waitable) error {
	if len(things) == 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	any, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, len(things))
	var all sync.WaitGroup
	for _, t := range things {
		all.Go(func() {
			if err := t.WaitReady(any); err != nil && any.Err() == nil {
				failed <- err
			}
			cancel()
		})
	}
	all.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// look returns those that are ready now; a failure counts if none is.
func look(things []Waitable) (ready []int, err error) {
	for i, t := range things {
		switch e := t.WaitReady(ended); {
		case e == nil:
			ready = append(ready, i)
		case !errors.Is(e, context.Canceled) && err == nil:
			err = e
		}
	}
	if len(ready) > 0 {
		err = nil
	}
	return ready, err
}

// WaitReady waits until there is an item, or the queue is closed, or ctx ends. Another
// process may be faster to take it.
func (q *Queue[T]) WaitReady(ctx context.Context) error {
	if q.x == nil {
		return ErrClosed
	}
	return named(q.x.WaitReady(ctx))
}

// WaitReady is Wait.
func (e *Event) WaitReady(ctx context.Context) error { return e.Wait(ctx) }
