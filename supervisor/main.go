package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// An ExitCode is an error by which the function given to Main chooses the exit
// status of the program. Nothing is printed for it.
type ExitCode int

func (c ExitCode) Error() string { return fmt.Sprintf("exit status %d", int(c)) }

// exitGrace is what daemons, and then finalizers, have at the end of the program; a variable for the test.
var exitGrace = defaultGrace

// Main is the whole main function of a program that has worker processes: call it
// first, with nothing before it but what every process of the program needs. In a
// worker process it serves tasks, in that of an [Entry] it runs this, and it never returns. Otherwise it calls run,
// then applies the exit rules, and exits:
//
//   - the goroutines of [Go] are waited for;
//   - pools that are open are terminated, and daemonic children: they are not awaited;
//   - Supervisors end, and with them their children, each within its own grace;
//   - the other children are joined, however long that takes;
//   - finalizers (AtExit) run, last registered first, for five seconds at most;
//   - the status is 0, or an ExitCode, or 1 for any other error, which is printed.
//
// ctx ends when run has returned, and the goroutines of Go have. A panic in run ends the program as anywhere; its
// children die with it.
func Main(run func(ctx context.Context) error) {
	p, err := inherited()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitMisuse)
	case p != nil:
		os.Exit(p.serve())
	case os.Getpid() == 1: // every orphan of the container falls to it, asked or not
		if err := SetSubreaper(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	err = run(ctx)
	waitGoroutines()
	cancel()
	os.Exit(atExit(err))
}

// atExit applies the exit rules and returns the status. What err says is printed first: the rest may take its time.
func atExit(err error) int {
	status := statusOf(err)
	for _, p := range pools.list() {
		p.Terminate()
	}
	supervisors.end()
	for _, p := range pools.list() {
		p.Join(context.Background())
	}
	errs := []error{stopChildren(context.Background(), exitGrace)}
	ctx, cancel := context.WithTimeout(context.Background(), exitGrace)
	defer cancel()
	errs = append(errs, runFinalizers(ctx))
	if isSubreaper.Load() {
		errs = append(errs, killDescendants(cleanUpLimit))
	}
	return max(status, statusOf(errors.Join(errs...)))
}

// statusOf returns the status for an error, which it prints unless it is an ExitCode.
func statusOf(err error) int {
	if err == nil {
		return exitDone
	}
	if code, ok := errors.AsType[ExitCode](err); ok {
		return int(code)
	}
	fmt.Fprintln(os.Stderr, err)
	return exitFailed
}
