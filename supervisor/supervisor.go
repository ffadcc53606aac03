package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

// SupervisorOptions of a Supervisor; the zero value is good.
type SupervisorOptions struct {
	Name     string   // for people; "" is "supervisor"
	Strategy Strategy // zero: OneForOne

	// Intensity is how many restarts within Period are borne; with one more the Supervisor gives up, stops its children and
	// ends with ErrRestartLimit. 0 is 5, negative is none. Period 0 is 10 s, and what so many restarts may be held up
	// by back-off and by Ready.Timeout of the first Children.
	Intensity int
	Period    time.Duration
	Backoff   Backoff

	// Children are started one after the other, each when the one before is ready.
	Children []ChildSpec

	// EndWithLast makes the Supervisor end when none of its children runs, or will be started again: each ended by itself, by
	// its rule for good, or was terminated. (OTP's auto_shutdown.)
	EndWithLast bool

	// Events gets what happens. The Supervisor never waits for it (as signal.Notify does not): its capacity is how many may
	// wait, and what finds no room is counted in ChildEvent.Dropped. The Supervisor does not close it: EventOver is the
	// last, and Done is closed. nil: events are not wanted.
	Events chan<- ChildEvent

	// Logger gets what children write to stderr, line by line, where their Spec does not say otherwise; nil is silence.
	Logger hclog.Logger

	// Subreaper makes this process inherit what dead children leave behind, however it detached itself, and kill it. Then
	// every child of this process that this package did not start is killed too.
	Subreaper bool

	policy   restartPolicy
	launcher launch // for tests
	nested   bool   // ended by the Supervisor above it, and nobody else
}

func (o SupervisorOptions) filled() (SupervisorOptions, error) {
	if o.Name == "" {
		o.Name = "supervisor"
	}
	switch b := o.Backoff; {
	case o.Strategy < OneForOne || o.Strategy > RestForOne:
		return o, fmt.Errorf("supervisor: %s: strategy %d", o.Name, int(o.Strategy))
	case o.Period < 0 || b.Min < 0 || b.Max < 0 || b.Stable < 0:
		return o, fmt.Errorf("supervisor: %s: period %v, back-off %v to %v, stable after %v: expected at least 0", o.Name, o.Period, b.Min, b.Max, b.Stable)
	}
	var errs []error
	ids := map[string]bool{}
	var slowest time.Duration
	o.Children = slices.Clone(o.Children)
	for i, c := range o.Children {
		c, err := c.prepared()
		if err == nil && ids[c.ID] {
			err = fmt.Errorf("%w: %s", ErrChildExists, c.ID)
		}
		errs = append(errs, err)
		ids[c.ID] = true
		if !c.Ready.immediate() {
			slowest = max(slowest, c.Ready.Timeout)
		}
		o.Children[i] = c
	}
	o.policy = o.restartPolicy(slowest)
	if o.launcher == nil {
		o.launcher = o.launch
	}
	return o, errors.Join(errs...)
}

// restartPolicy fills in what is not given.
func (o SupervisorOptions) restartPolicy(slowest time.Duration) restartPolicy {
	p := defaultRestart
	if o.Intensity != 0 {
		p.intensity = max(o.Intensity, 0)
	}
	b := o.Backoff
	set := func(d *time.Duration, to time.Duration) {
		if to != 0 {
			*d = to
		}
	}
	set(&p.min, b.Min)
	set(&p.max, b.Max)
	set(&p.stable, b.Stable)
	p.max = max(p.max, p.min)
	p.period += p.patience(slowest)
	set(&p.period, o.Period)
	return p
}

// A Supervisor keeps children running: it starts them in order, starts them again by their rules when they end, and
// stops them in reverse order, each within its own grace, when its context ends, when it is told to, or when they fail too
// often. (Erlang/OTP's supervisor, on processes.) Any number of goroutines may use it.
//
// One goroutine, loop, owns its state; each process has one of its own, which waits for it and reports. Hooks of the user
// run in neither.
type Supervisor struct {
	opts    SupervisorOptions
	reports chan report
	calls   chan func() // run by the loop
	stop    context.Context
	killed  context.Context
	end     context.CancelCauseFunc // ends stop
	kill    context.CancelFunc
	done    chan struct{}
	status  atomic.Pointer[SupervisorStatus]

	// The loop's own.
	tree     tree
	restarts []time.Time // that count
	total    int
	dropped  uint64
	answers  []func() // to be given
	gaveUp   error
}

// NewSupervisor starts the children and returns when all are ready. If one cannot be started, those before it are stopped in
// reverse order, and the error is a ChildError. When ctx ends, then or later, the Supervisor ends.
func NewSupervisor(ctx context.Context, o SupervisorOptions) (*Supervisor, error) {
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
	s := &Supervisor{
		opts: o, reports: make(chan report), calls: make(chan func()), done: make(chan struct{}),
		tree: tree{strategy: o.Strategy, endsWithLast: o.EndWithLast},
	}
	s.stop, s.end = context.WithCancelCause(ctx)
	s.killed, s.kill = context.WithCancel(context.Background())
	ready := make(chan error, len(o.Children))
	for _, spec := range o.Children {
		c, err := s.tree.add(spec)
		if err != nil {
			return nil, err
		}
		c.initial, c.onReady = true, append(c.onReady, ready)
	}
	s.publish()
	if !o.nested {
		supervisors.add(s)
	}
	go s.loop()
	for range o.Children {
		if err := <-ready; err != nil {
			<-s.done
			return nil, err
		}
	}
	return s, nil
}

// Status returns what the children are doing. It never waits, whatever they do.
func (s *Supervisor) Status() SupervisorStatus {
	st := *s.status.Load()
	st.Children = slices.Clone(st.Children)
	return st
}

// Done is closed when the Supervisor has ended: all children are stopped and reaped.
func (s *Supervisor) Done() <-chan struct{} { return s.done }

// Err is why the Supervisor gave up: ErrRestartLimit, with the ChildError of the last end. It is nil before the end, and
// when it was told to end.
func (s *Supervisor) Err() error {
	select {
	case <-s.done:
		return s.status.Load().Err
	default:
		return nil
	}
}

// Terminate ends the Supervisor: no child is started any more, and all are stopped in reverse start order, each within its own
// grace. It does not wait; see Join.
func (s *Supervisor) Terminate() { s.end(ErrSupervisorEnded) }

// Drain makes the Supervisor start nobody any more, and end when those that run have ended by themselves. It does not wait; see
// Join. Terminate and Kill cut it short.
func (s *Supervisor) Drain() {
	select {
	case s.calls <- func() { s.tree.drain() }:
	case <-s.done:
	}
}

// Kill does so with no grace for anybody. It does not wait; see Join.
func (s *Supervisor) Kill() {
	s.end(ErrSupervisorEnded)
	s.kill()
}

// Join waits for the end and returns Err; or, if ctx ends first, its cause.
func (s *Supervisor) Join(ctx context.Context) error {
	select {
	case <-s.done:
		return s.Err()
	case <-ctx.Done():
		return fmt.Errorf("supervisor: join %s: %w", s.opts.Name, context.Cause(ctx))
	}
}

// Close ends the Supervisor as Terminate does, waits for it, and returns Err. Twice is fine.
func (s *Supervisor) Close() error {
	s.Terminate()
	<-s.done
	return s.Err()
}

// supervisors are those that have not ended: Main ends them.
var supervisors openSupervisors

type openSupervisors struct {
	mu   sync.Mutex
	open []*Supervisor
}

func (o *openSupervisors) add(s *Supervisor) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open = append(o.open, s)
}

func (o *openSupervisors) remove(s *Supervisor) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open = slices.DeleteFunc(o.open, func(other *Supervisor) bool { return other == s })
}

func (o *openSupervisors) list() []*Supervisor {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.open)
}

// end ends them all, side by side, and waits.
func (o *openSupervisors) end() {
	list := o.list()
	for _, s := range list {
		s.Terminate()
	}
	for _, s := range list {
		<-s.done
	}
}
