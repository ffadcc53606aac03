package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// tools are what an actor gets: one of each kind, or some of them.
type tools struct {
	Lock      *Lock
	RLock     *RLock
	Semaphore *Semaphore
	Event     *Event
	Condition *Condition
	Full      *Condition // with the same lock
	Barrier   *Barrier
	Number    *Value[int64]
	Sums      *Value[stormSums]
}

// The helper "actor" gets its tools and then does what it is told, and answers.
func init() { helpers["actor"] = actor }

func actor(c *Conn) error {
	ctx := context.Background()
	a := &acting{c: c}
	if err := c.Recv(ctx, &a.tools); err != nil {
		return err
	}
	if a.RLock == nil && a.Condition != nil {
		a.RLock = a.Condition.Lock()
	}
	for {
		var op string
		if err := c.Recv(ctx, &op); err != nil {
			return err
		}
		step, cancel := context.WithCancel(ctx)
		if until, found := strings.CutSuffix(op, " until told"); found {
			op = until
			go func() {
				var giveUp string
				c.Recv(ctx, &giveUp)
				cancel()
			}()
		}
		if while, found := strings.CutSuffix(op, " a while"); found {
			op = while
			step, cancel = context.WithTimeout(ctx, 20*time.Millisecond)
		}
		answer, err := a.step(step, op)
		cancel()
		if err != nil {
			answer = err.Error()
		}
		if err := c.Send(ctx, answer); err != nil {
			return err
		}
	}
}

// pointsPassed tells at which kill points the process was, in a build that has them.
var pointsPassed = func() string { return "" }

type acting struct {
	tools
	c    *Conn
	lock Held
	held []RHeld
}

func (a *acting) step(ctx context.Context, op string) (string, error) {
	op, number, _ := strings.Cut(op, " ")
	n := 0
	fmt.Sscan(number, &n)
	switch op {
	case "take":
		h, err := a.Lock.Acquire(ctx)
		a.lock = h
		return heldText(h.OwnerDied()), err
	case "give":
		return "given", a.lock.Release()

	case "lock":
		h, err := a.RLock.Acquire(ctx)
		return a.push(h, err)
	case "trylock":
		h, ok, err := a.RLock.TryAcquire(ctx)
		if !ok {
			return "busy", err
		}
		return a.push(h, err)
	case "unlock":
		if len(a.held) == 0 {
			return "", RHeld{}.Release()
		}
		h := a.held[len(a.held)-1]
		a.held = a.held[:len(a.held)-1]
		return "unlocked", h.Release()
	case "token":
		return fmt.Sprint(a.held[0].Token()), nil

	case "refuse":
		s := a.Lock.State()
		return fmt.Sprint("refused: ", a.Lock.Refuse(s)), nil

	case "acquire":
		return "acquired", a.Semaphore.Acquire(ctx)
	case "try":
		ok, err := a.Semaphore.TryAcquire()
		if !ok {
			return "none", err
		}
		return "acquired", err
	case "release":
		return "released", a.Semaphore.Release()
	case "value":
		return fmt.Sprint(a.Semaphore.Value()), nil

	case "set":
		return "set", a.Event.Set()
	case "clear":
		return "cleared", a.Event.Clear()
	case "wait":
		return "woken", a.Event.Wait(ctx)

	case "await":
		err := a.Condition.Wait(ctx)
		if err == nil && a.held[0].OwnerDied() {
			return "notified, owner died", nil
		}
		return "notified", err
	case "notify":
		got, err := a.Condition.Notify(ctx, n)
		return fmt.Sprint(got), err

	case "come":
		return placeText(a.Barrier.Wait(ctx))
	case "act":
		// The action says so, and ends as it is told.
		return placeText(a.Barrier.WaitAction(ctx, func() error {
			if err := a.c.Send(context.Background(), "acting"); err != nil {
				return err
			}
			var how string
			if err := a.c.Recv(context.Background(), &how); err != nil {
				return err
			}
			if how == "fail" {
				return errors.New("as told")
			}
			return nil
		}))
	case "comes":
		// n times, with an action that does nothing.
		for range n {
			if _, err := a.Barrier.WaitAction(ctx, func() error { return nil }); err != nil {
				return "", err
			}
		}
		return "came", nil
	case "abort":
		return "aborted", a.Barrier.Abort()
	case "reset":
		return "reset", a.Barrier.Reset()

	case "points":
		return pointsPassed(), nil

	case "close":
		a.close()
		return "closed", untilUnmapped("multiproc-")
	}
	return "", fmt.Errorf("no such thing to do: %q", op)
}

func (a *acting) push(h RHeld, err error) (string, error) {
	if err == nil {
		a.held = append(a.held, h)
	}
	return heldText(h.OwnerDied()), err
}

// close closes all that there is.
func (a *acting) close() {
	var all []io.Closer
	if a.Lock != nil {
		all = append(all, a.Lock)
	}
	if a.RLock != nil {
		all = append(all, a.RLock)
	}
	if a.Semaphore != nil {
		all = append(all, a.Semaphore)
	}
	if a.Event != nil {
		all = append(all, a.Event)
	}
	for _, c := range []*Condition{a.Condition, a.Full} {
		if c != nil {
			all = append(all, c, c.Lock())
		}
	}
	if a.Barrier != nil {
		all = append(all, a.Barrier)
	}
	if a.Number != nil {
		all = append(all, a.Number)
	}
	if a.Sums != nil {
		all = append(all, a.Sums)
	}
	for _, x := range all {
		x.Close()
	}
	a.tools, a.lock, a.held = tools{}, Held{}, nil
}

func heldText(died bool) string {
	if died {
		return "held, owner died"
	}
	return "held"
}

func placeText(place int, err error) (string, error) { return fmt.Sprintf("place %d", place), err }

// startActor starts a process that has k.
func startActor(t *testing.T, k tools) *child {
	t.Helper()
	c := start(t, "actor")
	c.send(k)
	return c
}

// startActors starts some processes that have the same tools.
func startActors(t *testing.T, n int, k tools) []*child {
	t.Helper()
	cs := make([]*child, n)
	for i := range cs {
		cs[i] = startActor(t, k)
	}
	return cs
}

// untilIs waits until a number, which is called what, is as expected.
func untilIs(t *testing.T, what string, number func() int, want int) {
	t.Helper()
	for end := time.Now().Add(deadline); number() != want; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%s: %d, expected %d", what, number(), want)
		}
	}
}

// overCtx is a context that has ended.
func overCtx() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// in runs f in a goroutine and returns where its error will be.
func in(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// result waits for the error of in.
func result(t *testing.T, what string, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(deadline):
		t.Fatalf("%s: nothing happens", what)
		return nil
	}
}

// cpuOf returns the processor time that a child has used.
func cpuOf(t *testing.T, c *child) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	var user, system int
	fmt.Sscan(fields[11], &user)
	fmt.Sscan(fields[12], &system)
	return time.Duration(user+system) * 10 * time.Millisecond
}
