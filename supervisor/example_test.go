package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
	"github.com/seed-185a7250/multiproc/supervisor"
)

// Tasks are package variables, so that the worker processes, which run the same program, know them too.
var (
	square = supervisor.NewTask("example.square", func(_ context.Context, n int) (int, error) {
		return n * n, nil
	})
	sqrt = supervisor.NewTask("example.sqrt", func(_ context.Context, n int) (int, error) {
		for r := 0; r*r <= n; r++ {
			if r*r == n {
				return r, nil
			}
		}
		return 0, fmt.Errorf("%d is no square", n)
	})
	crash = supervisor.NewTask("example.crash", func(ctx context.Context, _ struct{}) (string, error) {
		if supervisor.TicketFrom(ctx).Attempt == 1 {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return "second time lucky", nil
	})
	nap = supervisor.NewTask("example.nap", func(ctx context.Context, d time.Duration) (string, error) {
		select {
		case <-time.After(d):
			return "slept well", nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	})
	add = supervisor.NewTask("example.add", func(ctx context.Context, in struct {
		Lock *ipc.Lock
		Sum  *ipc.Block
		N    int
	}) (int, error) {
		held, err := in.Lock.Acquire(ctx)
		if err != nil {
			return 0, err
		}
		defer held.Release()
		sum := in.Sum.Word(0).Load() // under the lock, so nobody comes between
		in.Sum.Word(0).Store(sum + uint64(in.N))
		return os.Getpid(), nil
	})
)

func Example() {
	run := func(ctx context.Context) error {
		pool, err := supervisor.NewPool(ctx, supervisor.PoolOptions{Workers: 2})
		if err != nil {
			return err
		}
		defer pool.Close()
		n, err := square.Call(ctx, pool, 7)
		fmt.Println(n, err)
		return err
	}
	// A program says supervisor.Main(run) in its main function, and nothing else.
	run(context.Background())
	// Output: 49 <nil>
}

func ExamplePool() {
	ctx := context.Background()
	pool, err := supervisor.NewPool(ctx, supervisor.PoolOptions{Workers: 4})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	var futures []*supervisor.Future[int]
	for n := range 5 {
		f, err := square.Submit(ctx, pool, n)
		if err != nil {
			fmt.Println(err)
			return
		}
		futures = append(futures, f)
	}
	for _, f := range futures { // they run side by side; this is the order of submission
		n, err := f.Get(ctx)
		fmt.Println(n, err)
	}
	// Output:
	// 0 <nil>
	// 1 <nil>
	// 4 <nil>
	// 9 <nil>
	// 16 <nil>
}

func ExampleTask_Map() {
	ctx := context.Background()
	pool, err := supervisor.NewPool(ctx, supervisor.PoolOptions{Workers: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	for root, err := range sqrt.Map(ctx, pool, slices.Values([]int{49, 50, 64})) { // in order, an error in its place
		fmt.Println(root, err)
	}
	// Output:
	// 7 <nil>
	// 0 50 is no square
	// 8 <nil>
}

func ExampleTask_Call() {
	ctx := context.Background()
	pool, err := supervisor.NewPool(ctx, supervisor.PoolOptions{Workers: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	fmt.Println(sqrt.Call(ctx, pool, 49))
	_, err = sqrt.Call(ctx, pool, 50)
	fault, _ := errors.AsType[*proto.Fault](err)
	fmt.Println(fault.Kind, "–", err)
	// Output:
	// 7 <nil>
	// error – 50 is no square
}

// A ticket says how often it may be tried, and how long it may take.
func ExampleTask_Submit() {
	ctx := context.Background()
	pool, err := supervisor.NewPool(ctx, supervisor.PoolOptions{Workers: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	lucky, _ := crash.Submit(ctx, pool, struct{}{}, supervisor.Ticket{Attempts: 3})
	fmt.Println(lucky.Get(ctx))
	_, err = crash.Call(ctx, pool, struct{}{}) // one attempt
	died, _ := errors.AsType[*supervisor.WorkerDiedError](err)
	fmt.Println(died.Exit, died.Exit.Status())
	late, _ := nap.Submit(ctx, pool, time.Hour, supervisor.Ticket{Timeout: 10 * time.Millisecond})
	_, err = late.Get(ctx)
	fmt.Println(errors.Is(err, supervisor.ErrTimeout))
	// Output:
	// second time lucky <nil>
	// signal: killed -9
	// true
}

// A lock may stand anywhere in an argument: it arrives usable.
func ExampleNewTask() {
	ctx := context.Background()
	pool, err := supervisor.NewPool(ctx, supervisor.PoolOptions{Workers: 4})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	lock, _ := ipc.NewLock(ipc.LockOptions{Name: "sum"})
	sum, _ := ipc.NewBlock(1)
	defer lock.Close()
	defer sum.Close()
	var futures []*supervisor.Future[int]
	for n := range 100 {
		f, err := add.Submit(ctx, pool, struct {
			Lock *ipc.Lock
			Sum  *ipc.Block
			N    int
		}{lock, sum, n})
		if err != nil {
			fmt.Println(err)
			return
		}
		futures = append(futures, f)
	}
	for _, f := range futures {
		if _, err := f.Get(ctx); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(sum.Word(0).Load())
	// Output: 4950
}

func ExampleNewSupervisor() {
	ctx := context.Background()
	events := make(chan supervisor.ChildEvent, 100)
	s, err := supervisor.NewSupervisor(ctx, supervisor.SupervisorOptions{
		Strategy: supervisor.RestForOne, // the web server cannot do without the database
		Events:   events,
		Children: []supervisor.ChildSpec{{
			ID:      "database",
			Program: supervisor.Spec{Path: "sh", Args: []string{"sh", "-c", "echo listening; exec sleep 300"}},
			Ready:   supervisor.Readiness{Line: "listening"},
		}, {
			ID:      "web",
			Program: supervisor.Spec{Path: "sleep", Args: []string{"sleep", "300"}, Grace: time.Second},
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	syscall.Kill(s.Status().Children[0].PID, syscall.SIGKILL)
	restarted := false
	for e := range events { // which nobody closes: leave when you have seen enough, or s.Done is closed
		if e.Kind == supervisor.EventRestart {
			fmt.Println(e.Child, "restarts, because of", e.End.Exit)
			restarted = true
		}
		if restarted && e.Kind == supervisor.EventReady && e.Child == "web" {
			break
		}
	}
	for _, c := range s.Status().Children {
		fmt.Println(c.ID, c.State, c.Starts)
	}
	fmt.Println(s.Close())
	// Output:
	// database restarts, because of signal: killed
	// database running 2
	// web running 2
	// <nil>
}

func ExampleStart() {
	var out supervisor.Capture
	p, err := supervisor.Start(supervisor.Spec{
		Path:   "sh",
		Args:   []string{"sh", "-c", "echo hello; exit 3"},
		Stdout: supervisor.Output{Capture: &out},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	exit, err := p.Join(context.Background())
	fmt.Printf("%s%v %v\n", out.Bytes(), exit, err)
	// Output:
	// hello
	// exit status 3 <nil>
}

func ExampleProcess_Stop() {
	p, err := supervisor.Start(supervisor.Spec{Path: "sleep", Args: []string{"sleep", "300"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	exit, err := p.Stop(context.Background(), time.Second) // SIGTERM, and SIGKILL after a second
	fmt.Println(exit.Status(), err)
	// Output: -15 <nil>
}
