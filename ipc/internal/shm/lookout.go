package shm

import (
	"runtime"
	"time"
)

// A Lookout is how long to look for something before waiting for it, with looks that are system calls: to be woken takes longer than
// most answers. It keeps the processor meanwhile: with sched_yield between the looks a round trip took three times as long. So it must
// notice when others need the processor, or every round trip would take a slice of their time, ten times as long as a wait: it stops
// for a while when it was put aside itself, and looks more seldom where looks were in vain.
//
// It is for one goroutine at a time.
type Lookout struct {
	vain  int // looks in vain since the last that was not
	skip  int // how many to leave out yet
	found int // looks that were not in vain, since it was last put aside
	rest  time.Duration
	until time.Time // looks are left out; for rest, when it was last put aside
}

const (
	lookFor    = 50 * time.Microsecond
	asideAfter = 150 * time.Microsecond // between two looks: others have had the processor
	leastRest  = 2 * time.Millisecond   // after the first time; each time soon after doubles it
	mostRest   = 200 * time.Millisecond
	calm       = 200 // looks that are not in vain, and the times before are forgotten
	mostVain   = 3   // up to 2^3 are left out
)

// Look calls over until it says so, or fails, or it has taken too long.
func (p *Lookout) Look(over func() (bool, error)) (bool, error) {
	if p.skip > 0 || spins == 0 {
		p.skip--
		return false, nil
	}
	begin := time.Now()
	if begin.Before(p.until) {
		return false, nil
	}
	for last := begin; ; {
		ok, err := over()
		now := time.Now()
		switch {
		case now.Sub(last) > asideAfter:
			p.putAside(now)
			return ok, err
		case ok || err != nil:
			p.vain = 0
			p.found++
			return ok, err
		case now.Sub(begin) > lookFor:
			p.vain = min(p.vain+1, mostVain)
			p.skip = 1<<p.vain - 1
			return false, nil
		}
		last = now
		runtime.Gosched() // who could end the wait may need this very thread
	}
}

// putAside notes that others have had the processor. Once in a while that happens to everybody.
func (p *Lookout) putAside(now time.Time) {
	if p.found > calm {
		p.rest = 0
	}
	p.rest = min(max(2*p.rest, leastRest), mostRest)
	p.found = 0
	p.until = now.Add(p.rest)
}
