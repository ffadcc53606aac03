package supervisor

import (
	"os"
	"os/signal"
	"time"
	"unsafe" // x/sys/unix has the numbers of these calls, and no functions

	"golang.org/x/sys/unix"
)

// wakeEvery is how long a process that is awake for its end can be stopped.
const wakeEvery = 20 * time.Millisecond

// stayAwake lets the kernel send SIGCONT to this process again and again, until it is dead. A worker without a master
// kills its descendants and itself. If it is stopped while it does that (by one of the descendants, say), nobody is left to
// continue it; a timer of the kernel's runs on, and to send SIGCONT continues. (A worker that was stopped before its
// master died is continued by the kernel, because its group becomes orphaned.) Errors leave things as they were without it.
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
