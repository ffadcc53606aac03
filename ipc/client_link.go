package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// A link is one connection to a manager. Any number of goroutines ask over it.
//
// There is no goroutine that reads: of those who wait for an answer, one reads what comes, also the answers of others, which
// it hands over; when it has its own, the next goes on. So a lone caller is woken by nobody but the manager.
//
// There is none that writes, either: who asks while another writes leaves its frame to that one, which sends all that has
// come together. What the socket does not take at once a goroutine sends, as long as that lasts.
type link struct {
	wire     wire
	address  string // for errors
	instance uint64
	limits   proto.Limits
	most     uint64 // bytes of a frame that the manager takes
	older    uint64 // ids of answers to somebody who had the connection before
	patience time.Duration
	ids      atomic.Uint64

	mu          sync.Mutex
	pending     map[uint64]*query
	first, last *query // those who wait for others to read
	reading     bool
	writing     bool
	idle        sync.Cond         // nobody writes any more
	out, spare  []byte            // frames to be sent; a buffer for the next ones
	err         error             // sticky: there is no connection any more
	lost        error             // sticky: nothing can be sent any more, answers may still come
	drops       map[uint64]uint64 // leases to be given back
	watched     <-chan struct{}   // of the context whose end ends a read
	unwatch     func() bool
	soon        context.Context // see patient
	soonest     time.Time       // until when it may be handed out
	unsoon      func()

	// Of who reads.
	in   []byte // received: in[r:w]
	r, w int
	body []byte // of a frame that is larger than in
	got  int    // bytes of it that have come
	head proto.Header
	fds  []int // arrived, in order, not yet taken by a frame
}

func newLink(w wire, address string, o ConnectOptions) *link {
	l := &link{wire: w, address: address, limits: o.Limits, patience: o.Patience,
		pending: map[uint64]*query{}, in: make([]byte, readBuffer)}
	l.idle.L = &l.mu
	return l
}

// gone is the error of all who ask over a link that has ended.
func (l *link) gone(cause error) error {
	if cause == io.EOF {
		cause = errEnded
	}
	return fmt.Errorf("%w: the manager at %s: %w", ErrGone, l.address, cause)
}

// fail ends the link, and all that is asked over it. Only the first cause counts.
func (l *link) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failLocked(err)
}

func (l *link) failLocked(err error) {
	if l.err != nil {
		return
	}
	l.err = err
	l.wire.close()
	l.unwatchLocked()
	if l.unsoon != nil {
		l.unsoon()
	}
	if !l.reading {
		l.dropFDs()
	}
	for id, q := range l.pending {
		delete(l.pending, id)
		q.err = err
		l.finishLocked(q)
	}
}

// finishLocked says that q has its answer.
func (l *link) finishLocked(q *query) {
	q.done = true
	l.wakeLocked(q)
}

func (l *link) wakeLocked(q *query) {
	if !q.waiting {
		return
	}
	l.unlineLocked(q)
	q.wake <- struct{}{}
}

func (l *link) lineLocked(q *query) {
	q.waiting, q.before, q.next = true, l.last, nil
	if l.last != nil {
		l.last.next = q
	} else {
		l.first = q
	}
	l.last = q
}

func (l *link) unlineLocked(q *query) {
	if q.before != nil {
		q.before.next = q.next
	} else {
		l.first = q.next
	}
	if q.next != nil {
		q.next.before = q.before
	} else {
		l.last = q.before
	}
	q.waiting, q.before, q.next = false, nil, nil
}

// ended returns why the link is of no more use, nil if it is.
func (l *link) ended() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.endedLocked()
}

func (l *link) endedLocked() error {
	if l.err != nil {
		return l.err
	}
	return l.lost
}

// do sends q and waits for its answer. The error is that of the connection or of ctx, and the manager's own: see failure.
//
// When ctx ends, the call is cancelled, and its answer is waited for all the same, so that what it has taken is not lost: if
// it is a result, do returns nil. A manager that does not answer the cancel either for the time of patience is given up, and
// the connection with it: it gives back what the call may still take.
func (l *link) do(ctx context.Context, q *query) error {
	if err := q.seal(0); err != nil {
		return err
	}
	if err := l.send(q, true); err != nil {
		return err
	}
	return l.finish(ctx, q)
}

// finish waits for the answer of what was sent.
func (l *link) finish(ctx context.Context, q *query) error {
	err := l.await(ctx, q)
	if err != nil {
		err = l.cancel(q, err)
	}
	if err != nil {
		return err
	}
	return q.failure()
}

// cancel ends a call whose context has ended with err, and returns nil if it has its answer.
func (l *link) cancel(q *query, err error) error {
	for {
		sign := l.query(proto.MethodCancel) // to be answered at once by a manager that lives
		sign.out = proto.AppendCancelParams(sign.out, proto.Cancel{ID: q.id})
		if sign.seal(0) == nil {
			l.send(sign, true)
		}
		ctx, stop := context.WithTimeout(context.Background(), l.patience)
		e := l.await(ctx, q)
		stop()
		if e == nil {
			if q.fault != nil && q.fault.Kind == proto.KindCancelled {
				return err
			}
			return nil
		}
		l.mu.Lock()
		alive := sign.done
		if !alive {
			l.failLocked(l.gone(fmt.Errorf("it does not answer for %v: %w", l.patience, err)))
		}
		l.mu.Unlock()
	}
}

// send sends a sealed query, now or, if that is no hurry, together with what follows.
func (l *link) send(q *query, now bool) error {
	l.mu.Lock()
	if err := l.endedLocked(); err != nil {
		l.mu.Unlock()
		return err
	}
	l.pending[q.id] = q
	switch {
	case l.writing || !now && len(l.out)+len(q.out) < copyBelow:
		l.out = append(l.out, q.out...)
		l.mu.Unlock()
	case len(l.out) > 0:
		l.out = append(l.out, q.out...)
		l.flush()
	default:
		l.writing = true
		l.write(q.out, false)
	}
	return nil
}

// sendWith sends a sealed query with descriptors, which are the link's from the call on.
func (l *link) sendWith(q *query, fds []int) error {
	l.mu.Lock()
	for l.writing {
		l.idle.Wait()
	}
	if err := l.endedLocked(); err != nil {
		l.mu.Unlock()
		CloseFDs(fds)
		return err
	}
	l.pending[q.id] = q
	l.writing = true
	before := l.nextOut()
	frame := append([]byte(nil), q.out...)
	l.mu.Unlock()
	go func() {
		defer CloseFDs(fds)
		err := l.wire.write(before, nil)
		if err == nil {
			err = l.wire.write(frame, fds)
		}
		l.mu.Lock()
		if err != nil {
			l.lose(err)
			return
		}
		l.write(nil, false)
	}()
	return nil
}

// flush sends what is to be sent. It is called with mu held and returns without.
func (l *link) flush() {
	l.writing = true
	l.write(l.nextOut(), true)
}

// nextOut takes all frames to be sent.
func (l *link) nextOut() []byte {
	b := l.out
	l.out, l.spare = l.spare[:0], nil
	return b
}

// manyRounds is how often a caller sends what others have left to it, before a goroutine takes over.
const manyRounds = 8

// write sends b and all that comes meanwhile. It is called by who has set writing, with mu held, and returns without. ours
// tells that b is a buffer of the link.
func (l *link) write(b []byte, ours bool) {
	for round := 1; ; round++ {
		l.mu.Unlock()
		n, err := l.wire.tryWrite(b)
		l.mu.Lock()
		if err != nil {
			l.lose(err)
			return
		}
		if n < len(b) {
			go l.writeOn(append([]byte(nil), b[n:]...))
			l.mu.Unlock()
			return
		}
		if l.wrote(b, ours) {
			return
		}
		b, ours = l.nextOut(), true
		if round == manyRounds {
			go l.writeOn(b)
			l.mu.Unlock()
			return
		}
	}
}

// wrote tells whether there is nothing more to be sent; then mu is free.
func (l *link) wrote(b []byte, ours bool) bool {
	if ours && l.spare == nil && cap(b) <= keepAnswer {
		l.spare = b[:0]
	}
	if len(l.out) > 0 {
		return false
	}
	l.writing = false
	l.idle.Broadcast()
	l.mu.Unlock()
	return true
}

// writeOn sends b, however long that takes, and what comes meanwhile.
func (l *link) writeOn(b []byte) {
	for {
		err := l.wire.write(b, nil)
		l.mu.Lock()
		if err != nil {
			l.lose(err)
			return
		}
		if l.wrote(b, true) {
			return
		}
		b = l.nextOut()
		l.mu.Unlock()
	}
}

// lose notes that nothing can be sent any more; mu is held, and free afterwards. What the manager has sent before its end is
// still read: who waits reads it up to its end.
func (l *link) lose(err error) {
	defer l.mu.Unlock()
	l.writing, l.out = false, nil
	l.idle.Broadcast()
	if !gone(err) {
		l.failLocked(l.gone(err))
		return
	}
	if l.lost == nil {
		l.lost = l.gone(err)
	}
}

// await waits until q has its answer, or until ctx ends, and returns the error of ctx then.
func (l *link) await(ctx context.Context, q *query) error {
	l.mu.Lock()
	for {
		switch {
		case q.done:
			l.mu.Unlock()
			return nil
		case len(l.out) > 0 && !l.writing:
			l.flush()
			l.mu.Lock()
		case !l.reading:
			l.reading = true
			l.mu.Unlock()
			err := l.lead(ctx, q)
			l.mu.Lock()
			l.reading = false
			if next := l.first; next != nil {
				l.wakeLocked(next)
			}
			if err != nil && !q.done {
				l.mu.Unlock()
				return err
			}
		default:
			if err := l.follow(ctx, q); err != nil {
				l.mu.Unlock()
				return err
			}
		}
	}
}

// follow waits until somebody else has brought the answer of q, or has stopped reading, or until ctx ends.
func (l *link) follow(ctx context.Context, q *query) error {
	l.lineLocked(q)
	l.mu.Unlock()
	select {
	case <-q.wake:
		l.mu.Lock()
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	if q.waiting {
		l.unlineLocked(q)
	} else {
		<-q.wake
		if l.first != nil && !l.reading && !q.done {
			l.wakeLocked(l.first) // it was this one's turn to read
		}
	}
	if q.done {
		return nil
	}
	return ctx.Err()
}

// lead reads until q has its answer, or ctx has ended, or the link. What has come with the answer is handed out too.
func (l *link) lead(ctx context.Context, q *query) error {
	for {
		own, err := l.distribute(q)
		if own {
			return nil
		}
		if err == nil {
			err = l.fill(ctx)
		}
		if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return err
		}
		if err != nil {
			l.fail(l.gone(err))
			l.dropFDs()
			return nil
		}
	}
}

// dropFDs closes what has come for frames that nobody will read.
func (l *link) dropFDs() {
	CloseFDs(l.fds)
	l.fds = nil
}
