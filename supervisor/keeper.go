package supervisor

import (
	"bytes"
	"os"
	"strconv"
	"time"
)

// keepEvery is how often a pool looks at what does not announce itself.
const keepEvery = 250 * time.Millisecond

// keep looks at the processes until the pool has ended: whether they read, how old and how large they are.
func (p *Pool) keep() {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	stuck := map[*place]stuckWrite{}
	for {
		select {
		case <-tick.C:
		case <-p.ended:
			return
		}
		for _, w := range p.look(stuck, time.Now()) {
			w.killDeaf()
		}
		p.mu.Lock()
		err := p.audit()
		p.mu.Unlock()
		if err != nil {
			p.log.Error("pool has lost count", "error", err)
		}
		if p.opts.MaxMemory > 0 || p.opts.KillMemory > 0 {
			p.weigh()
		}
	}
}

// A stuckWrite is a write that was under way at so many looks in a row.
type stuckWrite struct {
	sends uint64
	since time.Time
}

// look retires who is too old or idle for too long, and returns who does not read.
func (p *Pool) look(stuck map[*place]stuckWrite, now time.Time) (deaf []*worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, place := range p.places {
		if !place.writing || place.long != 0 || place.w == nil {
			delete(stuck, place)
		} else if s, ok := stuck[place]; !ok || s.sends != place.sends {
			stuck[place] = stuckWrite{place.sends, now}
		} else if now.Sub(s.since) > drainLimit {
			deaf = append(deaf, place.w)
		}
		if !place.open || place.retire != "" {
			continue
		}
		idle := place.given > 0 && len(place.flight) == 0 && len(place.held) == 0 && !place.writing
		switch {
		case p.opts.MaxAge > 0 && now.Sub(place.since) > p.opts.MaxAge:
			place.retireNow("it is old")
		case p.opts.MaxIdle > 0 && idle && now.Sub(place.rest) > p.opts.MaxIdle:
			place.retireNow("it was idle")
		}
	}
	return deaf
}

// retireNow has the process replaced when it has finished what it has begun. With mu held.
func (p *place) retireNow(why string) {
	if p.w != nil && p.retire == "" {
		p.open, p.retire = false, why
		p.wake()
	}
}

// weigh looks at the memory of the processes.
func (p *Pool) weigh() {
	p.mu.Lock()
	workers := map[*place]*worker{}
	for _, place := range p.places {
		if place.w != nil {
			workers[place] = place.w
		}
	}
	p.mu.Unlock()
	for place, w := range workers {
		size := residentBytes(w.proc.PID())
		switch {
		case p.opts.KillMemory > 0 && size > p.opts.KillMemory:
			w.tooLarge.Store(true)
			w.proc.Kill()
		case p.opts.MaxMemory > 0 && size > p.opts.MaxMemory:
			p.mu.Lock()
			if place.w == w {
				place.retireNow("it is large")
			}
			p.mu.Unlock()
		}
	}
}

// residentBytes returns how many bytes a process has in memory; 0 if it is not there.
func residentBytes(pid int) uint64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	f := bytes.Fields(b)
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseUint(string(f[1]), 10, 64)
	return pages * uint64(os.Getpagesize())
}
