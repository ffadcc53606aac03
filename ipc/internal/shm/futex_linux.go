package shm

import (
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	futexWait = 0 // FUTEX_WAIT, shared between processes
	futexWake = 1 // FUTEX_WAKE
)

// sleep blocks the calling thread while *w is 0, for d at most. It may return
// early for no reason; the caller looks again in any case.
func sleep(w *atomic.Uint32, d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	point(PointSleepBefore)
	unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(w)), futexWait, 0,
		uintptr(unsafe.Pointer(&ts)), 0, 0)
	point(PointSleepAfter)
}

// rouse ends the sleep on w, also one that is about to begin: the word is what
// the sleeper looks at, the system call only gets it out of bed. The call is made
// even if the word is 1 already, for whoever stored that may have died before its
// own call.
func rouse(w *atomic.Uint32) {
	point(PointWakeBeforeStore)
	w.Store(1)
	point(PointWakeBeforeFutex)
	// It returns at once, so the scheduler need not hear of it.
	unix.RawSyscall(unix.SYS_FUTEX, uintptr(unsafe.Pointer(w)), futexWake, 1)
	point(PointWakeAfter)
}
