package supervisor

import (
	"context"
	"errors"
	"iter"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// newTestExecutor returns one that must have kept nothing when the test has ended.
func newTestExecutor(t *testing.T, o ExecutorOptions) *Executor {
	t.Helper()
	checkLeaks(t)
	ex := NewExecutor(o)
	t.Cleanup(func() {
		ex.Terminate()
		if err := ex.Join(within(t)); err != nil {
			t.Error(err)
		}
		checkExecutor(t, ex)
	})
	return ex
}

func checkExecutor(t *testing.T, ex *Executor) {
	t.Helper()
	ex.mu.Lock()
	defer ex.mu.Unlock()
	if ex.free != ex.workers || ex.queue.first != nil || ex.running.first != nil || ex.later.first() != nil || len(ex.room) != 0 {
		t.Errorf("the executor has ended with %d of %d free, %d counted", ex.free, ex.workers, len(ex.room))
	}
}

func do[R any](t *testing.T, ex *Executor, f func(context.Context) (R, error)) *Future[R] {
	t.Helper()
	future, err := Submit(within(t), ex, f)
	if err != nil {
		t.Fatal(err)
	}
	return future
}

// occupy fills all workers with functions that run until release is called or their context ends.
func occupy(t *testing.T, ex *Executor) (fs []*Future[int], release func()) {
	t.Helper()
	gate, inside := make(chan struct{}), make(chan struct{})
	for n := range ex.workers {
		fs = append(fs, do(t, ex, func(ctx context.Context) (int, error) {
			inside <- struct{}{}
			select {
			case <-gate:
				return n, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}))
	}
	for range ex.workers {
		receive(t, inside, "a function runs")
	}
	return fs, func() { close(gate) }
}

// never is a function that must not begin.
func never(t *testing.T) func(context.Context) (int, error) {
	return func(context.Context) (int, error) {
		t.Error("it began")
		return 0, nil
	}
}

// All workers run at once, and no more than those; what waits begins in the order of submission.
func TestExecutorWorkers(t *testing.T) {
	ex := newTestExecutor(t, ExecutorOptions{Workers: 3})
	fs, release := occupy(t, ex)
	var inside, most atomic.Int32
	var order []int
	one := NewExecutor(ExecutorOptions{Workers: 1})
	for n := range 20 {
		fs = append(fs, do(t, ex, func(context.Context) (int, error) {
			most.Store(max(most.Load(), inside.Add(1)))
			runtime.Gosched()
			defer inside.Add(-1)
			return 3 + n, nil
		}))
		do(t, one, func(context.Context) (int, error) {
			order = append(order, n)
			return n, nil
		})
	}
	release()
	got, err := Gather(within(t), fs...)
	if err != nil || len(got) != 23 || !slices.IsSorted(got) {
		t.Errorf("%v, %v", got, err)
	}
	if most.Load() > 3 {
		t.Errorf("%d ran at once, of 3", most.Load())
	}
	one.Close()
	if len(order) != 20 || !slices.IsSorted(order) {
		t.Errorf("one worker began them in the order %v", order)
	}
	checkExecutor(t, one)
}

// However a function ends, that is its result, and the next one runs.
func TestExecutorEnds(t *testing.T) {
	ex := newTestExecutor(t, ExecutorOptions{Workers: 1})
	for _, test := range []struct {
		name, kind, text, stack string
		f                       func(context.Context) (int, error)
	}{
		{"error", "", "a test's error", "", func(context.Context) (int, error) { return 7, errTest }},
		{"panic", proto.KindPanic, "panic: at the disco", "TestExecutorEnds", func(context.Context) (int, error) { panic("at the disco") }},
		{"panic nil", proto.KindPanic, "panic: panic called with nil", "TestExecutorEnds", func(context.Context) (int, error) { panic(nil) }},
		{"runtime panic", proto.KindPanic, "index out of range", "TestExecutorEnds", func(ctx context.Context) (int, error) { return []int(nil)[len(ctx.Value(ticketKey{}).(string))], nil }},
		{"goexit", proto.KindGoexit, "without a result", "TestExecutorEnds", func(context.Context) (int, error) { runtime.Goexit(); return 0, nil }},
	} {
		ctx := context.WithValue(within(t), ticketKey{}, "") // values of the context come through
		f, err := Submit(ctx, ex, test.f)
		if err != nil {
			t.Fatal(err)
		}
		v, err := f.Get(within(t))
		fault, _ := errors.AsType[*proto.Fault](err)
		switch {
		case err == nil || v != 0 || !strings.Contains(err.Error(), test.text):
			t.Errorf("%s: %d, %v", test.name, v, err)
		case test.kind == "" && err != errTest:
			t.Errorf("%s: %v", test.name, err)
		case test.kind != "" && (fault == nil || fault.Kind != test.kind || !strings.Contains(fault.Stack, test.stack)):
			t.Errorf("%s: %+v", test.name, fault)
		}
	}
	if v, err := do(t, ex, func(context.Context) (int, error) { return 1, nil }).Get(within(t)); v != 1 || err != nil {
		t.Errorf("afterwards: %d, %v", v, err)
	}
}

// What waits is cancelled at once, what runs by its context; others are not touched.
func TestExecutorCancel(t *testing.T) {
	ex := newTestExecutor(t, ExecutorOptions{Workers: 1})
	running, release := occupy(t, ex)
	waiting := do(t, ex, never(t))
	ctx, cancel := context.WithCancelCause(context.Background())
	also, err := Submit(ctx, ex, never(t))
	if err != nil {
		t.Fatal(err)
	}
	last := do(t, ex, func(context.Context) (int, error) { return 5, nil })
	waiting.Cancel(errTest)
	if _, err := waiting.Get(endedBy(nil)); !errors.Is(err, errTest) { // it is done already
		t.Errorf("waiting: %v", err)
	}
	cancel(errEarly)
	if _, err := also.Get(within(t)); !errors.Is(err, errEarly) {
		t.Errorf("waiting, by its context: %v", err)
	}
	running[0].Cancel(errTest)
	if _, err := running[0].Get(within(t)); !errors.Is(err, errTest) || !errors.Is(err, context.Canceled) {
		t.Errorf("running: %v", err)
	}
	if v, err := last.Get(within(t)); v != 5 || err != nil {
		t.Errorf("the last: %d, %v", v, err)
	}
	last.Cancel(errTest)
	waiting.Cancel(nil)
	if v, err := last.Get(within(t)); v != 5 || err != nil {
		t.Errorf("cancelled when it was over: %d, %v", v, err)
	}
	release()
	if _, err := Submit(ctx, ex, never(t)); !errors.Is(err, errEarly) {
		t.Errorf("submitted under a context that has ended: %v", err)
	}
}

// A function that gives a value although it was cancelled has given it.
func TestExecutorCancelIgnored(t *testing.T) {
	ex := newTestExecutor(t, ExecutorOptions{Workers: 1})
	ctx, cancel := context.WithCancel(within(t))
	f, err := Submit(ctx, ex, func(ctx context.Context) (int, error) {
		cancel()
		<-ctx.Done()
		return 3, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := f.Get(within(t)); v != 3 || err != nil {
		t.Errorf("%d, %v", v, err)
	}
}

// Submit waits while the backlog is full.
func TestExecutorBacklog(t *testing.T) {
	ex := newTestExecutor(t, ExecutorOptions{Workers: 1, Backlog: 2})
	_, release := occupy(t, ex)
	first, second := do(t, ex, never(t)), do(t, ex, func(context.Context) (int, error) { return 2, nil })
	if _, err := Submit(endedBy(errEarly), ex, never(t)); !errors.Is(err, errEarly) {
		t.Errorf("into a full backlog: %v", err)
	}
	third := make(chan error)
	go func() {
		_, err := Submit(within(t), ex, func(context.Context) (int, error) { return 3, nil })
		third <- err
	}()
	first.Cancel(nil) // that makes room
	if err := receive(t, third, "room in the backlog"); err != nil {
		t.Error(err)
	}
	go func() {
		_, err := Submit(within(t), ex, never(t))
		third <- err
	}()
	ex.Drain()
	if err := receive(t, third, "the end of the submit"); err != ErrClosed {
		t.Errorf("submit to what is drained: %v", err)
	}
	if _, err := second.Get(within(t)); !errors.Is(err, ErrDrained) {
		t.Errorf("drained: %v", err)
	}
	release()
}

// L3 for the executor: Close waits for all; Join on an open one is an error.
func TestExecutorClose(t *testing.T) {
	ex := newTestExecutor(t, ExecutorOptions{Workers: 1})
	if err := ex.Join(within(t)); err != ErrOpen {
		t.Errorf("join when open: %v", err)
	}
	running, release := occupy(t, ex)
	waiting := do(t, ex, func(context.Context) (int, error) { return 2, nil })
	closed := make(chan struct{})
	go func() {
		ex.Close()
		close(closed)
	}()
	eventually(t, func() bool { return ex.Join(endedBy(errEarly)) != ErrOpen }, "it is closed")
	if err := ex.Join(endedBy(errEarly)); !errors.Is(err, errEarly) {
		t.Errorf("join while one runs: %v", err)
	}
	if _, err := Submit(within(t), ex, never(t)); err != ErrClosed {
		t.Errorf("submit when closed: %v", err)
	}
	select {
	case <-closed:
		t.Error("closed while one runs")
	default:
	}
	release()
	receive(t, closed, "the end of Close")
	for _, f := range append(running, waiting) {
		if _, err := f.Get(endedBy(nil)); err != nil { // there at the end of Close
			t.Error(err)
		}
	}
	ex.Close()
}

func TestExecutorTerminate(t *testing.T) {
	ex := newTestExecutor(t, ExecutorOptions{Workers: 2})
	fs, _ := occupy(t, ex)
	for range 10 {
		fs = append(fs, do(t, ex, never(t)))
	}
	ex.Terminate()
	if err := ex.Join(within(t)); err != nil {
		t.Error(err)
	}
	for i, a := range GatherAll(endedBy(nil), fs...) {
		if !errors.Is(a.Err, ErrTerminated) {
			t.Errorf("future %d: %v", i, a.Err)
		}
	}
}

// Functions may submit to their own executor, if it takes all.
func TestExecutorFromInside(t *testing.T) {
	ex := newTestExecutor(t, ExecutorOptions{Workers: 1, Backlog: math.MaxInt})
	outer := do(t, ex, func(ctx context.Context) (*Future[[]int], error) {
		var fs []*Future[int]
		for n := range 3000 {
			f, err := Submit(context.Background(), ex, func(context.Context) (int, error) { return n, nil })
			if err != nil {
				return nil, err
			}
			fs = append(fs, f)
		}
		return Group(fs...), nil
	})
	inner, err := outer.Get(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := inner.Get(within(t)); len(got) != 3000 || err != nil {
		t.Errorf("%d values, %v", len(got), err)
	}
}

// Each function is an owner of its own, as each thread is in Python: an RLock keeps them apart.
func TestExecutorOwners(t *testing.T) {
	ex := newTestExecutor(t, ExecutorOptions{Workers: 2})
	lock, err := ipc.NewRLock("twice")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	both := Group(do(t, ex, holdTwice(t, lock)), do(t, ex, holdTwice(t, lock)))
	if _, err := both.Get(within(t)); err != nil {
		t.Error(err)
	}
}

var holders atomic.Int32

func holdTwice(t *testing.T, lock *ipc.RLock) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		for range 100 {
			outer, err := lock.Acquire(ctx)
			if err != nil {
				return 0, err
			}
			inner, err := lock.Acquire(ctx)
			if err != nil {
				return 0, err
			}
			if holders.Add(1) != 1 {
				t.Error("two hold the lock")
			}
			runtime.Gosched()
			holders.Add(-1)
			if err := errors.Join(inner.Release(), outer.Release()); err != nil {
				return 0, err
			}
		}
		return 0, nil
	}
}

func squareHere(_ context.Context, n int) (int, error) { return n * n, nil }

func count(n int, taken *int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			*taken = i + 1
			if !yield(i) {
				return
			}
		}
	}
}

// Map is in order, and takes arguments as they are needed.
func TestExecutorMap(t *testing.T) {
	ex := newTestExecutor(t, ExecutorOptions{Workers: 3})
	taken, n := 0, 0
	for v, err := range Map(within(t), ex, count(1000, &taken), squareHere) {
		if v != n*n || err != nil {
			t.Fatalf("result %d is %d, %v", n, v, err)
		}
		if n++; taken > n+4*3 {
			t.Fatalf("%d arguments taken for %d results", taken, n)
		}
	}
	if n != 1000 {
		t.Errorf("%d results", n)
	}
	for range Map(within(t), ex, count(math.MaxInt, &taken), squareHere) { // without an end
		break
	}
	if v, err := do(t, ex, func(context.Context) (int, error) { return 1, nil }).Get(within(t)); v != 1 || err != nil {
		t.Errorf("after a loop that was left: %d, %v", v, err)
	}
}

// Errors are results, and the others come all the same.
func TestExecutorMapErrors(t *testing.T) {
	ex := newTestExecutor(t, ExecutorOptions{Workers: 2})
	var got []int
	taken := 0
	for v, err := range Map(within(t), ex, count(6, &taken), func(_ context.Context, n int) (int, error) {
		switch n {
		case 2:
			return 0, errTest
		case 4:
			panic("four")
		}
		return n, nil
	}) {
		if err != nil {
			v = -1
		}
		got = append(got, v)
	}
	if want := []int{0, 1, -1, 3, -1, 5}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// A loop over Map ends with one error when its context does, or when the executor is closed.
func TestExecutorMapEnds(t *testing.T) {
	ex := newTestExecutor(t, ExecutorOptions{Workers: 2})
	ctx, cancel := context.WithCancel(within(t))
	taken, good := 0, 0
	var errs []error
	for v, err := range Map(ctx, ex, count(math.MaxInt, &taken), func(ctx context.Context, n int) (int, error) {
		if n == 10 {
			cancel()
		}
		if n >= 10 {
			<-ctx.Done()
			return 0, ctx.Err()
		}
		return n, nil
	}) {
		if err != nil {
			errs = append(errs, err)
		} else if v != good {
			t.Errorf("result %d is %d", good, v)
		} else {
			good++
		}
	}
	if good > 10 || len(errs) != 1 || !errors.Is(errs[0], context.Canceled) {
		t.Errorf("%d results, then %v", good, errs)
	}
	good, errs = 0, nil
	for _, err := range Map(within(t), ex, count(math.MaxInt, &taken), func(_ context.Context, n int) (int, error) {
		if n == 10 {
			ex.Drain()
		}
		return n, nil
	}) {
		if err != nil {
			errs = append(errs, err)
		} else {
			good++
		}
	}
	if len(errs) == 0 || errs[len(errs)-1] != ErrClosed {
		t.Errorf("%d results, then %v", good, errs)
	}
}

func BenchmarkExecutor(b *testing.B) {
	ex := NewExecutor(ExecutorOptions{Workers: 2})
	defer ex.Close()
	ctx := context.Background()
	f := func(context.Context) (int, error) { return 1, nil }
	b.ReportAllocs()
	var last *Future[int]
	for b.Loop() {
		var err error
		if last, err = Submit(ctx, ex, f); err != nil {
			b.Fatal(err)
		}
	}
	last.Get(ctx)
}
