package ipc

import (
	"fmt"
	"math"

	"github.com/seed-185a7250/multiproc/proto"
)

func init() {
	kinds["semaphore"] = makeSemaphore
	kinds["bounded_semaphore"] = makeSemaphore
}

// A managedSemaphore has permits that are free, and others that connections hold. When no
// operation is under way nobody waits while one is free.
type managedSemaphore struct {
	name    string // for people
	handoff bool
	free    int
	bound   int // the most that there may be, free and held; -1: no limit

	held    map[*session]int // never with handoff
	out     int              // the sum of held
	waiters line
}

func makeSemaphore(c *call) (thing, error) {
	handoff, err := c.handoffArgs(2)
	if err != nil {
		return nil, err
	}
	x := &managedSemaphore{name: "Semaphore", handoff: handoff, free: 1, bound: -1, held: map[*session]int{}}
	if len(c.args) > 0 {
		x.free, err = intArg(c.args[0])
	}
	if err == nil && x.free < 0 {
		err = faultf(proto.KindValueError, "a semaphore with %d permits", x.free)
	}
	if c.obj.kind == "bounded_semaphore" {
		x.name, x.bound = "BoundedSemaphore", x.free
	}
	return x, err
}

var semaphoreOps = map[string]operation[*managedSemaphore]{
	"acquire": {0, 0, (*managedSemaphore).acquire},
	"release": {0, 1, (*managedSemaphore).release},
	"value":   {0, 0, func(x *managedSemaphore, c *call) { c.replyInt(x.free) }},
}

func (x *managedSemaphore) call(c *call) { operate(x, c, semaphoreOps) }

func (x *managedSemaphore) acquire(c *call) {
	if x.free == 0 {
		c.park(&x.waiters, nil)
		return
	}
	x.give(c.s)
	c.replyNil()
}

// give gives s a permit that is free.
func (x *managedSemaphore) give(s *session) {
	x.free--
	if x.handoff {
		return
	}
	if x.held[s] == 0 {
		s.hold(x)
	}
	x.held[s]++
	x.out++
}

// takeBack makes n of the permits that s holds free, or as many as it has, and returns how many
// those are.
func (x *managedSemaphore) takeBack(s *session, n int) int {
	n = min(n, x.held[s])
	if n == 0 {
		return 0
	}
	if x.held[s] -= n; x.held[s] == 0 {
		delete(x.held, s)
		s.unhold(x)
	}
	x.out -= n
	x.free += n
	return n
}

func (x *managedSemaphore) release(c *call) {
	n, err := 1, error(nil)
	if len(c.args) > 0 {
		n, err = intArg(c.args[0])
	}
	if err == nil {
		err = x.mayRelease(c.s, n)
	}
	if err != nil {
		c.fail(err)
		return
	}
	x.free += n - x.takeBack(c.s, n)
	x.grant()
	c.replyNil()
}

func (x *managedSemaphore) mayRelease(s *session, n int) error {
	added := n - min(n, x.held[s])
	switch {
	case n < 1:
		return faultf(proto.KindValueError, "release of %d permits", n)
	case x.bound >= 0 && added > x.bound-x.free-x.out:
		return faultf(proto.KindValueError, "released too often: there are %d permits", x.bound)
	case added > math.MaxInt-x.free-x.out:
		return faultf(proto.KindValueError, "a semaphore has %d permits at most", math.MaxInt)
	}
	return nil
}

// grant gives what is free to those who have waited longest.
func (x *managedSemaphore) grant() {
	for x.free > 0 {
		p := x.waiters.pick()
		if p == nil {
			return
		}
		p.take()
		x.give(p.s)
		p.replyNil()
	}
}

func (x *managedSemaphore) leave(s *session) {
	x.takeBack(s, x.held[s])
	x.grant()
}

// text is like <Semaphore(value=0, waiting=2)>, <BoundedSemaphore(value=1, maxvalue=3)>.
func (x *managedSemaphore) text(b []byte, max int) []byte {
	b = fmt.Appendf(b, "<%s(value=%d", x.name, x.free)
	if x.bound >= 0 {
		b = fmt.Appendf(b, ", maxvalue=%d", x.bound)
	}
	return append(x.waiters.text(b), ")>"...)
}

func (x *managedSemaphore) drop(*Manager) {
	x.waiters.each(func(p *parked) { p.quit(objectEnd) })
	for s, n := range x.held {
		x.takeBack(s, n)
	}
}
