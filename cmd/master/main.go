// Master runs the tickets of a job file in worker processes, serves objects to whoever connects (master manager), and is the shell's
// way to them (master ipc). See -h, and README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	_ "github.com/seed-185a7250/multiproc/cmd/internal/stock"
	"github.com/seed-185a7250/multiproc/supervisor"
)

// Exit statuses.
const (
	exitOK          = 0
	exitFailed      = 1   // some tickets did not succeed, or the master itself failed
	exitUsage       = 2   // bad usage or job file; no ticket was begun
	exitInterrupted = 130 // as a shell reports Ctrl-C
)

func main() {
	supervisor.Main(func(ctx context.Context) error {
		return supervisor.ExitCode(command(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	})
}

// command is main without the process around it.
func command(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "manager" {
		return manage(ctx, args[1:], stdout, stderr)
	}
	if len(args) > 0 && args[0] == "ipc" {
		return ipcMain(ctx, args[1:], stdin, stdout, stderr)
	}
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
	job, err := OpenJob(o.Job, stdin)
	if err != nil {
		return complain(stderr, err)
	}
	status, err := execute(ctx, o, job, stdout, stderr)
	if err != nil {
		complain(stderr, err)
	}
	return status
}

// complain prints what is wrong. Lines about a job file begin with its name, so that editors find the place; all else begins
// with ours.
func complain(stderr io.Writer, err error) int {
	if _, ok := errors.AsType[*JobError](err); ok {
		fmt.Fprintln(stderr, err)
	} else {
		fmt.Fprintf(stderr, "master: %s\n", spoken(err))
	}
	return exitUsage
}

// spoken is an error without the names of our packages: they help who reads the source, not who runs the program.
func spoken(err error) string {
	text := err.Error()
	for _, name := range []string{"supervisor: ", "ipc: ", "proto: "} {
		text = strings.ReplaceAll(strings.TrimPrefix(text, name), ": "+name, ": ")
	}
	return text
}
