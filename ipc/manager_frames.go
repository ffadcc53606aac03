package ipc

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// What connections need for frames that have not come whole is bounded for all of them together:
// each may have smallFrame bytes, and a larger frame has its length out of a stock before more of
// it is read. When there is not enough left it waits: the smallest that wait come first, and
// besides, so that none waits for ever, one at a time of those that came first may go beyond the
// stock. While somebody waits, whoever has something and sends nothing, or slowly, has to go: its
// connection ends. So half frames, of however many clients, cost a bounded amount of memory, and
// hold up small frames not at all, and large ones not for long.
type frameStock struct {
	mu      sync.Mutex
	free    int
	has     map[*largeFrame]struct{}
	waiting []*largeFrame // the first came first
	beyond  *largeFrame   // may go beyond the stock
}

// A largeFrame is one that is under way.
type largeFrame struct {
	s     *session
	bytes int
	given chan struct{} // closed when it has them
	since time.Time     // it has them
	came  atomic.Int64  // bytes that have come since then
	last  atomic.Int64  // when the last came, in Unix nanoseconds
	out   bool          // it has to go
}

const (
	smallFrame = 64 << 10  // bytes
	allFrames  = 256 << 20 // bytes, or four frames of the largest size
	slowAfter  = 2 * time.Second
	slowFrame  = 1 << 20       // bytes in a second
	lookAgain  = slowAfter / 8 // how often who waits looks for somebody slow
)

var errSlowFrame = errors.New("a frame comes too slowly, and others need its place")

func newFrameStock(frame int) *frameStock {
	return &frameStock{free: max(allFrames, 4*frame), has: map[*largeFrame]struct{}{}}
}

// take waits until s may have a frame of n bytes in memory. Who gets it gives it back.
func (f *frameStock) take(s *session, n int) (*largeFrame, error) {
	l := &largeFrame{s: s, bytes: n, given: make(chan struct{})}
	f.mu.Lock()
	f.waiting = append(f.waiting, l)
	f.share()
	f.mu.Unlock()
	for {
		select {
		case <-l.given:
			return l, nil
		case <-s.m.closing:
			f.give(l)
			return nil, ErrClosed
		case <-time.After(lookAgain):
			f.expel()
		}
	}
}

// share gives to those who wait what there is. The mutex is held.
func (f *frameStock) share() {
	for len(f.waiting) > 0 {
		small := slices.MinFunc(f.waiting, func(a, b *largeFrame) int { return a.bytes - b.bytes })
		if small.bytes > f.free {
			break
		}
		f.grant(small)
	}
	if f.beyond == nil && len(f.waiting) > 0 {
		f.beyond = f.waiting[0]
		f.grant(f.beyond)
	}
}

func (f *frameStock) grant(l *largeFrame) {
	f.waiting = slices.DeleteFunc(f.waiting, func(w *largeFrame) bool { return w == l })
	f.has[l] = struct{}{}
	f.free -= l.bytes
	l.since = time.Now()
	l.last.Store(l.since.UnixNano())
	close(l.given)
}

// give gives back what l has, because its frame was dealt with, or its session has ended. It tells
// whether it had to go.
func (f *frameStock) give(l *largeFrame) (out bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.has[l]; ok {
		delete(f.has, l)
		f.free += l.bytes
	} else {
		f.waiting = slices.DeleteFunc(f.waiting, func(w *largeFrame) bool { return w == l })
	}
	if f.beyond == l {
		f.beyond = nil
	}
	f.share()
	return l.out
}

// expel ends the connections that are too slow.
func (f *frameStock) expel() {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for l := range f.has {
		if !l.out && l.slow(now) {
			l.out = true
			l.s.conn.hangUp()
		}
	}
}

// slow tells whether nothing has come for a while, or too little in all.
func (l *largeFrame) slow(now time.Time) bool {
	t, idle := now.Sub(l.since), now.Sub(time.Unix(0, l.last.Load()))
	came := int(l.came.Load())
	return came < l.bytes && t >= slowAfter && (idle >= slowAfter || float64(came) < slowFrame*t.Seconds())
}

// A frameGauge is what the Conn of a session tells of the frame that it receives.
type frameGauge struct {
	s *session
	l *largeFrame // nil: the frame is small
}

// large waits until a frame of n bytes may be received; all beyond smallFrame of it is to come.
func (g *frameGauge) large(n int) (err error) {
	g.l, err = g.s.m.frames.take(g.s, n)
	if err == nil {
		g.came(smallFrame)
	}
	return err
}

func (g *frameGauge) came(n int) {
	if g.l != nil {
		g.l.came.Add(int64(n))
		g.l.last.Store(time.Now().UnixNano())
	}
}

// done ends the frame, and tells whether its session had to go.
func (g *frameGauge) done() (out bool) {
	if g.l != nil {
		out = g.s.m.frames.give(g.l)
		g.l = nil
	}
	return out
}
