package supervisor

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/ipc"
)

// The environment variable that makes a program a worker names the descriptor and
// the inode of the socket behind it: MULTIPROC_WORKER=3:12345. The inode is there
// because variables are copied about: whoever has the variable but not the socket is
// no worker.

// workerFD is the one descriptor that a worker inherits.
const workerFD = 3

// workerVariable is what the parent puts into the environment of a worker that gets
// the socket f, which is in blocking mode from now on: so PROTOCOL.md promises it to
// workers in other languages. (exec sees to it only for files that were opened so.)
func workerVariable(f *os.File) (string, error) {
	var st unix.Stat_t
	rc, err := f.SyscallConn()
	if err != nil {
		return "", err
	}
	if e := rc.Control(func(fd uintptr) {
		err = errors.Join(unix.Fstat(int(fd), &st), unix.SetNonblock(int(fd), false))
	}); e != nil {
		err = e
	}
	if err != nil {
		return "", fmt.Errorf("supervisor: socket of a worker: %w", err)
	}
	return fmt.Sprintf("%s=%d:%d", workerEnv, workerFD, st.Ino), nil
}

// entryRole ends the variable of a process that runs an entry, and no tickets.
const entryRole = ":entry"

// parent is the master as a worker sees it, and the parent as an entry does.
type parent struct {
	conn     *ipc.Conn
	pid      int
	entry    bool          // it wants an entry run
	died     chan struct{} // closed when it is known to be dead
	diedOnce sync.Once
}

// hooked is set when this process has passed the hook: then its children will, if they are the same program.
var hooked atomic.Bool

// inherited is the hook at the top of Main. It removes the variable, so that no
// program that this one runs takes itself for a worker, and returns nil if this
// process is none.
func inherited() (*parent, error) {
	hooked.Store(true)
	v, ok := os.LookupEnv(workerEnv)
	if !ok {
		return nil, nil
	}
	os.Unsetenv(workerEnv)
	v, entry := strings.CutSuffix(v, entryRole)
	var st unix.Stat_t
	err := unix.Fstat(workerFD, &st)
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK || v != fmt.Sprintf("%d:%d", workerFD, st.Ino) {
		return nil, nil // left over from another process
	}
	syscall.CloseOnExec(workerFD)
	conn, err := ipc.NewConn(os.NewFile(workerFD, "master"), ipc.ConnOptions{Name: "master"})
	if err != nil {
		return nil, err
	}
	return &parent{conn: conn, pid: os.Getppid(), entry: entry, died: make(chan struct{})}, nil
}

// gone tells whether the parent has died: then this process has another one.
func (p *parent) gone() bool { return os.Getppid() != p.pid }

// serve is the whole life of a process that has a parent; it returns its exit status.
func (p *parent) serve() int {
	if p.entry {
		return serveEntry(p)
	}
	return serve(p)
}

// beChild makes this process one that nobody survives, and returns the signals that it has to hear from now on. It is
// called before the first word to or from the parent, so that nothing that happens later is missed.
func beChild() (<-chan os.Signal, error) {
	if err := errors.Join(SetSubreaper(), sealDescriptors()); err != nil {
		return nil, err
	}
	wakeAtDeath()
	heedMemoryLimit()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)
	if !signal.Ignored(syscall.SIGINT) { // as in a job that a shell runs in the background: then it stays so
		signal.Notify(signals, syscall.SIGINT)
	}
	// A parent whose output is gone is no reason to die. Notify and not Ignore: what is ignored stays ignored
	// through exec, and the commands of tasks shall die of it as everywhere.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return signals, nil
}

// hear handles signals. SIGTERM comes from somebody who wants this process to end,
// or from the kernel because the parent died; SIGHUP from the kernel too, when the
// parent died while this process was stopped (its group became orphaned).
func (p *parent) hear(signals <-chan os.Signal, terminate func(syscall.Signal)) {
	for sig := range signals {
		if p.gone() {
			p.lost(errors.New("parent died"))
		}
		if sig == syscall.SIGTERM || sig == syscall.SIGINT {
			go terminate(sig.(syscall.Signal))
		}
	}
}

// watch is for a parent that has no more to say. It returns never: the end of the connection is the end of the parent.
func (p *parent) watch() {
	for {
		f, err := p.conn.ReadFrame()
		if err != nil {
			p.lost(err)
		}
		f.Close()
	}
}

// lost is called when there is no parent any more. Whatever is below this process
// dies with it, however it was started; and then it dies itself.
func (p *parent) lost(error) {
	p.diedOnce.Do(func() { close(p.died) })
	stayAwake()
	cleanUp()
	unix.Kill(os.Getpid(), unix.SIGKILL)
	select {}
}

// cleanUp leaves nobody behind: this process started nobody that should outlive it.
func cleanUp() {
	if err := killDescendants(cleanUpLimit); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// cleanUpLimit bounds the search for descendants that do not die.
const cleanUpLimit = 5 * time.Second

// raise ends this process by a signal that it has heard.
func raise(sig syscall.Signal) {
	signal.Reset(sig)
	unix.Kill(os.Getpid(), sig)
	select {} // it is on its way
}

// withoutVariable returns the environment without the hook's variable.
func withoutVariable(env []string) []string {
	kept := make([]string, 0, len(env)+1)
	for _, e := range env {
		if !strings.HasPrefix(e, workerEnv+"=") {
			kept = append(kept, e)
		}
	}
	return kept
}
