package supervisor

import (
	"os"
	"sync/atomic"
)

// A ProcessInfo is a process as it knows itself.
type ProcessInfo struct {
	Name   string // Spec.Name of an entry's process, "worker-3" in a pool, "main" where nobody has named it
	PID    int
	PPID   int  // now: when the parent has died it is somebody else's
	Daemon bool // it may not start processes
}

// Current returns what this process is. Any goroutine may call it at any time.
func Current() ProcessInfo {
	return ProcessInfo{Name: self.Load().name, PID: os.Getpid(), PPID: os.Getppid(), Daemon: daemonProcess}
}

// A ParentProcess is the process that started this one, as this one knows it.
type ParentProcess struct {
	pid  int
	name string
	done chan struct{}
}

// Parent returns the parent of an entry's process or of a worker, and nil in any other process: the one that nobody has
// started through this package, and a command.
func Parent() *ParentProcess { return self.Load().parent }

// PID is the parent's number. When Done is closed it may be somebody else's.
func (p *ParentProcess) PID() int { return p.pid }

// Name is the parent's name; "" if it did not say.
func (p *ParentProcess) Name() string { return p.name }

// Done is closed when the parent has died. This process is then about to be killed, with all its descendants: within
// milliseconds, as a rule. What must be done before has no time for more than a word.
func (p *ParentProcess) Done() <-chan struct{} { return p.done }

// identity is what a process was told of itself. It is set once, before any code of the user's runs.
type identity struct {
	name   string
	parent *ParentProcess
}

var self atomic.Pointer[identity]

func init() { self.Store(&identity{name: "main"}) }

// introduce says who this process is.
func (p *parent) introduce(name, parentName string) {
	self.Store(&identity{name: name, parent: &ParentProcess{pid: p.pid, name: parentName, done: p.died}})
}
