package supervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// A worker is one process of a place, from its start to its end.
type worker struct {
	proc     *Process
	born     procStat // as it was when it became ready
	conn     *ipc.Conn
	hello    proto.Hello
	lastID   uint64        // of the runs before the first ticket
	ended    chan struct{} // closed when nothing more will come; then failed is set
	failed   error
	unread   atomic.Bool // it does not read, and is killed for it
	lied     atomic.Bool // it has written what it must not into its page, and is killed for it
	tooLarge atomic.Bool // it has more memory than it may, and is killed for it
}

// An answer is the response to a run, with its descriptors.
type answer struct {
	message proto.Message
	fds     []int
}

// drainLimit is how long, after a process is dead, its last words may take to be
// read. They lie in the socket already.
const drainLimit = 2 * time.Second

// startWorker starts a process for the place and returns when it is ready. When ctx
// ends, the process is killed. The error of a process that ended has its last words.
func (p *place) startWorker(ctx context.Context) (*worker, error) {
	clearBoard(p.board)
	w, err := p.launch()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { w.proc.Kill() })
	w.conn.SetReadDeadline(time.Now().Add(p.pool.opts.StartTimeout))
	w.hello, err = greet(w.conn, p.welcome(), p.board)
	if init := p.pool.opts.Initializer; err == nil && init.Task != "" {
		if err = w.runAlone(init); err != nil {
			err = fmt.Errorf("%w: %w", errInitializer, err)
		}
	}
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, w.discard(p.pool, err)
	}
	w.born, _ = readStat(w.proc.PID())
	w.conn.SetReadDeadline(time.Time{})
	return w, nil
}

// launch starts the process with its end of a socket pair.
func (p *place) launch() (*worker, error) {
	ours, theirs, err := ipc.Socketpair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	conn, err := ipc.NewConn(ours, ipc.ConnOptions{Name: p.name})
	if err != nil {
		return nil, err
	}
	spec, err := p.spec(theirs)
	if err == nil {
		var proc *Process
		if proc, err = Start(spec); err == nil {
			return &worker{proc: proc, conn: conn, ended: make(chan struct{})}, nil
		}
	}
	conn.Close()
	return nil, err
}

func (p *place) spec(theirs *os.File) (Spec, error) {
	o := p.pool.opts
	variable, err := workerVariable(theirs)
	if err != nil {
		return Spec{}, err
	}
	s := Spec{
		Name:        p.name,
		Path:        o.Program,
		Args:        o.Args,
		Env:         append(withoutVariable(os.Environ()), variable),
		Inherit:     theirs,
		DeathSignal: deathSignal,
		Daemon:      true,
		Grace:       o.Grace,
		Stdout:      Output{Lines: p.pool.stdout()},
		Stderr:      Output{Lines: logLines(p.pool.log.Named(p.name)), Tail: true},
	}
	if len(s.Args) == 0 {
		s.Args = []string{p.title()}
	}
	return s, nil
}

// discard ends a process that is of no use and says what was known of it.
func (w *worker) discard(pool *Pool, why error) error {
	if errors.Is(why, proto.ErrVersion) {
		w.proc.waitFor(pool.terminated, lastMoment) // it has been answered, and may have something to say
	}
	w.conn.Close()
	exit, err := w.proc.Stop(context.Background(), -1)
	if err != nil {
		return errors.Join(why, err)
	}
	w.awaitOutput(pool)
	tail := w.proc.StderrTail()
	w.proc.Close()
	last := ""
	if len(tail) > 0 {
		last = "; on stderr: " + lastWord(tail)
	}
	return &startError{err: fmt.Errorf("%w (pid %d, %v%s)", why, w.proc.PID(), exit, last), exit: exit}
}

// A startError is the end of a process that was not ready yet.
type startError struct {
	err  error
	exit Exit
}

func (e *startError) Error() string { return e.err.Error() }
func (e *startError) Unwrap() error { return e.err }

// hopeless tells whether another start would go the same way. first tells that the place has had no process that
// became ready: then one that speaks otherwise, has nothing to say, or ends as if all were done, is no worker.
func hopeless(err error, first bool) bool {
	if e, ok := errors.AsType[*startError](err); ok {
		if first && (errors.Is(err, errInitializer) || errors.Is(err, proto.ErrProtocol) || errors.Is(err, proto.ErrTooLarge) || errors.Is(err, ErrProtocol) ||
			errors.Is(err, os.ErrDeadlineExceeded) || e.exit.Success()) {
			return true
		}
		return e.exit.Signal == 0 && e.exit.Code == exitMisuse || errors.Is(err, proto.ErrVersion)
	}
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) || errors.Is(err, exec.ErrNotFound) ||
		errors.Is(err, ErrDaemonChild) || errors.Is(err, ErrHookMissed)
}

// errInitializer marks the failure of a pool's initializer.
var errInitializer = errors.New("initializer")

// runAlone has the worker run what is no ticket of the pool's, while it has none: the initializer or the finalizer. The
// connection's deadline bounds it.
func (w *worker) runAlone(t Ticket) error {
	w.lastID++
	h := handed{id: w.lastID, task: t.Task, args: t.Args, run: proto.Run{Ticket: t.ID}}
	if err := h.write(w.conn); err != nil {
		return err
	}
	for {
		m, fds, err := w.next()
		ipc.CloseFDs(fds)
		switch {
		case err != nil:
			return err
		case m.Kind == proto.Response && m.ID == h.id && m.Fault != nil:
			return m.Fault
		case m.Kind == proto.Response && m.ID == h.id:
			return nil
		case m.Kind == proto.Response:
			return fmt.Errorf("%w: answer to request %d, which is not under way", ErrProtocol, m.ID)
		}
	}
}

// next reads a message, and answers it itself if it is a request.
func (w *worker) next() (proto.Message, []int, error) {
	f, err := w.conn.ReadFrame()
	if err != nil {
		return proto.Message{}, nil, err
	}
	m, err := proto.ParseMessage(f.Body, proto.Limits{})
	switch {
	case err != nil:
		f.Close()
		return m, nil, err
	case m.Kind == proto.Response:
		return m, f.FDs, nil
	case m.Kind == proto.Request:
		w.refuse(m)
	}
	f.Close()
	return m, nil, nil
}

// read passes on what the worker answers, up to the end of the connection: what a
// process has written before its death is still there.
func (w *worker) read(p *place) {
	defer close(w.ended)
	var list []answer
	for w.failed == nil {
		list = list[:0]
		for w.failed == nil && len(list) < aheadCount && (len(list) == 0 || w.conn.Buffered()) {
			m, fds, err := w.next()
			w.failed = err
			if err != nil || m.Kind != proto.Response {
				continue
			}
			if m.Fault != nil {
				ipc.CloseFDs(fds) // a fault has none
				fds = nil
			}
			list = append(list, answer{m, fds})
		}
		if len(list) > 0 {
			if err := p.answered(list); err != nil && w.failed == nil {
				w.failed = err
			}
		}
	}
}

// kept returns the answers that a dead worker had kept back in its page, and that has says are still wanted. What was sent
// already may be among them.
func (w *worker) kept(page *ipc.Block, has func(id uint64) bool) (list []answer) {
	n := page.Word(proto.ScoreKept).Load()
	if !boardOf(page, w.proc.PID()) || n > proto.ScoreKeptSize {
		return nil
	}
	rest := bytes.Clone(page.Range(proto.ScoreKeptOffset, int(n)))
	for len(rest) > 0 {
		h, err := proto.ParseHeader(rest, proto.Limits{})
		if err != nil || h.Descriptors > 0 || h.Length > len(rest)-proto.HeaderSize {
			return list
		}
		m, err := proto.ParseMessage(rest[proto.HeaderSize:][:h.Length], proto.Limits{})
		if err != nil {
			return list
		}
		if m.Kind == proto.Response && has(m.ID) {
			list = append(list, answer{message: m})
		}
		rest = rest[proto.HeaderSize+h.Length:]
	}
	return list
}

// killDeaf kills a process that does not read.
func (w *worker) killDeaf() {
	w.unread.Store(true)
	w.proc.Kill()
}

// killLiar kills a process whose claim word nobody can rely on.
func (w *worker) killLiar() {
	w.lied.Store(true)
	w.proc.Kill()
}

// deaf tells whether it was killed for not reading.
func (w *worker) deaf() error {
	if !w.unread.Load() {
		return nil
	}
	return fmt.Errorf("it does not read: %w", os.ErrDeadlineExceeded)
}

// refuse answers a request that this version does not know.
func (w *worker) refuse(m proto.Message) {
	fault := &proto.Fault{Kind: proto.KindUnknownMethod, Text: "unknown method " + m.Method}
	w.conn.WriteFrame(nil, proto.AppendResponse(nil, m.ID, fault, nil))
}

func (w *worker) tellCancel(id uint64, reason string, grace time.Duration) error {
	c := proto.Cancel{ID: id, Reason: reason, Grace: grace}
	return w.conn.WriteFrame(nil, proto.AppendNotify(nil, proto.MethodCancel, proto.AppendCancelParams(nil, c)))
}

// atOnce bounds a write that finds room in the socket unless the worker is up to something: it sends requests,
// for instance, and does not read the answers, in the middle of which read waits with the wire in its hands.
func (w *worker) atOnce(write func() error) error {
	w.conn.SetWriteDeadline(time.Now().Add(drainLimit))
	defer w.conn.SetWriteDeadline(time.Time{})
	return write()
}

// drain is for a process that is dead: it bounds what still waits on its connection. Its last words are in the
// socket; whoever else holds the other end has none, and reads nothing.
func (w *worker) drain() {
	w.conn.SetReadDeadline(time.Now().Add(drainLimit))
	w.conn.SetWriteDeadline(time.Now().Add(drainLimit))
}

// breach returns what the worker did against the protocol, if that was the end of its connection.
func (w *worker) breach() error {
	if w.lied.Load() {
		return fmt.Errorf("%w: claim of an epoch that is not its own", ErrProtocol)
	}
	if errors.Is(w.failed, proto.ErrProtocol) || errors.Is(w.failed, proto.ErrTooLarge) || errors.Is(w.failed, ErrProtocol) {
		return w.failed
	}
	return nil
}

// stop ends a worker that has no ticket: it is told to stop, then made to. The finalizer runs before, for the grace at most.
func (w *worker) stop(p *place, grace time.Duration) {
	pool := p.pool
	if fin := pool.opts.Finalizer; fin.Task != "" && pool.terminated.Err() == nil {
		w.finalize(p, fin, grace)
	}
	w.conn.SetWriteDeadline(time.Now().Add(grace))
	w.conn.WriteFrame(nil, proto.AppendNotify(nil, proto.MethodStop, proto.AppendStopParams(nil, proto.Stop{Grace: grace})))
	w.proc.waitFor(pool.killed, grace)
	w.bury(pool, grace)
}

// finalize runs the finalizer as a ticket of the place's own: the answers come as those of all tickets.
func (w *worker) finalize(p *place, fin Ticket, grace time.Duration) {
	t, h := p.lastTicket(fin)
	w.conn.SetWriteDeadline(time.Now().Add(grace))
	if h.write(w.conn) != nil {
		return
	}
	select {
	case <-t.Done():
		if err := t.result.Err; err != nil {
			p.pool.log.Warn("finalizer fails", "place", p.number, "pid", w.proc.PID(), "error", err)
		}
	case <-time.After(grace):
		p.pool.log.Warn("finalizer does not end", "place", p.number, "pid", w.proc.PID())
	case <-p.pool.killed.Done():
	case <-w.ended:
	}
}

// bury sees to it that the process is dead, and lets go of all that was its.
func (w *worker) bury(pool *Pool, grace time.Duration) Exit {
	exit, err := w.proc.Stop(pool.killed, grace)
	if err != nil {
		exit, err = w.proc.Stop(context.Background(), -1)
	}
	if err != nil { // it sleeps in the kernel: how it will end is not known, but it is no success
		exit.Lost = true
		pool.log.Error("worker does not die", "pid", w.proc.PID(), "error", err)
	}
	w.drain()
	<-w.ended
	w.conn.Close()
	if err == nil {
		w.awaitOutput(pool)
	}
	w.proc.Close()
	return exit
}

// awaitOutput waits until what a dead process has printed is delivered. A consumer that does not take it holds the
// pool up: that is its back-pressure. But once the pool shall end it has the grace for it, and no more.
func (w *worker) awaitOutput(pool *Pool) {
	select {
	case <-w.proc.OutputDone():
		return
	case <-pool.terminated.Done():
	}
	t := time.NewTimer(pool.opts.Grace)
	defer t.Stop()
	select {
	case <-w.proc.OutputDone():
	case <-t.C:
	}
}
