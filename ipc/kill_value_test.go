//go:build killpoints

package ipc

import (
	"context"
	"slices"
	"syscall"
	"testing"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
)

// A wholeValue is larger than a word, and all of its numbers are the same.
type wholeValue struct{ Of [9]int64 }

func wholeOf(n int64) (v wholeValue) {
	for i := range v.Of {
		v.Of[i] = n
	}
	return v
}

func (v wholeValue) torn() bool { return v != wholeOf(v.Of[0]) }

// The helper "value user" does with a value what it is told, and may be killed at a point.
type valueOrder struct {
	Do   string
	N    int64
	Pass int
}

type valueAnswer struct {
	N     int64
	Torn  bool
	Error string
}

func init() {
	helpers["value user"] = func(c *Conn) error {
		ctx := context.Background()
		var v Value[wholeValue]
		if err := c.Recv(ctx, &v); err != nil {
			return err
		}
		for {
			var o valueOrder
			if err := c.Recv(ctx, &o); err != nil {
				return err
			}
			a, err := o.carryOut(c, &v)
			if err != nil {
				a.Error = err.Error()
			}
			if err := c.Send(ctx, a); err != nil {
				return err
			}
		}
	}
}

func (o valueOrder) carryOut(c *Conn, v *Value[wholeValue]) (a valueAnswer, err error) {
	x := wholeOf(o.N)
	switch o.Do {
	case "die at":
		shm.Arm(shm.Point(o.N), o.Pass, syscall.SIGKILL, nil)
	case "count":
		for _, p := range shm.Points() {
			shm.Passed(p)
		}
	case "passed":
		return valueAnswer{N: int64(shm.Passed(shm.Point(o.N)))}, nil
	case "get":
		x = v.Get()
	case "set":
		err = v.Set(x)
	case "add":
		x, err = v.Update(func(x wholeValue) wholeValue { return wholeOf(x.Of[0] + o.N) })
	case "add slowly": // says when it has begun, and goes on when it is told
		x, err = v.Update(func(x wholeValue) wholeValue {
			c.Send(context.Background(), valueAnswer{})
			c.Recv(context.Background(), new(valueOrder))
			return wholeOf(x.Of[0] + o.N)
		})
	case "swap": // N for N+1
		var swapped bool
		swapped, err = v.CompareAndSwap(x, wholeOf(o.N+1))
		x = wholeOf(0)
		if swapped {
			x = wholeOf(1)
		}
	case "close":
		v.Close()
		*v = Value[wholeValue]{}
		err = untilUnmapped("multiproc-")
	}
	return valueAnswer{N: x.Of[0], Torn: x.torn()}, err
}

// A valuePlay is a value of 10 in the hands of a victim, and of a peer who is spared.
type valuePlay struct {
	t      *testing.T
	v      *Value[wholeValue]
	victim *child
	peer   *child
}

func (p *valuePlay) tell(c *child, do string, n int64) {
	c.Send(within(p.t), valueOrder{Do: do, N: n})
}

// told waits for the answer; of the victim there may be none.
func (p *valuePlay) told(c *child) (a valueAnswer) {
	p.t.Helper()
	if err := c.Recv(within(p.t), &a); err == context.DeadlineExceeded || err != nil && c == p.peer && !c.dead {
		p.t.Fatalf("process %d neither answers nor dies: %v", c.cmd.Process.Pid, err)
	}
	if a.Torn || a.Error != "" {
		p.t.Fatalf("process %d: torn %v, %s", c.cmd.Process.Pid, a.Torn, a.Error)
	}
	return a
}

func (p *valuePlay) do(c *child, do string, n int64) valueAnswer {
	p.t.Helper()
	p.tell(c, do, n)
	return p.told(c)
}

// stands waits until so many processes wait to write, or the victim is dead.
func (p *valuePlay) stands(n int) {
	p.t.Helper()
	guard := shm.NewMutex(p.v.s)
	until(p.t, "processes wait to write, or the victim is dead", func() bool {
		return guard.Waiting() >= n || zombie(p.t, p.victim.cmd.Process.Pid)
	})
}

// A valueScene ends with one of some values.
type valueScene struct {
	name string
	play func(p *valuePlay)
	ends []int64
}

var valueScenes = []valueScene{
	{"get", func(p *valuePlay) { p.do(p.victim, "get", 0) }, []int64{10}},
	{"set", func(p *valuePlay) { p.do(p.victim, "set", 20) }, []int64{10, 20}},
	{"add", func(p *valuePlay) { p.do(p.victim, "add", 5) }, []int64{10, 15}},
	{"swap", func(p *valuePlay) { p.do(p.victim, "swap", 10) }, []int64{10, 11}},
	{"find another value", func(p *valuePlay) { p.do(p.victim, "swap", 9) }, []int64{10}},
	{"wait for a writer", func(p *valuePlay) {
		p.do(p.peer, "add slowly", 100)
		p.tell(p.victim, "add", 5)
		p.stands(1)
		p.do(p.peer, "on", 0)
		p.told(p.victim)
	}, []int64{110, 115}},
	{"write before another", func(p *valuePlay) {
		p.do(p.victim, "add slowly", 5)
		p.tell(p.peer, "add", 100)
		p.stands(1)
		p.do(p.victim, "on", 0)
		p.told(p.peer)
	}, []int64{110, 115}},
	{"take over from a dead writer", func(p *valuePlay) {
		p.do(p.peer, "add slowly", 100)
		p.tell(p.victim, "add", 5)
		p.stands(1)
		p.peer.kill()
		p.told(p.victim)
	}, []int64{10, 15}},
	{"close", func(p *valuePlay) {
		p.do(p.victim, "add", 5)
		p.do(p.victim, "close", 0)
	}, []int64{10, 15}},
}

// Every point that a scene comes to, at each of the first passes. Afterwards the value is
// the old or the new one, whole, and others go on with it: those who have it, and who
// comes new.
func TestLargeValueKilledAtEveryPoint(t *testing.T) {
	checkLeaks(t)
	hits := map[shm.Point]int{}
	for _, sc := range valueScenes {
		t.Run(sc.name, func(t *testing.T) {
			passes := playValue(t, sc, shm.PointNone, 0)
			for _, p := range shm.Points() {
				for pass := 1; pass <= min(passes[p], 12); pass++ {
					playValue(t, sc, p, pass)
					hits[p]++
					if t.Failed() {
						t.Fatalf("killed at %q, pass %d", p, pass)
					}
				}
			}
		})
	}
	for _, p := range []shm.Point{
		shm.PointAttachAfterIdent, shm.PointAcquireAfterCAS, shm.PointHeldBefore, shm.PointHeldAfter,
		shm.PointReleaseBeforeCAS, shm.PointReleaseAfterCAS, shm.PointWaitAfterOrder, shm.PointWakeBeforeFutex,
		shm.PointRepairAfterWord, shm.PointDetachBefore,
	} {
		if hits[p] == 0 && !t.Failed() {
			t.Errorf("no scene comes to %q", p)
		}
	}
}

// playValue plays one scene with a victim that dies at a point, and returns how often it
// came to each if there is none.
func playValue(t *testing.T, sc valueScene, at shm.Point, pass int) map[shm.Point]int {
	t.Helper()
	v, err := NewValue("", wholeOf(10))
	if err != nil {
		t.Fatal(err)
	}
	p := &valuePlay{t: t, v: v, victim: start(t, "value user"), peer: start(t, "value user")}
	p.victim.send(v)
	p.peer.send(v)
	if at == shm.PointNone {
		p.do(p.victim, "count", 0)
	} else {
		p.victim.send(valueOrder{Do: "die at", N: int64(at), Pass: pass})
		p.told(p.victim)
	}
	sc.play(p)
	passes := map[shm.Point]int{}
	if at == shm.PointNone {
		for _, point := range shm.Points() {
			passes[point] = int(p.do(p.victim, "passed", int64(point)).N)
		}
	}
	p.victim.kill() // at the latest now
	p.check(sc.ends)
	v.Close()
	return passes
}

func (p *valuePlay) check(ends []int64) {
	p.t.Helper()
	now := p.v.Get()
	if now.torn() || !slices.Contains(ends, now.Of[0]) {
		p.t.Fatalf("the value is %v, expected one of %v", now.Of, ends)
	}
	next := start(p.t, "value user")
	next.send(p.v)
	n := now.Of[0]
	for _, c := range []*child{p.peer, next} {
		if c.dead {
			continue
		}
		n++
		if a := p.do(c, "add", 1); a.N != n {
			p.t.Errorf("%d and 1 are %d", n-1, a.N)
		}
	}
	if ok, err := p.v.CompareAndSwap(wholeOf(n), wholeOf(0)); !ok || err != nil || p.v.Get() != wholeOf(0) {
		p.t.Errorf("%d is no more: %v, %v", n, ok, err)
	}
	for _, c := range []*child{p.victim, p.peer, next} {
		c.Close()
		if !c.dead {
			c.kill()
		}
	}
}
