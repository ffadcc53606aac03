package supervisor

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrNotReady: a child was not ready within Ready.Timeout. It was killed.
	ErrNotReady = errors.New("supervisor: not ready in time")

	// ErrSilent: a child gave no sign of life for Liveness.Every. It was killed.
	ErrSilent = errors.New("supervisor: no sign of life")

	// ErrSupervisorEnded: the Supervisor has ended, or is ending.
	ErrSupervisorEnded = errors.New("supervisor: the supervisor has ended")

	// ErrNoChild: the Supervisor has no child with this ID.
	ErrNoChild = errors.New("supervisor: no such child")

	// ErrChildExists: the Supervisor has a child with this ID.
	ErrChildExists = errors.New("supervisor: child exists already")

	// ErrChildRunning: the child runs, or is about to: terminate it first.
	ErrChildRunning = errors.New("supervisor: child is running")

	// ErrChildTerminated: the child was terminated before it was ready.
	ErrChildTerminated = errors.New("supervisor: child was terminated")
)

// limitError is an ErrRestartLimit in the words of a Supervisor.
type limitError struct {
	text string
	last *ChildError
}

func (e *limitError) Error() string {
	return e.text + ": " + strings.TrimPrefix(e.last.Error(), "supervisor: ")
}

func (e *limitError) Is(target error) bool { return target == ErrRestartLimit }

func (e *limitError) Unwrap() error { return e.last }

// ChildError is how a child of a Supervisor ended, or could not be started.
type ChildError struct {
	ID     string
	PID    int      // 0: there was no process
	Exit   Exit     // how the process ended
	Err    error    // why it did not start or was killed: ErrNotReady, ErrSilent, what Start says; nil if it ended by itself
	Stderr []string // its last lines: see Process.StderrTail
}

func (e *ChildError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "supervisor: child %s", e.ID)
	if e.PID != 0 {
		fmt.Fprintf(&b, " (pid %d): %v", e.PID, e.Exit)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %s", strings.TrimPrefix(e.Err.Error(), "supervisor: "))
	}
	if n := len(e.Stderr); n > 0 {
		fmt.Fprintf(&b, "; last line: %s", e.Stderr[n-1])
	}
	return b.String()
}

func (e *ChildError) Unwrap() error { return e.Err }
