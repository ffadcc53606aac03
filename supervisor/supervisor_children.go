package supervisor

import (
	"context"
	"fmt"
)

// StartChild adds a child behind all others, starts it, and waits until it is ready. If it does not start, it is forgotten, and
// the error is a ChildError. When ctx ends first, the error wraps its cause, and the child stays. Errors: ErrChildExists,
// ErrChildTerminated (by somebody else, meanwhile), ErrSupervisorEnded.
func (s *Supervisor) StartChild(ctx context.Context, spec ChildSpec) error {
	spec, err := spec.prepared()
	if err != nil {
		return err
	}
	return s.request(ctx, "start", spec.ID, func(answer chan<- error) error {
		c, err := s.tree.add(spec)
		if err == nil {
			c.onReady = append(c.onReady, answer)
		}
		return err
	})
}

// TerminateChild stops a child, within its own grace, and waits until its process is gone. It is not started again, but by
// RestartChild, and by a strategy that starts it together with another; a Temporary one is forgotten. Errors: ErrNoChild;
// ErrSupervisorEnded; the cause of ctx, and the child is stopped all the same.
func (s *Supervisor) TerminateChild(ctx context.Context, id string) error {
	return s.request(ctx, "terminate", id, func(answer chan<- error) error {
		c, err := s.tree.find(id)
		if err == nil {
			c.up = false
			c.onDown = append(c.onDown, answer)
		}
		return err
	})
}

// RestartChild starts a child that was terminated, or has ended and was not to be started again, and waits until it is ready.
// If it does not start, the error is a ChildError, and it stays as it was. Errors: ErrNoChild, ErrChildRunning (also
// while it waits for back-off), ErrChildTerminated, ErrSupervisorEnded; the cause of ctx, and it is started all the same.
func (s *Supervisor) RestartChild(ctx context.Context, id string) error {
	return s.request(ctx, "restart", id, func(answer chan<- error) error {
		c, err := s.stopped(id)
		if err == nil {
			c.up, c.asked = true, true
			c.row = 0
			c.due = c.since // now, that is
			c.onReady = append(c.onReady, answer)
		}
		return err
	})
}

// DeleteChild forgets a child that was terminated, or has ended and was not to be started again. Errors: ErrNoChild,
// ErrChildRunning, ErrSupervisorEnded.
func (s *Supervisor) DeleteChild(ctx context.Context, id string) error {
	return s.request(ctx, "delete", id, func(answer chan<- error) error {
		c, err := s.stopped(id)
		if err == nil {
			s.tree.remove(c)
			s.answers = append(s.answers, func() { answer <- nil })
		}
		return err
	})
}

// stopped finds a child that has no process and is to have none.
func (s *Supervisor) stopped(id string) (*member, error) {
	c, err := s.tree.find(id)
	if err == nil && (c.up || c.life != nil) {
		err = fmt.Errorf("%w: %s", ErrChildRunning, id)
	}
	return c, err
}

// request lets the loop run f, and waits for what f says, or leaves to be answered later.
func (s *Supervisor) request(ctx context.Context, what, id string, f func(answer chan<- error) error) error {
	answer := make(chan error, 1)
	call := func() {
		err := ErrSupervisorEnded
		if !s.tree.ending && !s.tree.draining {
			err = f(answer)
		}
		if err != nil {
			answer <- err
		}
	}
	cancelled := func() error {
		return fmt.Errorf("supervisor: %s child %s: %w", what, id, context.Cause(ctx))
	}
	if ctx.Err() != nil {
		return cancelled()
	}
	select {
	case s.calls <- call:
	case <-s.done:
		return ErrSupervisorEnded
	case <-ctx.Done():
		return cancelled()
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return cancelled()
	}
}
