package supervisor

import "fmt"

// audit checks what must hold at any moment at which nobody has mu, and tells what does not: that all places are there and are
// starting, idle or busy, that who could begin a ticket can be found, and that no ticket is lost. With mu held.
func (p *Pool) audit() error {
	staying, listed, tickets := 0, 0, 0
	for _, q := range p.places {
		if !q.gone && !q.ended {
			staying++
		}
		if q.listed {
			listed++
		}
		if q.free() && !q.listed && q.leaves() == isFine {
			return fmt.Errorf("place %d is free, and nobody knows", q.number)
		}
		tickets += q.tickets()
	}
	switch {
	case !p.closed && staying != p.size:
		return fmt.Errorf("%d places of %d", staying, p.size)
	case listed != len(p.idle):
		return fmt.Errorf("%d idle places, %d in the list", listed, len(p.idle))
	case tickets != p.atPlaces:
		return fmt.Errorf("%d tickets at places, %d counted", tickets, p.atPlaces)
	}
	return nil
}

// tickets returns how many tickets the place has.
func (p *place) tickets() int {
	n := len(p.flight) + len(p.held) + len(p.doomed)
	for _, t := range p.flight {
		if t.number == 0 {
			n-- // the finalizer
		}
	}
	for _, f := range p.doomed {
		if f.t.number == 0 {
			n--
		}
	}
	if p.early != nil {
		n++
	}
	return n
}
