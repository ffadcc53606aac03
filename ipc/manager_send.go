package ipc

import (
	"fmt"
	"slices"
	"time"
)

// Answers are written by whoever made them, when the Manager's mutex is free again, and only
// as far as that does not wait. What the socket does not take, a goroutine sends that lasts
// until it is done; but a session's own goroutine sends itself, and so reads no further while
// its client does not read.

// States of session.sending.
const (
	sendIdle = iota // nobody sends
	sendBusy        // somebody sends w
	sendMore        // somebody sends w, and there is more in out
)

// touch notes that there is something in out; the mutex is held.
func (s *session) touch() {
	if !s.dirty {
		s.dirty = true
		s.m.dirty = append(s.m.dirty, s)
	}
	more := len(s.out) - s.counted
	s.counted = len(s.out)
	if s.m.unread.add(more) {
		s.m.expelDeaf() // which may be s
	}
	if len(s.out) > 2*s.m.limits.Unread+s.m.limits.Frame {
		s.cause = fmt.Errorf("it has not read %d bytes of answers", len(s.out))
		s.conn.hangUp()
		s.dropOut()
	}
}

func (s *session) dropOut() {
	for _, f := range s.files {
		CloseFDs(f.fds)
	}
	s.m.unread.add(-s.counted)
	s.counted = 0
	s.out, s.files, s.ready, s.mark = nil, nil, 0, 0
	s.signalDrained()
}

// claimSend makes the caller the one who sends what is in out, unless somebody is sending: who
// does is told that there is more. The mutex is held. Close waits for who sends, also where that is
// a goroutine it does not know: a timer's, or one of the pool.
func (s *session) claimSend() bool {
	if s.ready == 0 {
		return false
	}
	if s.sending.CompareAndSwap(sendBusy, sendMore) || s.sending.Load() == sendMore {
		return false
	}
	s.m.serving.Add(1) // who has ended has nothing ready: so its reader is counted still
	s.sending.Store(sendBusy)
	s.swap()
	return true
}

// committed lets go what the commit that has ended has found in out; more came while it was written.
func (s *session) committed() { s.ready = max(s.ready, min(s.mark, len(s.out))) }

// swap moves what is ready to who sends.
func (s *session) swap() {
	spare := s.wbuf[:0]
	if cap(spare) > maxSpare {
		spare = nil
	}
	n := s.ready
	spare = append(spare, s.out[n:]...)
	s.wbuf, s.out, s.ready, s.mark = s.out[:n], spare, 0, max(s.mark-n, 0)
	s.w = s.wbuf
	s.counted -= n
	s.moved.Store(time.Now().UnixNano())
	first := 0
	for first < len(s.files) && s.files[first].at < n {
		first++
	}
	s.wfiles = append(s.wfiles[:0], s.files[:first]...)
	s.files = slices.Delete(s.files, 0, first)
	for i := range s.files {
		s.files[i].at -= n
		s.files[i].end -= n
	}
}

// maxSpare is the largest buffer that a session keeps when it has nothing to send.
const maxSpare = 256 << 10

// send sends w, and what comes while it does. With wait false it goes on in a goroutine when
// the socket takes no more.
func (s *session) send(wait bool) {
	for {
		if !s.sendNow(wait) {
			go s.send(true)
			return
		}
		if s.sending.CompareAndSwap(sendBusy, sendIdle) {
			s.idle()
			s.m.serving.Done()
			return
		}
		s.m.mu.Lock()
		s.sending.Store(sendBusy)
		s.swap()
		s.m.mu.Unlock()
	}
}

// sendNow sends w, and tells whether nothing is left of it. An error is the end of the
// connection, which its reader sees too.
func (s *session) sendNow(wait bool) bool {
	for len(s.wfiles) > 0 {
		f := s.wfiles[0]
		if f.at > 0 {
			if !s.sendBytes(f.at, wait) {
				return false
			}
			continue
		}
		if !wait {
			return false
		}
		if err := s.conn.writeFrames(s.w[:f.end], f.fds); err != nil {
			s.fail()
			return true
		}
		CloseFDs(f.fds)
		s.wfiles = slices.Delete(s.wfiles, 0, 1)
		s.sent(f.end)
	}
	return s.sendBytes(len(s.w), wait)
}

// sendBytes sends the first n bytes of w.
func (s *session) sendBytes(n int, wait bool) bool {
	for n > 0 {
		var sent int
		var err error
		if wait {
			sent, err = n, s.conn.writeFrames(s.w[:n], nil)
		} else {
			sent, err = s.conn.tryWrite(s.w[:n])
		}
		if err != nil {
			s.fail()
			return true
		}
		if sent == 0 {
			return false
		}
		s.sent(sent)
		n -= sent
	}
	return true
}

// sent drops the first n bytes of w.
func (s *session) sent(n int) {
	s.w = s.w[n:]
	s.m.unread.add(-n)
	s.moved.Store(time.Now().UnixNano())
	for i := range s.wfiles {
		s.wfiles[i].at -= n
		s.wfiles[i].end -= n
	}
}

// fail drops what cannot be sent any more; the reader ends the session.
func (s *session) fail() {
	s.deaf.Store(true)
	s.conn.hangUp()
	for _, f := range s.wfiles {
		CloseFDs(f.fds)
	}
	s.m.unread.add(-len(s.w))
	s.w, s.wfiles = nil, nil
}

// overdue returns what a reader waits for before it reads on, when a client has not read much
// of what was answered, or must have been told all that it was, or when more changes wait for the
// store than it should have before it; nil if it need not. The mutex is held.
func (s *session) overdue() <-chan struct{} {
	j := s.m.journal
	if len(s.out) <= s.m.limits.Unread && !s.stops && (j == nil || j.bytes <= maxBehind) {
		return nil
	}
	s.awaited.Store(true)
	held := len(s.out) > 0 && j != nil && j.err == nil // a commit sends them
	if s.sending.Load() == sendIdle && !held {         // looked at after awaited was set, as who sends does the other way round
		s.awaited.Store(false)
		return nil
	}
	if s.drained == nil {
		s.drained = make(chan struct{})
	}
	return s.drained
}

// idle tells who waits that everything is sent, if nothing is held for the store.
func (s *session) idle() {
	if s.awaited.Load() {
		s.m.mu.Lock()
		if len(s.out) == 0 {
			s.signalDrained()
		}
		s.m.mu.Unlock()
	}
}

func (s *session) signalDrained() {
	if s.drained != nil {
		close(s.drained)
		s.drained = nil
	}
	s.awaited.Store(false)
}
