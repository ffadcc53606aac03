package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

var finalizers struct {
	mu   sync.Mutex
	list []*func()
}

// AtExit registers a finalizer for the end of this process: Main calls them when all children are gone, last
// registered first, for a bounded time altogether. remove takes it back (nothing, when it has run or is
// running). Any number of goroutines may call it.
func AtExit(f func()) (remove func()) {
	entry := &f
	finalizers.mu.Lock()
	defer finalizers.mu.Unlock()
	finalizers.list = append(finalizers.list, entry)
	return func() {
		finalizers.mu.Lock()
		defer finalizers.mu.Unlock()
		finalizers.list = slices.DeleteFunc(finalizers.list, func(e *func()) bool { return e == entry })
	}
}

// runFinalizers returns when all have run, those registered meanwhile included, or with an error when ctx
// ends: the one that hangs is left behind. A panic in one ends the process, as it would anywhere.
func runFinalizers(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			f := lastFinalizer()
			if f == nil {
				return
			}
			f()
		}
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("supervisor: finalizers at exit: %w", context.Cause(ctx))
	}
	return nil
}

func lastFinalizer() func() {
	finalizers.mu.Lock()
	defer finalizers.mu.Unlock()
	n := len(finalizers.list)
	if n == 0 {
		return nil
	}
	f := finalizers.list[n-1]
	finalizers.list = finalizers.list[:n-1]
	return *f
}

// stopChildren applies the exit rules to our children: daemons, and commands of tasks, are all sent SIGTERM,
// get grace, then SIGKILL; then the others are joined, for as long as ctx allows. A grace of 0 means SIGKILL
// at once. Who is started meanwhile gets the same. Errors, with children left: the context's cause, ErrStuck.
func stopChildren(ctx context.Context, grace time.Duration) error {
	if grace <= 0 {
		grace = -1 // Stop's way to say it
	}
	for list := ActiveChildren(); len(list) > 0; list = ActiveChildren() {
		if err := stopDaemons(ctx, list, grace); err != nil {
			return err
		}
		for _, p := range list {
			if _, err := p.Join(ctx); err != nil && err != ErrProcessClosed {
				return err
			}
		}
	}
	return nil
}

// endChildren ends all children, daemons or not, because this process was told to end. Each has grace, and pools and
// Supervisors are no exception.
func endChildren(ctx context.Context, grace time.Duration) error {
	for _, p := range pools.list() {
		p.Terminate() // and starts nobody any more
	}
	for _, s := range supervisors.list() {
		s.Terminate()
	}
	err := stopEach(ctx, ActiveChildren(), grace)
	for _, p := range pools.list() {
		p.Kill()
	}
	for _, s := range supervisors.list() {
		s.Kill()
	}
	return err
}

func stopDaemons(ctx context.Context, list []*Process, grace time.Duration) error {
	return stopEach(ctx, slices.DeleteFunc(slices.Clone(list), func(p *Process) bool {
		return !p.spec.Daemon && !p.spec.Command
	}), grace)
}

// stopEach stops them side by side, so that they share one grace.
func stopEach(ctx context.Context, list []*Process, grace time.Duration) error {
	errs := make([]error, len(list))
	var stops sync.WaitGroup
	for i, p := range list {
		stops.Go(func() {
			if _, err := p.Stop(ctx, grace); err != nil && err != ErrProcessClosed {
				errs[i] = err
			}
		})
	}
	stops.Wait()
	return errors.Join(errs...)
}
