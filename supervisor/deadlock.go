package supervisor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/seed-185a7250/multiproc/ipc"
)

// DeadlockOptions of WatchDeadlocks; Locks must be given.
type DeadlockOptions struct {
	// Locks are those that may be part of a deadlock. Of a condition, a value or an array it
	// is what its Lock returns.
	Locks []ipc.AnyLock
	// Pools are those whose tickets take the locks: so a report can name them.
	Pools []*Pool
	// Fail ends one wait of each deadlock: that Acquire returns ipc.ErrDeadlock, and its caller
	// should release what he holds. It is the one that has begun last.
	Fail bool
	// Report is called for each deadlock, once. The next look waits until it returns. It may be
	// nil.
	Report func(Deadlock)
	// Logger is told of each deadlock as a warning; nil: nobody is.
	Logger hclog.Logger
	// Every is the time between two looks, 200ms by default. A deadlock is reported when it
	// was seen in two looks.
	Every time.Duration
}

// A Deadlock is some processes that wait for each other: each party holds what the one
// before it waits for. Nothing ends it but the end of a party, or of the context with
// which one waits.
type Deadlock struct {
	Parties []DeadlockParty // the one that has waited longest is the first
	Failed  int             // which of them has been told to fail with ipc.ErrDeadlock; -1: none
}

// A DeadlockParty is one process, or one goroutine of it, in a deadlock.
type DeadlockParty struct {
	PID    int
	Name   string     // of the process, if it is a child of this one; "": it is not
	Ticket string     // that the process works on, if it is a worker of a pool that is watched and has one slot
	Place  int        // of the worker in the pool; 0: it is none
	Holds  []HeldLock // what the party before waits for, and what else it holds of the locks watched
	Waits  string     // the lock that it waits for, and the next party holds
	Since  time.Time  // when that wait began
}

// A HeldLock is a lock and under which token it is held.
type HeldLock struct {
	Lock  string
	Token uint64
}

// String tells who the party is, what it holds and what it waits for.
func (p DeadlockParty) String() string {
	var held []string
	for _, h := range p.Holds {
		held = append(held, fmt.Sprintf("%q (token %d)", h.Lock, h.Token))
	}
	return fmt.Sprintf("%s holds %s and waits for %q", p.Who(), strings.Join(held, ", "), p.Waits)
}

// Who names the party: "ticket left (worker 1, pid 4711)", "process singer (pid 4711)" or "process 4711".
func (p DeadlockParty) Who() string {
	switch {
	case p.Ticket != "":
		return fmt.Sprintf("ticket %s (worker %d, pid %d)", p.Ticket, p.Place, p.PID)
	case p.Place != 0:
		return fmt.Sprintf("worker %d (pid %d)", p.Place, p.PID)
	case p.Name != "":
		return fmt.Sprintf("process %s (pid %d)", p.Name, p.PID)
	}
	return fmt.Sprintf("process %d", p.PID)
}

// String tells of all parties, in one line.
func (d Deadlock) String() string {
	var parties []string
	for _, p := range d.Parties {
		parties = append(parties, p.String())
	}
	return strings.Join(parties, "; ")
}

// A DeadlockWatch looks for deadlocks again and again.
type DeadlockWatch struct {
	opts  DeadlockOptions
	stop  context.CancelFunc
	ended chan struct{}

	before   []ipc.LockState
	reported map[string]bool // the deadlocks that are known
}

// WatchDeadlocks begins to look for deadlocks, some times per second, until Stop is
// called. A look reads a few words for each lock, and makes no system call unless somebody
// who holds one has waited long for another. It finds those deadlocks all of whose locks
// are watched.
//
// A wait is seen when it has lasted for some ten milliseconds. The goroutine that
// acquired a lock is taken for the one that will release it: a process in which another
// one waits is not stuck. A deadlock that dissolves between two looks is not reported.
func WatchDeadlocks(o DeadlockOptions) *DeadlockWatch {
	if o.Every == 0 {
		o.Every = 200 * time.Millisecond
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	ctx, stop := context.WithCancel(context.Background())
	w := &DeadlockWatch{opts: o, stop: stop, ended: make(chan struct{})}
	go w.run(ctx)
	return w
}

// Stop ends the watch; Report is not running and will not run when it returns. It must not
// be called by Report. Stopping twice is fine.
func (w *DeadlockWatch) Stop() {
	w.stop()
	<-w.ended
}

func (w *DeadlockWatch) run(ctx context.Context) {
	defer close(w.ended)
	tick := time.NewTicker(w.opts.Every)
	defer tick.Stop()
	for {
		w.look()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look compares what the locks are now with what they were at the last look.
func (w *DeadlockWatch) look() {
	now := make([]ipc.LockState, len(w.opts.Locks))
	for i, l := range w.opts.Locks {
		now[i] = l.State()
	}
	found := ipc.Deadlocks(w.before, now)
	w.before = now
	reported := map[string]bool{}
	for _, d := range found {
		key := ""
		for _, p := range d.Parties {
			key += fmt.Sprintf("%d/%d ", p.PID, p.Holds[0].Wait.Number)
		}
		reported[key] = true
		if !w.reported[key] {
			w.tell(d)
		}
	}
	w.reported = reported // a number never comes again: what is gone may be forgotten
}

// tell reports a new deadlock, and fails one of its waits first, so that the report says
// what was done.
func (w *DeadlockWatch) tell(d ipc.Deadlock) {
	event := Deadlock{Failed: -1}
	if i, ok := d.Youngest(); ok && w.opts.Fail && w.refuse(d.Parties[i].Holds[0]) {
		event.Failed = i
	}
	for _, p := range d.Parties {
		event.Parties = append(event.Parties, w.party(p))
	}
	w.opts.Logger.Warn("deadlock", "parties", event.String(), "failed", event.Failed)
	if w.opts.Report != nil {
		w.opts.Report(event)
	}
}

func (w *DeadlockWatch) refuse(s ipc.LockState) bool {
	for i, now := range w.before {
		if now.Key == s.Key {
			return w.opts.Locks[i].Refuse(s)
		}
	}
	return false
}

func (w *DeadlockWatch) party(p ipc.DeadlockParty) DeadlockParty {
	party := DeadlockParty{PID: p.PID, Waits: lockName(p.Waits), Since: p.Since()}
	for _, s := range p.Holds {
		party.Holds = append(party.Holds, HeldLock{lockName(s), s.Token})
	}
	for _, child := range ActiveChildren() {
		if child.PID() == p.PID {
			party.Name = child.Name()
		}
	}
	for _, pool := range w.opts.Pools {
		for _, place := range pool.Status() {
			if place.PID != p.PID {
				continue
			}
			party.Place = place.Number
			if pool.slots() == 1 { // else nobody knows which of them it is
				party.Ticket = place.Ticket
			}
		}
	}
	return party
}

// lockName names also what has no name.
func lockName(s ipc.LockState) string {
	if s.Name == "" {
		return fmt.Sprintf("lock %016x", s.Key)
	}
	return s.Name
}
