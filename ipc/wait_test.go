package ipc

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestWaitPollsEverything(t *testing.T) {
	checkLeaks(t)
	a, b := newTestPipe(t)
	r, s := newTestPipeOneWay(t)
	q, err := NewQueue[int](QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Detach()
	e, err := NewEvent("")
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	over := make(chan struct{})
	things := []Waitable{b, q, e, Done(over), r}
	try := func(ctx context.Context) []int {
		t.Helper()
		ready, err := Wait(ctx, things...)
		if err != nil && err != ctx.Err() || err == nil && len(ready) == 0 {
			t.Fatalf("%v, %v", ready, err)
		}
		return ready
	}
	if got := try(ended); got != nil {
		t.Fatalf("nothing is ready, and yet %v", got)
	}
	var want []int
	for i, raise := range []func(){
		func() { a.Send(within(t), 1) },
		func() { q.Put(within(t), 2) },
		func() { e.Set() },
		func() { close(over) },
		func() { s.Close() },
	} {
		if i == 0 {
			go raise() // while somebody waits
			if got := try(within(t)); !slices.Equal(got, []int{0}) {
				t.Fatalf("ready: %v", got)
			}
		} else {
			raise()
		}
		want = append(want, i)
		for _, ctx := range []context.Context{ended, within(t)} {
			if got := try(ctx); !slices.Equal(got, want) {
				t.Fatalf("ready: %v, expected %v", got, want)
			}
		}
	}
	// Nothing was taken.
	var n int
	if err := b.Recv(within(t), &n); err != nil || n != 1 {
		t.Errorf("from the conn: %d, %v", n, err)
	}
	if n, err := q.TryGet(); err != nil || n != 2 {
		t.Errorf("from the queue: %d, %v", n, err)
	}
	if got := try(within(t)); !slices.Equal(got, []int{2, 3, 4}) {
		t.Errorf("then ready: %v", got)
	}
}

// One event ends a wait for many things of each kind, and no goroutine stays behind.
func TestWaitWakes(t *testing.T) {
	checkLeaks(t)
	const each = 20
	var things []Waitable
	var raise []func()
	for range each {
		a, b := newTestPipe(t)
		q, err := NewQueue[int](QueueOptions{Bytes: 1 << 12})
		if err != nil {
			t.Fatal(err)
		}
		defer q.Detach()
		e, err := NewEvent("")
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		over := make(chan struct{})
		things = append(things, b, q, e, Done(over))
		raise = append(raise,
			func() { a.Send(within(t), 1) },
			func() { q.Put(within(t), 1) },
			func() { e.Set() },
			func() { close(over) })
	}
	for i := range raise {
		waiting := make(chan []int, 1)
		go func() {
			ready, err := Wait(within(t), things...)
			if err != nil {
				t.Error(err)
			}
			waiting <- ready
		}()
		raise[i]()
		select {
		case got := <-waiting:
			if !slices.Equal(got, []int{i}) {
				t.Fatalf("ready: %v, expected %d", got, i)
			}
		case <-time.After(deadline):
			t.Fatalf("thing %d wakes nobody", i)
		}
		things[i] = Done(nil) // it stays ready
	}
}

func TestWaitEnds(t *testing.T) {
	checkLeaks(t)
	_, b := newTestPipe(t)
	for name, things := range map[string][]Waitable{"nothing": nil, "one": {b}, "the same twice": {b, b, Done(nil)}} {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
		ready, err := Wait(ctx, things...)
		cancel()
		if ready != nil || err != context.DeadlineExceeded {
			t.Errorf("wait for %s: %v, %v", name, ready, err)
		}
	}
	b.Close()
	if _, err := Wait(within(t), Done(nil), b); err != ErrClosed {
		t.Errorf("wait for a closed conn: %v", err)
	}
}

// What fails only when it is waited for ends the wait too, unless something is ready.
func TestWaitForAConnWithADeadline(t *testing.T) {
	checkLeaks(t)
	a, b := newTestPipe(t)
	if err := b.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if ready, err := Wait(within(t), b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("behind its deadline: %v, %v", ready, err)
	}
	if err := a.Send(within(t), 1); err != nil {
		t.Fatal(err)
	}
	if ready, err := Wait(within(t), b); len(ready) != 1 || err != nil {
		t.Fatalf("with a message: %v, %v", ready, err)
	}
}

// Processes and conns together: what ends first is seen first.
func TestWaitForProcesses(t *testing.T) {
	checkLeaks(t)
	var cs []*child
	var things []Waitable
	for range 4 {
		c := start(t, "echo")
		cs, things = append(cs, c), append(things, c.Conn)
	}
	over := make(chan struct{})
	things = append(things, Done(over))
	cs[2].kill()
	ready, err := Wait(within(t), things...)
	if err != nil || !slices.Equal(ready, []int{2}) {
		t.Fatalf("%v, %v", ready, err)
	}
	if err := cs[2].Recv(within(t), new(any)); err != io.EOF {
		t.Error(err)
	}
	go func() {
		cs[0].kill()
		close(over)
	}()
	things[2] = Done(nil)
	for want := range map[int]bool{4: true} {
		for {
			ready, err := Wait(within(t), things...)
			if err != nil {
				t.Fatal(err)
			}
			if slices.Contains(ready, want) {
				break
			}
			things[ready[0]] = Done(nil)
		}
	}
}

// Several goroutines wait for one conn; all see what comes, and one gets it.
func TestWaitByManyForOne(t *testing.T) {
	checkLeaks(t)
	a, b := newTestPipe(t)
	var all sync.WaitGroup
	got := make(chan int, 8)
	for range 8 {
		all.Go(func() {
			for {
				if _, err := Wait(within(t), b); err != nil {
					t.Error(err)
					return
				}
				var n int
				switch err := b.Recv(ended, &n); err {
				case nil:
					got <- n
					return
				case context.Canceled: // another one was faster
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 8 {
		if err := a.Send(within(t), i); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
	close(got)
	sum := 0
	for n := range got {
		sum += n
	}
	if sum != 28 {
		t.Errorf("the numbers that came add up to %d, expected 28", sum)
	}
}

// Poll and Wait read nothing: the conn may be passed on, with its message.
func TestPollTakesNothing(t *testing.T) {
	checkLeaks(t)
	a, b := newTestPipe(t)
	x, y := newTestPipe(t)
	if ready, err := b.Poll(ended); ready || err != nil {
		t.Errorf("nothing was sent: %v, %v", ready, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if ready, err := b.Poll(ctx); ready || err != nil {
		t.Errorf("nothing was sent in a millisecond: %v, %v", ready, err)
	}
	if err := a.Send(within(t), "kept"); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if ready, err := b.Poll(ended); !ready || err != nil {
			t.Fatalf("a message is there: %v, %v", ready, err)
		}
	}
	if err := x.Send(within(t), b); err != nil {
		t.Fatal(err)
	}
	b.Close()
	var c Conn
	if err := y.Recv(within(t), &c); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var s string
	if err := c.Recv(ended, &s); err != nil || s != "kept" {
		t.Errorf("%q, %v", s, err)
	}
}

// A part of a message that was read, and has no end yet, is nothing to receive.
func TestPollInsideAMessage(t *testing.T) {
	checkLeaks(t)
	c, fd := newRawPeer(t, ConnOptions{})
	two := append(frame(0, "\x01"), frame(0, "\x02")...)
	if _, err := unix.Write(fd, two[:12]); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := c.Recv(within(t), &n); err != nil || n != 1 {
		t.Fatalf("%d, %v", n, err)
	}
	if ready, err := c.Poll(ended); ready || err != nil {
		t.Errorf("a part of a header: %v, %v", ready, err)
	}
	if err := c.Recv(ended, &n); err != context.Canceled {
		t.Errorf("a part of a header: %v", err)
	}
	if _, err := unix.Write(fd, two[12:]); err != nil {
		t.Fatal(err)
	}
	if ready, err := c.Poll(ended); !ready || err != nil {
		t.Errorf("all is there: %v, %v", ready, err)
	}
	if err := c.Recv(ended, &n); err != nil || n != 2 {
		t.Errorf("%d, %v", n, err)
	}
}

// Somebody else's receive gets what comes: there is nothing for the one who polls.
func TestPollWhileAnotherReceives(t *testing.T) {
	checkLeaks(t)
	a, b := newTestPipe(t)
	done := make(chan error, 1)
	go func() { done <- b.Recv(within(t), new(int)) }()
	untilTaken(t, &b.rmu)
	if ready, err := b.Poll(ended); ready || err != nil {
		t.Errorf("%v, %v", ready, err)
	}
	if err := a.Send(within(t), 1); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A deadline set by hand holds for all, before and after contexts that end.
func TestConnDeadlines(t *testing.T) {
	checkLeaks(t)
	a, b := newTestPipe(t)
	errs := make(chan error, 4)
	for range 3 {
		go func() { errs <- second(b.ReadFrame()) }()
	}
	go func() { errs <- b.Recv(within(t), new(any)) }()
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := b.Recv(ctx, new(any)); err != context.DeadlineExceeded {
		t.Error(err)
	}
	if err := b.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if err := <-errs; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after the deadline: %v", err)
		}
	}
	b.SetReadDeadline(time.Now().Add(time.Hour))
	ctx, cancel = context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := b.Recv(ctx, new(any)); err != context.DeadlineExceeded {
		t.Error(err)
	}
	if err := a.Send(within(t), 3); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := b.Recv(within(t), &n); err != nil || n != 3 {
		t.Errorf("%d, %v", n, err)
	}
	b.SetReadDeadline(time.Time{})
}

// An ended context sends nothing, also when it ends while others send.
func TestConnSendWithEndedContext(t *testing.T) {
	checkLeaks(t)
	a, b := newTestPipe(t)
	for _, send := range []func(ctx context.Context) error{
		func(ctx context.Context) error { return a.Send(ctx, make([]byte, 4<<20)) },
		func(ctx context.Context) error { return a.SendBytes(ctx, []byte("small")) },
	} {
		if err := send(ended); err != context.Canceled {
			t.Errorf("send: %v", err)
		}
	}
	big := make(chan error, 1)
	go func() { big <- a.SendBytes(within(t), make([]byte, 4<<20)) }()
	untilTaken(t, &a.wmu)
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := a.SendBytes(ctx, make([]byte, 4<<20)); err != context.Canceled {
				t.Errorf("send behind another: %v", err)
			}
		})
	}
	go cancel()
	all.Wait()
	if got, err := b.RecvBytes(within(t)); err != nil || len(got) != 4<<20 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := <-big; err != nil {
		t.Error(err)
	}
	if err := a.Send(within(t), 1); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

// Contexts that end at any moment harm neither messages nor each other.
func TestConnContextsOfMany(t *testing.T) {
	checkLeaks(t)
	a, b := newTestPipe(t)
	const messages = 2000
	go func() {
		for i := range messages {
			a.Send(within(t), i)
		}
		a.Close()
	}()
	var all sync.WaitGroup
	var mu sync.Mutex
	seen := map[int]int{}
	for g := range 6 {
		all.Go(func() {
			for {
				ctx, cancel := context.Background(), context.CancelFunc(func() {})
				if g > 0 { // one has none
					ctx, cancel = context.WithTimeout(ctx, time.Duration(g*20)*time.Microsecond)
				}
				var n int
				err := b.Recv(ctx, &n)
				cancel()
				switch err {
				case nil:
					mu.Lock()
					seen[n]++
					mu.Unlock()
				case context.DeadlineExceeded:
					if g == 0 {
						t.Error("the context of another ended this one's wait")
					}
				case io.EOF:
					return
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if len(seen) != messages {
		t.Errorf("%d messages of %d came", len(seen), messages)
	}
	for n, times := range seen {
		if times != 1 {
			t.Errorf("message %d came %d times", n, times)
		}
	}
}
