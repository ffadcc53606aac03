package supervisor

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

const (
	chunkTime  = time.Millisecond // what a chunk of a Map is to take
	chunkLimit = 16 << 10         // elements of a chunk
	chunkBytes = 1 << 20          // of its arguments, about
)

// Map has pool run the task with each of args, and yields the results in that order. An error is one of the results, and the
// next comes after it. (Python's imap, lazy at both ends.)
//
// Arguments are taken as they are needed, in the goroutine that ranges over Map: no more are under way than a few for each place,
// or done and not yet yielded. The pool chooses how many go in one ticket, such that it takes about a millisecond, and fewer while
// args come slowly. When a process dies, the element that it died of has the error, and the others of its ticket are run again: an
// element may be run more than once. With a Timeout, or more than one of Attempts, in with, each element is a ticket of its own, and
// run at most so often. When the loop is left, what is left is cancelled; when ctx ends, its cause is the last error.
func (t *Task[A, R]) Map(ctx context.Context, pool *Pool, args iter.Seq[A], with ...Ticket) iter.Seq2[R, error] {
	return t.mapping(ctx, pool, args, true, with)
}

// MapUnordered is Map, but yields each result when it comes. (Python's imap_unordered.)
func (t *Task[A, R]) MapUnordered(ctx context.Context, pool *Pool, args iter.Seq[A], with ...Ticket) iter.Seq2[R, error] {
	return t.mapping(ctx, pool, args, false, with)
}

// Each has pool run the task with each of args, for what it does: results are dropped. It returns when all are done, or at the first
// error, and then what is left is cancelled.
func (t *Task[A, R]) Each(ctx context.Context, pool *Pool, args iter.Seq[A], with ...Ticket) error {
	for _, err := range t.MapUnordered(ctx, pool, args, with...) {
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *Task[A, R]) mapping(ctx context.Context, pool *Pool, args iter.Seq[A], ordered bool, with []Ticket) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		m := &mapper[A, R]{task: t, pool: pool, ctx: ctx, yield: yield, ordered: ordered}
		if len(with) > 0 {
			m.ticket = with[0]
		}
		m.begin()
		for arg := range args {
			if !m.take(arg) {
				return
			}
		}
		m.end()
	}
}

// A mapper is a loop over Map: what is under way of it.
type mapper[A, R any] struct {
	task    *Task[A, R]
	pool    *Pool
	ctx     context.Context
	yield   func(R, error) bool
	ordered bool
	ticket  Ticket // what each is like
	single  bool   // each element is a ticket of its own
	window  int    // tickets under way, at most
	speed   *speed

	args  []A       // of the chunk that is being filled
	size  int       // of it
	since time.Time // when the first of args came

	chunks []*chunk[A, R]    // under way, oldest first
	done   chan *chunk[A, R] // those that are, if they need no order
	free   []*chunk[A, R]
	over   bool // nothing more shall be yielded
}

// A chunk is one ticket of a Map.
type chunk[A, R any] struct {
	args    []A
	results []R
	pending *Pending
	link    link[hook]
}

func (m *mapper[A, R]) begin() {
	m.pool.mu.Lock()
	m.window = 2*len(m.pool.places)*m.pool.slots() + 2
	m.speed = m.pool.speedOf(m.task.name)
	m.single = !m.pool.chunks || m.ticket.Timeout > 0 || m.ticket.Attempts > 1
	m.pool.mu.Unlock()
	m.size = 1
	if !m.ordered {
		m.done = make(chan *chunk[A, R], m.window+1)
	}
}

// take takes one more argument; false: the loop was left.
func (m *mapper[A, R]) take(arg A) bool {
	if len(m.args) == 0 {
		m.since = time.Now()
	}
	m.args = append(m.args, arg)
	n := len(m.args)
	if n < m.size && (n&63 != 0 || time.Since(m.since) < chunkTime) {
		return true
	}
	return m.launch()
}

// end yields what is left.
func (m *mapper[A, R]) end() {
	if len(m.args) > 0 && !m.launch() {
		return
	}
	for len(m.chunks) > 0 && m.giveOne() {
	}
}

// launch submits the chunk that was filled, after making room for it.
func (m *mapper[A, R]) launch() bool {
	for len(m.chunks) > 0 && (len(m.chunks) >= m.window || m.ready()) {
		if !m.giveOne() {
			return false
		}
	}
	c := m.newChunk()
	c.args, m.args = m.args, c.args[:0]
	m.resize(len(c.args))
	return m.submit(c)
}

// ready tells whether a result can be given without waiting.
func (m *mapper[A, R]) ready() bool {
	if m.ordered {
		return m.chunks[0].pending.kept.Load()
	}
	return len(m.done) > 0
}

// resize chooses how many elements the next chunk has, after one of n.
func (m *mapper[A, R]) resize(n int) {
	if m.single {
		return
	}
	m.pool.mu.Lock()
	each := m.speed.average
	m.pool.mu.Unlock()
	if each == 0 || n < m.size { // nothing is known; or the arguments come slowly
		m.size = max(n, 1)
		if n == 1 && each > 0 && time.Since(m.since) < chunkTime {
			m.size = 2
		}
		return
	}
	m.size = min(int(chunkTime/each), 4*m.size, chunkLimit)
	m.size = max(m.size, 1)
}

func (m *mapper[A, R]) newChunk() *chunk[A, R] {
	if n := len(m.free); n > 0 {
		c := m.free[n-1]
		m.free = m.free[:n-1]
		return &chunk[A, R]{args: c.args, results: c.results}
	}
	return &chunk[A, R]{}
}

// submit has the pool run a chunk; when it cannot, its elements go one by one.
func (m *mapper[A, R]) submit(c *chunk[A, R]) bool {
	t := m.ticket
	t.Task = m.task.name
	n := len(c.args)
	if n > 1 || !m.single {
		b, _, err := proto.AppendItems(proto.AppendArrayHeader(make([]byte, 0, 8+3*n), n), c.args)
		if held, ok := errors.AsType[*proto.ItemHandleError](err); ok {
			ipc.CloseFDs(held.FDs)
		}
		if err == nil {
			t.chunk, t.Args = n, proto.Payload{Bytes: b}
		} else if n > 1 {
			return m.split(c, 0)
		}
	}
	if t.chunk == 0 {
		args, err := proto.Marshal(c.args[0])
		if err != nil {
			ipc.CloseFDs(args.FDs)
			return m.failed(fmt.Errorf("supervisor: arguments of %s: %w", m.task.name, err))
		}
		t.Args = args
	}
	if len(t.Args.Bytes) > chunkBytes {
		m.size = max(m.size/2, 1)
	}
	c.pending = new(Pending)
	if err := m.pool.submit(m.ctx, c.pending, t, mayWait); err != nil {
		m.over = true
		return m.giveAll() && m.failed(err) && false
	}
	m.chunks = append(m.chunks, c)
	if !m.ordered {
		c.link.value = hook{call: func(int) { m.done <- c }}
		if !c.pending.watch(&c.link) {
			m.done <- c
		}
	}
	return true
}

// failed yields an error in the place of an element.
func (m *mapper[A, R]) failed(err error) bool {
	var zero R
	return m.yield(zero, err)
}

// giveAll yields what is under way.
func (m *mapper[A, R]) giveAll() bool {
	for len(m.chunks) > 0 {
		if !m.giveOne() {
			return false
		}
	}
	return true
}

// giveOne waits for a chunk and yields its results; false: the loop was left, or has to be.
func (m *mapper[A, R]) giveOne() bool {
	var c *chunk[A, R]
	if m.ordered {
		c = m.chunks[0]
		if err := c.pending.await(m.ctx); err != nil {
			m.over = true
			return m.failed(context.Cause(m.ctx)) && false
		}
	} else {
		select {
		case c = <-m.done:
		case <-m.ctx.Done():
			m.over = true
			return m.failed(context.Cause(m.ctx)) && false
		}
	}
	m.remove(c)
	r := c.pending.take()
	n := len(c.args)
	if r.Err != nil {
		if m.ctx.Err() != nil {
			m.over = true
			return m.failed(context.Cause(m.ctx)) && false
		}
		return m.giveFailed(c, r)
	}
	if c.pending.ticket.chunk == 0 {
		return m.giveSingle(c, r)
	}
	if cap(c.results) < n {
		c.results = make([]R, n)
	}
	c.results = c.results[:n]
	errs, err := proto.ParseChunk(r.Value.Bytes, c.results)
	if err != nil {
		err = fmt.Errorf("supervisor: result of ticket %s: %w", r.ID, err)
	}
	for i, v := range c.results {
		e := err
		if e == nil && errs != nil {
			e = errs[i]
		}
		if !m.yield(v, e) {
			return false
		}
	}
	clear(c.results)
	clear(c.args)
	m.free = append(m.free, c)
	return true
}

func (m *mapper[A, R]) remove(c *chunk[A, R]) {
	for i, d := range m.chunks {
		if c == d {
			m.chunks = append(m.chunks[:i], m.chunks[i+1:]...)
			return
		}
	}
}

func (m *mapper[A, R]) giveSingle(c *chunk[A, R], r Result) bool {
	var v R
	left, err := proto.Unmarshal(r.Value, &v, proto.Limits{})
	ipc.CloseFDs(left)
	if err != nil {
		err = fmt.Errorf("supervisor: result of ticket %s: %w", r.ID, err)
	}
	return m.yield(v, err)
}

// giveFailed yields the error of a ticket. If it had several elements, the one that it has failed by has the error, and the
// others are run again, alone: one of them may be no better.
func (m *mapper[A, R]) giveFailed(c *chunk[A, R], r Result) bool {
	n := len(c.args)
	if n == 1 {
		return m.failed(r.Err)
	}
	if r.Outcome == OutcomeCancelled || r.Outcome == OutcomeLost {
		for range n {
			if !m.failed(r.Err) {
				return false
			}
		}
		return true
	}
	return m.split(c, elementOf(r.Err))
}

// split runs the elements of a chunk one by one, in the place of the chunk, and yields what they come to. culprit counts from 1; its error
// is known already. 0: nobody knows.
func (m *mapper[A, R]) split(c *chunk[A, R], culprit int) bool {
	if m.ordered && !m.giveBefore(c) {
		return false
	}
	var known error
	if culprit > 0 {
		known = c.pending.result.Err
	}
	rest := m.chunks
	m.chunks = nil
	defer func() { m.chunks = append(m.chunks, rest...) }()
	for i, arg := range c.args {
		if i+1 == culprit {
			if !m.failed(known) {
				return false
			}
			continue
		}
		v, err := m.task.Call(m.ctx, m.pool, arg, m.ticket)
		if !m.yield(v, err) {
			return false
		}
	}
	return true
}

// giveBefore yields what is under way already when c cannot be submitted.
func (m *mapper[A, R]) giveBefore(c *chunk[A, R]) bool {
	if c.pending != nil {
		return true // it was the oldest
	}
	return m.giveAll()
}

// elementOf returns which element of its chunk a ticket has failed by, from 1; 0: that is not known.
func elementOf(err error) int {
	if died, ok := errors.AsType[*WorkerDiedError](err); ok {
		return died.Element
	}
	if f, ok := errors.AsType[*proto.Fault](err); ok && (f.Kind == proto.KindPanic || f.Kind == proto.KindGoexit) {
		var element int
		if _, err := proto.Unmarshal(proto.Payload{Bytes: f.Value}, &element, proto.Limits{}); err == nil {
			return element
		}
	}
	return 0
}
