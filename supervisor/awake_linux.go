package supervisor

import (
	"os"
	"os/signal"
	"runtime"
	"time"
	"unsafe" // x/sys/unix has the numbers of these calls, and no functions

	"golang.org/x/sys/unix"
)

// wakeAtDeath lets the kernel send SIGCONT to this process when its parent dies, beside the death signal that its first thread
// has from the time before exec: a stopped worker could not hear of that. (The kernel continues stopped processes whose group
// becomes orphaned, but a group is not when its heir is of the same session, nor is one continued that is about to stop.) A thread
// has only one such signal, so it takes a second thread, for good.
func wakeAtDeath() {
	go func() {
		runtime.LockOSThread() // never unlocked
		if unix.Gettid() == os.Getpid() {
			wakeAtDeath() // this is the first; it is taken now, so the next is another
		} else {
			unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGCONT), 0, 0, 0)
		}
		select {}
	}()
}

// wakeEvery is how long a process that is awake for its end can be stopped.
const wakeEvery = 20 * time.Millisecond

// stayAwake lets the kernel send SIGCONT to this process again and again, until it is dead. A worker without a master
// kills its descendants and itself. If it is stopped while it does that (by one of the descendants, say), nobody is left to
// continue it; a timer of the kernel's runs on, and to send SIGCONT continues. Errors leave things as they were without it.
//
// What no process can do for itself: be continued that was stopped after its parent's death and before it comes here.
func stayAwake() {
	// With a handler: since Linux 6.13 a timer whose signal is ignored does not fire a second time.
	signal.Notify(make(chan os.Signal, 1), unix.SIGCONT)
	event := struct { // struct sigevent; SIGEV_SIGNAL is 0
		_     uint64
		signo int32
		_     [52]byte
	}{signo: int32(unix.SIGCONT)}
	var timer int32
	_, _, errno := unix.Syscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&event)), uintptr(unsafe.Pointer(&timer)))
	if errno != 0 {
		return
	}
	step := unix.NsecToTimespec(int64(wakeEvery))
	spec := unix.ItimerSpec{Interval: step, Value: step}
	unix.Syscall6(unix.SYS_TIMER_SETTIME, uintptr(timer), 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
}
