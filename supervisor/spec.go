package supervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// workerEnv is set for a worker process by its parent, and removed by the hook at the top of Main. While it
// is set the hook was not reached.
const workerEnv = "MULTIPROC_WORKER"

// defaultGrace is the time between SIGTERM and SIGKILL where nothing else is said.
const defaultGrace = 5 * time.Second

var (
	// ErrDaemonChild: a daemonic process may not start processes of its own. (The command of an exec task
	// is the task's business, and allowed.)
	ErrDaemonChild = errors.New("supervisor: a daemonic process may not start children")

	// ErrHookMissed: this process was started as a worker, but has not passed through Main. A child that
	// does not know that it is one would run the whole program again, children and all: so it may start
	// none. Call supervisor.Main first thing in main (in tests: in TestMain).
	ErrHookMissed = errors.New("supervisor: started as a worker, but supervisor.Main was not reached: no children may be started")
)

// Spec says what to run and how it dies. The zero value runs this very program again, silent, with
// /dev/null as its standard input. Start copies it; files in it stay the caller's, to be closed by the
// caller at any time after Start.
type Spec struct {
	Name string   // for people: errors, logs; default the last element of Path
	Path string   // program; "" is this program's own image (/proc/self/exe); without a slash it is looked up in the PATH of Env
	Args []string // the whole argument list, Args[0] included; nil is Path alone
	Env  []string // "key=value", the last of equal keys counts; nil is os.Environ()
	Dir  string   // working directory; "" is ours

	Stdin   *os.File // descriptor 0; nil is /dev/null
	Stdout  Output   // descriptor 1; zero is /dev/null
	Stderr  Output   // descriptor 2; zero is /dev/null
	Inherit *os.File // becomes descriptor 3; nil: no further descriptor is inherited

	// DeathSignal is what the kernel sends to the process when we die, however we die. 0 is SIGKILL. The
	// process's own children do not get it, and a set-user-ID program clears it (prctl(2)).
	DeathSignal syscall.Signal

	// ShareGroup leaves the process in our process group: it may read from our terminal, and hears what that sends (Ctrl-C). Stop
	// and the like then reach it alone, and not what it has started.
	ShareGroup bool

	Limits Limits // of memory and such; zero: those of this process

	// Daemon: the process is terminated, not awaited, when this one ends, and may start none of its own if it runs an entry.
	// What a daemonic process starts is daemonic too; that can only be the command of a task.
	Daemon  bool
	Command bool          // the command of a task: allowed in a daemonic process, and terminated like a daemon
	Grace   time.Duration // between SIGTERM and SIGKILL in Stop; 0 is 5 s, negative is none at all
}

// prepared returns a complete and checked copy; with an error too, it has a name.
func (s Spec) prepared() (Spec, error) {
	given := s.Path
	if s.Path == "" {
		s.Path, given = "/proc/self/exe", os.Args[0]
	}
	if len(s.Args) == 0 {
		s.Args = []string{given}
	}
	if s.Name == "" {
		s.Name = filepath.Base(given)
	}
	if s.Grace == 0 {
		s.Grace = defaultGrace
	}
	if s.DeathSignal == 0 {
		s.DeathSignal = syscall.SIGKILL
	}
	s.Daemon = s.Daemon || daemonProcess
	if err := errors.Join(s.Stdout.check("stdout"), s.Stderr.check("stderr"), s.checkDir(), s.Limits.check()); err != nil {
		return s, err
	}
	var err error
	s.Path, err = lookPath(s.Path, s.Env) // Env stays nil: os/exec then adds PWD for Dir
	return s, err
}

// checkDir exists because a missing directory is reported by exec as if the program were missing.
func (s Spec) checkDir() error {
	if s.Dir == "" {
		return nil
	}
	info, err := os.Stat(s.Dir)
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "stat", Path: s.Dir, Err: syscall.ENOTDIR}
	}
	if err != nil {
		return fmt.Errorf("working directory: %w", err)
	}
	return nil
}

// daemonProcess is set, before any Start, in a process that was itself started as a daemon.
var daemonProcess bool

// startAllowed enforces the rules that do not depend on the machine.
func startAllowed(s Spec) error {
	if _, missed := os.LookupEnv(workerEnv); missed {
		return ErrHookMissed
	}
	if daemonProcess && !s.Command {
		return ErrDaemonChild
	}
	return nil
}
