package supervisor

import (
	"context"
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
// at once. It returns the context's cause if children are left.
func stopChildren(ctx context.Context, grace time.Duration) error {
	if grace <= 0 {
		grace = -1 // Stop's way to say it
	}
	var stops sync.WaitGroup
	list := ActiveChildren()
	for _, p := range list {
		if p.spec.Daemon || p.spec.Command {
			// One goroutine each: they share the same grace, side by side.
			stops.Go(func() { p.Stop(ctx, grace) })
		}
	}
	stops.Wait()
	for _, p := range list {
		if _, err := p.Join(ctx); err != nil && err != ErrProcessClosed {
			return err
		}
	}
	return nil
}
