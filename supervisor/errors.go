package supervisor

import "errors"

var (
	// ErrTimeout: the time of a ticket's attempt was over. What the worker said or how
	// it died after that is in the text.
	ErrTimeout = errors.New("supervisor: time is over")

	// ErrClosed: the pool takes no more tickets.
	ErrClosed = errors.New("supervisor: pool is closed")

	// ErrFull: as many tickets wait as the backlog may have. Only TrySubmit returns it.
	ErrFull = errors.New("supervisor: backlog is full")

	// ErrMemory: the process had more memory than PoolOptions.KillMemory allows, and was killed with its ticket.
	ErrMemory = errors.New("supervisor: too much memory")

	// ErrOpen: Join on a pool that nobody has closed would wait for ever.
	ErrOpen = errors.New("supervisor: pool is open: close or terminate it first")

	// ErrDrained: the ticket had not begun when the pool was told to finish.
	ErrDrained = errors.New("supervisor: pool was drained before the ticket began")

	// ErrTerminated: the pool was told to end now.
	ErrTerminated = errors.New("supervisor: pool was terminated")

	// ErrRestartLimit: worker processes of a pool ended before they were ready, or children of a
	// Supervisor ended, too often to go on. The text has the end of the last one.
	ErrRestartLimit = errors.New("supervisor: worker does not start")

	// ErrProtocol: a worker said something that PROTOCOL.md does not allow there.
	ErrProtocol = errors.New("supervisor: worker breaks the protocol")
)

// Exit statuses of worker processes.
const (
	exitDone   = 0   // told to stop
	exitFailed = 1   // a task panicked, or the worker failed
	exitMisuse = 100 // this will never work: it is not started again
)
