package shm

import "runtime"

// spins is how often a goroutine looks before it queues, about four microseconds
// in all. With a single processor nobody can release in the meantime.
var spins = func() int {
	if runtime.NumCPU() == 1 {
		return 0
	}
	return 100
}()

// pause tells the processor that this is a spinning loop, some ten nanoseconds
// long. Go has no way to say it.
func pause()
