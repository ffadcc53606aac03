//go:build killpoints

package ipc

import (
	"context"
	"slices"
	"testing"
)

const permits = 2

var semaphoreVictims = &victimKind{
	name: "Semaphore",
	make: func(t *testing.T, _ string) tools {
		return tools{Semaphore: newTestSemaphore(t, SemaphoreOptions{Permits: permits})}
	},
	never: slices.Concat(mutexPoints, notePoints, grantPoints),
	usable: func(p *play) {
		// The target uses one at the most, and the peer another one; the dead and those who
		// wait none.
		s := p.k.Semaphore
		for range s.Value() {
			ctx, cancel := context.WithTimeout(context.Background(), deadline)
			if err := s.Acquire(ctx); err != nil {
				p.t.Errorf("the target is stopped, a permit was free: %v", err)
			}
			cancel()
		}
		if ok, _ := s.TryAcquire(); ok && s.Value() == 0 {
			s.Release()
		}
		for s.x.Using() > 0 {
			s.Release()
		}
	},
	relief: func(p *play) {},
	whole: func(p *play, name string) {
		if !p.peer.dead {
			p.peer.kill()
		}
		want := permits
		if name == "make one more" && p.k.Semaphore.Value() == permits+1 {
			want++
		}
		ops := []string{}
		for range want {
			ops = append(ops, "try", "acquired")
		}
		p.fresh(append(ops, "try", "none", "value", "0")...)
		wantValue(p.t, p.k.Semaphore, want)
		p.fresh(append(ops, "try", "none")...)
	},
	plays: map[string]func(p *play){
		"take and give": func(p *play) {
			for range 2 {
				p.do(p.target, "acquire")
				p.do(p.target, "release")
			}
		},
		"take what another keeps at hand": func(p *play) {
			p.do(p.peer, "acquire")
			p.do(p.peer, "acquire")
			p.do(p.peer, "release")
			p.do(p.target, "try")
			p.do(p.target, "try")
			p.do(p.peer, "release")
			p.do(p.target, "try")
			p.do(p.target, "release")
		},
		"wait": func(p *play) {
			p.do(p.peer, "acquire")
			p.do(p.peer, "acquire")
			p.tell(p.target, "acquire")
			p.stands(p.target, p.k.Semaphore.x.Line)
			p.do(p.peer, "release")
			p.hear(p.target)
			p.do(p.target, "release")
			p.do(p.peer, "release")
		},
		"wait before another, and go first": func(p *play) {
			s := p.k.Semaphore
			s.Acquire(within(p.t))
			s.Acquire(within(p.t))
			p.tell(p.target, "acquire")
			p.stands(p.target, s.x.Line)
			p.tell(p.peer, "acquire")
			p.stands(p.peer, s.x.Line)
			s.Release()
			s.Release()
			p.hear(p.target)
			p.hear(p.peer)
			p.do(p.peer, "release")
		},
		"give up before another": func(p *play) {
			s := p.k.Semaphore
			s.Acquire(within(p.t))
			s.Acquire(within(p.t))
			p.tell(p.target, "acquire until told")
			p.stands(p.target, s.x.Line)
			p.tell(p.peer, "acquire")
			p.stands(p.peer, s.x.Line)
			p.tell(p.target, "give up")
			p.hear(p.target)
			s.Release()
			p.hear(p.peer)
			s.Release()
		},
		"give to a waiter": func(p *play) {
			p.do(p.target, "acquire")
			if p.do(p.target, "acquire") == "" {
				return
			}
			p.tell(p.peer, "acquire")
			p.stands(p.peer, p.k.Semaphore.x.Line)
			p.do(p.target, "release")
			p.hear(p.peer)
			p.do(p.peer, "release")
			p.do(p.target, "release")
		},
		"take over from the dead": func(p *play) {
			p.do(p.peer, "acquire")
			p.do(p.peer, "acquire")
			p.tell(p.target, "acquire")
			p.stands(p.target, p.k.Semaphore.x.Line)
			p.peer.kill()
			p.hear(p.target)
			p.repaired(p.k.Semaphore.x.Segment())
		},
		"make one more": func(p *play) { p.do(p.target, "release") },
		"close": func(p *play) {
			p.do(p.target, "acquire")
			p.do(p.target, "close")
		},
		"pass over one that is stopped": func(p *play) {
			passOver(func(p *play) func() []int { return p.k.Semaphore.x.Line }, "acquire", "release",
				func(p *play) func() {
					p.k.Semaphore.Acquire(within(p.t))
					p.k.Semaphore.Acquire(within(p.t))
					return func() { p.k.Semaphore.Release() }
				})(p)
			p.tell(p.peer, "release")
			p.hear(p.peer)
			p.k.Semaphore.Release()
		},
	},
}
