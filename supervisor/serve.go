package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// A server is the worker's side. One goroutine at a time reads what the master says, and runs itself what it has read: a round
// trip costs no goroutine and no switch. When a run lasts, another goroutine takes over reading; see lookAgain.
type server struct {
	parent  *parent
	conn    *ipc.Conn
	welcome proto.Welcome
	scribe  *scribe
	answers *answers

	mu       sync.Mutex
	reader   int         // number of the goroutine that reads
	inline   bool        // it runs something at the moment, and so does not read
	running  []*run      // in the order in which they began
	ahead    []request   // read while as many were running as may; the oldest begins next
	owed     int         // answers to runs that have begun
	stopping bool        // no run will begin
	watch    *time.Timer // calls lookAgain
	watching bool
	seen     uint64 // the run that was under way when lookAgain looked last

	settled     chan struct{} // closed when stopping and all is answered
	settledOnce sync.Once
	idle        chan struct{} // closed when that is sent, after a stop
	idleOnce    sync.Once
}

// A request is a run that the master asks for.
type request struct {
	id  uint64
	run proto.Run
	fds []int
}

// A run is a ticket under way.
type run struct {
	id      uint64
	ctx     runContext
	element int // of a chunk, from 1
	began   time.Time
}

// at returns what is told which element of a chunk begins.
func (r *run) at(s *scribe) func(int) {
	word := s.word[proto.ScoreItem]
	return func(i int) {
		r.element = i
		word.Store(uint64(i))
	}
}

// value is that of a fault by which the task did not return: which element of the chunk it was.
func (r *run) value() proto.Raw {
	if r.element == 0 {
		return nil
	}
	return proto.AppendUint(nil, uint64(r.element))
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
	s := &server{parent: p, conn: p.conn, settled: make(chan struct{}), idle: make(chan struct{})}
	s.watch = time.AfterFunc(time.Hour, s.lookAgain)
	s.watch.Stop()
	hello := proto.Hello{
		Min: proto.MinVersion, Max: proto.MaxVersion,
		Tasks: taskNames(), PID: os.Getpid(),
		Caps: []string{proto.CapScoreboard, proto.CapClaim, proto.CapChunk}, Program: "multiproc/go",
	}
	w, board, err := sayHello(s.conn, hello)
	if fault, ok := errors.AsType[*proto.Fault](err); ok { // no common version
		fmt.Fprintln(os.Stderr, "supervisor: the master refuses this worker:", fault)
		return exitMisuse
	}
	if err != nil {
		s.lost(err)
	}
	s.welcome, s.scribe, s.answers = w, newScribe(board), newAnswers(s.conn, board)
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
	s.conn.WaitInKernel()
	go s.read(0)
	<-s.idle
	waitGoroutines()
	s.scribe.state(proto.ScoreStopping, 0)
	cleanUp()
	return exitDone
}

// read is the loop over what the master says, for as long as this goroutine is the one that reads.
func (s *server) read(me int) {
	for s.reads(me) {
		if !s.conn.Buffered() {
			s.rest()
		}
		f, err := s.conn.ReadFrame()
		if err != nil {
			s.lost(err)
		}
		m, err := proto.ParseMessage(f.Body, proto.Limits{})
		if err != nil {
			s.lost(err)
		}
		if err := s.handle(m, f.FDs, me); err != nil {
			s.lost(err)
		}
	}
}

func (s *server) reads(me int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reader == me
}

// rest is before a wait: what is kept back is sent, and nothing is under way if this goroutine is the only one.
func (s *server) rest() {
	s.mu.Lock()
	if len(s.running) == 0 {
		s.scribe.state(proto.ScoreIdle, 0)
	}
	s.mu.Unlock()
	if err := s.answers.flush(); err != nil {
		s.lost(err)
	}
}

// handle owns fds. What it runs, it runs as the goroutine that reads under the number me.
func (s *server) handle(m proto.Message, fds []int, me int) error {
	if m.Kind == proto.Request && m.Method == proto.MethodRun {
		r, err := proto.ParseRun(m.Params)
		if err != nil {
			ipc.CloseFDs(fds)
			return err
		}
		return s.start(request{id: m.ID, run: r, fds: fds}, me)
	}
	ipc.CloseFDs(fds)
	switch {
	case m.Kind == proto.Request:
		return s.answers.add(m.ID, &proto.Fault{Kind: proto.KindUnknownMethod, Text: "unknown method " + m.Method}, proto.Payload{})
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

// claimed tells whether the master may have handed a run over ahead, and may take it back.
func (r request) claimed() bool { return r.run.Epoch != 0 }

// start begins a run, in this goroutine if there is one at a time, or puts it where the next is taken from.
func (s *server) start(r request, me int) error {
	s.mu.Lock()
	slots := max(s.welcome.Slots, 1)
	switch {
	case len(s.running) < slots && len(s.ahead) == 0 && !s.stopping:
		current := s.begin(&r)
		s.inline = current != nil && slots == 1
		s.mu.Unlock()
		switch {
		case current == nil:
		case slots > 1:
			go s.work(current, r, me)
		default:
			s.work(current, r, me)
			s.readsAgain(me)
		}
		return nil
	case r.claimed() && !s.stopping:
		s.ahead = append(s.ahead, r)
		s.mu.Unlock()
		return nil
	}
	fault := &proto.Fault{Kind: proto.KindBusy, Text: "a ticket is running already"}
	if s.stopping {
		fault = &proto.Fault{Kind: proto.KindStopping, Text: "told to stop"}
	}
	s.mu.Unlock()
	ipc.CloseFDs(r.fds)
	if r.claimed() {
		return nil // the process ends, and the master sees that it did not begin
	}
	return s.answers.add(r.id, fault, proto.Payload{})
}

// begin makes a request a run under way, with mu held; nil if the master has taken it back.
func (s *server) begin(r *request) *run {
	if r.claimed() && !s.scribe.claim(uint32(r.run.Epoch), r.id) {
		ipc.CloseFDs(r.fds)
		return nil
	}
	current := &run{id: r.id}
	s.running = append(s.running, current)
	s.owed++
	if !s.watching {
		s.watching = true
		s.seen = 0
		s.watch.Reset(lastsLong)
	}
	return current
}

// lastsLong is how long a run is left alone with the goroutine that reads, at least, and twice that at most.
const lastsLong = time.Millisecond

// lookAgain has another goroutine read when one run was under way at two looks in a row, and sends what is kept back: it
// shall not wait for a task that lasts.
func (s *server) lookAgain() {
	s.mu.Lock()
	if len(s.running) == 0 {
		s.watching = false
		s.mu.Unlock()
		return
	}
	if id := s.running[0].id; id != s.seen {
		s.seen = id
		s.watch.Reset(lastsLong)
		s.mu.Unlock()
		return
	}
	s.watching = false
	inline := s.inline
	if inline {
		s.inline = false
		s.reader++
		go s.read(s.reader)
	}
	s.mu.Unlock()
	if !inline {
		s.rest()
	}
}

// readsAgain notes that the goroutine has done what it ran, if it is still the one that reads.
func (s *server) readsAgain(me int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reader == me {
		s.inline = false
	}
}

// work runs a ticket, and then what has come meanwhile.
func (s *server) work(current *run, r request, me int) {
	for current != nil {
		s.execute(current, r, me)
		current, r = s.next()
	}
	if s.welcome.Slots > 1 || !s.reads(me) {
		s.rest()
	}
}

// execute runs one ticket and answers it. A task that ends its goroutine takes this one along: then another carries on.
func (s *server) execute(current *run, r request, me int) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil {
			fault := &proto.Fault{Kind: proto.KindPanic, Text: fmt.Sprintf("panic: %v", v), Stack: string(debug.Stack()), Value: current.value()}
			s.finish(current, fault, proto.Payload{})
			return
		}
		fault := &proto.Fault{Kind: proto.KindGoexit, Text: "the task ended its goroutine without a result", Stack: string(debug.Stack()), Value: current.value()}
		go s.carryOn(current, fault, me)
	}()
	value, fault := s.call(current, r)
	returned = true
	s.finish(current, fault, value)
}

// carryOn does what a goroutine would have done that a task has ended.
func (s *server) carryOn(current *run, fault *proto.Fault, me int) {
	s.finish(current, fault, proto.Payload{})
	next, r := s.next()
	s.work(next, r, me)
	if s.welcome.Slots <= 1 {
		s.readsAgain(me)
		s.read(me)
	}
}

// call runs a task and makes a fault of the error that it returns.
func (s *server) call(current *run, r request) (proto.Payload, *proto.Fault) {
	current.began = s.scribe.begin(r.id)
	current.ctx.info = TicketInfo{
		ID: r.run.Ticket, Attempt: max(r.run.Attempt, 1), Attempts: max(r.run.Attempts, 1),
		Place: s.welcome.Place, Pool: s.welcome.Pool, Grace: cmp.Or(r.run.Grace, s.welcome.Grace*3/4), number: r.run.Seq,
	}
	h := taskNamed(r.run.Task)
	if h.run == nil {
		ipc.CloseFDs(r.fds)
		return proto.Payload{}, &proto.Fault{Kind: proto.KindUnknownTask, Text: fmt.Sprintf("this program has no task %q", r.run.Task)}
	}
	var value proto.Payload
	var err error
	if n := r.run.Chunk; n > 0 {
		ipc.CloseFDs(r.fds)
		value, err = h.chunk(&current.ctx, r.run.Args, n, current.at(s.scribe))
	} else {
		value, err = h.run(&current.ctx, proto.Payload{Bytes: r.run.Args, FDs: r.fds})
	}
	if err != nil {
		return value, faultOf(err)
	}
	return value, nil
}

// tooShort is how long a task runs at least that starts a process: exec alone takes longer.
const tooShort = 50 * time.Microsecond

// finish answers a run, and looks after what it left behind.
func (s *server) finish(current *run, fault *proto.Fault, value proto.Payload) {
	took := time.Since(current.began)
	s.scribe.done(took)
	// Before the answer: the master hands out the next ticket as soon as it comes.
	if took > tooShort {
		sweepAdopted()
	}
	current.ctx.end(nil)
	s.mu.Lock()
	s.running = slices.DeleteFunc(s.running, func(r *run) bool { return r == current })
	s.mu.Unlock()
	if err := s.answers.add(current.id, fault, value); err != nil {
		s.lost(err)
	}
	if fault != nil && fault.Kind == proto.KindPanic {
		s.rest()
		cleanUp()
		os.Exit(exitFailed)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owed--
	s.settle()
}

// settle notes, with mu held, when all is answered that ever will be begun.
func (s *server) settle() {
	if s.stopping && s.owed == 0 {
		s.settledOnce.Do(func() { close(s.settled) })
	}
}

// next begins the oldest of the runs that were read ahead.
func (s *server) next() (*run, request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Another may have begun while the answer of the last one was being written: then it is the one that comes here next.
	for len(s.ahead) > 0 && len(s.running) < max(s.welcome.Slots, 1) {
		r := s.ahead[0]
		s.ahead = s.ahead[1:]
		if s.stopping {
			ipc.CloseFDs(r.fds)
			continue
		}
		if current := s.begin(&r); current != nil {
			return current, r
		}
	}
	return nil, request{}
}

func (s *server) cancel(c proto.Cancel) {
	cause := context.Canceled
	if c.Reason == proto.KindTimeout {
		cause = context.DeadlineExceeded
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.running {
		if r.id == c.ID {
			r.ctx.end(cause)
		}
	}
}

// stop lets what runs finish, and no other begin.
func (s *server) stop() {
	s.refuseMore()
	go func() {
		<-s.settled
		if err := s.answers.flush(); err != nil {
			s.lost(err)
		}
		s.idleOnce.Do(func() { close(s.idle) })
	}()
}

// refuseMore lets no run begin any more.
func (s *server) refuseMore() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	s.settle()
}

// terminate ends the process by the signal it was sent, after the running tasks had
// their grace and are answered.
func (s *server) terminate(sig syscall.Signal) {
	s.refuseMore()
	select {
	case <-s.settled:
	case <-time.After(s.endAll()):
	}
	s.answers.flush() // the master may be deaf, or gone: the process ends anyway
	cleanUp()
	raise(sig)
}

// endAll ends the contexts of what runs, and returns how long that may last.
func (s *server) endAll() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	grace := s.welcome.Grace
	for _, r := range s.running {
		if r.ctx.hasEnded() {
			grace = s.welcome.Grace / 4 // it has had most of it: the master goes by way of the context
		}
		r.ctx.end(context.Canceled)
	}
	return grace
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
