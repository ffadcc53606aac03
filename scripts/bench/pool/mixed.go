package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/seed-185a7250/multiproc/supervisor"
)

const (
	tiny  = 100_000
	naps  = 200
	napMS = 20
)

// mixed tells the time of tiny tickets with long ones among them, four workers, as a multiple of the ideal. The ideal
// is what the tiny ones take alone, measured with the same pool, and the sleep of the long ones divided by the workers:
// no worker is ever idle then, and no tiny ticket waits behind a long one. It may be less than 1, since who sleeps
// leaves the processors to the others.
func mixed(ctx context.Context, name string) {
	const workers = 4
	p := open(ctx, workers)
	pipelined(ctx, p, span/8)
	alone := 2 * min(total(ctx, p, tiny/2, 0), total(ctx, p, tiny/2, 0))
	sleep := naps * napMS * time.Millisecond / workers
	fmt.Println(name, float64(total(ctx, p, tiny, naps))/float64(alone+sleep))
	check(p.Close())
}

// total is the time of so many tiny tickets and so many long ones at random among them (always the same ones).
func total(ctx context.Context, p *supervisor.Pool, tiny, long int) time.Duration {
	var futures []*supervisor.Future[int]
	random := rand.New(rand.NewPCG(1, 2))
	t := time.Now()
	for left := tiny + long; left > 0; left-- {
		task, arg := taskNoop, left
		if random.IntN(left) < long {
			task, arg, long = taskNap, napMS, long-1
		}
		futures = append(futures, must(task.Submit(ctx, p, arg)))
	}
	for _, f := range futures {
		must(f.Get(ctx))
	}
	return time.Since(t)
}

// memory tells the bytes of the master and of a worker when nothing is going on.
func memory(ctx context.Context, name string) {
	const workers = 2
	p := open(ctx, workers)
	for range 200 {
		must(taskNoop.Call(ctx, p, 7))
	}
	time.Sleep(300 * time.Millisecond) // idle is what is measured
	var sum float64
	for _, place := range p.Status() {
		sum += pss(fmt.Sprint(place.PID))
	}
	fmt.Println(name+".master", pss("self"))
	fmt.Println(name+".worker", sum/workers)
	check(p.Close())
}

// pss is the proportional set size of a process in bytes.
func pss(pid string) float64 {
	var kib float64
	for line := range strings.Lines(string(must(os.ReadFile("/proc/" + pid + "/smaps_rollup")))) {
		if _, err := fmt.Sscanf(line, "Pss: %f kB", &kib); err == nil {
			return kib * 1024
		}
	}
	check(fmt.Errorf("process %s has no Pss", pid))
	return 0
}
