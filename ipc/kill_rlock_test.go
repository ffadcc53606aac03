//go:build killpoints

package ipc

import (
	"context"
	"slices"
	"testing"
	"time"
)

// lockFresh has a new process acquire and release.
func (p *play) lockFresh(lock, unlock string) {
	p.t.Helper()
	c := startActor(p.t, p.k)
	c.send(lock)
	wantText(p.t, "a new process", recv[string](c), "held", "held, owner died")
	c.do(unlock, unlock+"ed")
	c.Close()
	c.kill()
}

// within reach: an owned lock is in the way of others only if the target has it.
func (p *play) lockUsable(l *RLock) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(WithOwner(context.Background()), deadline)
	defer cancel()
	for {
		try, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		h, err := l.Acquire(try)
		cancel()
		if err == nil {
			h.Release()
			return
		}
		owner := l.r.x.Owner()
		if owner == p.target.cmd.Process.Pid || owner != 0 && owner == p.peerPid() && p.peerHolds() {
			return
		}
		if ctx.Err() != nil {
			p.t.Fatalf("the target is stopped and does not hold the lock, process %d does: %v", owner, err)
		}
	}
}

var rlockVictims = &victimKind{
	name:   "RLock",
	make:   func(t *testing.T, _ string) tools { return tools{RLock: newTestRLock(t)} },
	never:  slices.Concat(repairHeld, notePoints, reservePoints, grantPoints, flagPoints),
	usable: func(p *play) { p.lockUsable(p.k.RLock) },
	owner:  func(p *play) int { return p.k.RLock.r.x.Owner() },
	relief: func(p *play) {
		if !p.peer.dead {
			p.tell(p.peer, "unlock")
		}
	},
	whole: func(p *play, _ string) {
		if !p.peer.dead {
			p.peer.kill() // whatever it still holds
		}
		p.lockFresh("lock", "unlock")
	},
	plays: map[string]func(p *play){
		"levels": func(p *play) {
			p.do(p.target, "lock")
			p.do(p.target, "lock")
			p.do(p.target, "unlock")
			p.do(p.target, "unlock")
			p.do(p.peer, "lock")
		},
		"wait": func(p *play) {
			p.do(p.peer, "lock")
			p.tell(p.target, "lock")
			p.stands(p.target, p.k.RLock.r.x.Line)
			p.do(p.peer, "unlock")
			p.hear(p.target)
			p.do(p.target, "unlock")
			p.do(p.peer, "lock")
		},
		"give up before another": func(p *play) {
			h, _ := p.k.RLock.Acquire(within(p.t))
			p.tell(p.target, "lock until told")
			p.stands(p.target, p.k.RLock.r.x.Line)
			p.tell(p.peer, "lock")
			p.stands(p.peer, p.k.RLock.r.x.Line)
			p.tell(p.target, "give up")
			p.hear(p.target)
			mustUnlock(p.t, h)
			p.hear(p.peer)
		},
		"release to a waiter, and after one has gone": func(p *play) {
			if p.do(p.target, "lock") == "held" {
				p.do(p.peer, "lock a while")
				p.tell(p.target, "unlock")
				p.hear(p.target)
			}
			p.tell(p.target, "lock")
			if p.hear(p.target) == "held" {
				p.tell(p.peer, "lock")
				p.stands(p.peer, p.k.RLock.r.x.Line)
				p.do(p.target, "unlock")
				p.hear(p.peer)
				return
			}
			p.do(p.peer, "lock")
		},
		"take over from the dead": func(p *play) {
			p.do(p.peer, "lock")
			p.tell(p.target, "lock")
			p.stands(p.target, p.k.RLock.r.x.Line)
			p.peer.kill()
			p.hear(p.target)
			p.repaired(p.k.RLock.r.x.Segment())
		},
		"close": func(p *play) {
			p.do(p.target, "lock")
			p.do(p.target, "close")
			p.do(p.peer, "lock")
		},
		"pass over one that is stopped": passOver(func(p *play) func() []int { return p.k.RLock.r.x.Line }, "lock", "unlock",
			func(p *play) func() {
				h, _ := p.k.RLock.Acquire(within(p.t))
				return func() { h.Release() }
			}),
	},
}

// passOver has the peer stand in line before the target, and stop before it is its turn.
func passOver(line func(p *play) func() []int, take, give string, hold func(p *play) func()) func(p *play) {
	return func(p *play) {
		release := hold(p)
		p.tell(p.peer, take)
		p.stands(p.peer, line(p))
		p.tell(p.target, take)
		p.stands(p.target, line(p))
		p.peer.stop()
		release()
		p.hear(p.target)
		p.do(p.target, give)
		p.peer.signal(sigcont)
		p.hear(p.peer)
		p.tell(p.peer, give)
		p.hear(p.peer)
		p.tell(p.peer, take) // as after the other plays
		p.hear(p.peer)
	}
}
