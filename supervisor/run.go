package supervisor

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

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
		v := recover()
		fault := unreturned("task", v)
		fault.Value = current.value()
		if v == nil {
			go s.carryOn(current, fault, me)
			return
		}
		s.finish(current, fault, proto.Payload{})
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
