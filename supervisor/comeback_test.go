package supervisor

import (
	"testing"
	"time"
)

// Close waits for what is due later, and places that have nothing to do meanwhile end with the others.
func TestCloseWithLaterTickets(t *testing.T) {
	p := newTestPool(t, testOptions(3))
	f := submit(t, taskSquare, p, 4, Ticket{At: time.Now().Add(200 * time.Millisecond)})
	closed := make(chan error, 1)
	go func() { closed <- p.Close() }()
	if err := receive(t, closed, "the pool is closed"); err != nil {
		t.Error(err)
	}
	if r := result(t, f); r.Outcome != OutcomeOK {
		t.Errorf("%+v", r)
	}
}

// A place that ends may give tickets back when the pool is closed: another place has to be there for them.
func TestTicketComesBackAfterClose(t *testing.T) {
	p := newTestPool(t, testOptions(2))
	retry := Ticket{Attempts: 2, Backoff: 50 * time.Millisecond}
	f, c, pid := meet(t, p, retry)
	other, d, _ := meet(t, p, retry)
	if p.Status()[1].PID != pid {
		f, c, other, d = other, d, f, c
	}
	if err := p.Resize(within(t), 1); err != nil { // the place of f ends when its attempt does
		t.Fatal(err)
	}
	if err := d.Send(within(t), "go"); err != nil {
		t.Fatal(err)
	}
	if r := result(t, other); r.Outcome != OutcomeOK {
		t.Fatalf("%+v", r)
	}
	closed := make(chan error, 1)
	go func() { closed <- p.Close() }()
	receive(t, p.closing, "the pool is closed")
	c.Close() // the attempt fails
	if err := receive(t, closed, "the pool has ended"); err != nil {
		t.Error(err)
	}
	if r := result(t, f); r.Outcome != OutcomeError || r.Attempts != 2 || r.Worker != 1 {
		t.Errorf("%+v", r)
	}
}
