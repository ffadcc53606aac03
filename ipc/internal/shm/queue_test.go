package shm

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os/exec"
	"testing"
	"time"
)

func newTestQueue(t testing.TB, c Config, size int, items uint64) *Queue {
	t.Helper()
	s, err := Create(c, func(s *Segment) any { return NewQueue(s) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	x := s.Object().(*Queue)
	x.Init(size, items)
	return x
}

// within bounds what a test waits for.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// take gets one item.
func take(t testing.TB, x *Queue) ([]byte, error) {
	t.Helper()
	k, err := x.Take(within(t), false)
	if err != nil {
		return nil, err
	}
	b := bytes.Clone(k.Content())
	k.Accept()
	k.Close()
	return b, nil
}

// A small ring against a list, with items of all sizes, for each kind of queue; begun
// just before the positions and the numbers of items begin again at 0.
func TestQueueAgainstAList(t *testing.T) {
	for _, flags := range []uint64{0, FlagJoin, FlagJoin | FlagRedeliver} {
		x := newTestQueue(t, QueueConfig("", 4096, flags), 4096, 0)
		before := uint64(end(0).at(1<<32-1500, itemMask-500))
		for _, w := range []int{queueTail, queueNext, queueSeenNext, queueSeenTail} {
			x.seg.Word(w).Store(before)
		}
		for _, w := range []int{queueFree, queueSeenFree} {
			x.seg.Word(w).Store(uint64(end(before).pos()))
		}
		x.finished.Store(uint64(end(before).count()))
		random := rand.New(rand.NewPCG(1, flags))
		var list [][]byte
		taken := 0
		for i := range 20000 {
			if random.IntN(2) == 0 {
				n := random.IntN(40)
				switch random.IntN(20) {
				case 0:
					n = random.IntN(5000)
				case 1:
					n = 2030 + random.IntN(30) // about half of the ring
				}
				b := bytes.Repeat([]byte{byte(i)}, n)
				cut := random.IntN(n + 1)
				err := x.TryPut(within(t), b[:cut], b[cut:], true)
				if err == nil {
					list = append(list, b)
				} else if err != ErrWouldBlock || len(list) == 0 && taken == 0 {
					t.Fatalf("step %d: put %d bytes beside %d items: %v", i, n, len(list), err)
				}
			} else {
				b, err := take(t, x)
				switch {
				case len(list) == 0 && err == ErrWouldBlock:
				case err != nil:
					t.Fatalf("step %d: get from %d items: %v", i, len(list), err)
				case len(list) == 0 || !bytes.Equal(b, list[0]):
					t.Fatalf("step %d: got %d bytes", i, len(b))
				default:
					list = list[1:]
					taken++
				}
			}
			for x.track && taken > random.IntN(3) {
				taken--
				if err := x.Done(); err != nil {
					t.Fatalf("step %d: done: %v", i, err)
				}
			}
			if !x.track {
				taken = 0
			}
			if n, err := x.Unfinished(); x.track && (n != len(list)+taken || err != nil) {
				t.Fatalf("step %d: %d unfinished, %v, expected %d and %d", i, n, err, len(list), taken)
			}
			if x.Len() != len(list) || x.Full() && len(list)+taken == 0 {
				t.Fatalf("step %d: %d items, expected %d; full %v", i, x.Len(), len(list), x.Full())
			}
		}
	}
}

// A wild process may write anything into the memory: what is found there is an error,
// or wrong, but neither a panic nor a loop without end.
func TestSpoiltQueue(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	for round := range 3000 {
		flags := []uint64{0, FlagJoin, FlagJoin | FlagRedeliver}[round%3]
		x := newTestQueue(t, QueueConfig("", 4096, flags), 4096, 0)
		for i := range 20 {
			x.TryPut(within(t), make([]byte, 20*i), nil, true)
		}
		take(t, x)
		for range 1 + random.IntN(3) {
			i := random.IntN(queueBytes/8 + 100)
			if i == queueUnits || i == queueItems {
				continue // read once, when the segment is mapped
			}
			w := x.seg.Word(i)
			switch random.IntN(3) {
			case 0:
				w.Store(random.Uint64())
			case 1:
				w.Store(w.Load() ^ 1<<random.IntN(64))
			default:
				w.Store(uint64(random.IntN(8)))
			}
		}
		for range 30 {
			if _, err := take(t, x); err != nil && !errors.Is(err, ErrSpoilt) && err != ErrWouldBlock && err != ErrShut {
				t.Fatal(err)
			}
			x.TryPut(within(t), make([]byte, random.IntN(3000)), nil, true)
			x.Done()
			x.Len()
			x.Unfinished()
		}
		x.Shutdown(true)
		take(t, x)
		x.seg.Close()
	}
}

// A table full of dead consumers, none of which has finished what it took, and nobody
// else who could take that back.
func TestQueueOfTheDead(t *testing.T) {
	for _, flags := range []uint64{FlagJoin, FlagJoin | FlagRedeliver} {
		c := QueueConfig("", 4096, flags)
		c.Slots = 3
		x := newTestQueue(t, c, 4096, 0)
		var dead []ident
		for range 3 {
			cmd := exec.Command("true")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			start, err := startTime(cmd.Process.Pid)
			if err != nil {
				t.Fatal(err)
			}
			dead = append(dead, makeIdent(cmd.Process.Pid, start))
			cmd.Wait()
		}
		for i, id := range dead {
			if err := x.TryPut(within(t), []byte{byte(i)}, nil, true); err != nil {
				t.Fatal(err)
			}
			if _, err := take(t, x); err != nil {
				t.Fatal(err)
			}
			// What this process did was done by one that is dead now.
			m := x.m
			m.ident(m.taken).Store(uint64(id))
			m.taken = 0
			m.own.Store(0)
		}
		if x.m.used() != 3 || x.m.held(3).Load() != 1 {
			t.Fatal("the table is not full of the dead")
		}
		n, err := x.Unfinished()
		if err != nil {
			t.Fatal(err)
		}
		lost, _ := x.Lost()
		if x.keep && (n != 3 || x.Len() != 3 || lost != 0) || !x.keep && (n != 0 || x.Len() != 0 || lost != 3) {
			t.Fatalf("%d unfinished, %d in the queue, %d lost", n, x.Len(), lost)
		}
		for i := range x.Len() {
			if b, err := take(t, x); err != nil || b[0] != byte(i) {
				t.Fatalf("item %d: %v, %v", i, b, err)
			}
		}
	}
}

// Full is what a put of nothing sees, at the ring's end too.
func TestQueueFullIsExact(t *testing.T) {
	x := newTestQueue(t, QueueConfig("", 4096, 0), 4096, 0)
	for round := range 200 {
		for !x.Full() {
			if err := x.TryPut(within(t), nil, nil, true); err != nil {
				t.Fatalf("round %d: not full with %d items: %v", round, x.Len(), err)
			}
		}
		if err := x.TryPut(within(t), nil, nil, true); err != ErrWouldBlock {
			t.Fatalf("round %d: full with %d items: %v", round, x.Len(), err)
		}
		for range 1 + round%512 {
			if _, err := take(t, x); err != nil {
				t.Fatal(err)
			}
		}
	}
}
