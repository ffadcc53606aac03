package ipc

import (
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// Objects that refer only to each other have references and are lost all the same. They are
// found by looking at what may have become so: objects that lost a reference and have now none
// but stored ones. A goroutine follows the references from there. An object of what it has seen
// is alive if it has a reference from elsewhere, or if one that is alive refers to it; the rest is
// lost.
//
// It holds the Manager's mutex for a few objects at a time, so what it has seen may be of
// different moments. That does no harm: who is to end must, at one moment, not have been touched
// since it was looked at. If somebody was, they are looked at again later.

// A holder is a thing with values that may have references.
type holder interface {
	// visit calls f for values from a position on, the first of which is 0; most bounds how many
	// places it looks at. It returns where to go on, -1 if there is nothing more.
	visit(from, most int, f func(v value)) (next int)
}

const (
	cycleDelay = 50 * time.Millisecond // from suspicion to search
	cycleShare = 20                    // a search takes one part in so many of the time
	cycleSteps = 1000                  // places looked at while the mutex is held
)

// suspect notes an object that may be held by nobody but itself. The mutex is held.
func (m *Manager) suspect(o *object) {
	if _, ok := o.thing.(holder); !ok || o.suspect || o.ended || m.closed {
		return
	}
	o.suspect = true
	m.suspects = append(m.suspects, o)
	if !m.searching {
		m.searching = true
		m.serving.Go(m.searchCycles)
	}
}

// searchCycles searches as long as somebody is suspect.
func (m *Manager) searchCycles() {
	delay := time.NewTimer(cycleDelay)
	defer delay.Stop()
	for {
		select {
		case <-delay.C:
		case <-m.closing:
			return
		}
		begun := time.Now()
		m.searchOnce()
		m.mu.Lock()
		if len(m.suspects) == 0 {
			m.searching = false
			m.mu.Unlock()
			return
		}
		m.mu.Unlock()
		delay.Reset(max(cycleDelay, cycleShare*time.Since(begun)))
	}
}

// A search is one look for objects that refer only to each other.
type search struct {
	m    *Manager
	seen map[*object]*node
	todo []*node // not looked at yet, or not to the end
}

// A node is what a search has seen of an object.
type node struct {
	obj     *object
	touched uint64 // when it was looked at
	stored  int
	next    int     // position in its values
	refers  []*node // each reference
	inner   int     // references from nodes
	alive   bool
}

func (m *Manager) searchOnce() {
	s := &search{m: m, seen: map[*object]*node{}}
	m.mu.Lock()
	for _, o := range m.suspects {
		o.suspect = false
		s.node(o)
	}
	m.suspects = nil
	m.mu.Unlock()
	for len(s.todo) > 0 {
		s.look()
	}
	s.end(s.lost())
}

// node returns the node of an object, which is to be looked at if it is new.
func (s *search) node(o *object) *node {
	n := s.seen[o]
	if n == nil {
		n = &node{obj: o}
		s.seen[o] = n
		s.todo = append(s.todo, n)
	}
	return n
}

// look looks at some objects. A pause for others follows.
func (s *search) look() {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	for steps := cycleSteps; steps > 0 && len(s.todo) > 0; steps-- {
		n := s.todo[len(s.todo)-1]
		if n.next == 0 {
			n.touched, n.stored = n.obj.touched, n.obj.stored
			n.alive = n.obj.leases > 0 || n.obj.kept || n.obj.ended
		}
		if n.obj.touched != n.touched { // while it was looked at in parts
			n.alive = true
			s.m.suspect(n.obj)
		}
		h, ok := n.obj.thing.(holder)
		if ok && !n.alive {
			n.next = h.visit(n.next, steps, func(v value) {
				steps--
				s.follow(n, v)
			})
			if n.next > 0 {
				return
			}
		}
		s.todo = drop(s.todo, n)
	}
}

// drop takes n out of todo, near whose end it is: what it refers to came behind it.
func drop(todo []*node, n *node) []*node {
	for i := len(todo) - 1; i >= 0; i-- {
		if todo[i] == n {
			todo[i] = todo[len(todo)-1]
			return todo[:len(todo)-1]
		}
	}
	return todo
}

// follow notes the references in a value of n.
func (s *search) follow(n *node, v value) {
	if v.refs == 0 {
		return
	}
	proto.Refs(v.raw, s.m.instance, func(id uint64) {
		if o := s.m.objects[id]; o != nil {
			n.refers = append(n.refers, s.node(o))
		}
	})
}

// lost returns the nodes that nobody but each other refers to.
func (s *search) lost() (lost []*node) {
	for _, n := range s.seen {
		if n.alive {
			continue // where it refers to does not matter: it was not looked at
		}
		for _, to := range n.refers {
			to.inner++
		}
	}
	var alive []*node
	for _, n := range s.seen {
		if n.alive || n.stored != n.inner {
			n.alive = true
			alive = append(alive, n)
		}
	}
	for len(alive) > 0 {
		n := alive[len(alive)-1]
		alive = alive[:len(alive)-1]
		for _, to := range n.refers {
			if !to.alive {
				to.alive = true
				alive = append(alive, to)
			}
		}
	}
	for _, n := range s.seen {
		if !n.alive {
			lost = append(lost, n)
		}
	}
	return lost
}

// end ends the lost, if nobody has touched any of them.
func (s *search) end(lost []*node) {
	if len(lost) == 0 {
		return
	}
	s.m.lock()
	defer s.m.unlock()
	for _, n := range lost {
		if n.obj.touched != n.touched {
			for _, n := range lost {
				s.m.suspect(n.obj)
			}
			return
		}
	}
	for _, n := range lost {
		n.obj.lost = true
		if !n.obj.dying {
			n.obj.dying = true
			s.m.dying = append(s.m.dying, n.obj)
		}
	}
}
