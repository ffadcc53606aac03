//go:build killpoints

package ipc

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
)

var barrierVictims = &victimKind{
	name: "Barrier",
	make: func(t *testing.T, play string) tools {
		if play == "wait with one that dies" {
			return tools{Barrier: newTestBarrier(t, 3)}
		}
		return tools{Barrier: newTestBarrier(t, 2)}
	},
	never: slices.Concat(mutexPoints, reservePoints, grantPoints),
	usable: func(p *play) {
		p.k.Barrier.Reset()
		p.together()
	},
	relief: func(p *play) { p.k.Barrier.Abort() },
	whole: func(p *play, _ string) {
		if !p.peer.dead {
			p.peer.kill()
		}
		p.k.Barrier.Reset()
		p.together()
	},
	plays: map[string]func(p *play){
		"first": func(p *play) {
			p.tell(p.target, "come")
			p.stands(p.target, p.k.Barrier.x.Line)
			p.meet("come")
			p.hear(p.target)
		},
		"last": func(p *play) {
			p.tell(p.peer, "come")
			p.stands(p.peer, p.k.Barrier.x.Line)
			p.do(p.target, "come")
			p.freed(p.peer)
		},
		"run the action": func(p *play) {
			p.tell(p.peer, "come")
			p.stands(p.peer, p.k.Barrier.x.Line)
			p.tell(p.target, "act")
			p.tell(p.target, "on")
			p.hear(p.target)
			p.hear(p.target)
			p.freed(p.peer)
		},
		"fail in the action": func(p *play) {
			p.tell(p.peer, "come")
			p.stands(p.peer, p.k.Barrier.x.Line)
			p.tell(p.target, "act")
			p.tell(p.target, "fail")
			p.hear(p.target)
			p.hear(p.target)
			p.freed(p.peer)
		},
		"come during an action": func(p *play) {
			come(within(p.t), p.k.Barrier)
			untilIs(p.t, "waiting", p.k.Barrier.Waiting, 1)
			p.tell(p.peer, "act")
			p.peer.expect("acting")
			p.tell(p.target, "come")
			p.stands(p.target, p.k.Barrier.x.Line)
			p.tell(p.peer, "on")
			p.hear(p.peer)
			p.meet("come")
			p.hear(p.target)
		},
		"give up": func(p *play) {
			p.tell(p.peer, "come")
			p.stands(p.peer, p.k.Barrier.x.Line)
			p.k.Barrier.Reset()
			p.hear(p.peer)
			p.tell(p.target, "come until told")
			p.stands(p.target, p.k.Barrier.x.Line)
			p.tell(p.target, "give up")
			p.hear(p.target)
		},
		"break and mend": func(p *play) {
			p.tell(p.peer, "come")
			p.stands(p.peer, p.k.Barrier.x.Line)
			p.do(p.target, "abort")
			p.do(p.target, "reset")
			if !p.stopped() && !p.dead() {
				p.freed(p.peer)
			}
		},
		"wait with one that dies": func(p *play) {
			p.tell(p.peer, "come")
			p.stands(p.peer, p.k.Barrier.x.Line)
			p.tell(p.target, "come")
			p.stands(p.target, p.k.Barrier.x.Line)
			p.peer.kill()
			if got := p.hear(p.target); got != brokenText && got != "" {
				p.t.Errorf("who waited with the dead says %q", got)
			}
			p.repaired(p.k.Barrier.x.Segment())
		},
		"behind one that is stopped": func(p *play) {
			b := p.k.Barrier
			p.tell(p.peer, "come")
			p.stands(p.peer, b.x.Line)
			p.peer.stop()
			b.Reset()
			p.tell(p.target, "come")
			p.stands(p.target, b.x.Line)
			p.behind(b.x.Line)
			p.peer.signal(sigcont)
			if got := p.hearOf(p.peer); got != brokenText {
				p.t.Errorf("who was thrown out says %q", got)
			}
		},
		"close": func(p *play) {
			p.tell(p.target, "come a while")
			p.hear(p.target)
			p.do(p.target, "close")
		},
	},
}

// meet has the peer come, if there is somebody to meet.
func (p *play) meet(op string) {
	p.tell(p.peer, op)
	p.freed(p.peer)
}

// freed hears of c that it went on, or that the barrier is broken, since the target died
// in it; if it died before it came, c waits, and if it is stopped as well. It must have come
// then: later it would be one too many.
func (p *play) freed(c *child) {
	p.t.Helper()
	for end := time.Now().Add(deadline); time.Now().Before(end); {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		var answer string
		err := c.Recv(ctx, &answer)
		cancel()
		if err == nil {
			wantText(p.t, "the peer", answer, "place 0", "place 1", brokenText)
			return
		}
		if p.stopped() && slices.Contains(p.k.Barrier.x.Line(), c.cmd.Process.Pid) ||
			p.dead() && p.k.Barrier.Waiting() == 1 && !p.k.Barrier.Broken() {
			return // it is let go by the relief
		}
	}
	p.t.Fatal("the peer hangs in the barrier")
}

// together has new processes meet.
func (p *play) together() {
	p.t.Helper()
	cs := startActors(p.t, p.k.Barrier.Parties(), p.k)
	var got, want []string
	for i, c := range cs {
		c.send("come")
		want = append(want, fmt.Sprint("place ", i))
	}
	for _, c := range cs {
		got = append(got, recv[string](c))
		c.Close()
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		p.t.Errorf("new processes: %q", got)
	}
	for _, c := range cs {
		c.kill()
	}
}
