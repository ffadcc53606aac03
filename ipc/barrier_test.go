package ipc

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const sigcont = syscall.SIGCONT

const brokenText = "ipc: barrier is broken"

func newTestBarrier(t testing.TB, parties int) *Barrier {
	t.Helper()
	b, err := NewBarrier("barrier", parties)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// come is a party of this process.
func come(ctx context.Context, b *Barrier) <-chan error {
	return in(func() error { _, err := b.Wait(ctx); return err })
}

// Places are distinct, round after round.
func TestBarrierPlaces(t *testing.T) {
	checkLeaks(t)
	b := newTestBarrier(t, 3)
	procs := startActors(t, 3, tools{Barrier: b})
	for range 20 {
		var places []string
		for _, p := range procs {
			p.send("come")
		}
		for _, p := range procs {
			places = append(places, recv[string](p))
		}
		slices.Sort(places)
		if got := strings.Join(places, ", "); got != "place 0, place 1, place 2" {
			t.Fatalf("places: %s", got)
		}
	}
	if b.Parties() != 3 || b.Broken() || b.Waiting() != 0 {
		t.Fatalf("%d parties, broken %v, %d wait", b.Parties(), b.Broken(), b.Waiting())
	}
}

// Nine processes at a barrier for three are released in threes.
func TestBarrierInThrees(t *testing.T) {
	b := newTestBarrier(t, 3)
	procs := startActors(t, 9, tools{Barrier: b})
	for range 20 {
		for _, p := range procs {
			p.send("come")
		}
		times := map[string]int{}
		for _, p := range procs {
			times[recv[string](p)]++
		}
		if times["place 0"] != 3 || times["place 1"] != 3 || times["place 2"] != 3 {
			t.Fatalf("places: %v", times)
		}
	}
}

// Many goroutines of one process are parties, in a barrier that is smaller than they
// are, with an action in each round that nobody may overtake.
func TestBarrierGoroutines(t *testing.T) {
	checkLeaks(t)
	const parties, comers, times = 4, 16, 200
	b := newTestBarrier(t, parties)
	var acting, acts atomic.Int64
	places := make([]atomic.Int64, parties)
	for range times {
		var all sync.WaitGroup
		for range comers {
			all.Go(func() {
				place, err := b.WaitAction(within(t), func() error {
					if acting.Add(1) != 1 {
						t.Error("two actions at a time")
					}
					acts.Add(1)
					runtime.Gosched()
					acting.Add(-1)
					return nil
				})
				if err != nil {
					t.Errorf("wait: %v", err)
					return
				}
				places[place].Add(1)
			})
		}
		all.Wait()
	}
	if got := acts.Load(); got != comers*times/parties {
		t.Errorf("%d actions, expected %d", got, comers*times/parties)
	}
	for i := range places {
		if got := places[i].Load(); got != comers*times/parties {
			t.Errorf("place %d was given %d times, expected %d", i, got, comers*times/parties)
		}
	}
}

// One party runs the action, before anybody goes. Who comes meanwhile waits for the next
// round, without burning time.
func TestBarrierAction(t *testing.T) {
	checkLeaks(t)
	b := newTestBarrier(t, 2)
	procs := startActors(t, 3, tools{Barrier: b})
	first, last, next := procs[0], procs[1], procs[2]
	first.send("act")
	untilIs(t, "waiting", b.Waiting, 1)
	last.send("act")
	last.expect("acting")
	next.send("come")
	untilIs(t, "standing in line", b.x.Standing, 2)
	before := cpuOf(t, next)
	time.Sleep(100 * time.Millisecond) // to measure over, not to wait for something
	if used := cpuOf(t, next) - before; used > 50*time.Millisecond {
		t.Errorf("who waits for an action of 100 ms used %v of processor time", used)
	}
	if err := first.mustBeSilent(); err != nil {
		t.Fatalf("released before the action was over: %v", err)
	}
	last.send("on")
	last.expect("place 1")
	first.expect("place 0")
	untilIs(t, "waiting", b.Waiting, 1)
	if err := result(t, "the next round", come(within(t), b)); err != nil {
		t.Fatal(err)
	}
	next.expect("place 0")

	// Who comes while an action runs, and does not want to wait, breaks nothing.
	first.send("come")
	untilIs(t, "waiting", b.Waiting, 1)
	last.send("act")
	last.expect("acting")
	if _, err := b.Wait(overCtx()); err != context.Canceled {
		t.Fatalf("with an ended context, during the action of others: %v", err)
	}
	last.send("on")
	last.expect("place 1")
	first.expect("place 0")
}

func (c *child) mustBeSilent() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	var s string
	if err := c.Recv(ctx, &s); err == nil {
		return errors.New(s)
	}
	return nil
}

// An action that fails, panics or ends its goroutine breaks the barrier.
func TestBarrierActionFails(t *testing.T) {
	checkLeaks(t)
	b := newTestBarrier(t, 2)
	a, c := startActor(t, tools{Barrier: b}), startActor(t, tools{Barrier: b})
	a.send("come")
	untilIs(t, "waiting", b.Waiting, 1)
	c.send("act")
	c.expect("acting")
	c.send("fail")
	if got := recv[string](c); got != brokenText+"\nas told" {
		t.Fatalf("who ran the action is told %q", got)
	}
	a.expect(brokenText)
	for what, action := range map[string]func() error{
		"panic":  func() error { panic("as told") },
		"Goexit": func() error { runtime.Goexit(); return nil },
	} {
		if err := b.Reset(); err != nil {
			t.Fatal(err)
		}
		a.send("come")
		untilIs(t, "waiting", b.Waiting, 1)
		go func() {
			defer func() { recover() }()
			b.WaitAction(context.Background(), action)
		}()
		if got := recv[string](a); got != brokenText {
			t.Fatalf("%s in the action: others are told %q", what, got)
		}
		if !b.Broken() {
			t.Fatalf("%s in the action: not broken", what)
		}
	}
}

// A time-out or Abort breaks it for all, until Reset.
func TestBarrierBreaksForAll(t *testing.T) {
	checkLeaks(t)
	b := newTestBarrier(t, 3)
	procs := startActors(t, 2, tools{Barrier: b})
	breaks := map[string]func(){
		"abort":    func() { procs[1].do("abort", "aborted") },
		"time-out": func() { procs[1].do("come a while", "context deadline exceeded") },
		"a cancelled wait": func() {
			procs[1].send("come until told")
			untilIs(t, "waiting", b.Waiting, 2)
			procs[1].send("give up")
			procs[1].expect("context canceled")
		},
		"an ended context": func() {
			if _, err := b.Wait(overCtx()); err != context.Canceled {
				t.Fatalf("an ended context: %v", err)
			}
		},
	}
	for what, broken := range breaks {
		procs[0].send("come")
		untilIs(t, "waiting", b.Waiting, 1)
		broken()
		if got := recv[string](procs[0]); got != brokenText {
			t.Fatalf("after %s: %q", what, got)
		}
		procs[0].do("come", brokenText)
		if !b.Broken() || b.Waiting() != 0 {
			t.Fatalf("after %s: broken %v, %d wait", what, b.Broken(), b.Waiting())
		}
		procs[1].do("reset", "reset")
		procs[0].send("come")
		procs[1].send("come")
		if err := result(t, "after "+what+" and a reset", come(within(t), b)); err != nil {
			t.Fatalf("after %s and a reset: %v", what, err)
		}
		recv[string](procs[0])
		recv[string](procs[1])
	}
}

// Reset throws out those who wait, and only those.
func TestBarrierReset(t *testing.T) {
	checkLeaks(t)
	b := newTestBarrier(t, 2)
	a, c, d := startActor(t, tools{Barrier: b}), startActor(t, tools{Barrier: b}), startActor(t, tools{Barrier: b})
	a.send("come")
	untilIs(t, "waiting", b.Waiting, 1)
	c.do("reset", "reset")
	a.expect(brokenText)
	if b.Broken() {
		t.Fatal("broken after a reset")
	}
	// One that is stopped learns late how its round ended: here all had come.
	a.send("come")
	untilIs(t, "waiting", b.Waiting, 1)
	a.stop()
	c.do("come", "place 1")
	c.do("reset", "reset")
	c.do("reset", "reset")
	a.signal(sigcont)
	a.expect("place 0")
	// And here it was thrown out, though others came together afterwards.
	a.send("come")
	untilIs(t, "waiting", b.Waiting, 1)
	a.stop()
	c.do("reset", "reset")
	for range 3 {
		c.send("come")
		untilIs(t, "waiting", b.Waiting, 1)
		d.do("come", "place 1")
		c.expect("place 0")
	}
	a.signal(sigcont)
	a.expect(brokenText)
}

// A party that is killed breaks it for all, whether it waits first or last or runs the
// action.
func TestBarrierDeadParty(t *testing.T) {
	checkLeaks(t)
	b := newTestBarrier(t, 4)
	for dead := range 3 {
		procs := startActors(t, 3, tools{Barrier: b})
		for i, p := range procs {
			p.send("come")
			untilIs(t, "waiting", b.Waiting, i+1)
		}
		procs[dead].kill()
		for i, p := range procs {
			if i != dead {
				p.expect(brokenText)
			}
		}
		procs[(dead+1)%3].do("reset", "reset")
		for _, p := range procs {
			p.Close()
			if !p.dead {
				p.kill()
			}
		}
	}
	procs := startActors(t, 4, tools{Barrier: b})
	for i, p := range procs[:3] {
		p.send("come")
		untilIs(t, "waiting", b.Waiting, i+1)
	}
	procs[3].send("act")
	procs[3].expect("acting")
	procs[3].kill()
	for _, p := range procs[:3] {
		p.expect(brokenText)
	}
	procs[0].do("reset", "reset")
	// One that dies after its round breaks nothing.
	for _, p := range procs[:3] {
		p.send("come")
	}
	if err := result(t, "a round", come(within(t), b)); err != nil {
		t.Fatal(err)
	}
	for _, p := range procs[:3] {
		recv[string](p)
		p.kill()
	}
	if b.Broken() {
		t.Fatal("broken by one that had gone")
	}
}

func TestBarrierClose(t *testing.T) {
	checkLeaks(t)
	b := newTestBarrier(t, 3)
	a := startActor(t, tools{Barrier: b})
	a.send("come")
	waits := come(context.Background(), b)
	untilIs(t, "waiting", b.Waiting, 2)
	b.Close()
	if err := result(t, "wait during Close", waits); err != ErrClosed {
		t.Fatalf("wait during Close: %v", err)
	}
	a.expect(brokenText)
	if _, err := b.Wait(within(t)); err != ErrClosed {
		t.Fatalf("wait after Close: %v", err)
	}
	for what, err := range map[string]error{"Reset": b.Reset(), "Abort": b.Abort()} {
		if err != ErrClosed {
			t.Fatalf("%s after Close: %v", what, err)
		}
	}
}

func TestBarrierOfOne(t *testing.T) {
	b := newTestBarrier(t, 1)
	ran := 0
	for range 3 {
		place, err := b.WaitAction(within(t), func() error { ran++; return nil })
		if place != 0 || err != nil {
			t.Fatalf("place %d, %v", place, err)
		}
		if place, err := b.Wait(within(t)); place != 0 || err != nil {
			t.Fatalf("place %d, %v", place, err)
		}
	}
	if ran != 3 {
		t.Fatalf("the action ran %d times", ran)
	}
	for _, n := range []int{0, -1, 1 << 16} {
		if _, err := NewBarrier("", n); err == nil {
			t.Errorf("a barrier for %d", n)
		}
	}
}
