package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// A wire ties the process of an entry to its parent, over descriptor 3: the entry and its argument go down, "ready" comes
// back, and the end of either is end of file for the other. A nil wire is that of a command: there is none.
type wire struct {
	conn   *ipc.Conn
	theirs *os.File
	entry  proto.Entry
	fds    []int // of the arguments

	ready chan struct{}
	group sync.WaitGroup
}

// newWire makes the wire for one start of c, and completes s for it.
func newWire(c entryCall, s *Spec) (*wire, error) {
	if err := checkEntrySpec(*s); err != nil {
		return nil, err
	}
	args, err := c.encode()
	if err != nil {
		ipc.CloseFDs(args.FDs)
		return nil, fmt.Errorf("arguments: %w", err)
	}
	w := &wire{fds: args.FDs, ready: make(chan struct{}), entry: proto.Entry{
		Version: proto.MaxVersion, Entry: c.entry, Args: args.Bytes,
		Name: s.Name, Parent: Current().Name, Daemon: s.Daemon, Grace: max(s.Grace, 0),
	}}
	if s.Grace == 0 {
		w.entry.Grace = defaultGrace
	}
	if err := w.connect(s); err != nil {
		w.end()
		return nil, err
	}
	return w, nil
}

// checkEntrySpec refuses what makes sense for a command only.
func checkEntrySpec(s Spec) error {
	switch {
	case s.Path == "" && !hooked.Load():
		return ErrNoMain
	case s.Inherit != nil:
		return errors.New("an entry's process has no descriptor to inherit: put the file into its argument")
	case s.Command:
		return errors.New("an entry is no command of a task")
	case s.Limits.AddressSpace != 0:
		return errors.New("limit of address space: for commands only; limit the memory of a Go program")
	}
	return nil
}

// connect makes the socket pair and says in s what makes a program the process of an entry.
func (w *wire) connect(s *Spec) error {
	ours, theirs, err := ipc.Socketpair()
	if err != nil {
		return err
	}
	w.theirs = theirs
	if w.conn, err = ipc.NewConn(ours, ipc.ConnOptions{Name: s.Name}); err != nil {
		return err
	}
	variable, err := workerVariable(theirs)
	if err != nil {
		return err
	}
	env := s.Env
	if env == nil {
		env = os.Environ()
		if dir, err := filepath.Abs(s.Dir); err == nil && s.Dir != "" {
			env = append(env, "PWD="+dir) // as os/exec does where it makes the environment
		}
	}
	s.Env = append(withoutVariable(env), variable+entryRole)
	s.Inherit = theirs
	if len(s.Args) == 0 {
		s.Args = []string{s.Name}
	}
	if s.DeathSignal == 0 {
		s.DeathSignal = deathSignal
	}
	return nil
}

// begin sends the entry to the process, which runs.
func (w *wire) begin() {
	if w == nil {
		return
	}
	w.theirs.Close()
	w.group.Go(w.send)
	w.group.Go(w.read)
}

// send may wait for the process to read, if the argument is long. An error means that it is dead, or about to be.
func (w *wire) send() {
	head := proto.AppendEntryHead(proto.AppendNotifyHead(nil, proto.MethodEntry), w.entry)
	w.conn.WriteFrame(w.fds, head, w.entry.Args, proto.AppendEntryTail(nil, w.entry))
	ipc.CloseFDs(w.fds)
	w.fds, w.entry.Args = nil, nil
}

// read hears what the process says, to the end.
func (w *wire) read() {
	isReady := false
	for {
		f, err := w.conn.ReadFrame()
		if err != nil {
			return
		}
		f.Close()
		m, err := proto.ParseMessage(f.Body, proto.Limits{})
		if err == nil && m.Kind == proto.Notify && m.Method == proto.MethodReady && !isReady {
			isReady = true
			close(w.ready)
		}
	}
}

// end is for a process that is dead, or was never born.
func (w *wire) end() {
	if w == nil {
		return
	}
	if w.theirs != nil {
		w.theirs.Close()
	}
	if w.conn != nil {
		w.conn.Close()
	}
	w.group.Wait()
	ipc.CloseFDs(w.fds)
}

// Ready is closed when the entry that the process runs has called [Ready]. It is never closed for a command.
func (p *Process) Ready() <-chan struct{} {
	if p.wire == nil {
		return nil
	}
	return p.wire.ready
}
