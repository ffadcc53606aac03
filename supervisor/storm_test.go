package supervisor

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/seed-185a7250/multiproc/ipc"
)

type drop struct {
	N    int
	Runs *ipc.Block
}

// Counts its executions, and takes long enough to be met by a kill or a cancel now and then.
var taskDrop = NewTask("test.drop", func(ctx context.Context, d drop) (int, error) {
	runs := d.Runs.Word(d.N).Add(1)
	for i := range 2000 {
		if i%100 == 0 && ctx.Err() != nil {
			return 0, ctx.Err()
		}
		runs += runs % 2
	}
	return d.N, nil
})

// Tickets are cancelled and workers killed at random: every ticket has exactly one result, its own; what was OK has
// run at least once, what was cancelled before it began never; and no more executions than attempts.
func TestStorm(t *testing.T) {
	const tickets = 2000
	o := testOptions(4)
	o.Backlog = 100
	p := newTestPool(t, o)
	runs, err := ipc.NewBlock(tickets)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { runs.Close() })

	answered := make(chan bool, tickets)
	kills := 0
	var killer sync.WaitGroup
	killer.Go(func() {
		for n := 0; <-answered; n++ {
			if n%10 != 0 { // not as many as the machine can do
				continue
			}
			pid := p.Status()[rand.IntN(4)].PID // 0 while the place has no process that is ready
			for _, c := range ActiveChildren() {
				if c.PID() == pid {
					c.Signal([]syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGSEGV}[rand.IntN(3)])
					kills++
				}
			}
		}
	})

	var count [tickets]atomic.Int64
	var results [tickets]Result
	var all sync.WaitGroup
	for n := range tickets {
		ctx, cancel := context.WithCancel(context.Background())
		if rand.IntN(4) == 0 {
			all.Go(cancel)
		}
		f, err := taskDrop.Submit(ctx, p, drop{n, runs}, Ticket{Attempts: 50})
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			results[n] = Result{Outcome: OutcomeCancelled}
			count[n].Add(1)
			cancel()
			continue
		}
		if rand.IntN(8) == 0 {
			all.Go(cancel)
		}
		all.Go(func() {
			defer cancel()
			<-f.Done()
			count[n].Add(1)
			r, _ := f.p.Result(context.Background())
			results[n] = r
			answered <- true
			if r.Outcome == OutcomeOK {
				if got, err := f.Get(context.Background()); got != n || err != nil {
					t.Errorf("ticket %d has the result %d, %v", n, got, err)
				}
			}
		})
	}
	all.Wait()
	close(answered)
	killer.Wait()

	outcomes := map[Outcome]int{}
	for n, r := range results {
		outcomes[r.Outcome]++
		ran := runs.Word(n).Load()
		switch {
		case count[n].Load() != 1:
			t.Errorf("ticket %d has %d results", n, count[n].Load())
		case r.Outcome != OutcomeOK && r.Outcome != OutcomeCancelled && !(r.Attempts == 50 && r.Err != nil):
			t.Errorf("ticket %d: %+v", n, r)
		case r.Outcome == OutcomeOK && ran == 0:
			t.Errorf("ticket %d is ok and never ran", n)
		case int(ran) > r.Attempts:
			t.Errorf("ticket %d ran %d times in %d attempts", n, ran, r.Attempts)
		}
	}
	if kills < 10 || outcomes[OutcomeCancelled] < 100 || outcomes[OutcomeOK] < 500 {
		t.Errorf("no storm: %d kills, %v", kills, outcomes)
	}
	t.Logf("%d kills, %v", kills, outcomes)
}
