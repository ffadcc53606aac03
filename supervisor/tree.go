package supervisor

import (
	"fmt"
	"slices"
	"time"
)

// Strategy says who is started again with a child that ended: those who cannot do without it.
type Strategy int

const (
	OneForOne  Strategy = iota // it alone
	OneForAll                  // all children: the others are stopped first, in reverse start order
	RestForOne                 // it and those that come after it in start order
)

func (s Strategy) String() string {
	return []string{"one for one", "one for all", "rest for one"}[s]
}

// A member is a child as the loop of a Supervisor knows it. It outlives its processes.
type member struct {
	spec    ChildSpec
	up      bool       // it shall run
	recycle bool       // its process shall end first
	asked   bool       // its first start, or one by RestartChild, is under way: if that fails, it is not tried again
	initial bool       // … and if that fails, the Supervisor does not start
	fresh   bool       // it was never ready
	life    *life      // nil: there is no process
	state   ChildState //
	due     time.Time  // it is not started before

	pid      int
	since    time.Time // of state
	ready    time.Time // when its process became ready; zero if it has not
	row      int       // see history
	starts   int
	restarts int
	last     *ChildError

	onReady []chan<- error // told when it is ready, or will not be
	onDown  []chan<- error // told when there is no process, and will be none
}

func (c *member) set(s ChildState, now time.Time) { c.state, c.since = s, now }

// mustEnd tells whether its process shall end.
func (c *member) mustEnd() bool { return c.life != nil && (!c.up || c.recycle) }

// settled tells whether nobody after it has to wait for it.
func (c *member) settled() bool { return !c.up || c.state == ChildRunning }

// A tree is the children in start order, and the rules of who waits for whom. It is only ever touched by the
// Supervisor's loop, does nothing itself, and reads no clock. What shall be is written in up and recycle; mayStop and mayStart then
// tell what can be done about it now. So it does not matter in which order things happen: a child that dies while others
// are being stopped for another's sake, one that is terminated while it waits for back-off, the end of all in between.
type tree struct {
	strategy Strategy
	children []*member
	ending   bool

	draining     bool // nobody is started any more
	endsWithLast bool // the end has come when nobody runs, or will
}

// mayStop returns those whose processes can be told to end now. Where children depend on each other the last comes first, and
// the next when it is gone; so it is, whatever the strategy, at the end of all.
func (t *tree) mayStop() (list []*member) {
	for _, c := range slices.Backward(t.children) {
		if !c.mustEnd() {
			continue
		}
		if c.state != ChildStopping {
			list = append(list, c)
		}
		if t.strategy != OneForOne || t.ending {
			break
		}
	}
	return list
}

// mayStart returns those that can be started now, and when the next can be (zero: not for time alone).
func (t *tree) mayStart(now time.Time) (list []*member, next time.Time) {
	for i, c := range t.children {
		if !c.up || c.life != nil || t.waits(i) {
			continue
		}
		if !c.due.After(now) {
			list = append(list, c)
		} else if next.IsZero() || c.due.Before(next) {
			next = c.due
		}
	}
	return list, next
}

// waits tells whether the child must not be started for the sake of another: one that comes before it and is not ready
// (in one-for-one that counts only when both are started for the first time), or one that depends on it and is not gone.
func (t *tree) waits(i int) bool {
	for j, other := range t.children {
		switch {
		case t.strategy == OneForOne:
			if j < i && !other.settled() && other.asked && t.children[i].asked {
				return true
			}
		case j < i && !other.settled(), j > i && other.mustEnd():
			return true
		}
	}
	return false
}

// restart makes the child, and by the strategy those that go with it, be started again, and none of them before due.
// Temporary ones are only stopped.
func (t *tree) restart(c *member, due time.Time) {
	c.due = due
	at := slices.Index(t.children, c)
	for i, other := range t.children {
		if other == c || t.strategy == OneForOne || t.strategy == RestForOne && i < at {
			continue
		}
		switch {
		case other.spec.Restart != Temporary:
			other.up = true
			if other.due.Before(due) {
				other.due = due
			}
			other.recycle = other.life != nil
		case other.life != nil:
			other.up = false
		}
	}
}

// end makes all children be stopped, and none started.
func (t *tree) end() {
	t.ending = true
	for _, c := range t.children {
		c.up = false
	}
}

// drain lets those run who do, and nobody be started.
func (t *tree) drain() {
	t.draining, t.endsWithLast = true, true
	for _, c := range t.children {
		if c.life == nil || c.recycle {
			c.up = false
		}
	}
}

// over tells whether the end has come.
func (t *tree) over() bool {
	if !t.ending && !t.endsWithLast {
		return false
	}
	return !slices.ContainsFunc(t.children, func(c *member) bool { return c.life != nil || c.up })
}

func (t *tree) find(id string) (*member, error) {
	for _, c := range t.children {
		if c.spec.ID == id {
			return c, nil
		}
	}
	return nil, fmt.Errorf("%w: %s", ErrNoChild, id)
}

func (t *tree) add(s ChildSpec) (*member, error) {
	if _, err := t.find(s.ID); err == nil {
		return nil, fmt.Errorf("%w: %s", ErrChildExists, s.ID)
	}
	c := &member{spec: s, up: true, asked: true, fresh: true, state: ChildWaiting}
	t.children = append(t.children, c)
	return c, nil
}

func (t *tree) remove(c *member) {
	t.children = slices.DeleteFunc(t.children, func(other *member) bool { return other == c })
}
