package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/supervisor"
)

// The programs about time, with tickets. Those for functions of this process are in later_test.go.

// note says that it runs, and when it began.
var note = supervisor.NewTask("program.note", func(ctx context.Context, in struct {
	Name string
	Log  *ipc.Queue[string]
}) (time.Time, error) {
	began := time.Now()
	return began, in.Log.Put(ctx, in.Name)
})

type noted struct {
	t    *testing.T
	ctx  context.Context
	pool *supervisor.Pool
	log  *ipc.Queue[string]
}

func newNoted(t *testing.T) *noted {
	ctx, pool := program(t, 1)
	log := must[*ipc.Queue[string]](t)(ipc.NewQueue[string](ipc.QueueOptions{Name: "log"}))
	t.Cleanup(func() { log.Close() })
	return &noted{t, ctx, pool, log}
}

func (n *noted) at(ctx context.Context, due time.Time, name string) *supervisor.Future[time.Time] {
	n.t.Helper()
	return must[*supervisor.Future[time.Time]](n.t)(note.Submit(ctx, n.pool, struct {
		Name string
		Log  *ipc.Queue[string]
	}{name, n.log}, supervisor.Ticket{At: due}))
}

// ran closes the pool and returns what has run, in order.
func (n *noted) ran() []string {
	n.t.Helper()
	if err := n.pool.Close(); err != nil {
		n.t.Error(err)
	}
	if n.log.Len() == 0 {
		return nil
	}
	return must[[]string](n.t)(n.log.GetUpTo(n.ctx, 100))
}

// A4: call later and call at count from the submission, and begin in the order of their times, never before them.
func TestCallLater(t *testing.T) {
	for margin := 250 * time.Millisecond; ; margin *= 2 {
		n := newNoted(t)
		base := time.Now().Add(margin)
		due := func(k int) time.Time { return base.Add(time.Duration(k) * 5 * time.Millisecond) }
		times := []time.Time{due(3), due(1), {}, due(2), due(1), time.Now().Add(-time.Hour)}
		var fs []*supervisor.Future[time.Time]
		for k, at := range times {
			fs = append(fs, n.at(n.ctx, at, fmt.Sprintf("%c", 'a'+k)))
		}
		if time.Now().After(base) && margin < atMost/8 {
			continue // so slow a machine that the first was due before the last was submitted
		}
		for k, began := range must[[]time.Time](t)(supervisor.Gather(n.ctx, fs...)) {
			if began.Before(times[k]) {
				t.Errorf("%c began %v too early", 'a'+k, times[k].Sub(began))
			}
		}
		if got, want := n.ran(), []string{"c", "f", "b", "e", "d", "a"}; !slices.Equal(got, want) {
			t.Errorf("order %v, want %v", got, want)
		}
		return
	}
}

// S12: a ticket for later runs once; those cancelled before, each in its way, never.
func TestTimer(t *testing.T) {
	n := newNoted(t)
	one := n.at(n.ctx, time.Now().Add(20*time.Millisecond), "one")
	cause := errors.New("not wanted any more")
	cancelled := n.at(n.ctx, time.Now().Add(atMost), "cancelled")
	cancelled.Cancel(cause)
	ctx, cancel := context.WithCancelCause(n.ctx)
	also := n.at(ctx, time.Now().Add(atMost), "cancelled by its context")
	cancel(cause)
	for _, f := range []*supervisor.Future[time.Time]{cancelled, also} {
		if _, err := f.Get(n.ctx); !errors.Is(err, cause) {
			t.Errorf("cancelled: %v", err)
		}
	}
	must[time.Time](t)(one.Get(n.ctx))
	if got := n.ran(); !slices.Equal(got, []string{"one"}) {
		t.Errorf("ran: %v", got)
	}
}
