// Command pool measures pools of package supervisor through their public API: "pool MEASURE" prints "MEASURE VALUE",
// or some lines "MEASURE.PART VALUE". The worker processes are this program again. The measures are those of peers.py
// and of ../goplugin.
//
// With -cpuprofile FILE a measure leaves profiles behind: of the master in FILE, and of each of its workers in
// FILE.PID, that of its first 0.6 s.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime/pprof"
	"slices"
	"syscall"
	"time"

	"github.com/seed-185a7250/multiproc/supervisor"
)

const (
	span   = 800 * time.Millisecond // that a measure of throughput lasts
	window = 1024                   // futures that wait for their results at a time
	trips  = 3000
	starts = 10
	mebi   = 1 << 20
)

var (
	taskNoop = supervisor.NewTask("noop", func(_ context.Context, n int) (int, error) { return n, nil })
	taskPID  = supervisor.NewTask("pid", func(context.Context, int) (int, error) { return os.Getpid(), nil })
	// Keeps so many bytes in memory.
	taskGrow = supervisor.NewTask("grow", func(_ context.Context, n int) (int, error) {
		ballast = touched(n)
		return len(ballast), nil
	})
	taskNap = supervisor.NewTask("nap", func(_ context.Context, ms int) (int, error) {
		time.Sleep(time.Duration(ms) * time.Millisecond)
		return ms, nil
	})
)

var ballast []byte

func touched(n int) []byte {
	b := make([]byte, n)
	for i := 0; i < n; i += 4096 {
		b[i] = 1
	}
	return b
}

const profileEnv = "BENCH_WORKER_PROFILE"

func main() {
	if file := os.Getenv(profileEnv); file != "" {
		profile(fmt.Sprintf("%s.%d", file, os.Getpid()))
		time.AfterFunc(span*3/4, pprof.StopCPUProfile)
	}
	supervisor.Main(func(ctx context.Context) error {
		file := flag.String("cpuprofile", "", "leave profiles in `FILE` and FILE.PID")
		flag.Parse()
		measure := measures[flag.Arg(0)]
		if flag.NArg() != 1 || measure == nil {
			fmt.Fprintln(os.Stderr, "usage: pool [-cpuprofile FILE] MEASURE")
			return supervisor.ExitCode(2)
		}
		if *file == "" {
			measure(ctx, flag.Arg(0))
			return nil
		}
		profile(*file)
		os.Setenv(profileEnv, *file)
		for t := time.Now(); time.Since(t) < 4*time.Second; {
			measure(ctx, flag.Arg(0))
		}
		pprof.StopCPUProfile()
		return nil
	})
}

func profile(file string) { check(pprof.StartCPUProfile(must(os.Create(file)))) }

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "pool:", err)
		os.Exit(1)
	}
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

var measures = map[string]func(ctx context.Context, name string){
	"noop":  noop,
	"call":  call,
	"map":   mapped,
	"start": startTime,
	"start1g": func(ctx context.Context, name string) {
		ballast = touched(1 << 30)
		startTime(ctx, name)
	},
	"ready4":    ready,
	"replace":   func(ctx context.Context, name string) { replacement(ctx, name, 0) },
	"replace64": func(ctx context.Context, name string) { replacement(ctx, name, 64*mebi) },
	"mixed":     mixed,
	"memory":    memory,
}

func open(ctx context.Context, workers int) *supervisor.Pool {
	return must(supervisor.NewPool(ctx, supervisor.PoolOptions{Workers: workers}))
}

// noop tells how many tickets, submitted one by one, two workers answer in a second.
func noop(ctx context.Context, name string) {
	p := open(ctx, 2)
	pipelined(ctx, p, span/8) // for warmth
	fmt.Println(name, pipelined(ctx, p, span))
	check(p.Close())
}

// pipelined submits for d, always a window ahead of the results, and returns the rate.
func pipelined(ctx context.Context, p *supervisor.Pool, d time.Duration) float64 {
	var ahead [window]*supervisor.Future[int]
	n, t := 0, time.Now()
	for ; n%window != 0 || time.Since(t) < d; n++ {
		f := must(taskNoop.Submit(ctx, p, n))
		if n >= window {
			answered(ctx, ahead[n%window], n-window)
		}
		ahead[n%window] = f
	}
	for i := n - window; i < n; i++ {
		answered(ctx, ahead[i%window], i)
	}
	return float64(n) / time.Since(t).Seconds()
}

func answered(ctx context.Context, f *supervisor.Future[int], want int) {
	if got := must(f.Get(ctx)); got != want {
		check(fmt.Errorf("ticket %d has the result %d", want, got))
	}
}

// call tells the microseconds of one round trip.
func call(ctx context.Context, name string) {
	p := open(ctx, 2)
	for range 200 {
		must(taskNoop.Call(ctx, p, 7))
	}
	times := timed(trips, func() time.Duration {
		t := time.Now()
		must(taskNoop.Call(ctx, p, 7))
		return time.Since(t)
	})
	fmt.Println(name+".p50", float64(times[trips/2])/1e3)
	fmt.Println(name+".p99", float64(times[trips*99/100])/1e3)
	check(p.Close())
}

// mapped tells how many integers go through two workers in a second, taken from an iterator and in order.
func mapped(ctx context.Context, name string) {
	p := open(ctx, 2)
	through(ctx, p, span/8) // for warmth
	fmt.Println(name, through(ctx, p, span))
	check(p.Close())
}

// through maps integers for d, and returns the rate.
func through(ctx context.Context, p *supervisor.Pool, d time.Duration) float64 {
	n, t := 0, time.Now()
	source := func(yield func(int) bool) {
		for i := 0; (i&0xfff != 0 || time.Since(t) < d) && yield(i); i++ {
		}
	}
	for v, err := range taskNoop.Map(ctx, p, source) {
		if check(err); v != n {
			check(fmt.Errorf("element %d has the result %d", n, v))
		}
		n++
	}
	return float64(n) / time.Since(t).Seconds()
}

// timed returns n durations, the shortest first.
func timed(n int, f func() time.Duration) (times []time.Duration) {
	for range n {
		times = append(times, f())
	}
	slices.Sort(times)
	return times
}

// median tells the milliseconds in the middle.
func median(name string, n int, f func() time.Duration) {
	fmt.Println(name, float64(timed(n, f)[n/2])/1e6)
}

// startTime is that from nothing to the first answer of a worker.
func startTime(ctx context.Context, name string) {
	median(name, starts, func() time.Duration {
		t := time.Now()
		p := open(ctx, 1)
		must(taskNoop.Call(ctx, p, 7))
		d := time.Since(t)
		check(p.Close())
		return d
	})
}

func ready(ctx context.Context, name string) {
	median(name, starts/2, func() time.Duration {
		t := time.Now()
		p := open(ctx, 4)
		d := time.Since(t)
		check(p.Close())
		return d
	})
}

// replacement is the time from SIGKILL of a worker that has so many bytes to the answer of the next one.
func replacement(ctx context.Context, name string, bytes int) {
	p := open(ctx, 1)
	median(name, starts, func() time.Duration {
		pid := must(taskPID.Call(ctx, p, 0))
		must(taskGrow.Call(ctx, p, bytes))
		t := time.Now()
		check(syscall.Kill(pid, syscall.SIGKILL))
		// The dying one may still be given a ticket: that one comes back as an error, or is done by the next.
		for next, err := pid, error(nil); next == pid || err != nil; {
			next, err = taskPID.Call(ctx, p, 0)
		}
		return time.Since(t)
	})
	check(p.Close())
}
