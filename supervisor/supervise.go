package supervisor

import (
	"context"
	"fmt"
	"time"
)

// loop is the one goroutine that owns the Supervisor. It does what can be done now, and waits for the next thing to happen.
func (s *Supervisor) loop() {
	defer close(s.done)
	defer supervisors.remove(s)
	defer s.kill()
	defer s.end(nil)
	stop := s.stop.Done()
	for {
		wake := s.step(time.Now())
		s.publish()
		s.answer() // when Status shows it
		if s.tree.over() {
			break
		}
		select {
		case r := <-s.reports:
			s.hear(r)
		case f := <-s.calls:
			f()
		case <-wake:
		case <-stop:
			stop = nil
			s.tree.end()
		}
	}
	s.tree.end()
	s.emit(ChildEvent{Kind: EventOver, Err: s.gaveUp})
	s.publish()
}

// step tells those to end who may, and starts those who may be. It returns when there is more to do, if time alone decides.
func (s *Supervisor) step(now time.Time) (wake <-chan time.Time) {
	s.settle(now)
	for _, c := range s.tree.mayStop() {
		c.set(ChildStopping, now)
		s.emit(ChildEvent{Kind: EventStop, Child: c.spec.ID, PID: c.pid})
		c.life.cancel()
	}
	list, next := s.tree.mayStart(now)
	for _, c := range list {
		s.start(c, now)
	}
	if next.IsZero() {
		return nil
	}
	return time.After(next.Sub(now))
}

// settle brings the children that have no process into the state that is theirs, and tells those who wait for it.
func (s *Supervisor) settle(now time.Time) {
	for i := 0; i < len(s.tree.children); {
		c := s.tree.children[i]
		switch {
		case c.life != nil:
		case c.up && c.state != ChildWaiting:
			c.set(ChildWaiting, now)
		case !c.up:
			if c.state != ChildFinished && c.state != ChildTerminated {
				c.set(ChildTerminated, now)
			}
			c.asked = false
			s.tell(&c.onReady, s.refusal(c))
			s.tell(&c.onDown, nil)
			if c.spec.Restart == Temporary && !s.tree.over() { // the last status tells of those who were there
				s.tree.remove(c)
				continue
			}
		}
		i++
	}
}

// refusal is why somebody waits in vain for a child to be ready.
func (s *Supervisor) refusal(c *member) error {
	switch {
	case s.gaveUp != nil:
		return s.gaveUp
	case s.tree.ending:
		if err := context.Cause(s.stop); err != ErrSupervisorEnded {
			return fmt.Errorf("%w: %w", ErrSupervisorEnded, err)
		}
		return ErrSupervisorEnded
	}
	return fmt.Errorf("%w: %s", ErrChildTerminated, c.spec.ID)
}

// tell prepares the answer to all who wait.
func (s *Supervisor) tell(list *[]chan<- error, err error) {
	for _, c := range *list {
		s.answers = append(s.answers, func() { c <- err }) // it has room
	}
	*list = nil
}

func (s *Supervisor) answer() {
	for _, f := range s.answers {
		f()
	}
	s.answers = nil
}

func (s *Supervisor) start(c *member, now time.Time) {
	stop, cancel := context.WithCancel(context.Background())
	c.life = &life{
		c: c, spec: c.spec, launch: s.opts.launcher, stop: stop, cancel: cancel,
		killed: s.killed, ending: s.stop, reports: s.reports, sweep: s.opts.Subreaper,
	}
	c.ready, c.pid = time.Time{}, 0
	c.starts++
	c.set(ChildStarting, now)
	go c.life.run()
}

// hear takes what a life tells.
func (s *Supervisor) hear(r report) {
	c := r.life.c
	switch r.kind {
	case reportStarted:
		c.pid = r.pid
		s.emit(ChildEvent{Kind: EventStarted, Child: c.spec.ID, PID: c.pid})
	case reportReady:
		c.ready = r.at
		if c.state == ChildStarting {
			c.asked, c.initial, c.fresh = false, false, false
			c.set(ChildRunning, r.at)
			s.tell(&c.onReady, nil)
		}
		s.emit(ChildEvent{Kind: EventReady, Child: c.spec.ID, PID: c.pid})
	case reportEnded:
		s.emit(ChildEvent{Kind: EventEnded, Child: c.spec.ID, PID: c.pid, End: r.end})
		s.ended(c, r)
	}
}

// ended decides what becomes of a child whose process is gone.
func (s *Supervisor) ended(c *member, r report) {
	meant := c.mustEnd()
	c.life, c.pid, c.last = nil, 0, r.end
	c.recycle = false
	switch {
	case meant:
	case c.asked: // nobody was told that it is there
		c.up, c.asked = false, false
		s.tell(&c.onReady, r.end)
		if c.initial {
			s.tree.end()
			s.end(r.end)
		}
		if c.fresh {
			s.tree.remove(c)
		}
	default:
		s.decide(c, r)
	}
}

// decide asks the policy about a child that ended by itself.
func (s *Supervisor) decide(c *member, r report) {
	rule := c.spec.Restart
	if s.tree.draining {
		rule = Temporary
	}
	e := childEnd{rule: rule, exit: r.end.Exit, failed: r.end.Err != nil || c.ready.IsZero()}
	if !c.ready.IsZero() {
		e.ran = r.at.Sub(c.ready)
	}
	h, v := s.opts.policy.decide(history{s.restarts, c.row}, e, r.at)
	s.restarts, c.row = h.restarts, h.row
	switch v.action {
	case doNothing:
		c.up = false
		c.set(ChildFinished, r.at)
	case doRestart:
		s.total++
		c.restarts++
		s.tree.restart(c, r.at.Add(v.after))
		s.emit(ChildEvent{Kind: EventRestart, Child: c.spec.ID, After: v.after, End: r.end})
	case doGiveUp:
		p := s.opts.policy
		s.gaveUp = &limitError{fmt.Sprintf("supervisor: %s gives up: more than %d restarts in %v", s.opts.Name, p.intensity, p.period), r.end}
		s.emit(ChildEvent{Kind: EventGiveUp, Child: c.spec.ID, End: r.end, Err: s.gaveUp})
		s.tree.end()
		s.end(s.gaveUp)
	}
}
