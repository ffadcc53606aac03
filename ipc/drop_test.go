package ipc

import (
	"context"
	"errors"
	"io"
	"runtime"
	"testing"
	"time"
)

// leftovers is what a process has that must not grow.
type leftovers struct{ Maps, FDs, Goroutines int }

func countLeftovers() (n leftovers, err error) {
	collect()
	maps, err := mapsOf("multiproc-")
	fds, err2 := descriptors()
	return leftovers{maps, len(fds), runtime.NumGoroutine()}, errors.Join(err, err2)
}

func (n leftovers) within(m leftovers) bool {
	return n.Maps <= m.Maps && n.FDs <= m.FDs && n.Goroutines <= m.Goroutines
}

// A parcel is what passes: a value that is no number needs a place of its type.
type parcel struct {
	Any  any
	Wide *Value[[3]int64]
}

func pack(x any) parcel {
	if wide, ok := x.(*Value[[3]int64]); ok {
		return parcel{Wide: wide}
	}
	return parcel{Any: x}
}

// A "dropper" gets things of any kind and drops them. At a word it tells what it has.
func init() {
	helpers["dropper"] = func(c *Conn) error {
		for {
			var got parcel
			if err := c.Recv(context.Background(), &got); err != nil {
				return err
			}
			if got.Any != "count" {
				continue
			}
			n, err := countLeftovers()
			if err != nil {
				return err
			}
			if err := c.Send(context.Background(), n); err != nil {
				return err
			}
		}
	}
}

// Ten thousand of all kinds are created, used, passed inside this process and to another,
// and dropped, some closed and some not: nothing is left in either.
func TestManyPrimitives(t *testing.T) {
	checkLeaks(t)
	a, b := newTestPipe(t)
	other := start(t, "dropper")
	ours := func() leftovers { return must(countLeftovers()) }
	theirs := func() leftovers { other.send(pack("count")); return recv[leftovers](other) }
	theirs() // the first time takes something for good
	before, there := ours(), theirs()
	ctx := context.Background()
	for i := range 10000 {
		kind := manyKinds[i%len(manyKinds)]
		x, err := kind(ctx)
		if err != nil {
			t.Fatalf("%T: %v", x, err)
		}
		switch i / len(manyKinds) % 4 {
		case 0, 1:
			other.send(pack(x))
		case 2:
			var got parcel
			if err := errors.Join(a.Send(ctx, pack(x)), b.Recv(ctx, &got)); err != nil {
				t.Fatalf("%T: %v", x, err)
			}
		}
		if i%3 == 0 {
			letGo(x)
		}
		if i%500 == 0 {
			ours() // the dropped ones keep a descriptor until then
			theirs()
		}
	}
	for end := time.Now().Add(deadline); ; {
		here, elsewhere := ours(), theirs()
		if here.within(before) && elsewhere.within(there) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("here are left %+v, were %+v; in the other process %+v, were %+v", here, before, elsewhere, there)
		}
	}
}

// manyKinds makes one of each kind and uses it.
var manyKinds = []func(ctx context.Context) (io.Closer, error){
	func(ctx context.Context) (io.Closer, error) {
		l := must(NewLock(LockOptions{}))
		h, err := l.Acquire(ctx)
		return l, errors.Join(err, h.Release())
	},
	func(ctx context.Context) (io.Closer, error) {
		l := must(NewRLock("many"))
		h, err := l.Acquire(ctx)
		return l, errors.Join(err, h.Release())
	},
	func(ctx context.Context) (io.Closer, error) {
		s := must(NewSemaphore(SemaphoreOptions{Permits: 1}))
		return s, errors.Join(s.Acquire(ctx), s.Release())
	},
	func(ctx context.Context) (io.Closer, error) {
		e := must(NewEvent("many"))
		if err := e.Wait(overCtx()); err != context.Canceled {
			return e, err
		}
		return e, e.Set()
	},
	func(ctx context.Context) (io.Closer, error) {
		c := must(NewCondition("many", nil))
		h, err := c.Lock().Acquire(ctx)
		_, err2 := c.NotifyAll(ctx)
		return c, errors.Join(err, err2, h.Release())
	},
	func(ctx context.Context) (io.Closer, error) {
		b := must(NewBarrier("many", 1))
		_, err := b.Wait(ctx)
		return b, err
	},
	func(ctx context.Context) (io.Closer, error) {
		v := must(NewValue("many", 1))
		_, err := Add(v, 1)
		return v, err
	},
	func(ctx context.Context) (io.Closer, error) {
		v := must(NewValue("many", [3]int64{}))
		return v, v.Set([3]int64{1, 2, 3})
	},
	func(ctx context.Context) (io.Closer, error) {
		a := must(NewArray[float64]("many", 10))
		a.Set(9, 1)
		h, err := a.Lock().Acquire(ctx)
		return a, errors.Join(err, h.Release())
	},
	func(ctx context.Context) (io.Closer, error) {
		m := must(NewSharedMemory(5000))
		m.Bytes()[4999] = 1
		return m, nil
	},
	func(ctx context.Context) (io.Closer, error) {
		b := must(NewBlock(1))
		b.Word(0).Store(1)
		return b, nil
	},
	func(ctx context.Context) (io.Closer, error) {
		q := must(NewQueue[string](QueueOptions{}))
		return q, q.Put(ctx, "item")
	},
	func(ctx context.Context) (io.Closer, error) {
		q := must(NewJoinableQueue[string](QueueOptions{Redeliver: true}))
		err := q.Put(ctx, "item")
		_, err2 := q.Get(ctx)
		return q, errors.Join(err, err2)
	},
	func(ctx context.Context) (io.Closer, error) {
		a, b, err := Pipe()
		if err != nil {
			return nil, err
		}
		defer a.Close()
		return b, a.Send(ctx, "message")
	},
	func(ctx context.Context) (io.Closer, error) {
		receiver, sender, err := PipeOneWay()
		if err != nil {
			return nil, err
		}
		defer sender.Close()
		return receiver, sender.Send(ctx, "message")
	},
}
