package ipc

import (
	"fmt"

	"github.com/seed-185a7250/multiproc/proto"
)

func init() {
	kinds["lock"] = func(c *call) (thing, error) {
		handoff, err := c.handoffArgs(1)
		return &managedLock{handoff: handoff}, err
	}
}

// A caller is who owns locks: one of the owners of a connection.
type caller struct {
	s  *session
	id uint64
}

func (c *call) caller() caller { return caller{c.s, c.owner} }

// A managedLock is a lock or an rlock. When no operation is under way nobody waits for one that
// is free: who gives it back hands it to the one who has waited longest.
type managedLock struct {
	reentrant bool
	handoff   bool

	owner caller // without a session if, with handoff, that has ended
	level int    // how often it was acquired; 0: it is free
	token uint64 // of the last acquisition
	died  bool   // the last owner's connection ended while it held the lock
	told  bool   // the same, of the one before: what the present owner was told

	waiters line // n is the levels that it takes; more is the waited of who comes from a condition
}

var lockOps = map[string]operation[*managedLock]{
	"acquire": {0, 0, (*managedLock).acquire},
	"release": {0, 0, (*managedLock).release},
	"locked":  {0, 0, (*managedLock).locked},
}

func (l *managedLock) call(c *call) {
	if l.reentrant {
		operate(l, c, rlockOps)
	} else {
		operate(l, c, lockOps)
	}
}

func (l *managedLock) acquire(c *call) {
	switch {
	case l.level == 0:
		l.seize(c.caller(), 1)
		l.acquired(c)
	case l.reentrant && l.owner == c.caller():
		l.level++
		l.acquired(c)
	default:
		if p := c.park(&l.waiters, nil); p != nil {
			p.n = 1
		}
	}
}

// acquired answers who has acquired the lock.
func (l *managedLock) acquired(c *call) {
	n := 2
	if l.reentrant {
		n = 3
	}
	b := proto.AppendArrayHeader(c.result(), n)
	b = proto.AppendBool(proto.AppendUint(b, l.token), l.told)
	if l.reentrant {
		b = proto.AppendInt(b, int64(l.level))
	}
	c.finish(b)
}

func (l *managedLock) release(c *call) {
	if !l.heldBy(c) {
		return
	}
	l.level--
	left := l.level
	if left == 0 {
		l.giveUp()
	}
	if l.reentrant {
		c.replyInt(left)
	} else {
		c.replyNil()
	}
}

func (l *managedLock) locked(c *call) { c.replyBool(l.level > 0) }

// heldBy tells whether c may do what only who holds the lock may: with handoff, anybody while
// it is held. If not, c is answered.
func (l *managedLock) heldBy(c *call) bool {
	switch {
	case l.level == 0:
		c.failf(proto.KindNotLocked, "the lock is free")
	case !l.handoff && l.owner != c.caller():
		c.failf(proto.KindNotOwner, "another owner holds the lock")
	default:
		return true
	}
	return false
}

// seize gives the lock, which is free, to who.
func (l *managedLock) seize(who caller, levels int) {
	l.owner, l.level = who, levels
	l.token++
	l.told, l.died = l.died, false
	who.s.hold(l)
}

// vacate makes the lock free; giveUp hands it on, too.
func (l *managedLock) vacate() {
	if l.owner.s != nil {
		l.owner.s.unhold(l)
	}
	l.owner, l.level = caller{}, 0
}

func (l *managedLock) giveUp() {
	l.vacate()
	l.grant()
}

// grant hands the lock, if it is free, to the one who has waited longest.
func (l *managedLock) grant() {
	if l.level > 0 {
		return
	}
	p := l.waiters.pick()
	if p == nil {
		return
	}
	p.take()
	l.seize(p.caller(), p.n)
	if w, ok := p.more.(waited); ok {
		w.answer(&p.call, l)
	} else {
		l.acquired(&p.call)
	}
}

// leave gives back what s held. With handoff the lock stays as it is, and belongs to nobody.
func (l *managedLock) leave(s *session) {
	if l.handoff {
		s.unhold(l)
		l.owner = caller{}
		return
	}
	l.died = true
	l.giveUp()
}

// text is like <Lock(owner=None)>, <RLock(owner=pid 12/0, count=2, waiting=1)>.
func (l *managedLock) text(b []byte, max int) []byte {
	name := "Lock"
	if l.reentrant {
		name = "RLock"
	}
	b = fmt.Appendf(b, "<%s(owner=%s", name, l.holder())
	if l.reentrant {
		b = fmt.Appendf(b, ", count=%d", l.level)
	}
	return append(l.waiters.text(b), ")>"...)
}

func (l *managedLock) holder() string {
	switch {
	case l.level == 0:
		return "None"
	case l.owner.s == nil:
		return "gone"
	}
	return l.owner.text()
}

func (w caller) text() string { return fmt.Sprintf("%s/%d", w.s.who(), w.id) }

// text appends how many wait in l, if any do.
func (l *line) text(b []byte) []byte {
	if l.n > 0 {
		b = fmt.Appendf(b, ", waiting=%d", l.n)
	}
	return b
}

func (l *managedLock) drop(*Manager) {
	l.waiters.each(func(p *parked) { p.quit(objectEnd) })
	l.vacate()
}
