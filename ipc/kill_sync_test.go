//go:build killpoints

package ipc

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
)

// A blow is what happens to a victim: at the given pass of a point it gets a signal.
type blow struct {
	At   shm.Point
	Pass int
	Stop bool // SIGSTOP, not SIGKILL
}

// The helper "target" is an actor that a blow hits.
func init() {
	helpers["target"] = func(c *Conn) error {
		var b blow
		if err := c.Recv(context.Background(), &b); err != nil {
			return err
		}
		sig := syscall.SIGKILL
		if b.Stop {
			sig = syscall.SIGSTOP
		}
		shm.Arm(b.At, b.Pass, sig, nil)
		return actor(c)
	}
}

// A play leads a target, and a peer who is spared, through a piece of an object's life.
// The target may die or stop at any moment, so nothing may depend on its answers.
type play struct {
	t      *testing.T
	k      tools
	target *child
	peer   *child

	struck         bool        // the target was stopped, and goes on
	waitsForTarget func() bool // whether the peer waits for a target that is stopped
}

func (p *play) dead() bool { return zombie(p.t, p.target.cmd.Process.Pid) }

func (p *play) stopped() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, p.target.cmd.Process.Pid, &info, unix.WSTOPPED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == nil && info.Signo != 0
}

// hear waits for the answer of c. The target may be dead instead; and if it is stopped,
// anybody may be waiting for it.
func (p *play) hear(c *child) (answer string) {
	p.t.Helper()
	patience := deadline
	for end := time.Now().Add(patience); time.Now().Before(end); {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		err := c.Recv(ctx, &answer)
		cancel()
		if err == nil {
			return answer
		}
		if c == p.target && err != context.DeadlineExceeded || p.stopped() {
			return ""
		}
	}
	p.t.Fatalf("process %d neither answers nor dies", c.cmd.Process.Pid)
	return ""
}

func (p *play) tell(c *child, op string) { c.Send(within(p.t), op) }

func (p *play) do(c *child, op string) string {
	p.t.Helper()
	p.tell(c, op)
	return p.hear(c)
}

// stands waits until c stands in line. If it is the target, it may not come to that.
func (p *play) stands(c *child, line func() []int) {
	p.t.Helper()
	for end := time.Now().Add(deadline); !slices.Contains(line(), c.cmd.Process.Pid); runtime.Gosched() {
		if p.dead() || p.stopped() {
			if c == p.target {
				return
			}
			if p.stopped() && p.waitsForTarget != nil && p.waitsForTarget() {
				return
			}
		}
		if time.Now().After(end) {
			p.t.Fatalf("process %d does not stand in line: %d", c.cmd.Process.Pid, line())
		}
	}
}

// inLine waits until c, which nothing can happen to, stands in line.
func (p *play) inLine(c *child, line func() []int) {
	p.t.Helper()
	for end := time.Now().Add(deadline); !slices.Contains(line(), c.cmd.Process.Pid); runtime.Gosched() {
		if time.Now().After(end) {
			p.t.Fatalf("process %d does not stand in line: %d", c.cmd.Process.Pid, line())
		}
	}
}

// A victimKind is a kind of object with its plays.
type victimKind struct {
	name   string
	make   func(t *testing.T, play string) tools
	plays  map[string]func(p *play)
	usable func(p *play)              // while the target is stopped: what others can do
	relief func(p *play)              // lets anybody go who waits
	whole  func(p *play, play string) // when the target is dead: all is as it should be
	owner  func(p *play) int          // pid of the owner of the lock, if there is one
	never  []shm.Point                // points that it does not come to
}

// Points of what a kind does not have.
var (
	mutexPoints = []shm.Point{shm.PointAcquireBeforeCAS, shm.PointAcquireAfterCAS, shm.PointReleaseBeforeCAS,
		shm.PointReleaseAfterCAS, shm.PointReleaseBeforeClear, shm.PointReleaseAfterClear, shm.PointWaitBeforeFlag,
		shm.PointWaitAfterFlag, shm.PointRepairBeforeWord, shm.PointRepairAfterWord}
	repairHeld    = []shm.Point{shm.PointRepairBeforeHeld, shm.PointRepairAfterHeld}
	heldPoints    = []shm.Point{shm.PointHeldBefore, shm.PointHeldAfter}
	notePoints    = []shm.Point{shm.PointNoteBefore, shm.PointNoteAfter}
	reservePoints = []shm.Point{shm.PointReserveBefore, shm.PointReserveAfter}
	grantPoints   = []shm.Point{shm.PointGrantBefore, shm.PointGrantAfter}
	flagPoints    = []shm.Point{shm.PointFlagBefore, shm.PointFlagAfter}
	wantPoints    = []shm.Point{shm.PointWantBefore, shm.PointWantHalf, shm.PointWantAfter, shm.PointWantBeforeEnd,
		shm.PointWantAfterEnd, shm.PointRefuseBefore, shm.PointRefuseAfter} // of who holds one lock and waits for another
)

// TestKilledAtEveryPoint kills, and in a second pass stops, the target of every play of
// every kind at every point that it comes to, the first and the second time.
func TestKilledAtEveryPoint(t *testing.T) {
	for _, kind := range victimKinds {
		for _, stop := range []bool{false, true} {
			how := map[bool]string{false: "killed", true: "stopped"}[stop]
			t.Run(kind.name+"/"+how, func(t *testing.T) {
				checkLeaks(t)
				var wrong []string
				hits := map[shm.Point]int{}
				for name := range kind.plays {
					_, passes := kind.perform(t, name, blow{})
					for at, n := range passes {
						for pass := 1; pass <= min(n, 2); pass++ {
							if hit, _ := kind.perform(t, name, blow{at, pass, stop}); hit {
								hits[at]++
							}
							if t.Failed() {
								t.FailNow()
							}
						}
					}
				}
				for _, at := range shm.Points() {
					if never := slices.Contains(slices.Concat(kind.never, wantPoints), at); never != (hits[at] == 0) {
						wrong = append(wrong, fmt.Sprintf("%s: %d hits; never: %v", at, hits[at], never))
					}
				}
				for _, w := range wrong {
					t.Error(w)
				}
			})
		}
	}
}

// perform plays one play and tells whether the target came to the point; or, without a
// blow, how often it came to which.
func (kind *victimKind) perform(t *testing.T, name string, b blow) (hit bool, passes map[shm.Point]int) {
	k := kind.make(t, name)
	p := &play{t: t, k: k, target: start(t, "target"), peer: startActor(t, k)}
	p.waitsForTarget = func() bool { return kind.owner != nil && kind.owner(p) == p.target.cmd.Process.Pid }
	defer func() {
		if t.Failed() {
			t.Logf("%s: the play %q, pass %d, stop %v", b.At, name, b.Pass, b.Stop)
		}
		for _, c := range []*child{p.target, p.peer} {
			c.Close()
			if !c.dead {
				c.kill()
			}
		}
		(&acting{tools: k}).close()
	}()
	p.target.send(b, k)
	kind.plays[name](p)
	if t.Failed() {
		return true, nil
	}
	hit = !p.settle(kind, p.target) || p.struck
	if !hit && b.At == shm.PointNone {
		answer := p.do(p.target, "points")
		for strings.HasPrefix(answer, "no such") {
			answer = p.hear(p.target)
		}
		passes = parsePoints(answer)
	}
	if !p.target.dead {
		p.target.kill()
	}
	if !p.peer.dead {
		p.settle(kind, p.peer)
	}
	kind.whole(p, name)
	return hit, passes
}

// The points that a process has passed, as text.
func init() {
	pointsPassed = func() string {
		var b strings.Builder
		for _, p := range shm.Points() {
			if n := shm.Passed(p); n > 0 {
				fmt.Fprintf(&b, "%d:%d ", p, n)
			}
		}
		return b.String()
	}
}

func parsePoints(s string) map[shm.Point]int {
	passes := map[shm.Point]int{}
	for _, f := range strings.Fields(s) {
		var p, n int
		fmt.Sscanf(f, "%d:%d", &p, &n)
		passes[shm.Point(p)] = n
	}
	return passes
}

// settle waits until c has done all that it was told, and returns false if it is dead.
func (p *play) settle(kind *victimKind, c *child) bool {
	p.t.Helper()
	for n, end := 0, time.Now().Add(deadline); time.Now().Before(end); n++ {
		if n%100 == 0 {
			p.tell(c, "are you there?") // again, for one that is giving up takes it for the word
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
		var answer string
		err := c.Recv(ctx, &answer)
		cancel()
		switch {
		case err == nil && answer == `no such thing to do: "are"`:
			return true
		case err == context.DeadlineExceeded && c == p.target && p.stopped():
			p.struck = true
			kind.usable(p)
			p.target.signal(sigcont)
		case err == context.DeadlineExceeded:
			kind.relief(p)
		case err != nil:
			return false
		}
	}
	p.t.Fatalf("process %d (target: %v; stopped: %v) does not come to rest", c.cmd.Process.Pid, c == p.target, p.target.dead || p.stopped())
	return false
}

// fresh does something in a new process.
func (p *play) fresh(ops ...string) {
	p.t.Helper()
	c := startActor(p.t, p.k)
	defer func() {
		c.Close()
		c.kill()
	}()
	for i := 0; i < len(ops); i += 2 {
		c.do(ops[i], ops[i+1])
	}
}

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

func (p *play) peerPid() int { return p.peer.cmd.Process.Pid }

// peerHolds: a peer holds the lock when it was told so; plays that have it do that give
// it up before the end, unless the target stops before.
func (p *play) peerHolds() bool { return true }

func wantText(t *testing.T, what, got string, want ...string) {
	t.Helper()
	if !slices.Contains(want, got) {
		t.Errorf("%s says %q, expected one of %q", what, got, want)
	}
}

var victimKinds = []*victimKind{rlockVictims, semaphoreVictims, eventVictims, conditionVictims, barrierVictims}

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
