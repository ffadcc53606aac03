package shm

import (
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

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

// A courtesy is how long to look before sleeping, beyond the first microseconds, while
// letting anybody else run. Waking a sleeper takes longer than most answers: some 20
// microseconds on another processor, and the other one then waits for that. So it is
// worth to be patient where waits have been short, and only there.
type courtesy struct{ span atomic.Int64 }

const (
	maxCourtesy = 50 * time.Microsecond
	shortWait   = 100 * time.Microsecond
)

// look calls over until it says so, or its patience ends.
func (p *courtesy) look(begin time.Time, over func() (bool, error)) (bool, error) {
	span := time.Duration(p.span.Load())
	for time.Since(begin) < span {
		runtime.Gosched()                              // who could end the wait may need this very thread,
		unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) // or this processor
		if ok, err := over(); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// learn is told how long a wait has taken in all.
func (p *courtesy) learn(wait time.Duration) {
	if wait < shortWait {
		p.span.Store(int64(maxCourtesy))
	} else {
		p.span.Store(p.span.Load() / 2)
	}
}
