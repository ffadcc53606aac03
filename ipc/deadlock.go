package ipc

import (
	"slices"
	"time"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
)

// A LockState is who holds a lock at one moment, and for which other lock he waits.
type LockState struct {
	Name  string
	Key   uint64 // tells the lock from all others, the same in every process
	PID   int    // of the holder; 0: nobody holds it, or it is one that anybody may release
	Token uint64 // of the holding; see Held.Token

	// Wait is what the holder waits for, if it is a lock and he has waited for a while
	// (some ten milliseconds). The holder is the goroutine that acquired the lock.
	Wait LockWait
}

// A LockWait is one wait for a lock, by somebody who holds another one. The zero value is
// none.
type LockWait struct {
	Number uint64    // tells it from all other waits of its process
	Key    uint64    // of the lock that is waited for
	Since  time.Time // when it began
	Firm   bool      // it cannot be refused: a Condition.Wait takes its lock again
}

// An AnyLock is a lock that can be part of a deadlock: a Lock or an RLock. Those of
// conditions, values and arrays are what their Lock returns.
type AnyLock interface {
	Name() string
	State() LockState
	Refuse(LockState) bool
}

// State returns who holds the lock and what he waits for, as it was at one moment. It
// does not wait. Of a lock in handoff mode, which nobody owns, there is nothing to tell.
func (l *Lock) State() LockState {
	if l.x == nil {
		return LockState{}
	}
	return stateOf(l.x)
}

// Refuse ends the wait of the holder of l, as State has told it: his Acquire of that other
// lock returns ErrDeadlock within a tenth of a second, or when his process goes on if it
// is stopped. He goes on holding l; that he releases it then is up to him. Refuse
// returns false if the wait is over by now, or cannot be refused.
func (l *Lock) Refuse(s LockState) bool { return l.x != nil && refuse(l.x, s) }

// State: see [Lock.State].
func (l *RLock) State() LockState {
	if l.r == nil {
		return LockState{}
	}
	return stateOf(l.r.x)
}

// Refuse: see [Lock.Refuse].
func (l *RLock) Refuse(s LockState) bool { return l.r != nil && refuse(l.r.x, s) }

func stateOf(x *shm.Mutex) LockState {
	now := x.State()
	s := LockState{Name: x.Segment().Name(), Key: x.Segment().Key(), PID: now.PID, Token: now.Token}
	if w := now.Want; w != (shm.Want{}) {
		s.Wait = LockWait{Number: w.Number, Key: w.Key, Since: time.Unix(0, w.Since), Firm: w.Firm}
	}
	return s
}

func refuse(x *shm.Mutex, s LockState) bool {
	return s.Key == x.Segment().Key() && x.Refuse(shm.State{Token: s.Token, Want: shm.Want{Number: s.Wait.Number}})
}

// A Deadlock is a number of waits that nothing but their contexts can end: each party waits for the lock that
// the next one holds, and the last one for that of the first. The first in the list
// is the one that has waited longest.
type Deadlock struct{ Parties []DeadlockParty }

// A DeadlockParty is one wait in a deadlock, and what is held meanwhile.
type DeadlockParty struct {
	PID   int
	Holds []LockState // what the party before waits for, and what else it holds of the locks looked at
	Waits LockState   // what this party waits for
}

// Since returns when the wait of the party began.
func (p DeadlockParty) Since() time.Time { return p.Holds[0].Wait.Since }

// Youngest returns the party that has waited for the shortest time among those that can be
// refused, or false if none can.
func (d Deadlock) Youngest() (i int, ok bool) {
	i = -1
	for n, p := range d.Parties {
		if !p.Holds[0].Wait.Firm && (i < 0 || p.Since().After(d.Parties[i].Since())) {
			i = n
		}
	}
	return i, i >= 0
}

// Deadlocks returns the deadlocks among some locks. It is given what they were twice, one
// look after the other.
//
// One look proves nothing, since the locks are looked at one after the other and may
// change hands meanwhile. But tokens and numbers of waits never come again: a holding and
// a wait that are there in both looks have been there all the time between them. So what
// leads in a circle in both looks did so at one moment, and then for ever.
func Deadlocks(before, now []LockState) (all []Deadlock) {
	lasting := map[uint64]LockState{} // those whose holder waits
	for _, s := range now {
		if s.Wait != (LockWait{}) && slices.Contains(before, s) {
			lasting[s.Key] = s
		}
	}
	walked := map[uint64]int{} // the walk that came to a lock first
	for i, start := range now {
		key := start.Key
		for ; walked[key] == 0 && lasting[key].PID != 0; key = lasting[key].Wait.Key {
			walked[key] = i + 1
		}
		if walked[key] == i+1 {
			all = append(all, circle(key, lasting, now))
		}
	}
	return all
}

// circle collects the deadlock that the lock with the given key is part of.
func circle(key uint64, lasting map[uint64]LockState, now []LockState) (d Deadlock) {
	for at, first := lasting[key], true; first || at.Key != key; first = false {
		p := DeadlockParty{PID: at.PID, Holds: []LockState{at}, Waits: lasting[at.Wait.Key]}
		for _, s := range now { // the same wait may be noted at other locks too
			if s.PID == at.PID && s.Wait == at.Wait && !slices.Contains(p.Holds, s) {
				p.Holds = append(p.Holds, s)
			}
		}
		d.Parties = append(d.Parties, p)
		at = p.Waits
	}
	oldest := 0
	for i, p := range d.Parties {
		if p.Since().Before(d.Parties[oldest].Since()) {
			oldest = i
		}
	}
	d.Parties = slices.Concat(d.Parties[oldest:], d.Parties[:oldest])
	return d
}
