package ipc

import (
	linked "container/list"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// A session is one connection of a client. Its goroutine reads, and executes what it reads;
// what it owns besides the read buffers is guarded by the Manager's mutex.
type session struct {
	m    *Manager
	conn *Conn
	name string // for logs

	trusted   bool            // one of this process
	remote    bool            // over TCP
	pump      *pump           // over TLS
	strange   *linked.Element // in strangers; guarded by the mutex
	over      chan struct{}   // closed when it has ended
	turnedOut bool            // see strangers

	gauge   frameGauge
	batch   []proto.Message // read, not yet executed; they lie in the Conn's buffer
	ops     map[string]string
	batched int    // elements of the answers of the batch under way, at most
	answers []byte // of the last batch, to be used again
	scrap   call   // of the call under way; one that waits gets a copy

	leases  map[*object]int
	waiting map[uint64]*parked // by request id
	holds   map[leaver]int     // what must hear of the end
	memory  *account
	ended   bool
	cause   error // why the manager ended the connection, if it did
	stops   bool  // has called shutdown, which acts when its answers are sent

	out   []byte // answers that nobody sends yet
	ready int    // how many bytes of them may be sent
	mark  int    // how many may be when the commit under way is done
	files []outFile
	dirty bool

	counted int          // bytes of out that count as unread
	moved   atomic.Int64 // when some of w was sent last, or w was taken; in Unix nanoseconds
	sending atomic.Int32 // who sends: see claimSend
	wbuf    []byte       // what is being sent; of who claimed it
	w       []byte       // the rest of it
	wfiles  []outFile
	deaf    atomic.Bool   // nothing can be sent any more; what has come is executed all the same
	awaited atomic.Bool   // the reader waits until nothing is unsent
	drained chan struct{} // closed then
}

// An account counts what a session has left with the manager: the bytes of the values that it
// stored, of the objects that it made, and of its calls that wait; and descriptors. It outlives
// the session, as they do.
type account struct{ bytes, descriptors int }

// An outFile is a frame with descriptors among the answers: they go with its first byte, at
// offset at.
type outFile struct {
	at  int
	end int
	fds []int
}

// A leaver gives back what a session held when that ends.
type leaver interface{ leave(s *session) }

// A session executes no more messages than maxBatch, and begins none after maxTurn, before others
// get their turn.
const (
	maxBatch = 64
	maxTurn  = 2 * time.Millisecond
)

// maxOps bounds how many names of operations a session remembers.
const maxOps = 256

func newSession(m *Manager, c *Conn) *session {
	c.beCourteous()
	s := &session{
		m: m, conn: c, name: c.name, memory: &account{}, over: make(chan struct{}),
		ops: map[string]string{}, leases: map[*object]int{}, waiting: map[uint64]*parked{}, holds: map[leaver]int{},
	}
	s.gauge.s = s
	c.gauge = &s.gauge
	return s
}

// serve reads until the connection ends.
func (s *session) serve() {
	if s.pump != nil {
		s.m.serving.Go(s.pump.in)
		s.m.serving.Go(s.pump.out)
	}
	err := s.greet()
	for err == nil {
		if err = s.read(); err == nil || len(s.batch) > 0 {
			err = errors.Join(err, s.execute())
		}
	}
	s.end()
	if s.cause != nil {
		err = s.cause
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, ErrClosed) {
		s.m.complainer.say(s.name, err)
	}
}

// read waits for a message, and takes those that have come with it.
func (s *session) read() error {
	s.batch = s.batch[:0]
	for {
		f, err := s.conn.readInPlace()
		if err != nil {
			return err
		}
		msg, err := proto.ParseMessage(f.Body, s.conn.limits)
		if err == nil && msg.Kind == proto.Response {
			err = errUnasked
		}
		if err == nil && len(f.FDs) > 0 {
			err = s.deposit(msg, f)
		} else if err == nil {
			s.batch = append(s.batch, msg)
		} else {
			f.Close()
		}
		if err != nil || len(s.batch) >= maxBatch || !s.conn.Buffered() {
			return err
		}
	}
}

var errUnasked = errors.New("a response, and nothing was asked")

// execute does what was read, and sends the answers.
func (s *session) execute() error {
	for next := 0; next < len(s.batch); {
		next = s.executeFrom(next)
	}
	clear(s.batch) // so that bodies are not kept alive
	s.batch = s.batch[:0]
	return nil
}

// executeFrom does what was read from next on, as much as one turn allows, and until there is more
// to be answered than a client should have unread, and sends the answers. It returns where to go on.
func (s *session) executeFrom(next int) int {
	s.m.lock()
	begin := time.Now()
	for ok := true; ok && next < len(s.batch); next++ {
		s.handle(&s.batch[next])
		s.m.bury() // the next message finds what has ended ended
		ok = len(s.out) <= s.m.limits.Unread && (next+1 == len(s.batch) || time.Since(begin) < maxTurn)
	}
	if next == len(s.batch) {
		s.gauge.done()
	}
	sends := s.m.collect()
	stops := s.stops
	wait := s.overdue()
	s.m.mu.Unlock()
	own := false
	for _, t := range sends {
		if t == s {
			own = true // last, for it may take long
		} else {
			t.send(false)
		}
	}
	if own {
		s.send(true)
	}
	if wait != nil {
		<-wait
	}
	if stops {
		s.m.shutOnce.Do(func() { close(s.m.shutdown) })
	}
	return next
}

// end lets go of everything that the session has.
func (s *session) end() {
	m := s.m
	m.lock()
	s.ended = true
	delete(m.sessions, s)
	m.strangers.drop(s)
	for _, p := range s.waiting {
		p.abandon()
	}
	for h := range s.holds {
		h.leave(s)
	}
	for o, n := range s.leases {
		m.stats.leases -= n
		o.leases -= n
		m.mayEnd(o)
	}
	clear(s.leases)
	s.dropOut() // what the store still holds is for nobody
	m.unlock()
	s.part()
	s.conn.Close()
	if s.gauge.done() && s.cause == nil {
		s.cause = errSlowFrame
	}
	close(s.over)
}

// part ends a connection over TCP.
func (s *session) part() {
	switch t, _ := s.conn.sock.(*net.TCPConn); {
	case s.turnedOut && s.pump != nil:
		s.pump.far.Close()
	case s.pump != nil:
		s.pump.stop()
	case t != nil && !s.turnedOut:
		partFrom(t)
		io.Copy(io.Discard, t)
	}
}

// hold notes that h must hear of the end of the session, until unhold as often.
func (s *session) hold(h leaver) { s.holds[h]++ }

func (s *session) unhold(h leaver) {
	if s.holds[h]--; s.holds[h] == 0 {
		delete(s.holds, h)
	}
}

// stands tells whether the connection has not ended, as far as the kernel knows.
func (s *session) stands() bool {
	return !s.ended && s.conn.stands() && (s.pump == nil || connected(s.pump.raw))
}

// who names the client for people.
func (s *session) who() string {
	if s.remote {
		return s.name
	}
	return s.conn.who()
}

// carries tells whether descriptors can be sent.
func (s *session) carries() bool { return !s.remote }

// intern returns b as a string, mostly without an allocation.
func (s *session) intern(b []byte) string {
	if op, ok := s.ops[string(b)]; ok {
		return op
	}
	op := string(b)
	if len(s.ops) < maxOps && len(op) <= 64 {
		s.ops[op] = op
	}
	return op
}
