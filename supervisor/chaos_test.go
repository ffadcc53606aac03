package supervisor

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Three in four are over at once, the others take up to 10 ms.
var taskChaos = NewTask("test.chaos", func(_ context.Context, n int) (int, error) {
	if n%4 == 0 {
		time.Sleep(time.Duration(n/4%11) * time.Millisecond)
	}
	return 3*n + 1, nil
})

// A chaos is a pool under saturation, whose workers are killed and stopped all the time.
type chaos struct {
	*testing.T
	pool     *Pool
	giveUp   context.CancelCauseFunc
	limit    time.Duration // for a stall, and for a zombie
	begun    time.Time
	last     atomic.Int64 // when the latest result came, in nanoseconds since begun
	longest  atomic.Int64 // time without any result
	results  atomic.Int64
	attempts int
	kills    int
	stops    int
	usage    []usage
	zombies  map[procStat]time.Time // since when
}

// A usage is what the master holds at a moment.
type usage struct{ fds, bytes int }

// A chaosTicket is submitted, and has had so many results.
type chaosTicket struct {
	n     int
	f     *Future[int]
	calls atomic.Int32
}

// TestChaos: whatever happens to the workers, every ticket has exactly one result, its own; results keep coming; and
// nothing grows. It takes two seconds, or MULTIPROC_CHAOS, which is a duration; then there are 200,000 tickets at
// least, nothing may stall for a second, and the use of memory and descriptors is looked at too.
func TestChaos(t *testing.T) {
	span, tickets := 2*time.Second, 500
	c := &chaos{T: t, limit: patience / 2, zombies: map[procStat]time.Time{}}
	long := os.Getenv("MULTIPROC_CHAOS")
	if long != "" {
		var err error
		if span, err = time.ParseDuration(long); err != nil {
			t.Fatalf("MULTIPROC_CHAOS: %v", err)
		}
		tickets, c.limit = 200_000, time.Second
	}
	c.pool = newTestPool(t, testOptions(8))
	c.begun = time.Now()
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	c.giveUp = cancel
	storm, calm := context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() { c.every(storm, 20*time.Millisecond, c.kill) })
	all.Go(func() { c.every(storm, time.Millisecond, func() { c.stop(storm) }) })
	all.Go(func() { c.every(storm, 100*time.Millisecond, c.look) })
	all.Go(func() { c.every(storm, 250*time.Millisecond, func() { c.resize(storm, 1+rand.IntN(16)) }) })
	all.Go(func() { c.every(storm, 300*time.Millisecond, func() { c.roll(storm) }) })
	under := make(chan *chaosTicket, 1024)
	all.Go(func() {
		defer calm()
		c.collect(ctx, under)
	})
	n := 0
	for ; n < tickets || time.Since(c.begun) < span; n++ {
		if !c.submit(ctx, n, under) {
			break
		}
	}
	close(under)
	all.Wait()
	if err := c.pool.Close(); err != nil {
		t.Error(err)
	}
	eventually(t, func() bool { return c.results.Load() == int64(n) }, "%d tickets have as many results", n)
	c.judge(n, long != "")
}

// every calls f again and again until ctx ends.
func (c *chaos) every(ctx context.Context, d time.Duration, f func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f()
		case <-ctx.Done():
			return
		}
	}
}

func (c *chaos) submit(ctx context.Context, n int, under chan<- *chaosTicket) bool {
	f, err := taskChaos.Submit(ctx, c.pool, n, Ticket{Attempts: 50})
	if err != nil {
		c.Errorf("ticket %d, with %d results so far: %v", n, c.results.Load(), err)
		return false
	}
	ticket := &chaosTicket{n: n, f: f}
	f.OnResult(func(int) { c.result(ticket) })
	f.OnError(func(error) { c.result(ticket) })
	under <- ticket
	return true
}

func (c *chaos) result(ticket *chaosTicket) {
	if calls := ticket.calls.Add(1); calls != 1 {
		c.Errorf("ticket %d has result number %d", ticket.n, calls)
	}
	c.results.Add(1)
	now := time.Since(c.begun).Nanoseconds()
	gap := now - c.last.Swap(now)
	for old := c.longest.Load(); gap > old && !c.longest.CompareAndSwap(old, gap); old = c.longest.Load() {
	}
}

func (c *chaos) collect(ctx context.Context, under <-chan *chaosTicket) {
	for ticket := range under {
		if ctx.Err() != nil {
			continue // the reason has been told
		}
		if got, err := ticket.f.Get(ctx); err != nil || got != 3*ticket.n+1 {
			c.Errorf("ticket %d has the result %d, %v", ticket.n, got, err)
		}
		c.attempts += ticket.f.p.result.Attempts
	}
}

// victim is the process of a random place.
func (c *chaos) victim() *Process {
	places := c.pool.Status() // never none
	pid := places[rand.IntN(len(places))].PID
	for _, p := range ActiveChildren() {
		if p.PID() == pid {
			return p
		}
	}
	return nil
}

func (c *chaos) kill() {
	if p := c.victim(); p != nil && p.Signal(syscall.SIGKILL) == nil {
		c.kills++
	}
}

// stop stops a process for up to 200 ms. It may be killed meanwhile.
func (c *chaos) stop(ctx context.Context) {
	p := c.victim()
	if p == nil || p.Signal(syscall.SIGSTOP) != nil {
		return
	}
	c.stops++
	defer p.Signal(syscall.SIGCONT)
	select {
	case <-time.After(rand.N(200 * time.Millisecond)):
	case <-p.Done():
	case <-ctx.Done():
	}
}

func (c *chaos) resize(ctx context.Context, n int) {
	if err := c.pool.Resize(ctx, n); err != nil && ctx.Err() == nil {
		c.Errorf("resize to %d: %v", n, err)
	}
}

func (c *chaos) roll(ctx context.Context) {
	if err := c.pool.Roll(ctx); err != nil && ctx.Err() == nil {
		c.Errorf("roll: %v", err)
	}
}

// look notes what the master holds, and which children stay unreaped; and ends the test when it hangs.
func (c *chaos) look() {
	if gap := time.Since(c.begun) - time.Duration(c.last.Load()); gap > patience {
		for _, s := range c.pool.Status() {
			c.Errorf("place %d is %s with pid %d, ticket %q, after %d", s.Number, s.State, s.PID, s.Ticket, s.Done)
		}
		c.giveUp(fmt.Errorf("no result for %v", gap))
	}
	c.usage = append(c.usage, usage{len(openFiles()), residentMemory()})
	seen := map[procStat]time.Time{}
	for _, s := range ownChildren() {
		if s.state != 'Z' {
			continue
		}
		since, known := c.zombies[s]
		if !known {
			since = time.Now()
		} else if time.Since(since) > c.limit {
			c.Errorf("process %d has been a zombie for %v", s.pid, time.Since(since))
		}
		seen[s] = since
	}
	c.zombies = seen
}

// judge looks at what was measured while n tickets went through.
func (c *chaos) judge(n int, long bool) {
	longest := time.Duration(c.longest.Load())
	if longest > c.limit {
		c.Errorf("no result for %v", longest)
	}
	before, after := maxUsage(c.usage[:len(c.usage)/2]), maxUsage(c.usage[len(c.usage)/2:])
	if long && (after.fds > before.fds+64 || after.bytes > before.bytes+32<<20) {
		c.Errorf("the use of the master grows: %+v in the first half, %+v in the second", before, after)
	}
	if c.kills < 20 || c.stops < 5 {
		c.Errorf("no chaos: %d kills, %d stops", c.kills, c.stops)
	}
	c.Logf("%d tickets in %v, %d attempts, %d kills, %d stops; the longest time without a result %v; at most %d and %d descriptors, %d and %d MiB in both halves; %d goroutines",
		n, time.Since(c.begun).Round(time.Millisecond), c.attempts, c.kills, c.stops, longest.Round(time.Millisecond),
		before.fds, after.fds, before.bytes>>20, after.bytes>>20, runtime.NumGoroutine())
}

func maxUsage(list []usage) (most usage) {
	for _, u := range list {
		most.fds, most.bytes = max(most.fds, u.fds), max(most.bytes, u.bytes)
	}
	return most
}
