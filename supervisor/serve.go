package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

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

// settle notes, with mu held, when all is answered that ever will be begun.
func (s *server) settle() {
	if s.stopping && s.owed == 0 {
		s.settledOnce.Do(func() { close(s.settled) })
	}
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
