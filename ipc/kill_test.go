//go:build killpoints

package ipc

import (
	"context"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
)

// The victim is a locker that is killed at one point.
func init() {
	helpers["victim"] = func(c *Conn) error {
		var at shm.Point
		var pass int
		if err := c.Recv(context.Background(), &at); err != nil {
			return err
		}
		if err := c.Recv(context.Background(), &pass); err != nil {
			return err
		}
		shm.Arm(at, pass, syscall.SIGKILL, nil)
		return locker(c)
	}
}

// A killScene leads a victim through a piece of the lock's life. The victim may die
// at any moment: a scene must not depend on its answers.
type killScene struct {
	name string
	play func(s *scene)
}

type scene struct {
	t      *testing.T
	lock   *Lock
	victim *child
	peer   *child
}

// tell has the victim do something without waiting for the answer; told waits for
// the answer, or the end of the victim.
func (s *scene) tell(op string) { s.victim.Send(within(s.t), op) }

func (s *scene) told() (answer string) {
	s.t.Helper()
	if err := s.victim.Recv(within(s.t), &answer); err == context.DeadlineExceeded {
		s.t.Fatal("the victim neither answers nor dies")
	}
	return answer
}

func (s *scene) do(op string) string {
	s.t.Helper()
	s.tell(op)
	return s.told()
}

// settled waits until the victim stands in the queue, n-th, or is dead.
func (s *scene) settled(n int) {
	s.t.Helper()
	for end := time.Now().Add(deadline); s.lock.Waiting() < n && !s.ended(); runtime.Gosched() {
		if time.Now().After(end) {
			s.t.Fatalf("%d processes wait, expected %d", s.lock.Waiting(), n)
		}
	}
}

// first waits until the peer has the lock, or the victim, and returns who says so.
func (s *scene) first() *child {
	s.t.Helper()
	for end := time.Now().Add(deadline); time.Now().Before(end); {
		for _, c := range []*child{s.peer, s.victim} {
			var answer string
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
			err := c.Recv(ctx, &answer)
			cancel()
			if err == nil && (answer == "held" || answer == "held, owner died") {
				return c
			}
			if err == nil {
				s.t.Fatalf("who waits for the lock says %q", answer)
			}
		}
	}
	s.t.Fatal("nobody gets the lock")
	return nil
}

func (s *scene) ended() bool { return zombie(s.t, s.victim.cmd.Process.Pid) }

var killScenes = []killScene{
	{"acquire a free lock and release it", func(s *scene) {
		s.do("acquire")
		s.do("release")
	}},
	{"wait and get it", func(s *scene) {
		h := mustAcquire(s.t, s.lock)
		s.tell("acquire")
		s.settled(1)
		mustRelease(s.t, h)
		s.told()
		s.do("release")
	}},
	{"wait behind another", func(s *scene) {
		h := mustAcquire(s.t, s.lock)
		s.peer.send("acquire")
		untilWaiting(s.t, s.lock, 1)
		s.tell("acquire")
		s.settled(2)
		mustRelease(s.t, h)
		if s.first() == s.victim { // a lock is not fair: it may have looked just then
			s.do("release")
			s.first()
			s.peer.do("release", "released")
			return
		}
		s.peer.do("release", "released")
		s.told()
	}},
	{"wait before another, and give up", func(s *scene) {
		h := mustAcquire(s.t, s.lock)
		s.tell("acquire until told")
		s.settled(1)
		s.peer.send("acquire")
		s.settled(2)
		s.tell("give up")
		s.told()
		untilWaiting(s.t, s.lock, 1)
		mustRelease(s.t, h)
		s.peer.expect("held")
		s.peer.do("release", "released")
	}},
	{"release to a waiter", func(s *scene) {
		if s.do("acquire") != "held" {
			return
		}
		s.peer.send("acquire")
		untilWaiting(s.t, s.lock, 1)
		s.do("release")
		if got := recv[string](s.peer); got != "held" && got != "held, owner died" {
			s.t.Fatalf("peer says %q", got)
		}
		s.peer.do("release", "released")
	}},
	{"release after the waiter has given up", func(s *scene) {
		if s.do("acquire") != "held" {
			return
		}
		s.peer.do("acquire a while", "context deadline exceeded")
		s.do("release")
	}},
	{"take over from the dead", func(s *scene) {
		s.peer.do("acquire", "held")
		s.tell("acquire")
		s.settled(1)
		s.peer.kill()
		s.told()
	}},
	{"find the owner dead", func(s *scene) {
		s.peer.do("acquire", "held")
		s.peer.kill()
		s.do("try")
	}},
	{"close", func(s *scene) {
		s.do("acquire")
		s.do("close")
	}},
	{"pass over a stopped waiter", func(s *scene) {
		h := mustAcquire(s.t, s.lock)
		s.peer.send("acquire")
		untilWaiting(s.t, s.lock, 1)
		s.tell("acquire")
		s.settled(2)
		s.peer.stop()
		mustRelease(s.t, h)
		s.told()
		s.do("release")
		s.peer.signal(syscall.SIGCONT)
		if got := recv[string](s.peer); got != "held" && got != "held, owner died" {
			s.t.Fatalf("peer says %q", got)
		}
		s.peer.do("release", "released")
	}},
}

// Points that a Lock does not come to.
var notOfLocks = slices.Concat(repairHeld, heldPoints, notePoints, reservePoints, grantPoints, flagPoints, wantPoints)

// Every point, in every scene, at the first and the second pass. Afterwards whoever
// is left can use the lock, and a process that comes new as well.
func TestLockKilledAtEveryPoint(t *testing.T) {
	checkLeaks(t)
	for _, p := range shm.Points() {
		t.Run(p.String(), func(t *testing.T) {
			hits := 0
			for _, sc := range killScenes {
				for pass := 1; pass <= 2 && playKill(t, sc, p, pass); pass++ {
					hits++
				}
			}
			if never := slices.Contains(notOfLocks, p); never != (hits == 0) {
				t.Errorf("%d hits; never: %v", hits, never)
			}
		})
	}
}

// playKill plays one scene and tells whether the victim came to the point.
func playKill(t *testing.T, sc killScene, p shm.Point, pass int) (hit bool) {
	t.Helper()
	l := newTestLock(t, LockOptions{})
	s := &scene{t: t, lock: l, victim: start(t, "victim"), peer: startLocker(t, l)}
	s.victim.send(p, pass, l)
	sc.play(s)
	if t.Failed() {
		t.Fatalf("in the scene %q, pass %d", sc.name, pass)
	}
	hit = s.do("are you there?") == ""
	s.victim.kill() // at the latest now; it may hold the lock
	last := mustAcquire(t, l)
	mustRelease(t, last)
	next := startLocker(t, l)
	next.do("acquire", "held")
	next.do("release", "released")
	if h := mustAcquire(t, l); h.Token() != last.Token()+2 {
		t.Errorf("scene %q, pass %d: token %d after %d and one other", sc.name, pass, h.Token(), last.Token())
	}
	for _, c := range []*child{s.victim, s.peer, next} {
		c.Close()
		if !c.dead {
			c.kill()
		}
	}
	l.Close()
	return hit
}

// zombie tells whether a child has ended; it stays unreaped.
func zombie(t *testing.T, pid int) bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	if err != nil {
		t.Fatalf("waitid: %v", err)
	}
	return info.Signo != 0
}
