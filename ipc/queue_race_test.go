//go:build killpoints

package ipc

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
)

// The helper "patient queuer" is a queuer that has to be told of everything, and that can
// be stopped at a point.
func init() {
	helpers["patient queuer"] = func(c *Conn) error {
		shm.SetRelook(time.Hour, time.Hour)
		return queuerWith(c, func(o queueOrder) (a queueAnswer, ok bool) {
			switch o.Do {
			case "stop at":
				shm.Arm(shm.Point(o.N), int(o.Value.(int64)), syscall.SIGSTOP, nil)
			case "stop at one and then": // the first time at each
				then := shm.Point(o.Value.(int64))
				shm.Arm(shm.Point(o.N), 1, syscall.SIGSTOP, func() { shm.Arm(then, 1, syscall.SIGSTOP, nil) })
			default:
				return a, false
			}
			return a, true
		})
	}
}

// The first of two that wait leaves the line and is held up just before it says that
// somebody may sleep. What changes then changes for the second, and nobody else tells it.
func TestPointQueueChangesWhileTheFirstLeaves(t *testing.T) {
	for _, c := range []struct {
		do     string
		items  int // at first
		wake   func(t *testing.T, q *Queue[any])
		change func(t *testing.T, q *Queue[any])
	}{
		{"put", 2,
			func(t *testing.T, q *Queue[any]) { mustGet[any](t, q, "item") },
			func(t *testing.T, q *Queue[any]) {
				if vs, err := q.GetUpTo(within(t), 2); len(vs) != 2 || err != nil {
					t.Fatalf("%v, %v", vs, err)
				}
			}},
		{"get", 0,
			func(t *testing.T, q *Queue[any]) { mustPut[any](t, q, "item") },
			func(t *testing.T, q *Queue[any]) { mustPut[any](t, q, "item") }},
	} {
		t.Run(c.do, func(t *testing.T) {
			checkLeaks(t)
			q := newTestQueue[any](t, QueueOptions{Items: 2})
			for range c.items {
				mustPut[any](t, q, "item")
			}
			// Whoever waits after this finds the flag set, and comes by the point twice.
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
			defer cancel()
			if c.do == "put" {
				q.Put(ctx, "late")
			} else {
				q.Get(ctx)
			}
			waiting := func() int { return q.Putting() + q.Getting() }
			first, second := start(t, "patient queuer"), start(t, "patient queuer")
			for i, p := range []*child{first, second} {
				p.send(q)
				if p == first {
					p.send(queueOrder{Do: "stop at", N: int(shm.PointFlagBefore), Value: 2})
					p.answers(nil, nil)
				}
				p.order(c.do, "item")
				untilIs(t, "waiting", waiting, i+1)
			}
			asleep(t, second, first.cmd.Process.Pid)
			c.wake(t, q)
			until(t, "the first is stopped", (&play{t: t, target: first}).stopped)
			c.change(t, q)
			first.signal(sigcont)
			for _, p := range []*child{first, second} {
				if a := recv[queueAnswer](p); a.Err != "" {
					t.Error(a.Err)
				}
			}
			for _, p := range []*child{first, second} { // not before: the second would see the death
				p.Close()
				p.kill()
			}
		})
	}
}

// The first in line has waited for so long that others let it go before them. It is held
// up between a look, in vain, and its sleep. One who was woken in its place finds room
// that is not for it, and sleeps again: that must not let the first one think that
// whatever has changed since its look was seen to.
func TestPointQueueRoomForTheFirst(t *testing.T) {
	checkLeaks(t)
	q := newTestQueue[any](t, QueueOptions{Items: 1})
	mustPut[any](t, q, "a")
	first, second := start(t, "patient queuer"), start(t, "patient queuer")
	stopped := func(c *child) {
		t.Helper()
		until(t, "a process is stopped", (&play{t: t, target: c}).stopped)
	}
	// The first draws its number before the second, and stands in line after it.
	first.send(q, queueOrder{Do: "stop at one and then", N: int(shm.PointWaitHasOrder), Value: int(shm.PointReleaseAfterCAS)})
	first.answers(nil, nil)
	first.order("put", "first")
	stopped(first)
	long := time.After(20 * time.Millisecond)
	second.send(q, queueOrder{Do: "stop at", N: int(shm.PointSleepBefore), Value: 1})
	second.answers(nil, nil)
	second.order("put", "second")
	stopped(second)

	mustGet[any](t, q, "a") // wakes the second
	if err := q.TryPut("b"); err != nil {
		t.Fatal(err)
	}
	<-long
	first.signal(sigcont)
	stopped(first) // it has found the queue full
	mustGet[any](t, q, "b")
	second.signal(sigcont)
	asleep(t, second, first.cmd.Process.Pid)
	first.signal(sigcont)
	mustGet[any](t, q, "first")
	mustGet[any](t, q, "second")
	for _, p := range []*child{first, second} {
		p.answers(nil, nil)
		p.Close()
		p.kill()
	}
}
