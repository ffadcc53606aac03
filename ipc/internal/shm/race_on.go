//go:build race

package shm

import "sync/atomic"

// The race detector does not see atomic operations on memory that is not Go's. So
// that it knows what a Mutex orders, every acquisition and release also changes a
// word that it does see.
type raceEdge struct{ word atomic.Uint32 }

func (e *raceEdge) pass() { e.word.Add(1) }
