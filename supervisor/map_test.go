package supervisor

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// taskPick returns its argument; some arguments are bad.
var taskPick = NewTask("test.pick", func(ctx context.Context, n int) (int, error) {
	switch {
	case n == -1:
		return 0, errors.New("not a number to pick")
	case n == -2:
		panic("picked the wrong one")
	case n == -3:
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	return n, nil
})

func upTo(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// SEMANTICS 35: Map keeps the order, MapUnordered loses and doubles nothing.
func TestMap(t *testing.T) {
	p := newTestPool(t, testOptions(3))
	for _, n := range []int{0, 1, 2, 1000, 100_000} {
		want := 0
		for v, err := range taskPick.Map(within(t), p, upTo(n)) {
			if v != want || err != nil {
				t.Fatalf("%d of %d: %d, %v", want, n, v, err)
			}
			want++
		}
		if want != n {
			t.Errorf("%d results of %d", want, n)
		}
		seen := make([]bool, n)
		for v, err := range taskPick.MapUnordered(within(t), p, upTo(n)) {
			if err != nil || seen[v] {
				t.Fatalf("%d, %v, seen before: %v", v, err, seen[v])
			}
			seen[v] = true
		}
		if slices.Contains(seen, false) {
			t.Errorf("not all of %d", n)
		}
	}
}

// A failed element has its error in its place, whatever it does; all others have their results.
func TestMapErrors(t *testing.T) {
	for _, warm := range []int{0, 50_000} {
		t.Run(fmt.Sprintf("warm %d", warm), func(t *testing.T) { mapErrors(t, warm) })
	}
}

func mapErrors(t *testing.T, warm int) {
	p := newTestPool(t, testOptions(2))
	for range taskPick.Map(within(t), p, upTo(warm)) {
	}
	args := slices.Collect(upTo(400))
	bad := map[int]int{13: -1, 14: -1, 100: -2, 101: -3, 250: -3, 399: -2}
	for i, v := range bad {
		args[i] = v
	}
	i := 0
	for v, err := range taskPick.Map(within(t), p, slices.Values(args)) {
		died, isDeath := errors.AsType[*WorkerDiedError](err)
		fault, isFault := errors.AsType[*proto.Fault](err)
		ok := err == nil && v == i
		switch args[i] {
		case -1:
			ok = isFault && fault.Kind == proto.KindError && fault.Text == "not a number to pick"
		case -2:
			ok = isFault && fault.Kind == proto.KindPanic && fault.Stack != ""
		case -3:
			ok = isDeath && died.Exit.Signal == syscall.SIGKILL
		}
		if !ok {
			t.Errorf("element %d (%d): %d, %v", i, args[i], v, err)
		}
		i++
	}
	if i != len(args) {
		t.Errorf("%d results of %d", i, len(args))
	}
	values := map[int]int{}
	errs := 0
	for v, err := range taskPick.MapUnordered(within(t), p, slices.Values(args)) {
		if err != nil {
			errs++
		} else {
			values[v]++
		}
	}
	if errs != len(bad) || len(values) != len(args)-len(bad) {
		t.Errorf("unordered: %d errors, %d values", errs, len(values))
	}
}

// PITFALLS 21: the input is taken as it is needed, and no further when the loop is left.
func TestMapIsLazy(t *testing.T) {
	p := newTestPool(t, testOptions(2))
	for range taskPick.Map(within(t), p, upTo(50_000)) { // so that chunks are large
	}
	taken := 0
	endless := func(yield func(int) bool) {
		for ; yield(taken); taken++ {
		}
	}
	got := 0
	for _, err := range taskPick.Map(within(t), p, endless) {
		if err != nil {
			t.Fatal(err)
		}
		if got++; got == 10 {
			break
		}
	}
	if limit := 8 * chunkLimit; taken > limit {
		t.Errorf("%d arguments were taken for 10 results, expected %d at most", taken, limit)
	}
	eventually(t, func() bool {
		for _, s := range p.Status() {
			if s.State != PlaceIdle {
				return false
			}
		}
		return true
	}, "all that was under way is over")
}

// An argument is given to a worker before the next one is there.
func TestMapOfASlowSource(t *testing.T) {
	p := newTestPool(t, testOptions(2))
	for range taskPick.Map(within(t), p, upTo(50_000)) {
	}
	ours, theirs, err := ipc.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	defer theirs.Close()
	source := func(yield func(meeting) bool) {
		if !yield(meeting{theirs}) {
			return
		}
		metPID(t, ours) // the first runs, though the source has not ended
		if err := ours.Send(within(t), "go"); err != nil {
			t.Error(err)
		}
	}
	n := 0
	for _, err := range taskMeet.Map(within(t), p, source) {
		if err != nil {
			t.Error(err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("%d results", n)
	}
}

// When ctx ends, that is the last error.
func TestMapCancelled(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	for _, task := range []func(context.Context) iter.Seq2[int, error]{
		func(ctx context.Context) iter.Seq2[int, error] { return taskPick.Map(ctx, p, upTo(1_000_000)) },
		func(ctx context.Context) iter.Seq2[int, error] { return taskPick.MapUnordered(ctx, p, upTo(1_000_000)) },
	} {
		ctx, cancel := context.WithCancelCause(within(t))
		n, last := 0, error(nil)
		for _, err := range task(ctx) {
			if last != nil {
				t.Errorf("a result after the error %v", last)
			}
			if last = err; n == 1000 {
				cancel(errTest)
			}
			n++
		}
		cancel(nil)
		if !errors.Is(last, errTest) || n < 1000 {
			t.Errorf("%d results, then %v", n, last)
		}
	}
}

// Each returns the first error, and Map over a closed pool says so.
func TestEach(t *testing.T) {
	p := newTestPool(t, testOptions(2))
	if err := taskPick.Each(within(t), p, upTo(1000)); err != nil {
		t.Error(err)
	}
	var fault *proto.Fault
	if err := taskPick.Each(within(t), p, slices.Values([]int{1, 2, -1, 3})); !errors.As(err, &fault) {
		t.Errorf("%v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := taskPick.Each(within(t), p, upTo(10)); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
}

// With attempts, each element is a ticket and tried so often.
func TestMapWithAttempts(t *testing.T) {
	p := newTestPool(t, testOptions(2))
	got := map[string]int{}
	for v, err := range taskPick.Map(within(t), p, slices.Values([]int{1, -3, 2}), Ticket{Attempts: 3}) {
		if died, ok := errors.AsType[*WorkerDiedError](err); ok {
			got[fmt.Sprint("attempt ", died.Attempt)]++
		} else {
			got[fmt.Sprint(v)]++
		}
	}
	if want := map[string]int{"1": 1, "2": 1, "attempt 3": 1}; !maps.Equal(got, want) {
		t.Errorf("%v, expected %v", got, want)
	}
}

// A pool of workers that do not know chunks maps too.
var noChunks = fakeWorker("no chunks", func(f *fake) {
	f.greet()
	f.serve(f.echo)
})

func TestMapWithoutChunks(t *testing.T) {
	p := newTestPool(t, fakeOptions(2, noChunks))
	i := 0
	for v, err := range echoTask.Map(within(t), p, upTo(100)) {
		if v != i || err != nil {
			t.Fatalf("%d: %d, %v", i, v, err)
		}
		i++
	}
}

func BenchmarkMap(b *testing.B) {
	for _, workers := range []int{2, 4} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			p := benchPool(b, workers)
			b.ReportAllocs()
			for v, err := range taskPick.Map(context.Background(), p, upTo(b.N)) {
				if err != nil || v < 0 {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "M/s")
		})
	}
}
