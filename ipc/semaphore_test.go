package ipc

import (
	"context"
	"testing"
)

func newTestSemaphore(t testing.TB, o SemaphoreOptions) *Semaphore {
	t.Helper()
	s, err := NewSemaphore(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func wantValue(t testing.TB, s *Semaphore, want int) {
	t.Helper()
	if got := s.Value(); got != want {
		t.Fatalf("value %d, expected %d", got, want)
	}
}

func TestSemaphoreBetweenProcesses(t *testing.T) {
	checkLeaks(t)
	s := newTestSemaphore(t, SemaphoreOptions{Permits: 2})
	k := tools{Semaphore: s}
	a, b, c := startActor(t, k), startActor(t, k), startActor(t, k)
	a.do("acquire", "acquired")
	b.do("acquire", "acquired")
	c.do("try", "none")
	c.do("value", "0")
	c.send("acquire")
	untilIs(t, "waiting", s.Waiting, 1)
	b.do("release", "released")
	c.expect("acquired")
	wantValue(t, s, 0)
	// What c used comes to b again, though c has kept it at hand.
	c.do("release", "released")
	wantValue(t, s, 1)
	b.do("try", "acquired")
	c.do("try", "none")
	a.do("release", "released")
	b.do("release", "released")
	wantValue(t, s, 2)
}

// CPython: a semaphore has no upper limit; who releases without having acquired makes one
// more.
func TestSemaphoreHasNoLimit(t *testing.T) {
	s := newTestSemaphore(t, SemaphoreOptions{})
	a, b := startActor(t, tools{Semaphore: s}), startActor(t, tools{Semaphore: s})
	b.do("try", "none")
	for n := range 3 {
		a.do("release", "released")
		wantValue(t, s, n+1)
	}
	b.send("acquire", "acquire", "acquire", "acquire")
	for range 3 {
		b.expect("acquired")
	}
	a.do("release", "released")
	b.expect("acquired")
	wantValue(t, s, 0)
}

// As a signal: one releases, the other acquires, neither the other way round. That may go
// on for longer than 16 bits count.
func TestSemaphoreAsSignal(t *testing.T) {
	for _, handoff := range []bool{false, true} {
		s := newTestSemaphore(t, SemaphoreOptions{Handoff: handoff})
		there := newTestSemaphore(t, SemaphoreOptions{Handoff: handoff})
		p := start(t, "ponger")
		p.send(pong{Semaphores: []*Semaphore{s, there}})
		for range 3 { // across the process boundary, a few
			if err := s.Release(); err != nil {
				t.Fatal(err)
			}
			if err := there.Acquire(within(t)); err != nil {
				t.Fatal(err)
			}
		}
		own := newTestSemaphore(t, SemaphoreOptions{Handoff: handoff})
		other := startActor(t, tools{Semaphore: own})
		for range 70000 {
			if err := own.Release(); err != nil {
				t.Fatal(err)
			}
		}
		for range 70000 {
			if err := own.Acquire(overCtx()); err != nil {
				t.Fatal(err)
			}
		}
		other.do("value", "0")
		other.do("try", "none")
		other.do("release", "released")
		other.do("value", "1")
	}
}

func TestBoundedSemaphore(t *testing.T) {
	s := newTestSemaphore(t, SemaphoreOptions{Permits: 2, Bounded: true})
	a, b := startActor(t, tools{Semaphore: s}), startActor(t, tools{Semaphore: s})
	a.do("release", "ipc: released too often")
	a.do("acquire", "acquired")
	b.do("release", "ipc: released too often") // a holds it
	a.do("acquire", "acquired")
	a.do("release", "released")
	a.do("release", "released")
	a.do("release", "ipc: released too often")
	wantValue(t, s, 2)
	if _, err := NewSemaphore(SemaphoreOptions{Bounded: true}); err == nil {
		t.Error("a bounded semaphore for nothing")
	}
	if _, err := NewSemaphore(SemaphoreOptions{Permits: -1}); err == nil {
		t.Error("a semaphore with -1 permits")
	}
}

func TestSemaphoreHandoff(t *testing.T) {
	s := newTestSemaphore(t, SemaphoreOptions{Permits: 2, Bounded: true, Handoff: true})
	a, b := startActor(t, tools{Semaphore: s}), startActor(t, tools{Semaphore: s})
	a.do("acquire", "acquired")
	a.do("acquire", "acquired")
	b.do("release", "released") // anybody may
	a.kill()
	wantValue(t, s, 1) // and nothing comes back
	b.do("try", "acquired")
	b.do("try", "none")
	b.send("acquire")
	untilIs(t, "waiting", s.Waiting, 1)
	if err := s.Release(); err != nil {
		t.Fatal(err)
	}
	b.expect("acquired")
	b.do("release", "released")
	b.do("release", "released")
	b.do("release", "ipc: released too often")
}

func TestSemaphoreDeadHolders(t *testing.T) {
	checkLeaks(t)
	s := newTestSemaphore(t, SemaphoreOptions{Permits: 3})
	k := tools{Semaphore: s}
	a, b, c := startActor(t, k), startActor(t, k), startActor(t, k)
	a.do("acquire", "acquired")
	a.do("acquire", "acquired")
	b.do("acquire", "acquired")
	c.send("acquire")
	untilIs(t, "waiting", s.Waiting, 1)
	a.kill()
	c.expect("acquired")
	wantValue(t, s, 1)
	b.kill()
	if ok, err := s.TryAcquire(); !ok || err != nil {
		t.Fatalf("one is free: %v, %v", ok, err)
	}
	if ok, err := s.TryAcquire(); !ok || err != nil {
		t.Fatalf("one was held by the dead: %v, %v", ok, err)
	}
	wantValue(t, s, 0)
	// Two come back at once: two who wait in two processes get them.
	d, e := startActor(t, k), startActor(t, k)
	c.do("try", "none")
	d.send("acquire")
	e.send("acquire")
	untilIs(t, "waiting", s.Waiting, 2)
	s.Close()
	d.expect("acquired")
	e.expect("acquired")
	if err := s.Acquire(within(t)); err != ErrClosed {
		t.Fatalf("acquire after Close: %v", err)
	}
}

func TestSemaphoreContextAndClose(t *testing.T) {
	checkLeaks(t)
	s := newTestSemaphore(t, SemaphoreOptions{Permits: 1})
	if err := s.Acquire(overCtx()); err != nil {
		t.Fatalf("a free permit with an ended context: %v", err)
	}
	if err := s.Acquire(overCtx()); err != context.Canceled {
		t.Fatalf("no permit with an ended context: %v", err)
	}
	a, b := startActor(t, tools{Semaphore: s}), startActor(t, tools{Semaphore: s})
	a.do("acquire a while", "context deadline exceeded")
	a.send("acquire until told")
	untilIs(t, "waiting", s.Waiting, 1)
	b.send("acquire")
	untilIs(t, "waiting", s.Waiting, 2)
	a.send("give up")
	a.expect("context canceled")
	waits := in(func() error { return s.Acquire(context.Background()) })
	untilIs(t, "waiting", s.Waiting, 2)
	s.Close()
	if err := result(t, "acquire during Close", waits); err != ErrClosed {
		t.Fatalf("acquire during Close: %v", err)
	}
	b.expect("acquired")
	b.do("value", "0")
}
