//go:build killpoints

package ipc

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
)

// The "queue victim" is a queuer that is killed at one point: it gets the queue, makes
// itself known, then is told at which.
func init() {
	helpers["queue victim"] = func(c *Conn) error {
		return queuerWith(c, func(o queueOrder) (queueAnswer, bool) {
			switch o.Do {
			case "die at":
				shm.Arm(shm.Point(o.N), int(o.Value.(int64)), syscall.SIGKILL, nil)
			case "count":
				for _, p := range shm.Points() {
					shm.Passed(p)
				}
			case "passed":
				return queueAnswer{N: shm.Passed(shm.Point(o.N))}, true
			default:
				return queueAnswer{}, false
			}
			return queueAnswer{}, true
		})
	}
}

// A queueScene leads a victim through a piece of the life of a queue. The victim may
// die at any moment: a scene must not depend on its answers.
type queueScene struct {
	name  string
	kinds string // of queues: p plain, j joinable, r with Redeliver
	o     QueueOptions
	play  func(s *queuePlay)
}

type queuePlay struct {
	t      *testing.T
	q      *JoinableQueue[any]
	kind   byte
	victim *child
	peer   *child

	items []string // all that was put, or may have been, in this order
	maybe []string // those that may be gone: the victim took them, or died putting
	shut  bool     // the queue may be closed
}

func (s *queuePlay) put(items ...string) {
	s.t.Helper()
	for _, v := range items {
		s.items = append(s.items, v)
		if err := s.q.Put(within(s.t), v); err != nil {
			s.t.Fatalf("put: %v", err)
		}
	}
}

// tell has the victim do something; told waits for its answer, or its end.
func (s *queuePlay) tell(do string, v any) {
	s.victim.Send(within(s.t), queueOrder{Do: do, Value: v})
}

func (s *queuePlay) told() (a queueAnswer, alive bool) {
	s.t.Helper()
	err := s.victim.Recv(within(s.t), &a)
	if err == context.DeadlineExceeded {
		s.t.Fatal("the victim neither answers nor dies")
	}
	return a, err == nil
}

func (s *queuePlay) do(do string, v any) (queueAnswer, bool) {
	s.t.Helper()
	s.tell(do, v)
	return s.told()
}

// puts has the victim put; gets has it get what must be v if it tells.
func (s *queuePlay) puts(v string) {
	s.items = append(s.items, v)
	if a, ok := s.do("put", v); !ok || a.Err != "" {
		s.maybe = append(s.maybe, v)
	}
}

func (s *queuePlay) gets(v string) {
	s.maybe = append(s.maybe, v)
	if a, ok := s.do("get", nil); ok && a.Value != v {
		s.t.Fatalf("the victim got %.20v, expected %.20v", fmt.Sprint(a.Value), v)
	}
}

func (s *queuePlay) settled(what string, is func() bool) {
	s.t.Helper()
	until(s.t, what+", or the victim is dead", func() bool { return is() || zombie(s.t, s.victim.cmd.Process.Pid) })
}

// get gets one item in this process, and finishes it.
func (s *queuePlay) get() {
	s.t.Helper()
	v, err := s.q.Get(within(s.t))
	if err != nil {
		s.t.Fatalf("get: %v", err)
	}
	i := slices.Index(s.items, v.(string))
	if i < 0 {
		s.t.Fatalf("got %.20v, expected one of %d", v, len(s.items))
	}
	s.items = slices.Delete(s.items, i, i+1)
	if s.kind != 'p' {
		if err := s.q.TaskDone(); err != nil {
			s.t.Fatalf("done: %v", err)
		}
	}
}

// peerPuts has the peer put v, for which there is room as soon as nothing is left of the
// others: this process takes what comes back from the victim.
func (s *queuePlay) peerPuts(v string) {
	s.t.Helper()
	s.items, s.maybe = append(s.items, v), append(s.maybe, v)
	s.peer.order("put", v)
	var a queueAnswer
	until(s.t, "the peer finds room", func() bool {
		for s.q.Len() > 0 {
			s.get()
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		return s.peer.Recv(ctx, &a) == nil
	})
	if a.Err != "" {
		s.t.Fatalf("the peer puts: %s", a.Err)
	}
}

func large(name string, n int) string { return name + strings.Repeat("0", n) }

var queueScenes = []queueScene{
	{"put small", "pjr", QueueOptions{}, func(s *queuePlay) {
		s.put("a")
		s.puts("b")
		s.puts("c")
	}},
	{"put large", "pr", QueueOptions{}, func(s *queuePlay) {
		s.puts(large("a", 100<<10))
		s.puts("b")
	}},
	{"put huge", "pr", QueueOptions{Bytes: 64 << 10}, func(s *queuePlay) {
		s.puts(large("a", 2<<20))
		s.puts("b")
	}},
	{"get small", "pjr", QueueOptions{}, func(s *queuePlay) {
		s.put("a", "b", "c")
		s.gets("a")
		s.gets("b")
	}},
	{"get large", "pjr", QueueOptions{}, func(s *queuePlay) {
		s.put(large("a", 100<<10), large("b", 100<<10), "c")
		s.gets(large("a", 100<<10))
		s.gets(large("b", 100<<10))
	}},
	{"get huge", "pr", QueueOptions{Bytes: 64 << 10}, func(s *queuePlay) {
		s.put(large("a", 2<<20), "b")
		s.gets(large("a", 2<<20))
	}},
	{"wait for room", "pjr", QueueOptions{Items: 1}, func(s *queuePlay) {
		s.put("a")
		s.items, s.maybe = append(s.items, "b"), append(s.maybe, "b")
		s.tell("put", "b")
		s.settled("one process waits", func() bool { return s.q.Putting() == 1 })
		s.get()
		s.told()
	}},
	{"wait for room before another", "p", QueueOptions{Items: 1}, func(s *queuePlay) {
		s.put("a")
		s.items, s.maybe = append(s.items, "b", "c"), append(s.maybe, "b")
		s.tell("put", "b")
		s.settled("one process waits", func() bool { return s.q.Putting() == 1 })
		s.peer.order("put", "c")
		until(s.t, "the peer waits", func() bool { return s.q.Putting() == 2 || zombie(s.t, s.victim.cmd.Process.Pid) })
		s.get()
		s.settled("the victim has put", func() bool { return s.q.Len() == 1 })
		s.get()
		s.peer.answers(nil, nil)
		if len(s.items) == 2 {
			s.told()
		}
	}},
	{"wait for an item", "pjr", QueueOptions{}, func(s *queuePlay) {
		s.tell("get", nil)
		s.settled("one process waits", func() bool { return s.q.Getting() == 1 })
		s.maybe = append(s.maybe, "a")
		s.put("a")
		s.told()
	}},
	{"wait for an item before another", "pjr", QueueOptions{}, func(s *queuePlay) {
		s.tell("get", nil)
		s.settled("one process waits", func() bool { return s.q.Getting() == 1 })
		s.peer.order("get", nil)
		s.settled("two processes wait", func() bool { return s.q.Getting() == 2 })
		s.maybe = append(s.maybe, "a", "b")
		s.put("a", "b")
		if a := recv[queueAnswer](s.peer); a.Value != "a" && a.Value != "b" {
			s.t.Fatalf("the peer got %v", a)
		} else if s.items = slices.DeleteFunc(s.items, func(v string) bool { return v == a.Value }); s.kind != 'p' {
			s.peer.order("done", nil)
			s.peer.answers(nil, nil)
		}
		if s.kind != 'r' {
			s.told()
		}
	}},
	{"wait for nothing", "p", QueueOptions{}, func(s *queuePlay) {
		s.do("get a while", nil)
	}},
	{"finish", "jr", QueueOptions{}, func(s *queuePlay) {
		s.put("a", "b")
		s.gets("a")
		s.do("done", nil)
		s.gets("b")
		s.do("done", nil)
	}},
	{"finish the oldest of a full ring", "r", QueueOptions{Bytes: 4096}, func(s *queuePlay) {
		s.put(large("a", 2000), large("b", 2000))
		s.gets(large("a", 2000))
		s.peer.order("get", nil)
		a := recv[queueAnswer](s.peer)
		s.items = slices.DeleteFunc(s.items, func(v string) bool { return v == a.Value })
		s.peer.order("done", nil)
		s.peer.answers(nil, nil)
		s.do("done", nil) // now there is room for what follows, not before
		s.peerPuts(large("c", 2000))
	}},
	{"finish what another took", "jr", QueueOptions{}, func(s *queuePlay) {
		s.put("a")
		s.peer.gets("a")
		s.maybe = append(s.maybe, "a")
		s.do("done", nil)
		s.peer.order("done", nil)
		recv[queueAnswer](s.peer)
		s.items = nil
	}},
	{"join", "jr", QueueOptions{}, func(s *queuePlay) {
		s.put("a", "b")
		s.tell("join", nil)
		s.get()
		s.get()
		s.told()
	}},
	{"join after a death", "jr", QueueOptions{}, func(s *queuePlay) {
		s.put("a", "b")
		s.peer.gets("a")
		s.tell("join", nil)
		s.get()
		s.peer.kill()
		if s.kind == 'r' {
			s.get()
		} else {
			s.items = nil
		}
		s.told()
	}},
	{"get what a dead process took", "r", QueueOptions{}, func(s *queuePlay) {
		s.put("a", "b")
		s.peer.gets("a")
		s.peer.gets("b")
		s.tell("get", nil)
		s.settled("one process waits", func() bool { return s.q.Getting() == 1 })
		s.maybe = append(s.maybe, "a", "b")
		s.peer.kill()
		s.told()
	}},
	{"close", "pjr", QueueOptions{}, func(s *queuePlay) {
		s.shut = true
		s.put("a", "b")
		s.do("close", nil)
		s.gets("a")
	}},
	{"close now", "pjr", QueueOptions{}, func(s *queuePlay) {
		s.shut = true
		s.put("a", "b")
		s.maybe = append(s.maybe, "a", "b")
		s.do("get", nil)
		s.do("close now", nil)
		s.do("get", nil)
	}},
	{"wait for what may come back", "r", QueueOptions{}, func(s *queuePlay) {
		s.shut = true
		s.put("a")
		s.peer.gets("a")
		s.q.Close()
		s.maybe = append(s.maybe, "a")
		s.tell("get", nil)
		s.settled("one process waits", func() bool { return s.q.Getting() == 1 })
		s.peer.kill()
		s.told()
		s.do("done", nil)
	}},
	{"get before all is dropped", "pjr", QueueOptions{}, func(s *queuePlay) {
		s.shut = true
		s.put("a", "b")
		s.maybe = append(s.maybe, "b")
		s.gets("a")
		s.q.CloseNow()
	}},
	{"close beside those who wait", "pr", QueueOptions{}, func(s *queuePlay) {
		s.shut = true
		s.peer.order("get", nil)
		until(s.t, "one process waits", func() bool { return s.q.Getting() == 1 })
		s.do("close", nil)
		s.q.Close() // the victim may have died before
		s.peer.answers(nil, ErrClosed)
	}},
	{"detach", "pjr", QueueOptions{}, func(s *queuePlay) {
		s.put("a", "b")
		s.gets("a")
		s.do("detach", nil)
	}},
}

// Every point that a scene comes to, at each of the first passes, for each kind of
// queue. Afterwards whoever is left can use the queue, and nothing is in it that should
// not be, or missing.
func TestQueueKilledAtEveryPoint(t *testing.T) {
	checkLeaks(t)
	hits := map[shm.Point]int{}
	for _, sc := range queueScenes {
		for _, kind := range []byte(sc.kinds) {
			t.Run(fmt.Sprintf("%s/%c", sc.name, kind), func(t *testing.T) {
				passes := playQueue(t, sc, kind, shm.PointNone, 0)
				for _, p := range shm.Points() {
					for pass := 1; pass <= min(passes[p], 8); pass++ {
						playQueue(t, sc, kind, p, pass)
						hits[p]++
						if t.Failed() {
							t.Fatalf("killed at %q, pass %d", p, pass)
						}
					}
				}
			})
		}
	}
	n := 0
	for _, p := range []shm.Point{
		shm.PointHeldBefore, shm.PointHeldAfter, shm.PointFlagBefore, shm.PointFlagAfter,
		shm.PointAcquireAfterCAS, shm.PointReleaseAfterCAS, shm.PointWaitAfterOrder, shm.PointSleepBefore,
		shm.PointWakeBeforeStore, shm.PointWakeBeforeFutex, shm.PointWakeAfter, shm.PointWaitBeforeLeave,
		shm.PointRepairBeforeHeld, shm.PointRepairAfterHeld, shm.PointRepairAfterIdent, shm.PointDetachBefore,
	} {
		if hits[p] == 0 && testing.Verbose() && !t.Failed() {
			t.Errorf("no scene comes to %q", p)
		}
	}
	for _, h := range hits {
		n += h
	}
	t.Logf("killed %d times, at %d points", n, len(hits))
}

// playQueue plays one scene with a victim that dies at a point, and returns how often it
// came to each if there is none.
func playQueue(t *testing.T, sc queueScene, kind byte, p shm.Point, pass int) map[shm.Point]int {
	t.Helper()
	s := &queuePlay{t: t, kind: kind}
	o := sc.o
	if kind == 'p' {
		q, err := NewQueue[any](o)
		if err != nil {
			t.Fatal(err)
		}
		s.q = &JoinableQueue[any]{Queue: *q}
	} else {
		o.Redeliver = kind == 'r'
		q, err := NewJoinableQueue[any](o)
		if err != nil {
			t.Fatal(err)
		}
		s.q = q
	}
	s.victim, s.peer = start(t, "queue victim"), startQueuer(t, &s.q.Queue)
	s.victim.send(&s.q.Queue)
	if p == shm.PointNone {
		s.do("count", nil)
	} else {
		s.victim.Send(within(t), queueOrder{Do: "die at", N: int(p), Value: pass})
		s.told()
	}
	sc.play(s)
	var passes map[shm.Point]int
	if p == shm.PointNone {
		passes = map[shm.Point]int{}
		for _, p := range shm.Points() {
			s.victim.Send(within(t), queueOrder{Do: "passed", N: int(p)})
			a, _ := s.told()
			passes[p] = a.N
		}
	}
	s.victim.kill() // at the latest now
	s.check()
	for _, c := range []*child{s.victim, s.peer} {
		c.Close()
		if !c.dead {
			c.kill()
		}
	}
	s.q.Detach()
	return passes
}

// check finds the queue in order when the victim is dead, in this process and in a new
// one.
func (s *queuePlay) check() {
	t := s.t
	t.Helper()
	last, closed := false, false // put; and found closed
	seen := map[string]int{}
	for order := -1; ; {
		if !last && !closed {
			switch err := s.q.TryPut("last"); {
			case err == nil:
				last = true
			case err == ErrClosed && s.shut:
				closed = true
			case err != ErrFull:
				t.Fatalf("put: %v", err)
			}
		}
		v, err := s.q.Get(within(t))
		if closed && err == ErrClosed {
			break
		}
		if err != nil {
			t.Fatalf("get: %v", err)
		}
		name := v.(string)
		if s.kind != 'p' {
			if err := s.q.TaskDone(); err != nil {
				t.Fatalf("done: %v", err)
			}
		}
		if name != "last" {
			i := slices.Index(s.items, name)
			if i < 0 || i <= order && s.kind != 'r' {
				t.Fatalf("got %.20q, item %d of %d, after item %d", name, i, len(s.items), order)
			}
			order = i
			seen[name]++
		}
		// What comes back from the dead may come after all others.
		if n, err := s.q.Unfinished(); name == "last" && s.kind != 'r' || last && n == 0 && s.kind == 'r' {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range s.items {
		if seen[v] > 1 || seen[v] == 0 && !slices.Contains(s.maybe, v) {
			t.Errorf("item %.20q came %d times", v, seen[v])
		}
	}
	if s.q.Len() != 0 || !s.q.Empty() {
		t.Errorf("%d items are left", s.q.Len())
	}
	if s.kind != 'p' {
		if !s.peer.dead {
			s.peer.kill() // it may have taken something
		}
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		err := s.q.Join(ctx)
		cancel()
		n, _ := s.q.Unfinished()
		lost, _ := s.q.Lost()
		if err := s.q.TaskDone(); err != ErrDone {
			t.Errorf("done once more than there are items: %v", err)
		}
		if err != nil || n != 0 || lost > len(s.maybe)+1 || s.kind == 'r' && lost != 0 {
			t.Errorf("join: %v, with %d unfinished and %d lost", err, n, lost)
		}
	}
	next := startQueuer(t, &s.q.Queue)
	if closed {
		next.order("get", nil)
		next.answers(nil, ErrClosed)
	} else {
		next.puts("next")
		next.gets("next")
	}
	next.Close()
	next.kill()
}
