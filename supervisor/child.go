package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// Graces of a Spec beside a time: how Supervisor, Stop and the exit rules end a process.
const (
	BrutalKill time.Duration = -1            // SIGKILL at once
	Infinity   time.Duration = math.MaxInt64 // SIGTERM, and no limit: for a child that has children of its own to end
)

// A ChildSpec says what a child of a Supervisor is. The Supervisor copies it. Exactly one of Program and Tree is set.
type ChildSpec struct {
	// ID is the child's name among its siblings; "" is the name of the program (Spec.Name, or the entry's).
	ID string

	// Program is what runs: a Spec, or an Entry with its argument. Its Grace is how the child is stopped: SIGTERM to
	// the group, so long, SIGKILL to the group; BrutalKill; or Infinity. A stderr of which its Spec says nothing goes
	// to SupervisorOptions.Logger, and its last lines are in ChildError.
	Program Program

	// Tree makes the child a Supervisor of its own, in this process. It counts as ready when all its children
	// are, fails when it gives up, and is stopped as it stops: without a limit of its own. Ready and
	// Liveness do not apply.
	Tree *SupervisorOptions

	Restart  Restart   // zero: Permanent
	Ready    Readiness // zero: ready as soon as the program runs
	Liveness Liveness  // zero: no sign of life is asked for
}

// Readiness says when a child counts as started, so that the next one may be. One of Notify, Line and Check can be set.
type Readiness struct {
	// Notify: the child says so itself, by calling Ready, or READY=1 in the protocol of sd_notify(3).
	Notify bool
	// Line: it prints a line to stdout that contains this. Its Spec's Stdout must be zero or a pipe.
	Line string
	// Check is called again and again, in a goroutine of its own, until it returns nil. Its context ends with
	// the start; one that goes on regardless is not waited for.
	Check func(ctx context.Context) error
	// Timeout is the limit for that, after which the child is killed (ErrNotReady): a failure like an early death. 0 is 10 s.
	Timeout time.Duration
}

func (r Readiness) immediate() bool { return !r.Notify && r.Line == "" && r.Check == nil }

// Liveness asks a child for a sign of life, from when it is ready.
type Liveness struct {
	// Every: at least so often, or it is killed (ErrSilent) and treated as if it had died. 0: none is asked for. A process
	// that is stopped (SIGSTOP) gives none.
	Every time.Duration
	// Check is the sign: it is called three times in that while, in a goroutine of its own, and shall return nil. nil:
	// the child gives signs itself, by calling Alive, or WATCHDOG=1 in the protocol of sd_notify(3).
	Check func(ctx context.Context) error
}

func (l Liveness) notify() bool { return l.Every > 0 && l.Check == nil }

const (
	defaultReadyTimeout = 10 * time.Second
	readyCheckEvery     = 20 * time.Millisecond
)

// prepared returns a complete and checked copy.
func (c ChildSpec) prepared() (ChildSpec, error) {
	if (c.Program == nil) == (c.Tree == nil) {
		return c, fmt.Errorf("supervisor: child %q: either Program or Tree must be set", c.ID)
	}
	if c.Ready.Timeout == 0 {
		c.Ready.Timeout = defaultReadyTimeout
	}
	if c.Tree != nil {
		tree, err := c.Tree.filled()
		c.Tree, c.ID = &tree, cmp.Or(c.ID, tree.Name)
		return c, errors.Join(err, c.checkTree())
	}
	spec, err := c.Program.spec().prepared()
	c.ID = cmp.Or(c.ID, spec.Name)
	if err != nil {
		return c, fmt.Errorf("supervisor: child %s: %w", c.ID, err)
	}
	return c, c.check(spec)
}

func (c ChildSpec) checkTree() error {
	if !c.Ready.immediate() || c.Liveness.Every != 0 {
		return fmt.Errorf("supervisor: child %s: a Tree has no Ready and no Liveness", c.ID)
	}
	return c.checkRule()
}

func (c ChildSpec) check(s Spec) error {
	ways := 0
	for _, set := range []bool{c.Ready.Notify, c.Ready.Line != "", c.Ready.Check != nil} {
		if set {
			ways++
		}
	}
	switch {
	case ways > 1:
		return fmt.Errorf("supervisor: child %s: only one of Ready.Notify, Line and Check can be had", c.ID)
	case c.Ready.Timeout < 0 || c.Liveness.Every < 0:
		return fmt.Errorf("supervisor: child %s: ready within %v, sign of life every %v: expected at least 0", c.ID, c.Ready.Timeout, c.Liveness.Every)
	case c.Liveness.Check != nil && c.Liveness.Every == 0:
		return fmt.Errorf("supervisor: child %s: Liveness.Check without Every", c.ID)
	case c.Ready.Line != "" && (s.Stdout.Inherit || s.Stdout.File != nil):
		return fmt.Errorf("supervisor: child %s: Ready.Line needs a stdout that is zero or a pipe", c.ID)
	}
	return c.checkRule()
}

func (c ChildSpec) checkRule() error {
	if c.Restart < Permanent || c.Restart > Temporary {
		return fmt.Errorf("supervisor: child %s: restart rule %d", c.ID, int(c.Restart))
	}
	return nil
}
