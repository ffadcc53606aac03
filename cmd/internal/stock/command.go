package stock

import (
	"context"
	"fmt"
	"os"

	"github.com/seed-185a7250/multiproc/supervisor"
)

// Command is the entry that runs a command, program and arguments, in a process of its own: so whatever the command leaves behind
// dies with that process, and when the master dies too. The command has the process's environment, directory and output. The
// process ends as the command does: with its exit status, or 128+N when signal N killed it, as in a shell.
var Command = supervisor.NewEntry("command", runCommand)

func runCommand(ctx context.Context, argv []string) error {
	p, err := supervisor.Start(supervisor.Spec{
		Path: argv[0], Args: argv, Command: true,
		Stdout: supervisor.Output{Inherit: true}, Stderr: supervisor.Output{Inherit: true},
	})
	if err != nil {
		return err
	}
	defer p.Close()
	select {
	case <-p.Done():
	case <-ctx.Done():
		p.Terminate()
		<-p.Done() // what is deaf is killed when the grace of this process is over
	}
	exit, _ := p.Exit()
	switch {
	case exit.Success():
		return nil
	case exit.Signal == 0:
		return supervisor.ExitCode(exit.Status())
	case ctx.Err() == nil:
		fmt.Fprintf(os.Stderr, "%s: %v\n", p.Name(), exit)
	}
	return supervisor.ExitCode(128 + int(exit.Signal))
}
