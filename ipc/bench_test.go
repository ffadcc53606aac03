package ipc

import (
	"context"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"
)

// The helper "counter" increments a word under a lock until it is killed.
func init() {
	helpers["counter"] = func(c *Conn) error {
		var x contest
		if err := c.Recv(context.Background(), &x); err != nil {
			return err
		}
		n := x.Block.Word(blockCount)
		for {
			h, err := x.Lock.Acquire(context.Background())
			if err != nil {
				return err
			}
			n.Store(n.Load() + 1)
			h.Release()
		}
	}
}

// BenchmarkLockContended tells the time from one increment to the next, by whomever.
func BenchmarkLockContended(b *testing.B) {
	for _, procs := range []int{2, 4} {
		b.Run(string('0'+rune(procs))+"processes", func(b *testing.B) {
			l := newTestLock(b, LockOptions{})
			block, err := NewBlock(8)
			if err != nil {
				b.Fatal(err)
			}
			defer block.Close()
			for range procs {
				start(b, "counter").Send(context.Background(), contest{Lock: l, Block: block})
			}
			n := block.Word(blockCount)
			for n.Load() == 0 {
				runtime.Gosched()
			}
			first, begin := n.Load(), time.Now()
			time.Sleep(time.Second)
			per := float64(time.Since(begin)) / float64(n.Load()-first)
			for b.Loop() {
			}
			b.ReportMetric(per, "ns/increment")
			b.ReportMetric(1e3/per, "M/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkLockDeadOwner tells the time from SIGKILL of the owner until the next
// holder, which waits, has the lock.
func BenchmarkLockDeadOwner(b *testing.B) {
	l := newTestLock(b, LockOptions{})
	var times []time.Duration
	for b.Loop() {
		b.StopTimer()
		c := start(b, "locker")
		for _, v := range []any{l, "acquire"} {
			if err := c.Send(context.Background(), v); err != nil {
				b.Fatal(err)
			}
		}
		var held string
		if err := c.Recv(context.Background(), &held); err != nil {
			b.Fatal(err)
		}
		got := make(chan Held)
		go func() {
			h, _ := l.Acquire(context.Background())
			got <- h
		}()
		for l.Waiting() == 0 {
			runtime.Gosched()
		}
		b.StartTimer()
		begin := time.Now()
		c.cmd.Process.Signal(os.Kill)
		h := <-got
		times = append(times, time.Since(begin))
		h.Release()
		b.StopTimer()
		c.kill()
		c.Close()
		b.StartTimer()
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-µs")
}
