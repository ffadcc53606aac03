package supervisor

import "sync"

// waited counts the goroutines of Go that run.
var waited struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // made by who waits, closed when n is 0
}

// Go runs f in a goroutine for which this process waits before it ends, as Python does for its threads: when the function
// given to Main, or that of an entry, has returned, or when a worker is told to stop, and before the exit rules. What ends
// a process at once (os.Exit, a signal after its grace, a panic) does not wait. A panic in f ends the process, as in any
// goroutine. f may call Go.
func Go(f func()) {
	waited.mu.Lock()
	waited.n++
	waited.mu.Unlock()
	go func() {
		defer goroutineEnded() // also when f calls Goexit
		f()
	}()
}

// GoDaemon runs f in a goroutine that is cut off when this process ends, wherever it is: what the go statement does,
// and a name for it beside Go.
func GoDaemon(f func()) { go f() }

func goroutineEnded() {
	waited.mu.Lock()
	defer waited.mu.Unlock()
	waited.n--
	if waited.n == 0 && waited.none != nil {
		close(waited.none)
		waited.none = nil
	}
}

// waitGoroutines returns when no goroutine of Go runs. It is for one caller.
func waitGoroutines() {
	waited.mu.Lock()
	if waited.n == 0 {
		waited.mu.Unlock()
		return
	}
	none := make(chan struct{})
	waited.none = none
	waited.mu.Unlock()
	<-none
}
