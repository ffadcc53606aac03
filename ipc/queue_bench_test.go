package ipc

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// A queueLoad is what a process does with a queue for a benchmark, until the queue is
// closed.
type queueLoad struct {
	Numbers *Queue[int]
	Bytes   *Queue[[]byte]
	Batch   int // more than 1: so many at a time
	Size    int // of bytes
	Into    bool
	Get     bool
	Block   *Block // the items got are counted in the word Index
	Index   int
}

func init() {
	helpers["queue load"] = func(c *Conn) error {
		var l queueLoad
		if err := c.Recv(context.Background(), &l); err != nil {
			return err
		}
		err := l.run(context.Background())
		if err == ErrClosed {
			err = nil
		}
		return err
	}
}

func (l queueLoad) run(ctx context.Context) (err error) {
	buf := make([]byte, l.Size)
	batch := make([]int, l.Batch)
	n := l.Block.Word(l.Index)
	for err == nil {
		got := 1
		switch {
		case l.Get && l.Bytes != nil && l.Into:
			_, err = GetInto(ctx, l.Bytes, buf)
		case l.Get && l.Bytes != nil:
			_, err = l.Bytes.Get(ctx)
		case l.Get && l.Batch > 1:
			batch, err = l.Numbers.GetUpTo(ctx, l.Batch)
			got = len(batch)
		case l.Get:
			_, err = l.Numbers.Get(ctx)
		case l.Bytes != nil:
			err = l.Bytes.Put(ctx, buf)
		case l.Batch > 1:
			_, err = l.Numbers.PutAll(ctx, batch)
		default:
			err = l.Numbers.Put(ctx, 123456)
		}
		if l.Get {
			n.Store(n.Load() + uint64(got))
		}
	}
	return err
}

// BenchmarkQueue tells how many items pass from some processes to as many others.
func BenchmarkQueue(b *testing.B) {
	for _, pairs := range []int{1, 2} {
		name := fmt.Sprintf("%d-%d", pairs, pairs)
		b.Run("small/"+name, func(b *testing.B) { benchQueue(b, pairs, queueLoad{}) })
		b.Run("batch64/"+name, func(b *testing.B) { benchQueue(b, pairs, queueLoad{Batch: 64}) })
		for _, size := range []int{64 << 10, 1 << 20} {
			name := fmt.Sprintf("%dKiB/%s", size>>10, name)
			b.Run(name, func(b *testing.B) { benchQueue(b, pairs, queueLoad{Size: size}) })
			b.Run(name+"/into", func(b *testing.B) { benchQueue(b, pairs, queueLoad{Size: size, Into: true}) })
		}
	}
}

func benchQueue(b *testing.B, pairs int, l queueLoad) {
	block, err := NewBlock(8 * pairs)
	if err != nil {
		b.Fatal(err)
	}
	defer block.Close()
	l.Block = block
	var closeNow func() error
	if l.Size > 0 {
		q, err := NewQueue[[]byte](QueueOptions{})
		if err != nil {
			b.Fatal(err)
		}
		l.Bytes, closeNow = q, q.CloseNow
	} else {
		q, err := NewQueue[int](QueueOptions{})
		if err != nil {
			b.Fatal(err)
		}
		l.Numbers, closeNow = q, q.CloseNow
	}
	for i := range pairs {
		for _, get := range []bool{true, false} {
			l.Get, l.Index = get, 8*i
			if err := start(b, "queue load").Send(context.Background(), l); err != nil {
				b.Fatal(err)
			}
		}
	}
	sum := func() (n uint64) {
		for i := range pairs {
			n += block.Word(8 * i).Load()
		}
		return n
	}
	for begin := time.Now(); sum() == 0; time.Sleep(time.Millisecond) {
		if time.Since(begin) > deadline {
			b.Fatal("nothing comes out of the queue")
		}
	}
	first, begin := sum(), time.Now()
	time.Sleep(time.Second) // what is counted is what the others do meanwhile
	items := float64(sum()-first) / time.Since(begin).Seconds()
	closeNow()
	for b.Loop() {
	}
	b.ReportMetric(items/1e6, "M/s")
	if l.Size > 0 {
		b.ReportMetric(items*float64(l.Size)/1e9, "GB/s")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkQueueFree tells what putting and getting cost where nobody else is.
func BenchmarkQueueFree(b *testing.B) {
	q, err := NewQueue[int](QueueOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer q.Detach()
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if err := q.Put(ctx, 123456); err != nil {
			b.Fatal(err)
		}
		if _, err := q.Get(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValueAdd(b *testing.B) {
	v, err := NewValue("", 0)
	if err != nil {
		b.Fatal(err)
	}
	defer v.Close()
	for b.Loop() {
		if _, err := Add(v, 1); err != nil {
			b.Fatal(err)
		}
	}
}
