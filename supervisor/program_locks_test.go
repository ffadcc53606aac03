package supervisor_test

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/supervisor"
)

// The programs about locks, as a Go programmer writes them: tasks in processes of their own.

// atMost bounds a program: it only has to end a hang.
const atMost = time.Minute

// program returns a pool for one test, and the context of all its steps.
func program(t *testing.T, workers int) (context.Context, *supervisor.Pool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), atMost)
	t.Cleanup(cancel)
	pool, err := supervisor.NewPool(ctx, supervisor.PoolOptions{Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	return ctx, pool
}

// must makes an object for a test.
func must[T any](t *testing.T) func(v T, err error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

type guarded struct {
	Lock   *ipc.Lock
	Inside *ipc.Value[int64]
	How    string // of the end: "error", "panic", "exit", "kill" or well
}

var hold = supervisor.NewTask("program.hold", func(ctx context.Context, in guarded) (seen struct {
	Inside    int64
	OwnerDied bool
}, err error) {
	held, err := in.Lock.Acquire(ctx)
	if err != nil {
		return seen, err
	}
	seen.OwnerDied = held.OwnerDied()
	seen.Inside, err = ipc.Add(in.Inside, 1)
	if err != nil {
		return seen, err
	}
	switch in.How {
	case "panic":
		panic("while holding the lock")
	case "exit":
		os.Exit(3)
	case "kill":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "error":
		err = errors.New("on purpose")
	}
	_, left := ipc.Add(in.Inside, -1)
	return seen, errors.Join(err, left, held.Release())
})

// S2: the lock is released on every path, and who comes after a death learns of it.
func TestLockIsReleasedOnEveryPath(t *testing.T) {
	ctx, pool := program(t, 2)
	for _, how := range []string{"well", "error", "panic", "exit", "kill"} {
		in := guarded{
			Lock:   must[*ipc.Lock](t)(ipc.NewLock(ipc.LockOptions{Name: "m"})),
			Inside: must[*ipc.Value[int64]](t)(ipc.NewValue[int64]("inside", 0)),
		}
		in.How = how
		if _, err := hold.Call(ctx, pool, in); (err == nil) != (how == "well") {
			t.Errorf("%s: %v", how, err)
		}
		in.How = ""
		died := how == "panic" || how == "exit" || how == "kill"
		if got, err := hold.Call(ctx, pool, in); err != nil || got.OwnerDied != died {
			t.Errorf("after %s: %+v, %v; want the owner dead: %v", how, got, err, died)
		}
		in.Lock.Close()
		in.Inside.Close()
	}
}

// S3: a lock handed to 20 tasks in 5 processes lets in one at a time.
func TestLockInPoolTasks(t *testing.T) {
	ctx, pool := program(t, 5)
	in := guarded{
		Lock:   must[*ipc.Lock](t)(ipc.NewLock(ipc.LockOptions{Name: "m"})),
		Inside: must[*ipc.Value[int64]](t)(ipc.NewValue[int64]("inside", 0)),
	}
	defer in.Lock.Close()
	defer in.Inside.Close()
	for _, f := range submitAll(t, ctx, pool, hold, 20, in) {
		if got, err := f.Get(ctx); err != nil || got.Inside != 1 {
			t.Errorf("%d inside, %v", got.Inside, err)
		}
	}
}

func submitAll[A, R any](t *testing.T, ctx context.Context, pool *supervisor.Pool, task *supervisor.Task[A, R], n int, arg A) (fs []*supervisor.Future[R]) {
	t.Helper()
	for range n {
		f, err := task.Submit(ctx, pool, arg)
		if err != nil {
			t.Fatal(err)
		}
		fs = append(fs, f)
	}
	return fs
}

type owners struct {
	Lock  *ipc.RLock
	Times int
	Keep  bool
}

type owned struct {
	Levels []int
	Free   bool // whether the lock was
	PID    int
}

var own = supervisor.NewTask("program.own", func(ctx context.Context, in owners) (got owned, err error) {
	got.PID = os.Getpid()
	var held []ipc.RHeld
	for range in.Times {
		h, ok, err := in.Lock.TryAcquire(ctx)
		if err != nil || !ok {
			return got, err
		}
		held = append(held, h)
		got.Levels = append(got.Levels, h.Level())
	}
	got.Free = true
	if in.Keep {
		return got, nil
	}
	for _, h := range held {
		err = errors.Join(err, h.Release())
	}
	return got, err
})

// S6: who has an RLock may take it again: that is one ticket, not its process, and no other process.
func TestOwnerIsTheTicket(t *testing.T) {
	ctx, pool := program(t, 1)
	_, others := program(t, 1)
	lock := must[*ipc.RLock](t)(ipc.NewRLock("r"))
	defer lock.Close()
	try := func(pool *supervisor.Pool, in owners) owned {
		in.Lock = lock
		return must[owned](t)(own.Call(ctx, pool, in))
	}
	twice := try(pool, owners{Times: 2})
	if !twice.Free || len(twice.Levels) != 2 || twice.Levels[1] != 2 {
		t.Errorf("one ticket, twice: %+v", twice)
	}
	if kept := try(pool, owners{Times: 1, Keep: true}); !kept.Free || kept.PID != twice.PID {
		t.Errorf("released as often as taken, but: %+v", kept)
	}
	if next := try(pool, owners{Times: 1}); next.Free || next.PID != twice.PID {
		t.Errorf("the next ticket of the same process: %+v", next)
	}
	if other := try(others, owners{Times: 1}); other.Free || other.PID == twice.PID {
		t.Errorf("a ticket of another process: %+v", other)
	}
	if _, ok, err := lock.TryAcquire(ctx); ok || err != nil {
		t.Errorf("this process: %v, %v", ok, err)
	}
}

// perWorker is what each worker process has for itself.
var perWorker = map[string]int{}

var remember = supervisor.NewTask("program.remember", func(ctx context.Context, in struct {
	Start *ipc.Barrier
	Key   string
}) (owned, error) {
	perWorker[in.Key]++
	_, err := in.Start.Wait(ctx) // so that each is in another process
	return owned{Levels: []int{len(perWorker), perWorker[in.Key]}, PID: os.Getpid()}, err
})

// S13: what a worker keeps is its own: copies are independent.
func TestPerWorkerStorage(t *testing.T) {
	ctx, pool := program(t, 3)
	start := must[*ipc.Barrier](t)(ipc.NewBarrier("start", 3))
	defer start.Close()
	for round := 1; round <= 2; round++ {
		pids := map[int]bool{}
		for _, f := range submitAll(t, ctx, pool, remember, 3, struct {
			Start *ipc.Barrier
			Key   string
		}{start, "x"}) {
			got, err := f.Get(ctx)
			if err != nil || got.Levels[0] != 1 || got.Levels[1] != round {
				t.Errorf("round %d: %+v, %v", round, got, err)
			}
			pids[got.PID] = true
		}
		if len(pids) != 3 {
			t.Errorf("round %d in processes %v", round, pids)
		}
	}
	if len(perWorker) != 0 {
		t.Errorf("the master has %v", perWorker)
	}
}
