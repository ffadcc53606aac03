package supervisor

import ()

// takeNotes takes what is to be told. With mu held.
func (p *place) takeNotes() notes {
	n := p.notes
	p.notes = nil
	return n
}

// Notes are what is told when the pool's mu is not held.
type notes []note

type note struct {
	text  string
	args  []any
	event PoolEvent
}

func retryNote(t *Pending) note {
	r := &t.result
	return note{
		"ticket is tried again", []any{"ticket", t.ID(), "attempt", t.made, "of", t.attempts(), "error", r.Err},
		PoolEvent{Kind: PoolRetry, Place: r.Worker, PID: r.PID, Ticket: t.ID(), Err: r.Err},
	}
}

func (n notes) tell(p *Pool) {
	for _, note := range n {
		p.emit(note.event)
		p.log.Info(note.text, note.args...)
	}
}
