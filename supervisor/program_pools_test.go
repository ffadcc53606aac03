package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
	"github.com/seed-185a7250/multiproc/supervisor"
)

// The programs about pools, of processes and of goroutines.

type visit struct {
	Number, PID int
	Inside      int64
}

// enter tells how many are inside with it.
var enter = supervisor.NewTask("program.enter", func(_ context.Context, in struct {
	Number int
	Inside *ipc.Value[int64]
}) (visit, error) {
	inside, err := ipc.Add(in.Inside, 1)
	defer ipc.Add(in.Inside, -1)
	return visit{in.Number, os.Getpid(), inside}, err
})

// L1: apply runs one after another: nobody meets anybody, and three processes do the work of five.
func TestApplyFive(t *testing.T) {
	ctx, pool := program(t, 3)
	inside := must[*ipc.Value[int64]](t)(ipc.NewValue[int64]("inside", 0))
	defer inside.Close()
	pids := map[int]bool{}
	for n := range 5 {
		v := must[visit](t)(enter.Call(ctx, pool, struct {
			Number int
			Inside *ipc.Value[int64]
		}{n, inside}))
		if v.Number != n || v.Inside != 1 || v.PID == os.Getpid() {
			t.Errorf("task %d: %+v", n, v)
		}
		pids[v.PID] = true
	}
	if len(pids) > 3 {
		t.Errorf("3 workers had %d pids", len(pids))
	}
}

// together returns when four are inside, so it returns only if four run at once.
var together = supervisor.NewTask("program.together", func(ctx context.Context, in struct {
	Number int
	Four   *ipc.Barrier
}) (visit, error) {
	_, err := in.Four.Wait(ctx)
	return visit{Number: in.Number, PID: os.Getpid()}, err
})

// L2: apply_async runs four at a time. Callbacks come in the master; the results in the order of submission.
func TestApplyAsync(t *testing.T) {
	ctx, pool := program(t, 4)
	four := must[*ipc.Barrier](t)(ipc.NewBarrier("four", 4))
	defer four.Close()
	type callback struct{ number, pid int }
	callbacks := make(chan callback, 12)
	var fs []*supervisor.Future[visit]
	for n := range 12 {
		f := must[*supervisor.Future[visit]](t)(together.Submit(ctx, pool, struct {
			Number int
			Four   *ipc.Barrier
		}{n, four}))
		f.OnResult(func(v visit) { callbacks <- callback{v.Number, os.Getpid()} })
		fs = append(fs, f)
	}
	pids := map[int]bool{}
	for n, v := range must[[]visit](t)(supervisor.Gather(ctx, fs...)) {
		if v.Number != n || v.PID == os.Getpid() {
			t.Errorf("result %d: %+v", n, v)
		}
		pids[v.PID] = true
	}
	if len(pids) != 4 {
		t.Errorf("%d processes", len(pids))
	}
	var called []int
	for range fs {
		select {
		case c := <-callbacks:
			if called = append(called, c.number); c.pid != os.Getpid() {
				t.Errorf("callback %d in process %d", c.number, c.pid)
			}
		case <-ctx.Done():
			t.Fatalf("callbacks %v only", called)
		}
	}
	if slices.Sort(called); !slices.Equal(called, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}) {
		t.Errorf("callbacks %v", called)
	}
}

// L3: an open pool cannot be joined; a closed one can, and has finished all.
func TestCloseBeforeJoin(t *testing.T) {
	ctx, pool := program(t, 2)
	fs := submitAll(t, ctx, pool, square, 10, 3)
	if err := pool.Join(ctx); !errors.Is(err, supervisor.ErrOpen) {
		t.Errorf("join of an open pool: %v", err)
	}
	if err := pool.Close(); err != nil {
		t.Error(err)
	}
	if err := pool.Join(ctx); err != nil {
		t.Errorf("join: %v", err)
	}
	if done, pending, err := supervisor.Wait(ctx, supervisor.FirstCompleted, fs...); len(done) != 10 || err != nil {
		t.Errorf("%d done, %d pending, %v", len(done), len(pending), err)
	}
	if _, err := square.Submit(ctx, pool, 1); !errors.Is(err, supervisor.ErrClosed) {
		t.Errorf("submit to a closed pool: %v", err)
	}
}

var divide = supervisor.NewTask("program.divide", func(_ context.Context, in [2]int) (int, error) {
	if in[0] < 0 {
		return 0, fmt.Errorf("%d is negative", in[0])
	}
	return in[0] / in[1], nil
})

// L4: a value, the text of an error, and the stack of a panic come back from another process.
func TestResultsAndErrors(t *testing.T) {
	ctx, pool := program(t, 2)
	if v, err := divide.Call(ctx, pool, [2]int{42, 6}); v != 7 || err != nil {
		t.Errorf("%d, %v", v, err)
	}
	_, err := divide.Call(ctx, pool, [2]int{-1, 6})
	if fault, ok := errors.AsType[*proto.Fault](err); !ok || fault.Kind != proto.KindError || fault.Text != "-1 is negative" {
		t.Errorf("error: %v", err)
	}
	_, err = divide.Call(ctx, pool, [2]int{1, 0})
	fault, ok := errors.AsType[*proto.Fault](err)
	if !ok || fault.Kind != proto.KindPanic || !strings.Contains(fault.Text, "divide by zero") || !strings.Contains(fault.Stack, "program_pools_test.go") {
		t.Errorf("panic: %v, stack %q", err, fault.Stack)
	}
	if v, err := divide.Call(ctx, pool, [2]int{42, 7}); v != 6 || err != nil {
		t.Errorf("afterwards: %d, %v", v, err)
	}
}

// L5: a pool of goroutines has the same futures: both kinds can be gathered together.
func ExampleExecutor() {
	ctx := context.Background()
	pool, err := supervisor.NewPool(ctx, supervisor.PoolOptions{Workers: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	ex := supervisor.NewExecutor(supervisor.ExecutorOptions{Workers: 3})
	defer ex.Close()

	here, _ := supervisor.Submit(ctx, ex, func(context.Context) (int, error) { return 1 + 1, nil })
	there, _ := square.Submit(ctx, pool, 7)
	fmt.Println(supervisor.Gather(ctx, here, there))

	words := slices.Values([]string{"one", "two", "three"})
	for upper, err := range supervisor.Map(ctx, ex, words, func(_ context.Context, s string) (string, error) {
		return strings.ToUpper(s), nil
	}) {
		fmt.Println(upper, err)
	}
	// Output:
	// [2 49] <nil>
	// ONE <nil>
	// TWO <nil>
	// THREE <nil>
}

// lists are two in shared memory: item k of list l is Items[l*capacity+k].
type lists struct {
	Sizes, Items *ipc.Array[int64]
	Nine         *ipc.Barrier
}

// move moves items at random from the first list to the second until none is left, and tells which.
var move = supervisor.NewTask("program.move", func(ctx context.Context, in lists) (moved []int64, err error) {
	if _, err := in.Nine.Wait(ctx); err != nil {
		return nil, err
	}
	for {
		held, err := in.Sizes.Lock().Acquire(ctx)
		if err != nil {
			return moved, err
		}
		item, ok := moveOne(in.Sizes.Slice(), in.Items.Slice())
		if err := held.Release(); err != nil || !ok {
			return moved, err
		}
		moved = append(moved, item)
	}
})

func moveOne(sizes, items []int64) (item int64, ok bool) {
	if sizes[0] == 0 {
		return 0, false
	}
	from, to := items[:sizes[0]], items[len(items)/2:]
	k := rand.IntN(len(from))
	item, from[k] = from[k], from[len(from)-1]
	to[sizes[1]] = item
	sizes[0]--
	sizes[1]++
	return item, true
}

// L6: nine processes move items from one list to another at random: nothing is lost, nothing is there twice.
func TestNineMovers(t *testing.T) {
	const capacity = 900
	ctx, pool := program(t, 9)
	in := lists{
		must[*ipc.Array[int64]](t)(ipc.NewArray[int64]("sizes", 2)),
		must[*ipc.Array[int64]](t)(ipc.NewArray[int64]("items", 2*capacity)),
		must[*ipc.Barrier](t)(ipc.NewBarrier("nine", 9)),
	}
	defer in.Sizes.Close()
	defer in.Items.Close()
	defer in.Nine.Close()
	in.Sizes.Set(0, capacity)
	for k := range capacity {
		in.Items.Set(k, int64(k))
	}
	moved := must[[][]int64](t)(supervisor.Gather(ctx, submitAll(t, ctx, pool, move, 9, in)...))
	if in.Sizes.Get(0) != 0 || in.Sizes.Get(1) != capacity {
		t.Errorf("%d and %d items at the end", in.Sizes.Get(0), in.Sizes.Get(1))
	}
	eachOnce(t, "moved", slices.Concat(moved...), capacity)
	eachOnce(t, "in the second list", slices.Clone(in.Items.Slice()[capacity:]), capacity)
}

// L6 as it was: nine threads, which share the lists anyway.
func TestNineMoversHere(t *testing.T) {
	const capacity = 9000
	ctx, cancel := context.WithTimeout(t.Context(), atMost)
	defer cancel()
	ex := supervisor.NewExecutor(supervisor.ExecutorOptions{Workers: 9})
	var mu sync.Mutex
	sizes, items := []int64{capacity, 0}, make([]int64, 2*capacity)
	for k := range capacity {
		items[k] = int64(k)
	}
	var movers []*supervisor.Future[[]int64]
	for range 9 {
		movers = append(movers, must[*supervisor.Future[[]int64]](t)(supervisor.Submit(ctx, ex, func(context.Context) (moved []int64, err error) {
			for {
				mu.Lock()
				item, ok := moveOne(sizes, items)
				mu.Unlock()
				if !ok {
					return moved, nil
				}
				moved = append(moved, item)
			}
		})))
	}
	moved := must[[][]int64](t)(supervisor.Gather(ctx, movers...))
	ex.Close()
	eachOnce(t, "moved", slices.Concat(moved...), capacity)
	eachOnce(t, "in the second list", items[capacity:], capacity)
}

// eachOnce checks that 0 to n−1 are there once each.
func eachOnce(t *testing.T, where string, items []int64, n int) {
	t.Helper()
	slices.Sort(items)
	for k, item := range items {
		if item != int64(k) {
			t.Fatalf("%s: item %d where %d should be", where, item, k)
		}
	}
	if len(items) != n {
		t.Errorf("%d of %d items %s", len(items), n, where)
	}
}
