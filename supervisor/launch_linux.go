package supervisor

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// The parent-death signal of a child fires when the *thread* that started it ends, not the process
// (prctl(2), golang/go#27505). The Go runtime ends a thread whenever a goroutine returns while it is locked
// to it, and the threads of ordinary goroutines come and go. So exactly one goroutine starts all children;
// it is locked to its thread and never returns.
//
// The price: starts happen one after another. That costs nothing that was not already serial (the kernel
// suspends the starting thread until the child has called exec, and Go holds syscall.ForkLock meanwhile),
// except that a program file on a file system that hangs holds up the other starts too.
var launcher struct {
	once sync.Once
	work chan func()
}

// onLaunchThread runs f on that thread and returns when f has returned. f must not panic or Goexit.
func onLaunchThread(f func()) {
	launcher.once.Do(func() {
		launcher.work = make(chan func())
		go launchLoop(launcher.work)
	})
	done := make(chan struct{})
	launcher.work <- func() { defer close(done); f() }
	<-done
}

func launchLoop(work <-chan func()) {
	runtime.LockOSThread() // never unlocked: see above
	for f := range work {
		f()
	}
}

// sealDescriptors marks everything above stderr close-on-exec. What Go opens is so anyway; this is for what
// we were born with (a pipe of the shell, a log of the job system), which our children would otherwise
// hold open for ever. For processes that are ours entirely: workers and the master command.
func sealDescriptors() error {
	err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	if err == nil {
		return nil
	}
	entries, err := os.ReadDir("/proc/self/fd") // before Linux 5.11
	if err != nil {
		return fmt.Errorf("supervisor: list descriptors: %w", err)
	}
	var errs []error
	for _, e := range entries {
		fd, _ := strconv.Atoi(e.Name())
		if fd < 3 {
			continue
		}
		// EBADF: the one that read the directory.
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil && err != unix.EBADF {
			errs = append(errs, fmt.Errorf("supervisor: seal descriptor %d: %w", fd, err))
		}
	}
	return errors.Join(errs...)
}
