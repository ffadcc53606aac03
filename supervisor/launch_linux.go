package supervisor

import (
	"runtime"
	"sync"
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
