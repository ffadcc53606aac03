package supervisor

import (
	"bytes"
	"context"
	"os"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
)

// atScale tells whether the tests of this file shall go to the limit, which takes a minute.
func atScale() bool { return os.Getenv("MULTIPROC_SCALE") != "" }

// residentMemory returns VmRSS of this process in bytes.
func residentMemory() int {
	b, _ := os.ReadFile("/proc/self/statm")
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.Atoi(string(fields[1]))
	return pages * os.Getpagesize()
}

// forgetPeak makes peakMemory begin anew. (proc(5), clear_refs)
func forgetPeak(t *testing.T) {
	debug.FreeOSMemory() // what earlier tests have left, too
	t.Helper()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
}

// through has a pool do n tickets, made one by one when there is room for them, and keeps nothing of them.
func through(t *testing.T, p *Pool, n int) (cost time.Duration) {
	t.Helper()
	ctx := within(t)
	if atScale() {
		ctx = t.Context()
	}
	var good, bad atomic.Int64
	begun := time.Now()
	for i := range n {
		f, err := taskSquare.Submit(ctx, p, i)
		if err != nil {
			t.Fatal(err)
		}
		f.OnResult(func(got int) {
			if got == i*i {
				good.Add(1)
			} else {
				bad.Add(1)
			}
		})
		f.OnError(func(error) { bad.Add(1) })
	}
	eventually(t, func() bool { return good.Load()+bad.Load() == int64(n) }, "%d results", n)
	if bad.Load() > 0 {
		t.Errorf("%d of %d tickets have a wrong result", bad.Load(), n)
	}
	return time.Since(begun) / time.Duration(n)
}

// A ticket costs the same among a thousand as among a million, and the master holds no more.
func TestScaleTickets(t *testing.T) {
	sizes, slower := []int{1000, 5000}, 8.0
	if atScale() {
		sizes, slower = []int{1000, 10_000, 100_000, 1_000_000}, 1.5
	}
	p := newTestPool(t, testOptions(2))
	through(t, p, 1000) // for warmth
	var cost []time.Duration
	var peak []uint64
	for _, n := range sizes {
		forgetPeak(t)
		best := through(t, p, n)
		for again := n; again <= 10_000; again *= 3 { // what is short is easily disturbed
			best = min(best, through(t, p, n))
		}
		cost, peak = append(cost, best), append(peak, peakMemory())
		t.Logf("%d tickets: %v each, at most %.1f MiB resident", n, best, float64(peakMemory())/(1<<20))
	}
	for i := range sizes {
		if float64(cost[i]) > slower*float64(cost[0]) {
			t.Errorf("a ticket costs %v among %d and %v among %d", cost[0], sizes[0], cost[i], sizes[i])
		}
		if peak[i] > peak[0]+32<<20 {
			t.Errorf("the master has %d bytes with %d tickets and %d with %d", peak[0], sizes[0], peak[i], sizes[i])
		}
	}
}

// Many workers are started, used, all at the same time, and joined.
func TestScaleWorkers(t *testing.T) {
	workers := 20
	if atScale() {
		workers = 200
	}
	o := testOptions(workers)
	o.StartTimeout = patience
	begun := time.Now()
	p := newTestPool(t, o)
	started := time.Since(begun)
	gate, err := ipc.NewBarrier("", workers)
	if err != nil {
		t.Fatal(err)
	}
	defer gate.Close()
	var futures []*Future[int]
	for range workers {
		futures = append(futures, submit(t, taskGate, p, gate))
	}
	pids := map[int]bool{}
	for i, f := range futures {
		pid, err := f.Get(within(t))
		if err != nil {
			t.Fatalf("ticket %d of %d: %v", i, workers, err)
		}
		pids[pid] = true
	}
	used := time.Since(begun)
	if len(pids) != workers {
		t.Errorf("%d workers were used, expected %d", len(pids), workers)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	t.Logf("%d workers: ready after %v, used after %v, joined after %v", workers, started, used, time.Since(begun))
}

// Returns when all have come.
var taskGate = NewTask("test.gate", func(ctx context.Context, gate *ipc.Barrier) (int, error) {
	_, err := gate.Wait(ctx)
	return os.Getpid(), err
})
