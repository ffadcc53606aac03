package supervisor

import "slices"

// A PlaceStatus is what a pool knows of one of its places at a moment.
type PlaceStatus struct {
	Number  int
	State   PlaceState
	PID     int    // of its process; 0 while there is none
	PIDs    []int  // of all processes it has had, the last 100 at most, oldest first
	Started int    // how many that were
	Ticket  string // that it holds, the oldest of them; "" if none
	Ahead   int    // tickets that its process has got, but not begun
	Done    int    // tickets it has answered for
	Peak    uint64 // peak memory of the present process in bytes, as it says itself
}

// PlaceState says what a place is doing.
type PlaceState string

// The states of a place.
const (
	PlaceStarting PlaceState = "starting" // no process is ready
	PlaceIdle     PlaceState = "idle"
	PlaceBusy     PlaceState = "busy"
	PlaceEnded    PlaceState = "ended"
)

// Status returns what the places are doing.
func (p *Pool) Status() []PlaceStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]PlaceStatus, len(p.places))
	for i, place := range p.places {
		list[i] = place.snapshot()
	}
	return list
}

// snapshot returns the status of the place, with mu held.
func (p *place) snapshot() PlaceStatus {
	s := PlaceStatus{
		Number: p.number, PIDs: slices.Clone(p.pids), Started: p.started, Done: p.answers,
		Ahead: max(len(p.flight)-p.pool.slots(), 0),
	}
	switch {
	case len(p.flight) > 0:
		s.Ticket = p.flight[0].ID()
	case len(p.held) > 0:
		s.Ticket = p.held[0].ID()
	}
	if s.State = p.state(); p.w == nil || p.ended {
		return s
	}
	s.PID = p.w.proc.PID()
	s.Peak = peakOn(p.board, s.PID)
	return s
}

// state tells what the place is doing, with mu held.
func (p *place) state() PlaceState {
	switch {
	case p.ended:
		return PlaceEnded
	case p.w == nil:
		return PlaceStarting
	case len(p.flight) > 0 || len(p.held) > 0 || len(p.doomed) > 0:
		return PlaceBusy
	}
	return PlaceIdle
}
