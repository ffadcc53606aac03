package ipc

import (
	"fmt"
	"slices"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

func init() { kinds["barrier"] = makeBarrier }

// A managedBarrier lets its parties go on, round by round, when all have come. While an action
// is under way the round that it belongs to is inside, and others may come for the next ones.
// Nobody waits when it is broken, and never all parties of a round that could go on.
type managedBarrier struct {
	parties int
	limit   time.Duration // of waits that name none
	action  bool

	broken  bool
	running bool // an action is under way, of runner
	runner  caller
	inside  line // who goes on when it is done; n is the place
	waiters line // who has come for the next rounds

	relieved []caller // runners who do not know yet that the barrier broke, or was reset
}

// maxRelieved bounds how many runners are kept who never say that they are done.
const maxRelieved = 64

func makeBarrier(c *call) (thing, error) {
	b := &managedBarrier{limit: proto.Forever}
	err := c.createArgs(1, 2, func(name string, v proto.Raw) (err error) {
		switch name {
		case "timeout_ms":
			b.limit, err = limitArg(v)
		case "action":
			b.action, err = boolArg(v)
		}
		return err
	})
	if err == nil {
		b.parties, err = intArg(c.args[0])
	}
	if err == nil && b.parties < 1 {
		err = faultf(proto.KindValueError, "a barrier for %d parties", b.parties)
	}
	return b, err
}

var barrierOps = map[string]operation[*managedBarrier]{
	"wait":    {0, 0, (*managedBarrier).wait},
	"done":    {0, 0, (*managedBarrier).done},
	"failed":  {0, 0, (*managedBarrier).failed},
	"abort":   {0, 0, func(b *managedBarrier, c *call) { b.breakUp(); c.replyNil() }},
	"reset":   {0, 0, (*managedBarrier).reset},
	"parties": {0, 0, func(b *managedBarrier, c *call) { c.replyInt(b.parties) }},
	"waiting": {0, 0, func(b *managedBarrier, c *call) { c.replyInt(b.inside.n + b.waiters.n) }},
	"broken":  {0, 0, func(b *managedBarrier, c *call) { c.replyBool(b.broken) }},
}

func (b *managedBarrier) call(c *call) {
	switch c.op {
	case "done", "failed", "abort", "reset":
	default:
		if b.runs(c) { // it has forgotten its action
			b.breakUp()
		}
	}
	operate(b, c, barrierOps)
}

// runs tells whether c comes from who was told to run the action that is under way.
func (b *managedBarrier) runs(c *call) bool { return b.running && b.runner == c.caller() }

func (b *managedBarrier) wait(c *call) {
	if c.wait == proto.Forever {
		c.wait = b.limit
	}
	if b.complete(b.parties - 1) {
		b.begin(c)
	} else if b.broken {
		failBroken(c)
	} else {
		c.park(&b.waiters, b.quits)
	}
}

// complete tells whether a round may begin as n are there. It may find that one of them is
// dead, and the barrier thus broken.
func (b *managedBarrier) complete(n int) bool {
	if b.broken || b.running || b.waiters.n < n {
		return false
	}
	b.look(&b.waiters)
	return !b.broken
}

// look looks whether the connections of those in l stand.
func (b *managedBarrier) look(l *line) {
	l.each(func(p *parked) {
		if !p.gone && !p.s.stands() {
			p.abandon()
		}
	})
}

// begin begins a round: of last, which stands in no line, and those who have waited longest.
func (b *managedBarrier) begin(last *call) {
	for place := range b.parties - 1 {
		p := b.waiters.first
		if b.action {
			p.n = place
			p.move(&b.inside, b.quits)
		} else {
			p.take()
			goOn(&p.call, place, false)
		}
	}
	if b.action {
		b.relieve(last.caller())
		b.running, b.runner = true, last.caller()
		b.runner.s.hold(b)
	}
	goOn(last, b.parties-1, b.action)
}

func goOn(c *call, place int, run bool) {
	b := proto.AppendInt(proto.AppendArrayHeader(c.result(), 2), int64(place))
	c.finish(proto.AppendBool(b, run))
}

func failBroken(c *call) { c.failf(proto.KindBrokenBarrier, "the barrier is broken") }

func (b *managedBarrier) done(c *call) {
	if !b.ends(c) {
		return
	}
	b.inside.each(func(p *parked) {
		p.take()
		goOn(&p.call, p.n, false)
	})
	c.replyNil()
	if b.complete(b.parties) {
		last := b.waiters.first
		for range b.parties - 1 {
			last = last.next
		}
		last.take()
		b.begin(&last.call)
	}
}

func (b *managedBarrier) failed(c *call) {
	if b.ends(c) {
		b.breakUp()
		c.replyNil()
	}
}

// ends ends the action of c. If there is none, c is answered.
func (b *managedBarrier) ends(c *call) bool {
	if b.runs(c) {
		b.look(&b.inside)
	}
	switch {
	case b.runs(c):
		b.running, b.runner = false, caller{}
		c.s.unhold(b)
		return true
	case b.relieve(c.caller()):
		failBroken(c)
	default:
		c.failf(proto.KindNotOwner, "no action of this owner is under way")
	}
	return false
}

// relieve forgets that the action of w was of no use any more, and tells whether it was so.
func (b *managedBarrier) relieve(w caller) bool {
	i := slices.Index(b.relieved, w)
	if i < 0 {
		return false
	}
	b.relieved = slices.Delete(b.relieved, i, i+1)
	w.s.unhold(b)
	return true
}

// quits is called when a party gives up: the barrier breaks.
func (b *managedBarrier) quits(p *parked, why reason) {
	switch why {
	case objectEnd:
		p.fail(why.fault())
		return
	case overTime:
		failBroken(&p.call)
	case cancelled:
		p.fail(why.fault())
	}
	b.breakUp()
}

// breakUp breaks the barrier, for all; reset mends it.
func (b *managedBarrier) breakUp() {
	b.broken = true
	b.throwOut()
}

func (b *managedBarrier) reset(c *call) {
	b.broken = false
	b.throwOut()
	c.replyNil()
}

func (b *managedBarrier) throwOut() {
	if b.running {
		b.relieved = append(b.relieved, b.runner)
		b.running, b.runner = false, caller{}
	}
	if len(b.relieved) > maxRelieved {
		b.relieve(b.relieved[0])
	}
	for _, l := range []*line{&b.inside, &b.waiters} {
		l.each(func(p *parked) {
			p.take()
			failBroken(&p.call)
		})
	}
}

// leave breaks the barrier if s has an action under way.
func (b *managedBarrier) leave(s *session) {
	if b.running && b.runner.s == s {
		b.breakUp()
	}
	for _, w := range slices.Clone(b.relieved) {
		if w.s == s {
			b.relieve(w)
		}
	}
}

// text is like <Barrier(parties=3, waiting=1)>, <Barrier(parties=3, broken)>.
func (b *managedBarrier) text(t []byte, max int) []byte {
	t = fmt.Appendf(t, "<Barrier(parties=%d, waiting=%d", b.parties, b.inside.n+b.waiters.n)
	if b.running {
		t = fmt.Appendf(t, ", action of %s", b.runner.text())
	}
	if b.broken {
		t = append(t, ", broken"...)
	}
	return append(t, ")>"...)
}

func (b *managedBarrier) drop(*Manager) {
	for _, l := range []*line{&b.inside, &b.waiters} {
		l.each(func(p *parked) { p.quit(objectEnd) })
	}
	if b.running {
		b.runner.s.unhold(b)
		b.running = false
	}
	for len(b.relieved) > 0 {
		b.relieve(b.relieved[0])
	}
}
