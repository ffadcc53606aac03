package supervisor_test

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/supervisor"
)

// A counting is what its tasks are given: objects of a manager, as they are.
type counting struct {
	Counts *ipc.Dict[string, int]
	Lock   *ipc.ManagedLock
	Word   string
	Die    bool // the first attempt dies while it holds the lock
}

type counted struct {
	Mine *ipc.List[string]
	Died bool // the lock has come from a dead owner
}

var taskCount = supervisor.NewTask("program.count", func(ctx context.Context, c counting) (counted, error) {
	h, err := c.Lock.Acquire(ctx)
	if err != nil {
		return counted{}, err
	}
	defer h.Release()
	if c.Die {
		attempts, err := c.Counts.AddFrom(ctx, "attempts", 1, 0)
		if err != nil {
			return counted{}, err
		}
		if attempts == 1 {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}
	// With the lock, a read and a write are one.
	n, err := c.Counts.GetOr(ctx, c.Word, 0)
	if err != nil {
		return counted{}, err
	}
	if err := c.Counts.Set(ctx, c.Word, n+1); err != nil {
		return counted{}, err
	}
	client, err := ipc.Connect(ctx, os.Getenv("TEST_MANAGER"), ipc.ConnectOptions{})
	if err != nil {
		return counted{}, err
	}
	// A new object can be the result: it lives as long as the answer is under way.
	mine, err := ipc.NewList(ctx, client, ipc.ManagedOptions{}, c.Word)
	return counted{Mine: mine, Died: h.OwnerDied()}, err
})

// Objects of a manager are arguments and results of tasks, also of one that is tried again after its worker was killed with a lock.
func TestManagedArguments(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	m, err := supervisor.StartManager(ctx, supervisor.ManagerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Stop(ctx)
	t.Setenv("TEST_MANAGER", m.Address())
	pool, err := supervisor.NewPool(ctx, supervisor.PoolOptions{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	c, err := m.Connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	counts, err := ipc.NewDict[string, int](ctx, c, ipc.ManagedOptions{})
	if err != nil {
		t.Fatal(err)
	}
	lock, err := ipc.NewManagedLock(ctx, c, ipc.ManagedOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var futures []*supervisor.Future[counted]
	const tasks = 12
	for i := range tasks {
		f, err := taskCount.Submit(ctx, pool, counting{counts, lock, fmt.Sprint("word ", i%3), i == 5}, supervisor.Ticket{Attempts: 3})
		if err != nil {
			t.Fatal(err)
		}
		futures = append(futures, f)
	}
	for i, f := range futures {
		got, err := f.Get(ctx)
		if err != nil {
			t.Fatalf("task %d: %v", i, err)
		}
		words, err := got.Mine.Copy(ctx)
		if want := fmt.Sprint("word ", i%3); err != nil || len(words) != 1 || words[0] != want {
			t.Errorf("task %d has made %v, %v, expected %q", i, words, err, want)
		}
		got.Mine.Close()
	}
	for i := range 3 {
		word := fmt.Sprint("word ", i)
		if n, err := counts.Get(ctx, word); n != tasks/3 || err != nil {
			t.Errorf("%s was counted %d times, %v, expected %d", word, n, err, tasks/3)
		}
	}
	if n, err := counts.Get(ctx, "attempts"); n != 2 || err != nil {
		t.Errorf("%d attempts of the task that dies, %v, expected 2", n, err)
	}
	if locked, err := lock.Locked(ctx); locked || err != nil {
		t.Errorf("locked afterwards: %v, %v", locked, err)
	}
}
