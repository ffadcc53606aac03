package supervisor

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"
)

func benchPool(b *testing.B, workers int) *Pool {
	b.Helper()
	p, err := NewPool(context.Background(), testOptions(workers))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { p.Close() })
	return p
}

// percentiles reports the median and the 99th percentile of single measurements.
func percentiles(b *testing.B, times []time.Duration) {
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Nanoseconds())/1e3, "p50-µs")
	b.ReportMetric(float64(times[len(times)*99/100].Nanoseconds())/1e3, "p99-µs")
}

// BenchmarkPoolReady tells the time until so many workers are ready.
func BenchmarkPoolReady(b *testing.B) {
	for _, workers := range []int{1, 4} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			for b.Loop() {
				p, err := NewPool(context.Background(), testOptions(workers))
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				p.Close()
				b.StartTimer()
			}
		})
	}
}

// BenchmarkFirstAnswer tells the time from nothing to the first answer of one
// worker.
func BenchmarkFirstAnswer(b *testing.B) {
	for b.Loop() {
		p, err := NewPool(context.Background(), testOptions(1))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := taskSquare.Call(context.Background(), p, 7); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		p.Close()
		b.StartTimer()
	}
}

// BenchmarkReplacement tells the time from SIGKILL of an idle worker until its
// replacement has answered.
func BenchmarkReplacement(b *testing.B) {
	p := benchPool(b, 1)
	pid := 0
	var times []time.Duration
	for b.Loop() {
		b.StopTimer()
		pid, _ = taskPID.Call(context.Background(), p, struct{}{})
		b.StartTimer()
		begin := time.Now()
		syscall.Kill(pid, syscall.SIGKILL)
		for next := pid; next == pid; {
			next, _ = taskPID.Call(context.Background(), p, struct{}{})
		}
		times = append(times, time.Since(begin))
	}
	percentiles(b, times)
}

// BenchmarkCall is a round trip, one at a time.
func BenchmarkCall(b *testing.B) {
	for _, workers := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			p := benchPool(b, workers)
			var times []time.Duration
			b.ReportAllocs()
			for b.Loop() {
				begin := time.Now()
				if _, err := taskSquare.Call(context.Background(), p, 7); err != nil {
					b.Fatal(err)
				}
				times = append(times, time.Since(begin))
			}
			percentiles(b, times)
		})
	}
}

// BenchmarkSubmit is tickets submitted one by one, many of them under way.
func BenchmarkSubmit(b *testing.B) {
	for _, workers := range []int{2, 4} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			p := benchPool(b, workers)
			window := make(chan *Future[int], 512)
			done := make(chan error)
			go func() { done <- getAll(window) }()
			b.ReportAllocs()
			for b.Loop() {
				f, err := taskSquare.Submit(context.Background(), p, 7)
				if err != nil {
					b.Fatal(err)
				}
				window <- f
			}
			close(window)
			if err := <-done; err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tickets/s")
		})
	}
}

func getAll(futures <-chan *Future[int]) (err error) {
	for f := range futures {
		if _, e := f.Get(context.Background()); e != nil {
			err = e
		}
	}
	return err
}
