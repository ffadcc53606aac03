//go:build killpoints

package ipc

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
)

// Single orders of events, for which the processes are held up at points, or never look
// by themselves.

// The helper "patient" is an actor that has to be told of everything.
func init() {
	helpers["patient"] = func(c *Conn) error {
		shm.SetRelook(time.Hour, time.Hour)
		return actor(c)
	}
}

// asleep waits until c watches the process pid: then it has looked for what it waits for,
// in vain, and looks again only when it is woken.
func asleep(t *testing.T, c *child, pid int) {
	t.Helper()
	info := fmt.Sprintf("/proc/%d/fdinfo", c.cmd.Process.Pid)
	line := fmt.Sprintf("\nPid:\t%d\n", pid)
	for end := time.Now().Add(deadline); time.Now().Before(end); runtime.Gosched() {
		fds, err := os.ReadDir(info)
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			if b, _ := os.ReadFile(info + "/" + fd.Name()); strings.Contains(string(b), line) {
				return
			}
		}
	}
	t.Fatalf("process %d does not watch process %d", c.cmd.Process.Pid, pid)
}

// Three wait. The first two get a permit, one after the other, and the third comes to the
// front without being woken: it has not seen who holds now. When the first one dies, it
// must be told nevertheless.
func TestPointDeadHolderOfLongAgo(t *testing.T) {
	checkLeaks(t)
	s := newTestSemaphore(t, SemaphoreOptions{Permits: 2})
	s.Acquire(within(t))
	s.Acquire(within(t))
	var cs []*child
	before := os.Getpid()
	for range 3 {
		c := start(t, "patient")
		c.send(tools{Semaphore: s}, "acquire")
		asleep(t, c, before)
		before = c.cmd.Process.Pid
		cs = append(cs, c)
	}
	for _, c := range cs[:2] {
		s.Release()
		c.expect("acquired")
	}
	cs[0].kill()
	cs[2].expect("acquired")
	for _, c := range cs {
		c.Close()
		if !c.dead {
			c.kill()
		}
	}
}

// Who gives up at a barrier just when its round ends is one of those that the others
// count in: then it was in time.
func TestPointGivesUpAtTheEndOfARound(t *testing.T) {
	checkLeaks(t)
	b := newTestBarrier(t, 2)
	c := start(t, "target")
	defer func() {
		c.Close()
		c.kill()
	}()
	c.send(blow{At: shm.PointHeldBefore, Pass: 2, Stop: true}, tools{Barrier: b}) // the first is to come
	c.send("come a while")
	p := &play{t: t, target: c}
	for end := time.Now().Add(deadline); !p.stopped(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("it does not give up")
		}
	}
	if place, err := b.Wait(context.Background()); place != 1 || err != nil {
		t.Errorf("place %d, %v", place, err)
	}
	c.signal(sigcont)
	c.expect("place 0")
}
