//go:build killpoints

package ipc

import (
	"context"
	"slices"
	"testing"
	"time"
)

var conditionVictims = &victimKind{
	name:   "Condition",
	make:   func(t *testing.T, _ string) tools { return tools{Condition: newTestCondition(t)} },
	never:  slices.Concat(notePoints, reservePoints),
	usable: func(p *play) { p.lockUsable(p.k.Condition.Lock()) },
	owner:  func(p *play) int { return p.k.Condition.Lock().r.x.Owner() },
	relief: func(p *play) {
		if !p.peer.dead {
			p.tell(p.peer, "unlock")
		}
		ctx, cancel := context.WithTimeout(WithOwner(context.Background()), 20*time.Millisecond)
		defer cancel()
		if h, err := p.k.Condition.Lock().Acquire(ctx); err == nil {
			p.k.Condition.NotifyAll(ctx)
			h.Release()
		}
	},
	whole: func(p *play, _ string) {
		if !p.peer.dead {
			p.peer.kill()
		}
		p.k.Condition.Waiting() // buries the dead; who was notified among them notifies all
		c := startActor(p.t, p.k)
		defer func() {
			c.Close()
			c.kill()
		}()
		if answer := p.do(c, "lock"); answer != "held" && answer != "held, owner died" {
			p.t.Errorf("a new process: %q", answer)
		}
		c.send("await")
		untilIs(p.t, "waiting", p.k.Condition.Waiting, 1)
		mustNotify(p.t, WithOwner(context.Background()), p.k.Condition, 5, 1)
		c.expect("notified")
	},
	plays: map[string]func(p *play){
		"wait before another": func(p *play) {
			c := p.k.Condition
			p.tell(p.target, "lock")
			p.hear(p.target)
			p.tell(p.target, "await")
			p.stands(p.target, c.x.Line)
			p.tell(p.peer, "lock")
			p.tell(p.peer, "await")
			p.stands(p.peer, c.x.Line)
			p.notify(1)
			p.hear(p.target)
			p.do(p.target, "unlock")
			p.notify(1)
			p.hear(p.peer) // locked
			p.hear(p.peer) // notified
		},
		"notify": func(p *play) {
			c := p.k.Condition
			p.do(p.peer, "lock")
			p.tell(p.peer, "await")
			p.stands(p.peer, c.x.Line)
			p.do(p.target, "lock")
			p.do(p.target, "notify 1")
			p.do(p.target, "unlock")
			p.notify(1) // if the target could not
			p.hear(p.peer)
		},
		"give up": func(p *play) {
			c := p.k.Condition
			p.do(p.target, "lock")
			p.tell(p.target, "await until told")
			p.stands(p.target, c.x.Line)
			p.tell(p.peer, "lock")
			p.tell(p.peer, "await")
			p.stands(p.peer, c.x.Line)
			p.tell(p.target, "give up")
			p.hear(p.target)
			p.do(p.target, "unlock")
			p.notify(1)
			p.hear(p.peer)
		},
		"wait behind one that dies when it is notified": func(p *play) {
			c := p.k.Condition
			p.do(p.peer, "lock")
			p.tell(p.peer, "await")
			p.stands(p.peer, c.x.Line)
			p.do(p.target, "lock")
			p.tell(p.target, "await")
			p.stands(p.target, c.x.Line)
			ctx := WithOwner(within(p.t))
			if p.dead() || p.stopped() {
				return
			}
			h := mustLock(p.t, ctx, c.Lock())
			c.Notify(ctx, 1)
			p.peer.kill()
			mustUnlock(p.t, h)
			if got := p.hear(p.target); got != "notified" && got != "" {
				p.t.Errorf("who waited behind the dead says %q", got)
			}
			p.repaired(c.x.Segment())
		},
		"notify past one that is dead": func(p *play) {
			c := p.k.Condition
			p.do(p.peer, "lock")
			p.tell(p.peer, "await")
			p.stands(p.peer, c.x.Line)
			p.peer.kill()
			p.do(p.target, "lock")
			p.do(p.target, "notify 1")
			p.do(p.target, "unlock")
		},
		"behind one that is stopped": func(p *play) {
			c := p.k.Condition
			p.do(p.peer, "lock")
			p.tell(p.peer, "await")
			p.stands(p.peer, c.x.Line)
			p.do(p.target, "lock")
			p.tell(p.target, "await")
			p.stands(p.target, c.x.Line)
			if p.dead() || p.stopped() {
				return
			}
			p.peer.stop()
			ctx := WithOwner(within(p.t))
			h := mustLock(p.t, ctx, c.Lock())
			c.Notify(ctx, 1)
			mustUnlock(p.t, h)
			p.behind(c.x.Line)
			p.peer.signal(sigcont)
			p.hear(p.peer)
			p.do(p.peer, "unlock")
			p.notify(1)
			p.hear(p.target)
		},
		"wait for the lock after it": func(p *play) {
			// The points of the lock in line.
			p.do(p.peer, "lock")
			p.tell(p.target, "lock")
			p.stands(p.target, p.k.Condition.Lock().r.x.Line)
			p.do(p.peer, "unlock")
			p.hear(p.target)
			p.do(p.target, "unlock")
		},
		"release after the waiter has gone": func(p *play) {
			if p.do(p.target, "lock") == "held" {
				p.do(p.peer, "lock a while")
				p.do(p.target, "unlock")
			}
		},
		"close": func(p *play) {
			p.do(p.target, "lock")
			p.tell(p.target, "await a while")
			p.hear(p.target)
			p.do(p.target, "close")
		},
	},
}

// notify notifies, if the target does not hold the lock for good.
func (p *play) notify(n int) {
	ctx := WithOwner(context.Background())
	for {
		try, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		h, err := p.k.Condition.Lock().Acquire(try)
		cancel()
		if err == nil {
			p.k.Condition.Notify(ctx, n)
			h.Release()
			return
		}
		if p.stopped() || p.k.Condition.Lock().r.x.Owner() == p.peerPid() {
			return // the peer was notified before
		}
	}
}
