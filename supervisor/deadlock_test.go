package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
	"github.com/seed-185a7250/multiproc/supervisor"
)

type nested struct {
	First, Second *ipc.Lock
	Met           *ipc.Barrier // all have the first one
}

// nest takes two locks, one inside the other.
var nest = supervisor.NewTask("program.nest", func(ctx context.Context, in nested) (string, error) {
	first, err := in.First.Acquire(ctx)
	if err != nil {
		return "", err
	}
	if _, err := in.Met.Wait(ctx); err != nil {
		return "", errors.Join(err, first.Release())
	}
	second, err := in.Second.Acquire(ctx)
	if err != nil {
		return "", errors.Join(err, first.Release())
	}
	died := second.OwnerDied()
	return fmt.Sprint(died), errors.Join(second.Release(), first.Release())
})

// A table is laid for n philosophers: each takes the fork to his left, then, when all have one, the
// one to his right.
type table struct {
	pool    *supervisor.Pool
	forks   []ipc.AnyLock
	fs      []*supervisor.Future[string]
	reports chan supervisor.Deadlock
	watch   *supervisor.DeadlockWatch
}

func dine(t *testing.T, n int, fail bool) (ctx context.Context, d *table) {
	t.Helper()
	ctx, pool := program(t, n)
	d = &table{pool: pool, reports: make(chan supervisor.Deadlock, 10)}
	var forks []*ipc.Lock
	for i := range n {
		forks = append(forks, must[*ipc.Lock](t)(ipc.NewLock(ipc.LockOptions{Name: fmt.Sprint("fork ", i+1)})))
		t.Cleanup(func() { forks[i].Close() })
		d.forks = append(d.forks, forks[i])
	}
	met := must[*ipc.Barrier](t)(ipc.NewBarrier("met", n))
	t.Cleanup(func() { met.Close() })
	d.watch = supervisor.WatchDeadlocks(supervisor.DeadlockOptions{
		Locks: d.forks, Pools: []*supervisor.Pool{pool}, Fail: fail, Every: 20 * time.Millisecond,
		Report: func(x supervisor.Deadlock) { d.reports <- x },
	})
	t.Cleanup(d.watch.Stop)
	for i := range n {
		in := nested{First: forks[i], Second: forks[(i+1)%n], Met: met}
		d.fs = append(d.fs, must[*supervisor.Future[string]](t)(nest.Submit(ctx, pool, in, supervisor.Ticket{ID: fmt.Sprint("guest-", i+1)})))
	}
	return ctx, d
}

// report waits for the next report.
func (d *table) report(t *testing.T) supervisor.Deadlock {
	t.Helper()
	select {
	case x := <-d.reports:
		return x
	case <-time.After(atMost):
		t.Fatal("no deadlock is reported")
		panic("not reached")
	}
}

// noMore checks that nothing else was reported.
func (d *table) noMore(t *testing.T) {
	t.Helper()
	d.watch.Stop()
	select {
	case x := <-d.reports:
		t.Errorf("reported as well: %s", x)
	default:
	}
}

// S7: two processes take two locks in opposite order. Who holds and who waits is told, with names, pids
// and tokens, once; when one of them is killed, the other goes on.
func TestDeadlockIsReported(t *testing.T) {
	ctx, d := dine(t, 2, false)
	x := d.report(t)
	if len(x.Parties) != 2 || x.Failed != -1 {
		t.Fatalf("got %+v", x)
	}
	for _, p := range x.Parties {
		i := slices.IndexFunc(d.pool.Status(), func(s supervisor.PlaceStatus) bool { return s.PID == p.PID })
		if i < 0 || d.pool.Status()[i].Ticket != p.Ticket {
			t.Fatalf("%+v is not a worker: %+v", p, d.pool.Status())
		}
		var number int
		fmt.Sscanf(p.Ticket, "guest-%d", &number)
		want := fmt.Sprintf(`ticket guest-%d (worker %d, pid %d) holds "fork %d" (token 1) and waits for "fork %d"`,
			number, i+1, p.PID, number, 3-number)
		if p.String() != want {
			t.Errorf("got %q, want %q", p, want)
		}
	}
	victim := x.Parties[0]
	syscall.Kill(victim.PID, syscall.SIGKILL)
	for i, f := range d.fs {
		got, err := f.Get(ctx)
		if fmt.Sprint("guest-", i+1) == victim.Ticket {
			if _, died := errors.AsType[*supervisor.WorkerDiedError](err); !died {
				t.Errorf("the killed: %q, %v", got, err)
			}
		} else if err != nil || got != "true" {
			t.Errorf("the other: owner died %q, %v", got, err)
		}
	}
	d.noMore(t)
}

// lay takes two locks, one inside the other, and is told to fail in between.
var lay = supervisor.NewEntry("program.lay", func(ctx context.Context, in nested) error {
	first, err := in.First.Acquire(ctx)
	if err != nil {
		return err
	}
	if _, err := in.Met.Wait(ctx); err != nil {
		return err
	}
	second, err := in.Second.Acquire(ctx)
	if errors.Is(err, ipc.ErrDeadlock) {
		return errors.Join(first.Release(), supervisor.ExitCode(7))
	}
	return errors.Join(err, second.Release(), first.Release())
})

// S7, with processes: they are told by name.
func TestDeadlockOfProcesses(t *testing.T) {
	fork := must[*ipc.Lock](t)(ipc.NewLock(ipc.LockOptions{Name: "fork"}))
	defer fork.Close()
	knife := must[*ipc.Lock](t)(ipc.NewLock(ipc.LockOptions{Name: "knife"}))
	defer knife.Close()
	met := must[*ipc.Barrier](t)(ipc.NewBarrier("met", 2))
	defer met.Close()
	reports := make(chan supervisor.Deadlock, 10)
	watch := supervisor.WatchDeadlocks(supervisor.DeadlockOptions{
		Locks: []ipc.AnyLock{fork, knife}, Fail: true, Report: func(x supervisor.Deadlock) { reports <- x },
	})
	defer watch.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), atMost)
	defer cancel()
	left := must[*supervisor.Process](t)(lay.Start(nested{fork, knife, met}, supervisor.Spec{Name: "left"}))
	right := must[*supervisor.Process](t)(lay.Start(nested{knife, fork, met}, supervisor.Spec{Name: "right"}))
	status := map[string]int{}
	for _, p := range []*supervisor.Process{left, right} {
		if _, err := p.Join(ctx); err != nil {
			t.Fatal(err)
		}
		exit, _ := p.Exit()
		status[fmt.Sprintf("process %s (pid %d)", p.Name(), p.PID())] = exit.Status()
	}
	x := <-reports
	for i, p := range x.Parties {
		want := 0
		if i == x.Failed {
			want = 7
		}
		if got, ok := status[p.Who()]; !ok || got != want {
			t.Errorf("%s: %d, %v; want %d; all: %v", p.Who(), got, ok, want, status)
		}
	}
}

// One of three is told to fail, lets go, and the others get what they wait for.
func TestDeadlockFailsOne(t *testing.T) {
	ctx, d := dine(t, 3, true)
	x := d.report(t)
	if len(x.Parties) != 3 || x.Failed < 0 {
		t.Fatalf("got %+v", x)
	}
	last := x.Parties[x.Failed]
	for _, p := range x.Parties {
		if p.Since.After(last.Since) {
			t.Errorf("%s began to wait after %s, which was failed", p.Who(), last.Who())
		}
	}
	for i, f := range d.fs {
		got, err := f.Get(ctx)
		if fmt.Sprint("guest-", i+1) != last.Ticket {
			if err != nil || got != "false" {
				t.Errorf("guest %d: owner died %q, %v", i+1, got, err)
			}
			continue
		}
		if fault, ok := errors.AsType[*proto.Fault](err); !ok || !strings.Contains(fault.Text, ipc.ErrDeadlock.Error()) {
			t.Errorf("who was failed: %q, %v", got, err)
		}
	}
	d.noMore(t)
}

// Who waits again for the same, having been refused and let go of nothing, makes a new deadlock.
func TestDeadlockAgain(t *testing.T) {
	lock := must[*ipc.Lock](t)(ipc.NewLock(ipc.LockOptions{}))
	defer lock.Close()
	ctx, cancel := context.WithTimeout(t.Context(), atMost)
	defer cancel()
	reports := make(chan supervisor.Deadlock, 10)
	watch := supervisor.WatchDeadlocks(supervisor.DeadlockOptions{
		Locks: []ipc.AnyLock{lock}, Fail: true, Every: time.Millisecond,
		Report: func(x supervisor.Deadlock) { reports <- x },
	})
	held, err := lock.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := lock.Acquire(ctx); err != ipc.ErrDeadlock {
			t.Fatalf("got %v, want %v", err, ipc.ErrDeadlock)
		}
	}
	watch.Stop()
	if len(reports) != 2 {
		t.Errorf("%d reports, want 2", len(reports))
	}
	if x := <-reports; !strings.HasPrefix(x.String(), "process ") || !strings.Contains(x.String(), `waits for "lock `) {
		t.Errorf("of a lock without a name: %s", x)
	}
	if err := held.Release(); err != nil {
		t.Error(err)
	}
}
