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
