package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-185a7250/multiproc/supervisor"
)

// answer is a function for an executor: it gives n after a while, or less if it is cancelled.
func answer(n int, after time.Duration) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		select {
		case <-time.After(after):
			return n, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// Groups of gathers: each is a future, and so is the group of them.
func ExampleGroup() {
	ctx := context.Background()
	ex := supervisor.NewExecutor(supervisor.ExecutorOptions{})
	defer ex.Close()
	var fs []*supervisor.Future[int]
	for n := range 5 {
		f, err := supervisor.Submit(ctx, ex, answer(n, 0))
		if err != nil {
			fmt.Println(err)
			return
		}
		fs = append(fs, f)
	}
	few, more := supervisor.Group(fs[:2]...), supervisor.Group(fs[2:]...)
	fmt.Println(supervisor.Gather(ctx, few, more))
	// Output: [[0 1] [2 3 4]] <nil>
}

// The first answer is enough; the others are told that nobody wants them any more.
func ExampleWait() {
	ctx := context.Background()
	ex := supervisor.NewExecutor(supervisor.ExecutorOptions{Workers: 2})
	defer ex.Close()
	slow, _ := supervisor.Submit(ctx, ex, answer(1, time.Hour))
	fast, _ := supervisor.Submit(ctx, ex, answer(2, time.Millisecond))
	done, pending, err := supervisor.Wait(ctx, supervisor.FirstCompleted, slow, fast)
	if err != nil {
		fmt.Println(err)
		return
	}
	late := errors.New("another was faster")
	supervisor.CancelAll(late, pending...)
	fmt.Println(done[0].Get(ctx))
	_, err = slow.Get(ctx)
	fmt.Println(errors.Is(err, late))
	// Output:
	// 2 <nil>
	// true
}

func ExampleAsCompleted() {
	ctx := context.Background()
	ex := supervisor.NewExecutor(supervisor.ExecutorOptions{Workers: 2})
	defer ex.Close()
	first, _ := supervisor.Submit(ctx, ex, answer(1, time.Millisecond))
	second, _ := supervisor.Submit(ctx, ex, func(ctx context.Context) (int, error) {
		n, err := first.Get(ctx) // so it comes after that
		return n + 1, err
	})
	for f, err := range supervisor.AsCompleted(ctx, second, first) {
		if err != nil { // that of ctx
			fmt.Println(err)
			return
		}
		fmt.Println(f.Get(ctx))
	}
	// Output:
	// 1 <nil>
	// 2 <nil>
}
