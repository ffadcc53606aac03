package ipc

import (
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// A parked call waits in a line, without a goroutine. It leaves the line once: by what it
// waits for (take), or for one of the reasons below (quit).
type parked struct {
	call
	line       *line
	prev, next *parked
	on         func(p *parked, why reason) // what leaving for a reason means; see park
	timer      *time.Timer
	cost       int  // bytes that count for the session
	gone       bool // answered, or given up
	bound      bool // neither time nor cancel takes it out of its line
	calledOff  bool // a cancel came while it was bound

	// For the kind that parked it.
	n    int
	more any
}

// parkedBytes is what a call that waits counts besides the arguments that it came with.
const parkedBytes = 512

// A reason is why a call does not wait any longer.
type reason int

const (
	overTime  reason = iota // its remaining time is over
	cancelled               // by the client
	departed                // its connection ended: it must not be answered
	objectEnd               // the object that it waits on has ended
)

// fault is what a call that quits is answered with, if the operation says nothing else.
func (r reason) fault() *proto.Fault {
	switch r {
	case overTime:
		return faultf(proto.KindTimeout, "the time is over")
	case cancelled:
		return faultf(proto.KindCancelled, "the call was cancelled")
	}
	return faultf(proto.KindGone, "the object has ended")
}

// A line is calls that wait for the same thing, the oldest first. The zero line is empty.
type line struct {
	first, last *parked
	n           int
}

// park puts the call at the end of l. When it quits, on is called, if that is not nil: p has
// left the line and is to be answered, unless the reason is departed; nil answers with the
// reason's fault. A call that has no time left, or in a batch, is not parked: on is called at
// once, and p is nil.
func (c *call) park(l *line, on func(p *parked, why reason)) (p *parked) {
	p = &parked{call: *c, on: on}
	p.lent, p.args, p.space = nil, nil, [4]proto.Raw{} // they would keep the frame
	if c.wait <= 0 || c.batch != nil {
		p.gone = true
		p.tell(overTime)
		return nil
	}
	s := c.s
	if len(s.waiting) >= s.m.limits.Pending {
		c.failf(proto.KindTooMany, "%d calls wait already", len(s.waiting))
		return nil
	}
	p.cost = parkedBytes
	for _, arg := range c.args {
		p.cost += len(arg)
	}
	if err := c.affords(p.cost); err != nil {
		c.fail(err)
		return nil
	}
	s.memory.bytes += p.cost
	s.waiting[c.id] = p
	c.m.stats.waiting++
	c.obj.waiting++
	l.push(p)
	p.clock(c.wait)
	return p
}

// clock has p quit when its time is over.
func (p *parked) clock(wait time.Duration) {
	if wait == proto.Forever {
		return
	}
	p.timer = time.AfterFunc(wait, func() {
		p.m.lock()
		if !p.gone {
			p.quit(overTime)
		}
		p.m.unlock()
	})
}

// take ends the wait because there is what it waited for; the caller answers.
func (p *parked) take() {
	p.gone = true
	p.leave()
	if p.timer != nil {
		p.timer.Stop()
	}
	delete(p.s.waiting, p.id)
	p.m.stats.waiting--
	p.obj.waiting--
	p.s.memory.bytes -= p.cost
	p.cost = 0
}

// again puts a call that has left its line into another, for what it must have before it is
// answered: it has no time limit any more, and a cancel changes nothing.
func (p *parked) again(l *line) {
	p.gone, p.bound = false, true
	p.on, p.timer, p.wait = nil, nil, proto.Forever
	p.s.waiting[p.id] = p
	p.m.stats.waiting++
	p.obj.waiting++
	l.push(p)
}

// leave takes p out of its line; move puts it at the end of another, with another meaning of
// quitting.
func (p *parked) leave() {
	if p.line != nil {
		p.line.remove(p)
	}
}

func (p *parked) move(l *line, on func(p *parked, why reason)) {
	p.leave()
	p.on = on
	l.push(p)
}

// quit ends the wait for a reason.
func (p *parked) quit(why reason) {
	if p.gone || p.bound && (why == overTime || why == cancelled) {
		p.calledOff = p.calledOff || why == cancelled
		return
	}
	p.take()
	p.tell(why)
}

func (p *parked) tell(why reason) {
	if p.on != nil {
		p.on(p, why)
	} else if why != departed {
		p.fail(why.fault())
	}
}

// abandon ends the wait of somebody whose connection has ended.
func (p *parked) abandon() { p.quit(departed) }

func (l *line) push(p *parked) {
	p.line, p.prev, p.next = l, l.last, nil
	if l.last == nil {
		l.first = p
	} else {
		l.last.next = p
	}
	l.last = p
	l.n++
}

func (l *line) remove(p *parked) {
	if p.prev == nil {
		l.first = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		l.last = p.prev
	} else {
		p.next.prev = p.prev
	}
	p.line, p.prev, p.next = nil, nil, nil
	l.n--
}

// pick returns the oldest in line whose connection stands; those before it are abandoned. It
// stays in the line. by is the session that gives, which stands.
func (l *line) pick() *parked {
	for p := l.first; p != nil; p = l.first {
		if p.s.stands() {
			return p
		}
		p.abandon()
	}
	return nil
}

// each calls f for those in line, the oldest first; f may take them out.
func (l *line) each(f func(p *parked)) {
	for p := l.first; p != nil; {
		next := p.next
		f(p)
		p = next
	}
}
