package supervisor

import (
	"time"
)

// ChildState says what a child of a Supervisor is doing.
type ChildState string

// The states of a child.
const (
	ChildWaiting    ChildState = "waiting"    // to be started: for its turn, or back-off
	ChildStarting   ChildState = "starting"   // not ready yet
	ChildRunning    ChildState = "running"    // ready
	ChildStopping   ChildState = "stopping"   // told to end
	ChildFinished   ChildState = "finished"   // ended by itself, and not to be started again
	ChildTerminated ChildState = "terminated" // by TerminateChild, or with the Supervisor
)

// ChildStatus is what is known of a child at a moment.
type ChildStatus struct {
	ID       string
	State    ChildState
	Restart  Restart
	PID      int         // 0: there is no process, or it is a Tree
	Since    time.Time   // of this state
	Due      time.Time   // when waiting for back-off: not to be started before
	Starts   int         // processes so far
	Restarts int         // of them, after an end that nobody asked for
	Row      int         // failures since it last ran for Backoff.Stable
	Last     *ChildError // how the last process ended, as asked or not; nil if none has
}

// SupervisorStatus is what is known of a Supervisor at a moment.
type SupervisorStatus struct {
	Name     string
	Strategy Strategy
	Children []ChildStatus // in start order
	Restarts int           // ever, of all children; a group that is started again for one of them is one
	Counting int           // of those, how many were in the period when the last came: more than Intensity end it
	Dropped  uint64        // events for which Events had no room
	Ending   bool          // it stops its children, or has
	Err      error         // why it gave up
}

// ChildEventKind says what has happened.
type ChildEventKind string

// What happens to children.
const (
	EventStarted ChildEventKind = "started" // there is a process: PID
	EventReady   ChildEventKind = "ready"
	EventStop    ChildEventKind = "stop"    // it is told to end
	EventEnded   ChildEventKind = "ended"   // End says how, whether asked for or not
	EventRestart ChildEventKind = "restart" // it will be started again, After; so will those that go with it
	EventGiveUp  ChildEventKind = "give up" // it was restarted too often: the Supervisor ends
	EventOver    ChildEventKind = "over"    // the Supervisor has ended; Child is "". Always the last.
)

// A ChildEvent is something that happened in a Supervisor.
type ChildEvent struct {
	Supervisor string
	Time       time.Time
	Kind       ChildEventKind
	Child      string        // its ID
	PID        int           //
	After      time.Duration // back-off
	End        *ChildError   // shared by all who get it: read only
	Err        error         // why the Supervisor gave up
	Dropped    uint64        // events lost so far, because there was no room
}

// emit never waits: what finds no room is lost, and counted.
func (s *Supervisor) emit(e ChildEvent) {
	if s.opts.Events == nil {
		return
	}
	e.Supervisor, e.Time, e.Dropped = s.opts.Name, time.Now(), s.dropped
	select {
	case s.opts.Events <- e:
	default:
		s.dropped++
	}
}

// publish makes the status that readers see: a value of its own, so that no reader ever touches the loop's.
func (s *Supervisor) publish() {
	st := &SupervisorStatus{
		Name: s.opts.Name, Strategy: s.opts.Strategy, Restarts: s.total, Counting: len(s.restarts),
		Dropped: s.dropped, Ending: s.tree.ending, Err: s.gaveUp,
		Children: make([]ChildStatus, len(s.tree.children)),
	}
	for i, c := range s.tree.children {
		st.Children[i] = ChildStatus{
			ID: c.spec.ID, State: c.state, Restart: c.spec.Restart, PID: c.pid, Since: c.since, Starts: c.starts,
			Restarts: c.restarts, Row: c.row, Last: c.last,
		}
		if c.state == ChildWaiting {
			st.Children[i].Due = c.due
		}
	}
	s.status.Store(st)
}
