//go:build killpoints

package shm

import (
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// KillPoints tells whether this build has them.
const KillPoints = true

var armed struct {
	point  atomic.Uint32
	passes atomic.Int32
	signal atomic.Int32
	hit    func()
}

var passed [numPoints]atomic.Int32

// Passed returns how often the process has come to p since it was last asked.
func Passed(p Point) int { return int(passed[p].Swap(0)) }

// Arm makes the process send itself sig, which should be SIGKILL or SIGSTOP, at
// the pass-th time (from 1) that it comes to p. Just before, hit is called, if
// there is one; it must not come to a point itself.
func Arm(p Point, pass int, sig syscall.Signal, hit func()) {
	armed.hit = hit
	armed.passes.Store(int32(pass))
	armed.signal.Store(int32(sig))
	armed.point.Store(uint32(p))
}

// SetRelook sets how long a sleeper of this process waits before it looks by itself, at
// first and at most. With an hour, it has to be told.
func SetRelook(least, most time.Duration) { relookMin, relookMax = least, most }

// Users returns the pids of those who have a slot.
func (s *Segment) Users() (pids []int) {
	defer runtime.KeepAlive(s)
	for n := 1; n <= s.m.used(); n++ {
		if id := ident(s.m.ident(n).Load()); id != 0 {
			pids = append(pids, id.pid())
		}
	}
	return pids
}

// Waver has the process give its processor to another one at every n-th point that it
// passes. So others come between two steps that are otherwise one moment.
func Waver(n uint32) { waver.Store(n) }

var waver, wavered atomic.Uint32

func point(p Point) {
	passed[p].Add(1)
	if n := waver.Load(); n != 0 && wavered.Add(1)%n == 0 {
		unix.RawSyscallNoError(unix.SYS_SCHED_YIELD, 0, 0, 0)
	}
	if armed.point.Load() != uint32(p) || armed.passes.Add(-1) != 0 {
		return
	}
	if armed.hit != nil {
		armed.hit()
	}
	sig := unix.Signal(armed.signal.Load())
	// To this thread: it takes the signal as it comes back from the call, and all others
	// stop or die with it. One sent to the process may be taken by another thread, and this
	// one runs on meanwhile.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	unix.Tgkill(os.Getpid(), unix.Gettid(), sig)
	if sig == unix.SIGKILL {
		select {} // the signal may need a moment; nothing may happen in it
	}
}
