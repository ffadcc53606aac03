package supervisor

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Whatever is pushed, given back and cancelled, tickets come in the order in which a plain list has them.
func TestBacklogOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var b backlog
	var model, given []*Pending // model is in order: higher priority first, among equals as they stand
	place := func(list []*Pending, t *Pending, front bool) []*Pending {
		i := slices.IndexFunc(list, func(u *Pending) bool {
			return u.ticket.Priority < t.ticket.Priority || front && u.ticket.Priority == t.ticket.Priority
		})
		if i < 0 {
			i = len(list)
		}
		return slices.Insert(list, i, t)
	}
	for range 100_000 {
		switch op := rng.IntN(100); {
		case op < 45:
			p := &Pending{ticket: Ticket{Priority: rng.IntN(3)}}
			b.push(p, time.Time{})
			model = place(model, p, false)
		case op < 75 && len(model) > 0:
			if got := b.peek(); got != model[0] {
				t.Fatalf("another ticket of priority %d came, expected one of %d", got.ticket.Priority, model[0].ticket.Priority)
			}
			b.pop()
			given = append(given, model[0])
			model = model[1:]
		case op < 80: // some of those that were handed over last, in that order
			n := rng.IntN(len(given) + 1)
			back := slices.Clone(given[n:])
			given = given[:0]
			b.unshift(back)
			for _, p := range slices.Backward(back) {
				model = place(model, p, true)
			}
		case len(model) > 0:
			i := rng.IntN(len(model))
			p := model[i]
			p.where = isOver
			b.drop(p, isWaiting)
			model = slices.Delete(model, i, i+1)
		}
		if b.waiting() != len(model) {
			t.Fatalf("%d tickets wait, expected %d", b.waiting(), len(model))
		}
	}
	if left := b.flush(); !slices.Equal(left, model) || b.waiting() != 0 || b.dead != 0 {
		t.Errorf("%d tickets left of %d, %d wait, %d are dead", len(left), len(model), b.waiting(), b.dead)
	}
}
