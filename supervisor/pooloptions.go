package supervisor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/hashicorp/go-hclog"
)

// PoolOptions of a Pool; the zero value is good.
type PoolOptions struct {
	// Workers is the number of worker places; 0 is the number of processors.
	Workers int
	// Name is what ps and logs show; "" is the name of the program.
	Name string
	// Program is what a worker process runs; "" is this program itself, which must call
	// Main. Another one must speak PROTOCOL.md. Args is its whole argument list,
	// Args[0] included; nil is what ps shows, such as "worker-1: tickets", alone.
	Program string
	Args    []string
	// Slots is how many tickets a process runs at a time; 0 is 1. They share its death: one that has to be killed
	// takes the others along.
	Slots int
	// Backlog is how many tickets may wait for a place before Submit waits; 0 is 1024.
	Backlog int
	// Initializer is run by every process before it gets its first ticket, Finalizer before it is told to stop (not when it
	// dies, or the pool is terminated), for the grace at most. A ticket without a task is none; see Task.Ticket. Only their
	// Task, Args and ID count. An initializer that fails ends the pool. The descriptors of the arguments are the pool's.
	Initializer, Finalizer Ticket
	// A process is replaced between two tickets: after MaxTickets of them, when it is older than MaxAge, when it
	// has been idle for MaxIdle after a ticket, or has more than MaxMemory bytes of resident memory. 0 is no limit.
	// One that has more than KillMemory bytes is killed, and its ticket ends with ErrMemory. Memory is looked at
	// every quarter of a second.
	MaxTickets            int
	MaxAge, MaxIdle       time.Duration
	MaxMemory, KillMemory uint64
	// Grace is what a task has to end once its context has ended, before its process
	// is sent SIGTERM; half of it again, and it is sent SIGKILL. 0 is 5 s.
	Grace time.Duration
	// StartTimeout is what a process has to become ready; 0 is 10 s.
	StartTimeout time.Duration
	// Stdout is where the lines go that tasks print; nil is the standard output. While
	// it does not take them, the tasks that print wait.
	Stdout io.Writer
	// Logger gets what happens, and what workers write to stderr; nil is silence.
	Logger hclog.Logger
	// Subreaper makes this process inherit what worker processes leave behind, however
	// it detached itself, and kill it. Then every child of this process that this
	// package did not start is killed too.
	Subreaper bool

	// Events gets what happens to processes, and to tickets when they are tried again. The pool never waits for it (as
	// signal.Notify does not): its capacity is how many may wait, and what finds no room is counted in
	// PoolEvent.Dropped. The pool does not close it: PoolEnded is the last. nil: nobody is told.
	Events chan<- PoolEvent

	restart restartPolicy
}

func (o PoolOptions) filled() (PoolOptions, error) {
	switch {
	case o.Workers < 0:
		return o, fmt.Errorf("supervisor: pool of %d workers, expected at least 1", o.Workers)
	case o.Backlog < 0:
		return o, fmt.Errorf("supervisor: backlog of %d tickets, expected at least 1", o.Backlog)
	case o.Slots < 0 || o.MaxTickets < 0:
		return o, fmt.Errorf("supervisor: %d slots, %d tickets for a process, expected at least 1", o.Slots, o.MaxTickets)
	case o.MaxAge < 0 || o.MaxIdle < 0:
		return o, fmt.Errorf("supervisor: age %v, idle %v of a process, expected at least 0", o.MaxAge, o.MaxIdle)
	case o.Grace < 0 || o.StartTimeout < 0:
		return o, fmt.Errorf("supervisor: grace %v, start time-out %v, expected at least 0", o.Grace, o.StartTimeout)
	case o.Program == "" && len(o.Args) > 0:
		return o, errors.New("supervisor: Args without Program")
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Name == "" {
		o.Name = filepath.Base(os.Args[0])
	}
	if o.Backlog == 0 {
		o.Backlog = 1024
	}
	if o.Grace == 0 {
		o.Grace = defaultGrace
	}
	if o.StartTimeout == 0 {
		o.StartTimeout = 10 * time.Second
	}
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.restart == (restartPolicy{}) {
		o.restart = defaultRestart
		// Each failure may take as long as a start may: so many must fit in.
		o.restart.period += time.Duration(o.restart.intensity+1) * o.StartTimeout
	}
	return o, nil
}
