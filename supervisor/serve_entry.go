package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// An entryProcess is this process, while it runs an entry.
type entryProcess struct {
	parent *parent
	ctx    context.Context // of the entry
	cancel context.CancelFunc

	mu     sync.Mutex
	grace  time.Duration // 0: not known yet
	ending bool          // how it ends is decided
	over   chan struct{} // closed when the entry has returned
}

// serveEntry is the whole life of the process of an entry; it returns its exit status. It does not return when the parent is
// gone or the process is terminated.
func serveEntry(p *parent) int {
	signals, err := beChild()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	e := &entryProcess{parent: p, over: make(chan struct{})}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	go p.hear(signals, e.terminate)
	what, args, err := p.hearEntry()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitMisuse
	}
	go p.watch()
	e.begin(what)
	return e.run(e.handler(what.Entry), args)
}

// handler finds an entry, or makes one of a task.
func (e *entryProcess) handler(name string) entryHandler {
	if h := entryNamed(name); h != nil {
		return h
	}
	task := taskNamed(name).run
	return func(ctx context.Context, args proto.Payload) error {
		ctx = context.WithValue(ctx, ticketKey{}, TicketInfo{ID: Current().Name, Attempt: 1, Attempts: 1, Grace: e.grace / 2})
		result, err := task(ctx, args)
		ipc.CloseFDs(result.FDs)
		return err
	}
}

// hearEntry waits for the one message of the parent. It does not return when there is no parent.
func (p *parent) hearEntry() (proto.Entry, proto.Payload, error) {
	f, err := p.conn.ReadFrame()
	if err != nil {
		p.lost(err)
	}
	what, err := readEntry(f.Body)
	if err != nil {
		f.Close()
		return what, proto.Payload{}, fmt.Errorf("supervisor: entry: %w", err)
	}
	return what, proto.Payload{Bytes: what.Args, FDs: f.FDs}, nil
}

func readEntry(body []byte) (what proto.Entry, err error) {
	m, err := proto.ParseMessage(body, proto.Limits{})
	if err != nil {
		return what, err
	}
	if m.Kind != proto.Notify || m.Method != proto.MethodEntry {
		return what, fmt.Errorf("%w: expected an entry, found %q", proto.ErrProtocol, m.Method)
	}
	if what, err = proto.ParseEntry(m.Params); err != nil {
		return what, err
	}
	if _, _, err := proto.Agree(what.Version, what.Version); err != nil {
		return what, err
	}
	if entryNamed(what.Entry) == nil && taskNamed(what.Entry).run == nil {
		return what, fmt.Errorf("this program has none called %q", what.Entry)
	}
	return what, nil
}

// begin makes this process what the parent says that it is. It does not return in a process that is ending.
func (e *entryProcess) begin(what proto.Entry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ending {
		select {}
	}
	e.grace = what.Grace
	if e.grace == 0 {
		e.grace = defaultGrace
	}
	daemonProcess = what.Daemon
	e.parent.introduce(what.Name, what.Parent)
	running.Store(e.parent)
	if err := setComm(what.Name); err != nil { // its arguments show the title from the beginning
		fmt.Fprintln(os.Stderr, err)
	}
}

// run runs the entry and applies the exit rules.
func (e *entryProcess) run(h entryHandler, args proto.Payload) int {
	err := protect(func() error { return h(e.ctx, args) })
	waitGoroutines()
	e.cancel()
	close(e.over)
	if err != nil {
		err = fmt.Errorf("%s: %w", Current().Name, err)
	}
	if e.decided() && !errors.Is(err, errCrash) { // its context has ended: what it says then is no failure
		select {}
	}
	status := atExit(err)
	if _, first := e.decide(); !first {
		select {}
	}
	return status
}

// errCrash is in the error of a function that has panicked.
var errCrash = errors.New("panic")

// protect calls f and makes an error of every way in which it can end that leaves the process alive.
func protect(f func() error) (err error) {
	done := make(chan struct{})
	go func() {
		returned := false
		defer close(done)
		defer func() {
			if returned {
				return
			}
			if v := recover(); v != nil {
				err = fmt.Errorf("%w: %v\n\n%s", errCrash, v, debug.Stack())
				return
			}
			err = errors.New("it ended its goroutine (runtime.Goexit) without an answer")
		}()
		err = f()
		returned = true
	}()
	<-done
	return err
}

// terminate ends the process by the signal it was sent, after all that it runs had its grace: the entry half of it, its
// children and finalizers a quarter.
func (e *entryProcess) terminate(sig syscall.Signal) {
	grace, first := e.decide()
	if !first {
		return
	}
	e.cancel()
	if grace > 0 { // else it has not begun
		select {
		case <-e.over:
		case <-time.After(grace / 2):
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace/4)
	defer cancel()
	if err := errors.Join(endChildren(ctx, grace/8), runFinalizers(ctx)); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	cleanUp()
	raise(sig)
}

// decide decides how the process ends. Who comes second is told so.
func (e *entryProcess) decide() (grace time.Duration, first bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	first = !e.ending
	e.ending = true
	return e.grace, first
}

func (e *entryProcess) decided() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ending
}

// running is the parent of this process while it runs an entry, else nil.
var running atomic.Pointer[parent]

var readyOnce sync.Once

// Ready tells the parent of an entry's process that the entry does now what it is there for: that it listens, say (see
// [Process.Ready]); and the Supervisor of any process that is to say so (Readiness.Notify). Once is enough. Where nobody asks it
// does nothing. It returns at once; when a Supervisor does not listen, after a second.
func Ready() {
	readyOnce.Do(func() {
		if p := running.Load(); p != nil {
			go sayReady(p.conn, nil) // a parent that is gone does not care
		}
		notify("READY=1")
	})
}
