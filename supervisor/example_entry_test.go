package supervisor_test

import (
	"context"
	"fmt"
	"os"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/supervisor"
)

// Entries are package variables, as tasks are.
var (
	sing = supervisor.NewEntry("example.sing", func(_ context.Context, lines int) error {
		for n := range lines {
			fmt.Println("la", n+1)
		}
		return nil
	})
	oracle = supervisor.NewEntry("example.oracle", func(ctx context.Context, in struct {
		Question string
		Answers  *ipc.Queue[string]
	}) error {
		return in.Answers.Put(ctx, in.Question+" 42")
	})
	serve = supervisor.NewEntry("example.serve", func(ctx context.Context, _ struct{}) error {
		supervisor.Ready() // it listens now, say
		<-ctx.Done()       // until it is terminated
		return nil
	})
	twoGoroutines = supervisor.NewEntry("example.two_goroutines", func(context.Context, struct{}) error {
		begun := make(chan struct{})
		supervisor.GoDaemon(func() {
			fmt.Println("123")
			close(begun)
			select {} // long work; cut off when the process ends
		})
		supervisor.Go(func() {
			<-begun
			fmt.Println("456")
		})
		return nil
	})
)

// A function in a process of its own.
func ExampleEntry_Start() {
	p, err := sing.Start(3, supervisor.Spec{Stdout: supervisor.Output{Lines: func(line []byte, _ bool) {
		fmt.Printf("it sings: %s\n", line)
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	exit, err := p.Join(context.Background())
	fmt.Println(exit, err)
	// Output:
	// it sings: la 1
	// it sings: la 2
	// it sings: la 3
	// exit status 0 <nil>
}

// What ipc has may stand in the argument. An entry with its argument can be started as often as one likes.
func ExampleEntry_With() {
	ctx := context.Background()
	answers, err := ipc.NewQueue[string](ipc.QueueOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer answers.Detach()
	program := oracle.With(struct {
		Question string
		Answers  *ipc.Queue[string]
	}{"six times seven?", answers})
	for range 2 {
		p, err := supervisor.Start(program)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(answers.Get(ctx))
		p.Join(ctx)
		p.Close()
	}
	// Output:
	// six times seven? 42 <nil>
	// six times seven? 42 <nil>
}

// A server is terminated: its context ends, and it ends by the signal.
func ExampleProcess_Ready() {
	ctx := context.Background()
	p, err := serve.Start(struct{}{}, supervisor.Spec{Daemon: true, Stderr: supervisor.Output{Inherit: true}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	<-p.Ready()
	exit, err := p.Stop(ctx, 0)
	fmt.Println(exit.Status(), err)
	// Output: -15 <nil>
}

// The process ends when the goroutine that is waited for has ended.
func ExampleGo() {
	p, err := twoGoroutines.Start(struct{}{}, supervisor.Spec{Stdout: supervisor.Output{Inherit: true}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	exit, err := p.Join(context.Background())
	fmt.Println(exit, err)
	// Output:
	// 123
	// 456
	// exit status 0 <nil>
}

// A command with limits. They hold before its first instruction.
func ExampleLimits() {
	p, err := supervisor.Start(supervisor.Spec{
		Path:   "sh",
		Args:   []string{"sh", "-c", "ulimit -n"},
		Dir:    os.TempDir(),
		Limits: supervisor.Limits{OpenFiles: 64, Nice: 5},
		Stdout: supervisor.Output{Inherit: true},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	exit, err := p.Join(context.Background())
	fmt.Println(exit, err)
	// Output:
	// 64
	// exit status 0 <nil>
}
