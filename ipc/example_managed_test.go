package ipc_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed-185a7250/multiproc/ipc"
)

// serve serves a manager; mostly that is another process: see supervisor.StartManager, and the command "master manager".
func serve(ctx context.Context) (address string, stop func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	address = filepath.Join(dir, "manager.sock")
	m, err := ipc.NewManager(ipc.ManagerOptions{})
	if err != nil {
		panic(err)
	}
	l, err := ipc.Listen(address, ipc.ConnOptions{})
	if err != nil {
		panic(err)
	}
	go m.Serve(ctx, l)
	return address, func() {
		l.Close()
		m.Close()
		os.RemoveAll(dir)
	}
}

func ExampleConnect() {
	ctx := context.Background()
	address, stop := serve(ctx)
	defer stop()

	c, err := ipc.Connect(ctx, address, ipc.ConnectOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	stock, err := ipc.NewDict[string, int](ctx, c, ipc.ManagedOptions{Name: "stock"})
	if err != nil {
		fmt.Println(err)
		return
	}
	stock.Set(ctx, "tickets", 10)

	// Any other process, in any language, finds it by its name. To subtract is one operation: nobody comes between.
	same, err := ipc.OpenDict[string, int](ctx, c, "stock")
	if err != nil {
		fmt.Println(err)
		return
	}
	left, err := same.Add(ctx, "tickets", -1)
	fmt.Println(left, err)
	_, err = same.Get(ctx, "coffee")
	fmt.Println(errors.Is(err, ipc.ErrKey))
	// Output:
	// 9 <nil>
	// true
}

// Objects within objects are references: what is done to one is seen by all who refer to it.
func ExampleDict_GetOrCreate() {
	ctx := context.Background()
	address, stop := serve(ctx)
	defer stop()
	c, err := ipc.Connect(ctx, address, ipc.ConnectOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	rooms, err := ipc.NewDict[string, *ipc.List[string]](ctx, c, ipc.ManagedOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	room, err := rooms.GetOrCreate(ctx, "lobby", "list")
	if err != nil {
		fmt.Println(err)
		return
	}
	room.Append(ctx, "Ada")
	room.Append(ctx, "Grace")

	again, err := rooms.Get(ctx, "lobby")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(again.Copy(ctx))
	// Output: [Ada Grace] <nil>
}

func ExampleManagedLock() {
	ctx := context.Background()
	address, stop := serve(ctx)
	defer stop()
	c, err := ipc.Connect(ctx, address, ipc.ConnectOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	lock, err := ipc.NewManagedLock(ctx, c, ipc.ManagedOptions{Name: "printer", Existing: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	held, err := lock.Acquire(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, ok, err := lock.TryAcquire(ctx)
	fmt.Println(ok, err)
	fmt.Println(held.Release())
	// Output:
	// false <nil>
	// <nil>
}

// Many calls at once cost little more than one.
func ExampleClient_Start() {
	ctx := context.Background()
	address, stop := serve(ctx)
	defer stop()
	c, err := ipc.Connect(ctx, address, ipc.ConnectOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	q, err := ipc.NewManagedQueue[int](ctx, c, ipc.ManagedOptions{}, ipc.FIFO, 0)
	if err != nil {
		fmt.Println(err)
		return
	}

	var puts []*ipc.Pending
	for i := range 10 {
		puts = append(puts, q.Start("put", i*i))
	}
	for _, p := range puts {
		if _, err := p.Wait(ctx); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(q.GetUpTo(ctx, 100))
	// Output: [0 1 4 9 16 25 36 49 64 81] <nil>
}
