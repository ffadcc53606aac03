//go:build killpoints

package ipc

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
)

// Two plays of a deadlock: the target is a party and is refused, or it is the one that
// refuses. Whatever it comes to, the others go on, and no want of the dead is left.
var deadlockPlays = map[string]func(p *play) (party *child){
	"a party": func(p *play) *child {
		p.do(p.target, "take")
		p.do(p.peer, "lock")
		p.tell(p.target, "lock")
		p.tell(p.peer, "take")
		p.found()
		if s := p.k.Lock.State(); s.PID == p.target.pid() {
			p.k.Lock.Refuse(s)
		}
		if p.hear(p.target) == ErrDeadlock.Error() {
			p.do(p.target, "give")
		}
		return p.peer
	},
	"the one that refuses": func(p *play) *child {
		a, b := p.peer, startActor(p.t, p.k)
		a.do("take", "held")
		b.do("lock", "held")
		a.send("lock")
		b.send("take")
		p.found()
		p.do(p.target, "refuse")
		if s := p.k.Lock.State(); s.PID == a.pid() {
			p.k.Lock.Refuse(s) // if the target could not
		}
		a.expect(ErrDeadlock.Error())
		a.do("give", "given")
		return b
	},
}

// found waits until there is a deadlock, or the target dead or stopped.
func (p *play) found() {
	p.t.Helper()
	findDeadlock(p.t, func() bool { return p.dead() || p.stopped() }, p.k.Lock, p.k.RLock)
}

func TestDeadlockKilledAtEveryPoint(t *testing.T) {
	for _, stop := range []bool{false, true} {
		checkLeaks(t)
		hits := map[shm.Point]int{}
		for name := range deadlockPlays {
			for _, at := range wantPoints {
				if playDeadlock(t, name, blow{at, 1, stop}) {
					hits[at]++
				}
				if t.Failed() {
					t.Fatalf("%s: the play %q, stop %v", at, name, stop)
				}
			}
		}
		for _, at := range wantPoints {
			if hits[at] == 0 {
				t.Errorf("%s: never (stop %v)", at, stop)
			}
		}
	}
}

// release has a target give up the lock that has been stopped somewhere.
func (p *play) release() {
	until(p.t, "the target gives up the lock", func() bool {
		if p.k.Lock.State().PID != p.target.pid() {
			return true
		}
		p.k.Lock.Refuse(p.k.Lock.State()) // if it was not refused before
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		var answer string
		if p.target.Recv(ctx, &answer); answer == ErrDeadlock.Error() {
			p.tell(p.target, "give")
		}
		return false
	})
}

// playDeadlock plays one play and tells whether the target came to the point.
func playDeadlock(t *testing.T, name string, b blow) (hit bool) {
	t.Helper()
	k := tools{Lock: newTestLock(t, LockOptions{Name: "lock"}), RLock: newTestRLock(t)}
	p := &play{t: t, k: k, target: start(t, "target"), peer: startActor(t, k)}
	p.target.send(b, k)
	last := deadlockPlays[name](p)
	hit = p.stopped() || p.do(p.target, "are you there?") == ""
	if hit && b.Stop {
		p.target.signal(sigcont)
		p.release()
	}
	if got := recv[string](last); !slices.Contains([]string{"held", "held, owner died"}, got) {
		t.Errorf("who was waited for says %q", got)
	}
	for _, s := range []LockState{k.Lock.State(), k.RLock.State()} {
		if s.Wait != (LockWait{}) {
			t.Errorf("left over: %+v", s)
		}
	}
	for _, c := range []*child{p.target, p.peer, last} {
		c.Close()
		if !c.dead {
			c.kill()
		}
	}
	k.Lock.Close()
	k.RLock.Close()
	return hit
}
