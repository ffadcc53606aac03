package supervisor

import (
	"fmt"
	"syscall"
	"time"
)

// Exit is how a process ended. The zero value is a clean end with code 0; there is no Exit before the end.
//
// Peak memory is missing on purpose: what wait reports as a child's maximum includes the parent's own
// pages before exec (getrusage(2)), so that `true` under a 300 MB parent would report 311 MB.
type Exit struct {
	Code   int            // what the program passed to exit(2), 0–255; 0 if a signal killed it
	Signal syscall.Signal // the signal that killed it, or 0
	Core   bool           // the kernel wrote a core image
	Lost   bool           // somebody else reaped the child (wait4(-1), SIGCHLD ignored): how it ended is unknown

	User   time.Duration // processor time in user mode, of the process and the children it waited for
	System time.Duration // the same in the kernel
}

// Status is the exit status as Python's multiprocessing gives it: 0, n, or −N when signal N killed the
// process. A lost status is 255: something, but certainly no success.
func (e Exit) Status() int {
	switch {
	case e.Lost:
		return 255
	case e.Signal != 0:
		return -int(e.Signal)
	}
	return e.Code
}

// Success tells whether the process ended by itself with code 0.
func (e Exit) Success() bool { return e.Status() == 0 }

// String is made for messages: "exit status 3", "signal: killed", "signal: aborted (core dumped)".
func (e Exit) String() string {
	switch {
	case e.Lost:
		return "exit status lost: reaped by somebody else"
	case e.Signal != 0 && e.Core:
		return fmt.Sprintf("signal: %v (core dumped)", e.Signal)
	case e.Signal != 0:
		return fmt.Sprintf("signal: %v", e.Signal)
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

// exitOf translates what wait4(2) reports.
func exitOf(ws syscall.WaitStatus, ru *syscall.Rusage) Exit {
	e := Exit{
		User:   time.Duration(ru.Utime.Nano()),
		System: time.Duration(ru.Stime.Nano()),
	}
	if ws.Signaled() {
		e.Signal, e.Core = ws.Signal(), ws.CoreDump()
	} else {
		e.Code = ws.ExitStatus()
	}
	return e
}
