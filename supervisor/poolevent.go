package supervisor

import (
	"maps"
	"time"
)

// A PoolState is what a pool has come to: counts that a status page or metrics can read. To take it costs a lock for a
// moment, and nothing waits for who reads it.
type PoolState struct {
	Places, Starting, Idle, Busy int                // Places is the sum of the others; ended ones do not count
	Waiting                      int                // tickets in the backlog that could begin
	Later                        int                // and those that are not due
	Running                      int                // tickets under way, one for each slot at most
	Ahead                        int                // tickets that processes have got, but not begun
	Submitted                    uint64             // tickets accepted so far
	Finished                     map[Outcome]uint64 // of these, by what became of them
	Retried                      uint64             // attempts that were not the last of their ticket
	Started                      uint64             // processes that became ready
	Died                         uint64             // of these, those that ended without being told to
	Retired                      uint64             // of these, those that were replaced
}

// State returns the counts of the pool at this moment.
func (p *Pool) State() PoolState {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.counts
	s.Finished = maps.Clone(p.counts.Finished)
	if s.Finished == nil {
		s.Finished = map[Outcome]uint64{}
	}
	if p.fine > 0 {
		s.Finished[OutcomeOK] = p.fine
	}
	s.Submitted, s.Waiting, s.Later = p.numbers, p.backlog.ready, p.backlog.later.waiting
	for _, q := range p.places {
		switch q.state() {
		case PlaceStarting:
			s.Starting++
		case PlaceIdle:
			s.Idle++
		case PlaceBusy:
			s.Busy++
		case PlaceEnded:
			continue
		}
		s.Places++
		running := min(len(q.flight), p.slots())
		s.Running += running
		s.Ahead += len(q.flight) - running
	}
	return s
}

// count counts a ticket that is over, with mu held.
func (p *Pool) count(o Outcome) {
	if o == OutcomeOK {
		p.fine++ // most are
		return
	}
	if p.counts.Finished == nil {
		p.counts.Finished = map[Outcome]uint64{}
	}
	p.counts.Finished[o]++
}

// PoolEventKind says what has happened.
type PoolEventKind string

// What happens to the processes and tickets of a pool.
const (
	PoolReady   PoolEventKind = "ready"   // a place has a process
	PoolNoStart PoolEventKind = "nostart" // a process did not become ready: Err; another is started
	PoolDied    PoolEventKind = "died"    // a process ended without being told to: Exit
	PoolRetired PoolEventKind = "retired" // a process is replaced: Why
	PoolRetry   PoolEventKind = "retry"   // a ticket is tried again after Err
	PoolFailed  PoolEventKind = "failed"  // the pool cannot go on: Err
	PoolEnded   PoolEventKind = "ended"   // it has ended. Always the last
)

// A PoolEvent is something that happened in a pool. Which fields are set depends on Kind.
type PoolEvent struct {
	Time    time.Time
	Kind    PoolEventKind
	Place   int    // number of the place
	PID     int    // of its process
	Ticket  string // that was concerned; "": none was
	Exit    Exit
	Why     string
	Err     error
	Dropped uint64 // events for which Events had no room before this one
}

// emit tells an event, if there is room for it.
func (p *Pool) emit(e PoolEvent) {
	if p.opts.Events == nil {
		return
	}
	e.Time, e.Dropped = time.Now(), p.dropped.Load()
	select {
	case p.opts.Events <- e:
	default:
		p.dropped.Add(1)
	}
}
