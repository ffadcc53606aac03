package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
	"github.com/seed-185a7250/multiproc/supervisor"
)

// lock runs a command while it holds a lock or a permit, as flock(1) does.
//
// The connection holds it, and the command has a copy of that: should this process be killed, the kernel kills the command, and
// whatever of it is left keeps the lock until it is gone. With TLS there are no copies, and the lock is free at once.
func (s *ipcShell) lock() error {
	p, err := s.ask("acquire", nil)
	if f, ok := errors.AsType[*proto.Fault](err); ok && f.Kind == proto.KindTimeout {
		return ending{s.call.Conflict, ""}
	}
	if err != nil {
		return err
	}
	copied, err := copyForChild(s.client)
	if err != nil {
		return err
	}
	defer copied.end()
	status, err := s.runCommand(s.call.words[1:], heldEnv(p.Bytes))
	if e := s.letGo(); e != nil && err == nil && status == 0 {
		err = ending{exitNoManager, fmt.Sprintf("the lock was lost while the command ran: %s", spoken(e))}
	}
	if err == nil && status != 0 {
		err = ending{status, ""}
	}
	return err
}

// letGo releases it when the command has ended, whatever was told meanwhile.
func (s *ipcShell) letGo() error {
	ctx, stop := context.WithTimeout(context.Background(), reachTime)
	defer stop()
	_, err := s.client.Call(ctx, s.object(), "release")
	return err
}

// heldEnv tells the command what acquire has answered: the token of a lock, and whether its last holder has died. Of a semaphore there
// is neither, and what another lock has told us is not handed on.
func heldEnv(r proto.Raw) []string {
	token, died := "", ""
	if parts, err := proto.Elements(r, nil); err == nil && len(parts) >= 2 {
		if n, err := proto.ParseUint(parts[0]); err == nil {
			token = strconv.FormatUint(n, 10)
		}
		if yes, _ := proto.ParseBool(parts[1]); yes {
			died = "1"
		}
	}
	return []string{"MULTIPROC_TOKEN=" + token, "MULTIPROC_OWNER_DIED=" + died}
}

// runCommand runs a command, and returns its exit status, as a shell shows it.
func (s *ipcShell) runCommand(command, env []string) (int, error) {
	exit, err := s.signals.run(s.ctx, supervisor.Spec{
		Path: command[0], Args: command, ShareGroup: true,
		Env:   append(append(os.Environ(), socketEnv+"="+absolute(s.call.Socket)), env...),
		Stdin: os.Stdin, Stdout: supervisor.Output{Inherit: true}, Stderr: supervisor.Output{Inherit: true},
	})
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return 0, ending{exitNoProgram, spoken(err)}
	case err != nil && s.ctx.Err() == nil:
		return 0, ending{exitCannotRun, spoken(err)}
	case err != nil:
		return 0, err
	case exit.Signal != 0:
		return exitSignalBase + int(exit.Signal), nil
	}
	return exit.Status(), nil
}

// absolute is the address for a command that goes to another directory.
func absolute(address string) string {
	if path, err := filepath.Abs(address); err == nil && !strings.HasPrefix(address, tcp) {
		return path
	}
	return address
}

// A childCopy is a descriptor of the connection that children inherit.
type childCopy struct{ fd int }

// firstOfOurs is from where on a shell script expects descriptors that are not its own.
const firstOfOurs = 10

func copyForChild(c *ipc.Client) (childCopy, error) {
	f, err := c.Dup()
	if err != nil {
		return childCopy{-1}, nil // TLS
	}
	defer f.Close()
	rc, err := f.SyscallConn()
	if err != nil {
		return childCopy{-1}, err
	}
	copied := childCopy{-1}
	e := rc.Control(func(fd uintptr) {
		copied.fd, err = unix.FcntlInt(fd, unix.F_DUPFD, firstOfOurs)
	})
	return copied, errors.Join(e, err)
}

// end ends the connection for all who have a copy: what the command has left behind in the background holds nothing any more.
func (c childCopy) end() {
	if c.fd >= 0 {
		unix.Shutdown(c.fd, unix.SHUT_RDWR)
		unix.Close(c.fd)
	}
}
