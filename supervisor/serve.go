package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// A server is the worker's side: one loop reads what the master says, at most one
// goroutine runs a task.
type server struct {
	parent  *parent
	conn    *ipc.Conn
	welcome proto.Welcome
	scribe  *scribe

	mu       sync.Mutex
	current  *run          // nil when none is under way
	last     *run          // the current one, or the one before, whose answer may be on its way
	stopping bool          // no run will follow
	idle     chan struct{} // closed when stopping and all is answered
	idleOnce sync.Once
}

// A run is the ticket under way.
type run struct {
	id     uint64
	ctx    context.Context
	cancel context.CancelCauseFunc
	over   chan struct{} // closed when it is answered; never, if the process ends by it
}

// beatEvery is how often a worker says that it lives.
const beatEvery = 250 * time.Millisecond

// commands is told of the commands that tasks run, in a worker.
var commands *scribe

// serve is the whole life of a worker process; it returns its exit status. It does
// not return when the master is gone or the worker is terminated.
func serve(p *parent) int {
	daemonProcess = true
	signals, err := beChild()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	s := &server{parent: p, conn: p.conn, idle: make(chan struct{})}
	hello := proto.Hello{
		Min: proto.MinVersion, Max: proto.MaxVersion,
		Tasks: taskNames(), PID: os.Getpid(),
		Caps: []string{proto.CapScoreboard}, Program: "multiproc/go",
	}
	w, board, err := sayHello(s.conn, hello)
	if fault, ok := errors.AsType[*proto.Fault](err); ok { // no common version
		fmt.Fprintln(os.Stderr, "supervisor: the master refuses this worker:", fault)
		return exitMisuse
	}
	if err != nil {
		s.lost(err)
	}
	s.welcome, s.scribe = w, newScribe(board)
	p.introduce(fmt.Sprintf("worker-%d", w.Place), w.Parent)
	commands = s.scribe
	if w.Title != "" {
		if err := setTitle(w.Title); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	go p.hear(signals, s.terminate)
	go s.keepBeat()
	s.scribe.state(proto.ScoreIdle, 0)
	if err := sayReady(s.conn, nil); err != nil {
		s.lost(err)
	}
	go s.read()
	<-s.idle
	waitGoroutines()
	s.scribe.state(proto.ScoreStopping, 0)
	cleanUp()
	return exitDone
}

// read is the loop over what the master says.
func (s *server) read() {
	for {
		f, err := s.conn.ReadFrame()
		if err != nil {
			s.lost(err)
		}
		m, err := proto.ParseMessage(f.Body, proto.Limits{})
		if err != nil {
			s.lost(err)
		}
		if err := s.handle(m, f.FDs); err != nil {
			s.lost(err)
		}
	}
}

// handle owns fds.
func (s *server) handle(m proto.Message, fds []int) error {
	if m.Kind == proto.Request && m.Method == proto.MethodRun {
		return s.start(m, fds)
	}
	ipc.CloseFDs(fds)
	switch {
	case m.Kind == proto.Request:
		return s.answer(m.ID, &proto.Fault{Kind: proto.KindUnknownMethod, Text: "unknown method " + m.Method}, proto.Payload{})
	case m.Kind == proto.Notify && m.Method == proto.MethodCancel:
		c, err := proto.ParseCancel(m.Params)
		if err != nil {
			return err
		}
		s.cancel(c)
	case m.Kind == proto.Notify && m.Method == proto.MethodStop:
		s.stop()
	}
	return nil // notifications of a later version
}

// start begins a run.
func (s *server) start(m proto.Message, fds []int) error {
	r, err := proto.ParseRun(m.Params)
	if err != nil {
		ipc.CloseFDs(fds)
		return err
	}
	ctx, refused := s.begin(m.ID)
	if refused != nil {
		ipc.CloseFDs(fds)
		return s.answer(m.ID, refused, proto.Payload{})
	}
	go s.run(ctx, m.ID, r, fds)
	return nil
}

// begin makes the request the current run, if one may begin now.
func (s *server) begin(id uint64) (context.Context, *proto.Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.current != nil:
		return nil, &proto.Fault{Kind: proto.KindBusy, Text: "a ticket is running already"}
	case s.stopping:
		return nil, &proto.Fault{Kind: proto.KindStopping, Text: "told to stop"}
	}
	ctx, cancel := context.WithCancelCause(ipc.WithOwner(context.Background()))
	s.current = &run{id: id, ctx: ctx, cancel: cancel, over: make(chan struct{})}
	s.last = s.current
	return ctx, nil
}

// run runs one ticket, answers it, and looks after what it left behind.
func (s *server) run(ctx context.Context, id uint64, r proto.Run, fds []int) {
	s.scribe.state(proto.ScoreBusy, id)
	info := TicketInfo{
		ID: r.Ticket, Attempt: r.Attempt, Attempts: r.Attempts,
		Place: s.welcome.Place, Pool: s.welcome.Pool, Grace: r.Grace,
	}
	value, fault := call(context.WithValue(ctx, ticketKey{}, info), r.Task, proto.Payload{Bytes: r.Args, FDs: fds})
	s.scribe.done()
	// Before the answer: the master hands out the next ticket as soon as it comes.
	sweepAdopted()
	s.mu.Lock()
	current := s.current
	current.cancel(nil)
	s.current = nil
	s.mu.Unlock()
	s.scribe.state(proto.ScoreIdle, 0)
	if err := s.answer(id, fault, value); err != nil {
		s.lost(err)
	}
	if fault != nil && fault.Kind == proto.KindPanic {
		cleanUp()
		os.Exit(exitFailed)
	}
	close(current.over)
}

// call runs a task and makes a fault of every way in which it can fail that leaves
// the process alive.
func call(ctx context.Context, task string, args proto.Payload) (value proto.Payload, fault *proto.Fault) {
	h := taskNamed(task)
	if h == nil {
		ipc.CloseFDs(args.FDs)
		return value, &proto.Fault{Kind: proto.KindUnknownTask, Text: fmt.Sprintf("this program has no task %q", task)}
	}
	done := make(chan struct{})
	go func() {
		returned := false
		defer close(done)
		defer func() {
			if returned {
				return
			}
			if v := recover(); v != nil {
				fault = &proto.Fault{Kind: proto.KindPanic, Text: fmt.Sprintf("panic: %v", v), Stack: string(debug.Stack())}
				return
			}
			fault = &proto.Fault{Kind: proto.KindGoexit, Text: "the task ended its goroutine without a result", Stack: string(debug.Stack())}
		}()
		v, err := h(ctx, args)
		if err != nil {
			fault = faultOf(err)
		}
		value, returned = v, true
	}()
	<-done
	return value, fault
}

// answer sends the one response to a request; it owns the descriptors of value.
func (s *server) answer(id uint64, fault *proto.Fault, value proto.Payload) error {
	defer ipc.CloseFDs(value.FDs)
	if fault != nil {
		return s.conn.WriteFrame(nil, proto.AppendResponse(nil, id, fault, nil))
	}
	err := s.conn.WriteFrame(value.FDs, proto.AppendResponseHead(nil, id), value.Bytes)
	if errors.Is(err, proto.ErrTooLarge) {
		fault = &proto.Fault{Kind: proto.KindTooLarge, Text: fmt.Sprintf("result: %v", err)}
		return s.conn.WriteFrame(nil, proto.AppendResponse(nil, id, fault, nil))
	}
	return err
}

func (s *server) cancel(c proto.Cancel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil && s.current.id == c.ID {
		cause := context.Canceled
		if c.Reason == proto.KindTimeout {
			cause = context.DeadlineExceeded
		}
		s.current.cancel(cause)
	}
}

// stop lets the current run finish, and no other begin.
func (s *server) stop() {
	last := s.refuseMore()
	go func() {
		if last != nil {
			<-last.over
		}
		s.idleOnce.Do(func() { close(s.idle) })
	}()
}

// refuseMore lets no run begin any more and returns the last that did, or nil.
func (s *server) refuseMore() *run {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	return s.last
}

// terminate ends the process by the signal it was sent, after the running task had
// its grace and is answered.
func (s *server) terminate(sig syscall.Signal) {
	if last := s.refuseMore(); last != nil {
		grace := s.welcome.Grace
		if last.ctx.Err() != nil {
			grace /= 4 // it has had most of it: the master goes by way of the context
		}
		last.cancel(context.Canceled)
		select {
		case <-last.over:
		case <-time.After(grace):
		}
	}
	cleanUp()
	raise(sig)
}

// lost is called when there is no master any more. It does not return.
func (s *server) lost(err error) { s.parent.lost(err) }

func (s *server) keepBeat() {
	for range time.Tick(beatEvery) {
		s.scribe.beat()
	}
}

// sweepAdopted kills what the commands of a task left behind: processes that fell to
// this one when their parents died. What the task itself started, with os/exec say,
// is in this process's own group, and is the task's affair.
func sweepAdopted() {
	if !hasChildren() {
		return
	}
	own := unix.Getpgrp()
	sweep(time.Now().Add(orphanTimeout), func(p procStat) bool { return p.pgrp != own })
}
