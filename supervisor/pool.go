package supervisor

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/seed-185a7250/multiproc/proto"
)

// A Pool runs tickets in worker processes, as many at a time in each as it has slots: one, unless told otherwise. See the
// package comment for the way of a ticket. Any number of goroutines may use it.
type Pool struct {
	opts PoolOptions
	log  hclog.Logger

	closing    chan struct{}   // closed when no more tickets are accepted
	drained    context.Context // ended: no ticket begins
	terminated context.Context // ended: what runs is ended
	killed     context.Context // ended: what runs is killed
	drain      context.CancelCauseFunc
	terminate  context.CancelCauseFunc
	kill       context.CancelCauseFunc
	out        sync.Mutex            // one line at a time; held while Stdout takes it
	ended      chan struct{}         // closed when all places have ended
	err        atomic.Pointer[error] // why the pool failed
	stop       func() bool           // stops watching the context of NewPool

	mu         sync.Mutex // guards what follows, and what places and tickets say that it does
	places     []*place   // by number
	idle       []*place   // the last to become idle at the end: it is the warmest. Some may not be any more; see popIdle
	backlog    backlog
	numbers    uint64 // of tickets
	granted    int    // rooms in the backlog that are promised to submitters who waited
	atPlaces   int    // tickets that places have; they may come back
	waiters    []*submitter
	speeds     map[string]*speed              // by task
	followings map[<-chan struct{}]*following // by the done channels of contexts
	latest     *following                     // of the last ticket
	bell       *time.Timer                    // for tickets that are due later
	closed     bool                           // no more tickets are accepted
	size       int                            // places that shall stay
	alive      int                            // places that have not ended
	finished   bool                           // finish is called
	changed    chan struct{}                  // closed when a place has another process; nil if nobody waits
	tasks      []string
	fine       uint64        // tickets that are over and ok
	counts     PoolState     // the rest of what State tells and is not known otherwise
	dropped    atomic.Uint64 // events
	chunks     bool          // all workers run chunks, as the first has said
}

// NewPool starts the workers and returns when all are ready. If one cannot be
// started, the others are stopped and the error says why: ErrRestartLimit,
// ErrDaemonChild, ErrHookMissed, or the system's. When ctx ends, the pool is
// terminated.
func NewPool(ctx context.Context, o PoolOptions) (*Pool, error) {
	o, err := o.filled()
	if err != nil {
		return nil, err
	}
	if err := startAllowed(Spec{}); err != nil {
		return nil, err
	}
	if o.Subreaper {
		if err := SetSubreaper(); err != nil {
			return nil, err
		}
	}
	p := &Pool{
		opts: o, log: o.Logger, speeds: map[string]*speed{}, followings: map[<-chan struct{}]*following{},
		closing: make(chan struct{}), ended: make(chan struct{}),
	}
	p.bell = time.AfterFunc(time.Hour, p.ring)
	p.bell.Stop()
	p.killed, p.kill = context.WithCancelCause(context.Background())
	p.terminated, p.terminate = context.WithCancelCause(p.killed)
	p.drained, p.drain = context.WithCancelCause(p.terminated)
	for n := range o.Workers {
		place, err := newPlace(p, n+1)
		if err != nil {
			for _, place := range p.places {
				place.board.Close()
			}
			p.abandon()
			return nil, err
		}
		p.places = append(p.places, place)
	}
	pools.add(p)
	p.stop = context.AfterFunc(ctx, func() { p.end(context.Cause(ctx)) })
	p.alive, p.size = o.Workers, o.Workers
	go p.keep()
	ready := make(chan error, o.Workers)
	for _, place := range slices.Clone(p.places) {
		go place.begin(ready)
	}
	return p.await(ready, o.Workers)
}

// begin fills the place, says so, and runs it.
func (p *place) begin(ready chan<- error) {
	err := p.fill()
	ready <- err
	if err != nil {
		p.leave()
		return
	}
	p.run()
}

// left is called by a place that has ended.
func (p *Pool) left(q *place) {
	p.mu.Lock()
	p.alive--
	p.change()
	last := p.isLast()
	if i := slices.Index(p.places, q); q.gone && !p.closed && i >= 0 {
		p.places = slices.Delete(p.places, i, i+1)
	}
	if q.listed {
		q.listed = false
		p.idle = slices.DeleteFunc(p.idle, func(r *place) bool { return r == q })
	}
	p.mu.Unlock()
	if last {
		p.finish()
	}
}

// isLast tells, once and with mu held, that the pool has ended.
func (p *Pool) isLast() bool {
	if p.alive > 0 || !p.closed || p.finished {
		return false
	}
	p.finished = true
	return true
}

// finish is when the last place of a closed pool has ended.
func (p *Pool) finish() {
	p.stop()
	p.bell.Stop()
	p.mu.Lock()
	last := p.latest
	p.latest = nil
	p.forget(last)
	p.mu.Unlock()
	pools.remove(p)
	p.abandon()
	closePayload(p.opts.Initializer.Args)
	closePayload(p.opts.Finalizer.Args)
	p.emit(PoolEvent{Kind: PoolEnded})
	close(p.ended)
}

// await returns p when all workers are ready.
func (p *Pool) await(ready <-chan error, workers int) (*Pool, error) {
	for range workers {
		if err := <-ready; err != nil {
			if cause := p.failure(); cause != nil {
				err = cause
			}
			p.kill(err)
			p.shut(true, err)
			<-p.ended
			return nil, err
		}
	}
	return p, nil
}

// abandon releases what contexts hold.
func (p *Pool) abandon() { p.kill(ErrClosed) }

// Tasks returns the names of the tasks that the workers know, as the first of them
// said.
func (p *Pool) Tasks() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.tasks)
}

func (p *Pool) knows(h proto.Hello) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tasks == nil {
		p.tasks = h.Tasks
		p.chunks = h.Has(proto.CapChunk)
	}
}

// slots is how many tickets a process runs at a time.
func (p *Pool) slots() int { return max(p.opts.Slots, 1) }

// over tells, with mu held, that no ticket waits, and none will come: neither from outside, nor back from a place.
func (p *Pool) over() bool {
	return p.closed && p.backlog.waiting() == 0 && (p.atPlaces == 0 || p.drained.Err() != nil)
}

// wakeAll has all places look at the state.
func (p *Pool) wakeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wakePlaces()
}

// wakePlaces is wakeAll with mu held.
func (p *Pool) wakePlaces() {
	for _, place := range p.places {
		place.wake()
	}
}

// stdout returns what takes the lines that one process prints: each is written at
// once, so that no two lines mix.
func (p *Pool) stdout() LineFunc {
	var line []byte
	return func(b []byte, final bool) {
		line = append(line, b...)
		if !final && len(line) < longLine {
			return
		}
		p.out.Lock()
		defer p.out.Unlock()
		p.opts.Stdout.Write(append(line, '\n'))
		line = bytes.Clone(line[:0])
	}
}

// longLine is where a line is cut, so that one without an end is not collected for
// ever.
const longLine = 1 << 20
