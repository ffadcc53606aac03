package supervisor

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// S12 in one process: it runs once, after the delay; cancelled before, it never does.
func TestLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ex := NewExecutor(ExecutorOptions{Workers: 1})
		start := time.Now()
		var runs []time.Duration
		note := func(context.Context) (int, error) {
			runs = append(runs, time.Since(start))
			return len(runs), nil
		}
		f, err := SubmitAfter(t.Context(), ex, 5*time.Second, note)
		cancelled, err2 := SubmitAfter(t.Context(), ex, 5*time.Second, note)
		ctx, cancel := context.WithCancel(t.Context())
		also, err3 := SubmitAfter(ctx, ex, time.Hour, note)
		if err := errors.Join(err, err2, err3); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		cancelled.Cancel(errTest)
		cancel()
		synctest.Wait()
		if _, err := cancelled.Get(endedBy(nil)); !errors.Is(err, errTest) || f.p.kept.Load() {
			t.Errorf("after 4 s: %v, the other is done: %v", err, f.p.kept.Load())
		}
		if n, err := f.Get(t.Context()); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if _, err := also.Get(endedBy(nil)); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled by its context: %v", err)
		}
		ex.Close()
		time.Sleep(2 * time.Hour)
		if want := []time.Duration{5 * time.Second}; !slices.Equal(runs, want) {
			t.Errorf("ran at %v, want %v", runs, want)
		}
		checkExecutor(t, ex)
	})
}

// A4: call later and call at count from the submission; they begin in the order in which they are due, those due at
// the same time in the order of submission. Work that is due at once does not wait for them.
func TestLaterOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ex := NewExecutor(ExecutorOptions{Workers: 1})
		start := time.Now()
		var order []string
		var at []time.Duration
		note := func(name string) func(context.Context) (int, error) {
			return func(context.Context) (int, error) {
				order, at = append(order, name), append(at, time.Since(start).Truncate(time.Second))
				return 0, nil
			}
		}
		later := func(d time.Duration, name string) {
			if _, err := SubmitAfter(t.Context(), ex, d*time.Second, note(name)); err != nil {
				t.Fatal(err)
			}
		}
		later(3, "d")
		later(2, "b")
		later(0, "a")
		if _, err := SubmitAt(t.Context(), ex, start.Add(2*time.Second), note("c")); err != nil {
			t.Fatal(err)
		}
		later(-1, "a2")
		time.Sleep(time.Second)
		later(4, "f") // from now
		later(3, "e")
		ex.Close() // waits for those that are not due
		if want := []string{"a", "a2", "b", "c", "d", "e", "f"}; !slices.Equal(order, want) {
			t.Errorf("order %v, want %v", order, want)
		}
		const s = time.Second
		if want := []time.Duration{0, 0, 2 * s, 2 * s, 3 * s, 4 * s, 5 * s}; !slices.Equal(at, want) {
			t.Errorf("at %v, want %v", at, want)
		}
		checkExecutor(t, ex)
	})
}

// What comes due while all workers are busy begins in the order of time, too; and Terminate ends what is not due.
func TestLaterBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ex := NewExecutor(ExecutorOptions{Workers: 1})
		var order []int
		var fs []*Future[int]
		for _, n := range []int{9, 3, 7, 1, 100} {
			f, err := SubmitAfter(t.Context(), ex, time.Duration(n)*time.Second, func(context.Context) (int, error) {
				order = append(order, n)
				time.Sleep(5 * time.Second)
				return n, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			fs = append(fs, f)
		}
		if _, err := Gather(t.Context(), fs[:4]...); err != nil || !slices.Equal(order, []int{1, 3, 7, 9}) {
			t.Errorf("%v, %v", order, err)
		}
		ex.Terminate()
		if _, err := fs[4].Get(endedBy(nil)); !errors.Is(err, ErrTerminated) {
			t.Errorf("not due at the end: %v", err)
		}
		ex.Close()
		checkExecutor(t, ex)
	})
}
