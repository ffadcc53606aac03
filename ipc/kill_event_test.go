//go:build killpoints

package ipc

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
)

var eventVictims = &victimKind{
	name: "Event",
	make: func(t *testing.T, _ string) tools { return tools{Event: newTestEvent(t)} },
	never: slices.Concat(mutexPoints, notePoints, reservePoints, grantPoints,
		repairHeld), // nobody holds anything
	usable: func(p *play) { p.eventUsable() },
	relief: func(p *play) { p.k.Event.Set() },
	whole:  func(p *play, _ string) { p.eventUsable() },
	plays: map[string]func(p *play){
		"set and clear": func(p *play) {
			p.do(p.target, "set")
			p.do(p.target, "clear")
			p.do(p.target, "set")
		},
		"wake": func(p *play) {
			p.tell(p.peer, "wait")
			p.stands(p.peer, p.k.Event.x.Line)
			p.do(p.target, "set")
			if p.k.Event.IsSet() {
				// Also if who set it has died before it could wake anybody.
				wantText(p.t, "who waited", p.hearOf(p.peer), "woken")
			}
		},
		"wait": func(p *play) {
			p.tell(p.target, "wait")
			p.stands(p.target, p.k.Event.x.Line)
			p.tell(p.peer, "wait")
			p.stands(p.peer, p.k.Event.x.Line)
			p.k.Event.Set()
			p.k.Event.Clear()
			p.hear(p.target)
			wantText(p.t, "who waited behind the target", p.hearOf(p.peer), "woken")
		},
		"give up before another": func(p *play) {
			p.tell(p.target, "wait until told")
			p.stands(p.target, p.k.Event.x.Line)
			p.tell(p.peer, "wait")
			p.stands(p.peer, p.k.Event.x.Line)
			p.tell(p.target, "give up")
			p.hear(p.target)
			p.k.Event.Set()
			wantText(p.t, "who waited behind the target", p.hearOf(p.peer), "woken")
		},
		"wait behind one that dies": func(p *play) {
			p.tell(p.peer, "wait")
			p.stands(p.peer, p.k.Event.x.Line)
			p.tell(p.target, "wait")
			p.stands(p.target, p.k.Event.x.Line)
			p.peer.kill()
			p.repaired(p.k.Event.x.Segment())
			p.k.Event.Set()
			p.hear(p.target)
		},
		"wait behind one that is stopped": func(p *play) {
			p.tell(p.peer, "wait")
			p.stands(p.peer, p.k.Event.x.Line)
			p.tell(p.target, "wait")
			p.stands(p.target, p.k.Event.x.Line)
			p.peer.stop()
			p.k.Event.Set()
			p.k.Event.Clear()
			p.hear(p.target)
			p.tell(p.target, "wait") // behind one that was woken and has not come
			p.behind(p.k.Event.x.Line)
			p.peer.signal(sigcont)
			wantText(p.t, "who was stopped", p.hearOf(p.peer), "woken")
			p.k.Event.Set()
			p.hear(p.target)
		},
		"close": func(p *play) {
			p.tell(p.peer, "wait")
			p.stands(p.peer, p.k.Event.x.Line)
			p.do(p.target, "wait a while")
			p.do(p.target, "set")
			p.do(p.target, "close")
		},
	},
}

// repaired waits until the target has done all that there is to repair of the peer, which
// is dead. It may be let go before that.
func (p *play) repaired(s *shm.Segment) {
	p.t.Helper()
	for end := time.Now().Add(deadline); slices.Contains(s.Users(), p.peerPid()) && !p.dead() && !p.stopped(); runtime.Gosched() {
		if time.Now().After(end) {
			p.t.Fatal("nobody repairs what the dead has left")
		}
	}
}

// behind waits until the peer, which is stopped, is no longer the first in line.
func (p *play) behind(line func() []int) {
	p.t.Helper()
	for end := time.Now().Add(deadline); !p.dead() && !p.stopped(); runtime.Gosched() {
		if now := line(); len(now) > 0 && now[0] != p.peerPid() {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("the stopped peer is still the first of %d", line())
		}
	}
}

// hearOf waits for the answer of one that must not depend on the target.
func (p *play) hearOf(c *child) string {
	p.t.Helper()
	return recv[string](c)
}

func (p *play) eventUsable() {
	p.t.Helper()
	e := p.k.Event
	c := startActor(p.t, p.k)
	defer func() {
		c.Close()
		c.kill()
	}()
	e.Clear()
	for range 2 {
		c.send("wait")
		p.inLine(c, e.x.Line) // not one more than before: who was woken may still be about to go
		e.Set()
		e.Clear()
		c.expect("woken")
		c.do("set", "set")
		if err := e.Wait(within(p.t)); err != nil {
			p.t.Error(err)
		}
		e.Clear()
	}
}
