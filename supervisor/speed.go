package supervisor

import "time"

// A speed is what a pool has learned of how long a task takes for one element, from the answers of its workers, the way there and
// back included. It decides how many tickets of the task a worker is handed ahead. The pool's mu guards it.
type speed struct{ average time.Duration }

// unknown is what a ticket is thought to take of whose task nothing is known: nothing is handed over behind it.
const unknown = time.Hour

// expect returns how long a ticket of the task with so many elements is thought to take.
func (s *speed) expect(elements int) time.Duration {
	if s.average == 0 {
		return unknown
	}
	return s.average * time.Duration(elements)
}

// learn takes in how long a ticket with so many elements has taken. One that is out of all proportion counts for little: a few long tickets among many short ones
// shall not slow these down, and when all have become long, a dozen of them tell.
func (s *speed) learn(d time.Duration, elements int) {
	d = max(d/time.Duration(elements), 1)
	if s.average == 0 {
		s.average = d
		return
	}
	s.average += (min(d, 8*s.average) - s.average) / 8
	s.average = max(s.average, 1)
}
