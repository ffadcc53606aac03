package supervisor

import (
	"fmt"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// A Ticket is a unit of work for a pool. It never changes: attempt and holder
// belong to the worker place that has it.
type Ticket struct {
	ID       string        // for people and reports; "" is a number given by the pool
	Task     string        // name of the task
	Args     proto.Payload // its encoded argument, owned by the pool from Submit on; no bytes are nil
	Attempts int           // how often it may be tried, the first time included; 0 is 1
	Timeout  time.Duration // for each attempt; 0 is none
	Backoff  time.Duration // before the second attempt, and twice as much before each further one; 0: at once, by the same place
	Priority int           // those of a higher one begin first; among equals, the older one
	At       time.Time     // it begins then at the earliest; zero is now. While it waits it takes room in the backlog

	chunk int // elements that Args, an array, are the arguments of; 0: they are one argument
}

// An Outcome says in a word what became of a ticket.
type Outcome string

// The outcomes. All but OK and Cancelled are tried again while attempts are left,
// unless the worker refused the ticket (no such task, wrong arguments).
const (
	OutcomeOK        Outcome = "ok"        // there is a Value
	OutcomeError     Outcome = "error"     // the task returned an error; Err is a *proto.Fault
	OutcomePanic     Outcome = "panic"     // the task panicked; Err is a *proto.Fault with the stack
	OutcomeExit      Outcome = "exit"      // the process ended by itself; Err is a *WorkerDiedError
	OutcomeSignal    Outcome = "signal"    // the process was killed; Err is a *WorkerDiedError
	OutcomeMemory    Outcome = "memory"    // its process had too much memory and was killed; Err wraps ErrMemory
	OutcomeTimeout   Outcome = "timeout"   // its time was over; Err wraps ErrTimeout
	OutcomeCancelled Outcome = "cancelled" // by its context, or the pool ended; Err wraps the cause
	OutcomeLost      Outcome = "lost"      // no worker could be had for it; Err says why
)

// A Result is what became of a ticket. There is exactly one for each.
type Result struct {
	ID       string
	Task     string
	Outcome  Outcome
	Attempts int           // made; 0 if it never ran
	Worker   int           // number of the place where the last attempt ran; 0 if it never ran
	PID      int           // of the process of the last attempt
	Started  time.Time     // when the last attempt began; zero if it never ran
	Elapsed  time.Duration // from then to the result
	Value    proto.Payload // encoded, if Outcome is ok; its descriptors are the receiver's to close
	Err      error         // nil if Outcome is ok
}

// A WorkerDiedError tells which process died with which ticket, and what is known
// of its end.
type WorkerDiedError struct {
	Worker     int    // number of the place
	PID        int    // of the process that died
	Ticket     string // that it had
	Attempt    int
	Element    int // of a Map, from 1, if the ticket had several of them and it is known which one was under way
	Exit       Exit
	PeakMemory uint64   // in bytes, as the process last wrote it itself; 0: unknown
	Stderr     []string // see [Process.StderrTail]
}

func (e *WorkerDiedError) Error() string {
	s := fmt.Sprintf("supervisor: worker %d (pid %d) died with ticket %s, attempt %d: %v",
		e.Worker, e.PID, e.Ticket, e.Attempt, e.Exit)
	if e.PeakMemory > 0 {
		s += fmt.Sprintf("; peak memory %.1f MiB", float64(e.PeakMemory)/(1<<20))
	}
	if len(e.Stderr) > 0 {
		s += fmt.Sprintf("; on stderr: %s", lastWord(e.Stderr))
	}
	return s
}

// outcome of a death that nobody here asked for.
func (e *WorkerDiedError) outcome() Outcome {
	if e.Exit.Signal != 0 {
		return OutcomeSignal
	}
	return OutcomeExit
}

// closePayload gives up what nobody will decode.
func closePayload(p proto.Payload) { ipc.CloseFDs(p.FDs) }
