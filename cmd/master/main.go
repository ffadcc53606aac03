// Master runs the tickets of a job file in worker processes. See -h, and README.md.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Exit statuses.
const (
	exitOK          = 0
	exitFailed      = 1   // some tickets did not succeed, or the master itself failed
	exitUsage       = 2   // bad usage or job file; nothing was started
	exitInterrupted = 130 // as a shell reports Ctrl-C
)

func main() {
	os.Exit(command(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// command is main without the process around it.
func command(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	o, err := parseFlags(args)
	switch {
	case err != nil:
		return complain(stderr, err)
	case o.Help:
		printUsage(stdout)
		return exitOK
	case o.Version:
		fmt.Fprintln(stdout, version())
		return exitOK
	}
	if _, err := OpenJob(o.Job, stdin); err != nil {
		return complain(stderr, err)
	}
	return exitOK
}

// complain prints what is wrong with the flags or the job file. Lines about a job file begin with its name, so that editors
// find the place; all else begins with ours.
func complain(stderr io.Writer, err error) int {
	if _, ok := errors.AsType[*JobError](err); ok {
		fmt.Fprintln(stderr, err)
	} else {
		fmt.Fprintf(stderr, "master: %v\n", err)
	}
	return exitUsage
}
