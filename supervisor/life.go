package supervisor

import (
	"context"
	"errors"
	"time"
)

// A life is one process of a child, from its start until it is reaped, its output delivered. One goroutine, run, lives
// it, and tells the loop of the Supervisor, which owns everything else.
type life struct {
	c       *member
	spec    ChildSpec // the child's; c itself is the loop's
	launch  launch
	stop    context.Context // ended by the loop: end it, by its own rule
	cancel  context.CancelFunc
	killed  context.Context // ended: no grace any more
	ending  context.Context // ended: the Supervisor ends, and waits for no slow reader of output
	reports chan<- report
	sweep   bool // kill what the process leaves behind, out of its group
}

// A runner is what a life has under it: a process, or a Supervisor.
type runner interface {
	PID() int
	Done() <-chan struct{}
	OutputDone() <-chan struct{}
	Exit() (Exit, bool)
	Stop(ctx context.Context, grace time.Duration) (Exit, error)
	StderrTail() []string
	Close() error
}

// A launch starts what a spec says. The process tells through signs; release lets go of what carries them, when
// all that it has said is delivered. (A field, so that a test can play all parts.)
type launch func(ctx context.Context, c ChildSpec, s signs) (r runner, release func(), err error)

// signs are what a process says of itself. Each channel has room for one.
type signs struct{ ready, alive chan struct{} }

func newSigns() signs { return signs{make(chan struct{}, 1), make(chan struct{}, 1)} }

// give never blocks: one sign is as good as many.
func give(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// A report is what a life tells the loop.
type report struct {
	life *life
	kind reportKind
	at   time.Time
	pid  int
	end  *ChildError // with reportEnded
}

type reportKind int

const (
	reportStarted reportKind = iota // there is a process
	reportReady
	reportEnded // always the last
)

func (l *life) run() {
	defer l.cancel()
	end := &ChildError{ID: l.spec.ID}
	defer func() { l.tell(report{kind: reportEnded, pid: end.PID, end: end}) }()
	s := newSigns()
	r, release, err := l.launch(l.stop, l.spec, s)
	if err != nil {
		end.Err = err
		return
	}
	defer r.Close()
	defer release()
	end.PID = r.PID()
	l.tell(report{kind: reportStarted, pid: end.PID})
	if end.Err = l.awaitReady(r, s, release); end.Err == nil {
		end.Err = l.awaitEnd(r, s)
	}
	l.bury(r, end)
}

func (l *life) tell(r report) {
	r.life, r.at = l, time.Now()
	l.reports <- r
}

// awaitReady returns when the process is ready, is dead, is to be stopped, or has taken too long: then with an error.
func (l *life) awaitReady(r runner, s signs, release func()) error {
	if l.spec.Ready.immediate() {
		l.tell(report{kind: reportReady, pid: r.PID()})
		return nil
	}
	ctx, cancel := context.WithCancel(l.stop)
	defer cancel()
	if check := l.spec.Ready.Check; check != nil {
		go ask(ctx, readyCheckEvery, true, check, s.ready)
	}
	t := time.NewTimer(l.spec.Ready.Timeout)
	defer t.Stop()
	select {
	case <-s.ready:
	case <-l.stop.Done():
		return nil
	case <-t.C:
		return ErrNotReady
	case <-r.Done(): // what it said before counts
		l.awaitOutput(r)
		release()
		select {
		case <-s.ready:
		default:
			return nil
		}
	}
	l.tell(report{kind: reportReady, pid: r.PID()})
	return nil
}

// awaitEnd returns when the process is dead, is to be stopped, or gave no sign of life: then with an error.
func (l *life) awaitEnd(r runner, s signs) error {
	every := l.spec.Liveness.Every
	if every == 0 {
		select {
		case <-r.Done():
		case <-l.stop.Done():
		}
		return nil
	}
	ctx, cancel := context.WithCancel(l.stop)
	defer cancel()
	if check := l.spec.Liveness.Check; check != nil {
		go ask(ctx, every/3, false, check, s.alive)
	}
	t := time.NewTimer(every)
	defer t.Stop()
	for last := time.Now(); ; t.Reset(every) {
		select {
		case <-r.Done():
			return nil
		case <-l.stop.Done():
			return nil
		case <-s.alive:
			last = time.Now()
		case <-t.C:
			// Whoever was held up himself (stopped, starved) can blame nobody for silence.
			held := time.Since(last) > every+every/4
			last = time.Now()
			select {
			case <-s.alive:
			default:
				if !held {
					return ErrSilent
				}
			}
		}
	}
}

// ask calls check again and again, and gives a sign when it returns nil; once, or as long as ctx lasts. It is not waited
// for, since check is the user's, and need not return.
func ask(ctx context.Context, every time.Duration, once bool, check func(context.Context) error, sign chan<- struct{}) {
	t := time.NewTicker(max(every, time.Millisecond))
	defer t.Stop()
	for ctx.Err() == nil {
		if check(ctx) == nil && ctx.Err() == nil {
			give(sign)
			if once {
				return
			}
		}
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
}

// bury ends the process, if it is not dead, and waits for its output.
func (l *life) bury(r runner, end *ChildError) {
	grace := time.Duration(0) // that of its spec
	if end.Err != nil {
		grace = BrutalKill
	}
	exit, err := r.Stop(l.killed, grace)
	if err != nil && !errors.Is(err, ErrStuck) {
		exit, err = r.Stop(context.Background(), BrutalKill)
	}
	end.Exit = exit
	if err != nil { // it sleeps in the kernel: how it will end is not known
		end.Exit.Lost = true
		end.Err = errors.Join(end.Err, err)
		return
	}
	l.awaitOutput(r)
	end.Stderr = r.StderrTail()
	if l.sweep {
		killOrphans(nil)
	}
}

// awaitOutput waits until what a dead process has printed is delivered, so that two processes of a child never print at
// once. Once the Supervisor ends, a consumer that takes nothing has a grace, and no more.
func (l *life) awaitOutput(r runner) {
	select {
	case <-r.OutputDone():
		return
	case <-r.Done():
	}
	select {
	case <-r.OutputDone():
		return
	case <-l.ending.Done():
	}
	t := time.NewTimer(defaultGrace)
	defer t.Stop()
	select {
	case <-r.OutputDone():
	case <-t.C:
	case <-l.killed.Done():
	}
}
