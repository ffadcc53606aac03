package supervisor

import (
	"context"
	"maps"
	"syscall"
	"testing"
)

// State adds up while a pool works, dies and is resized, and tells at the end what has become of each ticket.
func TestPoolState(t *testing.T) {
	p := newTestPool(t, testOptions(2))
	_, c, pid := meet(t, p)
	var fs []*Future[int]
	for range 20 {
		fs = append(fs, submit(t, taskSquare, p, 3))
	}
	bad := submit(t, taskEnd, p, "exit 3", Ticket{Attempts: 2})
	for _, f := range fs {
		result(t, f)
	}
	result(t, bad)
	if err := c.Send(within(t), "go"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { s := p.State(); return s.Idle == 2 && s.Running == 0 && s.Ahead == 0 && s.Waiting == 0 }, "both places idle")
	syscall.Kill(pid, syscall.SIGKILL)
	eventually(t, func() bool {
		s := p.State()
		if s.Starting+s.Idle+s.Busy != s.Places || s.Places != 2 {
			t.Fatalf("%+v do not add up", s)
		}
		return s.Died == 3 && s.Idle == 2
	}, "the dead are replaced")
	s := p.State()
	if want := (map[Outcome]uint64{OutcomeOK: 21, OutcomeExit: 1}); !maps.Equal(s.Finished, want) || s.Submitted != 22 || s.Retried != 1 || s.Started != 5 {
		t.Errorf("%+v, expected %v", s, want)
	}
}

// Events tell in order what happens, the end last, and are never waited for.
func TestPoolEvents(t *testing.T) {
	events := make(chan PoolEvent, 100)
	o := testOptions(1)
	o.Events, o.MaxTickets = events, 2
	p := newTestPool(t, o)
	for range 2 {
		submit(t, taskSquare, p, 1).Get(within(t))
	}
	result(t, submit(t, taskEnd, p, "kill", Ticket{Attempts: 2}))
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	var kinds []PoolEventKind
	for e := range events {
		kinds = append(kinds, e.Kind)
		if e.Kind == PoolEnded {
			break
		}
		if e.Time.IsZero() || e.Place != 1 || e.Kind == PoolDied && e.Exit.Signal != syscall.SIGKILL || e.Kind == PoolRetired && e.Why == "" {
			t.Errorf("%+v", e)
		}
	}
	want := []PoolEventKind{PoolReady, PoolRetired, PoolReady, PoolDied, PoolRetry, PoolReady, PoolDied} // and perhaps another process, and the end
	if len(kinds) < len(want) {
		t.Fatalf("%v, expected %v", kinds, want)
	}
	for i, k := range want {
		if kinds[i] != k {
			t.Fatalf("%v, expected %v", kinds, want)
		}
	}

	full := make(chan PoolEvent) // nobody ever reads
	o.Events = full
	q, err := NewPool(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := taskSquare.Call(within(t), q, 4); v != 16 || err != nil {
		t.Errorf("%d, %v", v, err)
	}
	if err := q.Close(); err != nil {
		t.Error(err)
	}
}
