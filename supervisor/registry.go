package supervisor

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// registry knows the children that this package has started and not yet reaped, by pid. Whoever looks for
// orphans asks it whose child a pid is, so two things must never be seen:
//
//   - a child that runs but is not recorded yet: startLock is held from before the fork until it is;
//   - a pid that is reaped but still recorded, or the other way round: reaping happens under mu.
type registry struct {
	mu   sync.Mutex
	live map[int]*Process
	seq  uint64
}

var children = registry{live: map[int]*Process{}}

// startLock is held over every fork until the child is recorded, and by killDescendants to keep new
// children from appearing. It is a channel, so that one can give up waiting for it.
var startLock = make(chan struct{}, 1)

func lockStarts(limit time.Duration) bool {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case startLock <- struct{}{}:
		return true
	case <-t.C:
		return false
	}
}

func unlockStarts() { <-startLock }

func (r *registry) add(p *Process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq++
	p.seq = r.seq
	r.live[p.pid] = p
}

// ActiveChildren lists the processes that this package has started and not yet reaped, oldest first.
// Any number of goroutines may call it.
func ActiveChildren() []*Process {
	children.mu.Lock()
	defer children.mu.Unlock()
	list := make([]*Process, 0, len(children.live))
	for _, p := range children.live {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *Process) int { return cmp.Compare(a.seq, b.seq) })
	return list
}
