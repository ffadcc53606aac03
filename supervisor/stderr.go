package supervisor

import (
	"bytes"
	"fmt"
	"sync"
	"time"
)

const (
	logQueueLines = 1024
	logQueueBytes = 1 << 20
	// logEndTime is how long, after the end of stderr, a consumer may take for what waits.
	logEndTime = time.Second
)

// stderrSink stands between a process's stderr and a log that may block: a full disk, a terminal stopped
// with Ctrl-S. The pump never waits; a goroutine of its own calls the consumer.
type stderrSink struct {
	tail *tail
	f    LineFunc // nil: only the tail is wanted

	mu      sync.Mutex
	wake    sync.Cond // something to do: waiting, ended or given up
	waiting []logLine
	bytes   int
	open    bool // the last thing accepted was a piece, whose rest is to come
	owed    bool // … whose rest was dropped, so that the consumer waits for a final one
	skip    bool // drop what comes, to the end of this line
	dropped int  // lines since the last one accepted
	ended   bool // no more will come
	givenUp bool // do not deliver what is left

	delivered chan struct{} // the goroutine is gone
}

type logLine struct {
	text  []byte
	final bool
}

func newStderrSink(t *tail, f LineFunc) *stderrSink {
	s := &stderrSink{tail: t, f: f, delivered: make(chan struct{})}
	s.wake.L = &s.mu
	if f == nil {
		close(s.delivered)
	} else {
		go s.deliver()
	}
	return s
}

func (s *stderrSink) line(b []byte, final bool) {
	s.tail.add(b, final)
	if s.f == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) >= logQueueLines || s.bytes+len(b) > logQueueBytes || s.skip {
		s.dropLocked(final)
		return
	}
	s.reportDropsLocked()
	s.pushLocked(bytes.Clone(b), final)
	s.open = !final
}

// dropLocked drops a line to its end, so that no line is ever put together from two, and counts it then.
func (s *stderrSink) dropLocked(final bool) {
	if s.open {
		s.owed, s.open = true, false
	}
	s.skip = !final
	if final {
		s.dropped++
	}
}

func (s *stderrSink) reportDropsLocked() {
	if s.owed {
		s.pushLocked(nil, true)
	}
	if s.dropped > 0 {
		s.pushLocked(fmt.Appendf(nil, "… %d lines dropped", s.dropped), true)
	}
	s.owed, s.dropped = false, 0
}

func (s *stderrSink) pushLocked(b []byte, final bool) {
	s.waiting = append(s.waiting, logLine{b, final})
	s.bytes += len(b)
	s.wake.Signal()
}

func (s *stderrSink) deliver() {
	defer close(s.delivered)
	for {
		l, ok := s.next()
		if !ok {
			return
		}
		s.f(l.text, l.final)
	}
}

func (s *stderrSink) next() (logLine, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.waiting) == 0 && !s.ended {
		s.wake.Wait()
	}
	if s.givenUp || len(s.waiting) == 0 {
		return logLine{}, false
	}
	l := s.waiting[0]
	s.waiting = s.waiting[1:]
	s.bytes -= len(l.text)
	return l, true
}

// end lets the consumer have what waits, for a second. A consumer that still blocks then keeps its
// goroutine until it returns, and gets nothing more.
func (s *stderrSink) end() {
	s.mu.Lock()
	s.reportDropsLocked()
	s.ended = true
	s.wake.Signal()
	s.mu.Unlock()

	t := time.NewTimer(logEndTime)
	defer t.Stop()
	select {
	case <-s.delivered:
	case <-t.C:
		s.mu.Lock()
		s.givenUp = true
		s.mu.Unlock()
	}
}
