package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// Interrupts are what Ctrl-C does, once, twice and three times. Workers are in process groups of their own, so that only the master
// hears it. SIGTERM and SIGHUP (the terminal is gone) begin with the second step: nobody is there to press a key again.
//
// What was ignored when the master started (SIGHUP under nohup, SIGINT in the background of a script) stays ignored. SIGPIPE is
// taken so that a write to a pipe without a reader is an error and not the end; see screen.
type interrupts struct {
	signals chan os.Signal
	pipes   chan os.Signal // nobody reads it
	done    chan struct{}
	stderr  io.Writer
	last    func() // called before the program is ended by force
	cancel  context.CancelFunc

	mu   sync.Mutex
	step int    // how far it has come: 0 to 3
	what *begun // nil at first

	force sync.Once
}

// listen begins to listen, before the first process is started.
func listen(stderr io.Writer, last func()) *interrupts {
	i := &interrupts{
		signals: make(chan os.Signal, 8), pipes: make(chan os.Signal, 1), done: make(chan struct{}),
		stderr: stderr, last: last, cancel: func() {},
	}
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(i.signals, s)
		}
	}
	signal.Notify(i.pipes, syscall.SIGPIPE)
	go func() {
		defer close(i.done)
		for s := range i.signals {
			i.hear(s)
		}
	}()
	return i
}

func (i *interrupts) stop() {
	signal.Stop(i.signals) // SIGPIPE stays taken: the report of an error may have no reader either
	close(i.signals)
	<-i.done
}

// context returns one that ends with the first interrupt that comes before there is a pool to end.
func (i *interrupts) context(ctx context.Context) context.Context {
	i.mu.Lock()
	defer i.mu.Unlock()
	ctx, i.cancel = context.WithCancel(ctx)
	if i.step > 0 {
		i.cancel()
	}
	return ctx
}

// end names what interrupts are to end.
func (i *interrupts) end(what *begun) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.what = what
	if i.step > 0 {
		i.act()
	}
}

// seen tells whether there was one.
func (i *interrupts) seen() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.step > 0
}

func (i *interrupts) hear(s os.Signal) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if s != syscall.SIGINT && i.step == 0 {
		i.step = 1
	}
	i.step = min(i.step+1, 3)
	if i.what == nil {
		i.cancel()
		return
	}
	i.act()
}

// byForce is how long after the third step the program may still take. All workers are dead by then; what can last is a write
// to a standard output that nobody reads.
const byForce = 2 * time.Second

// act takes the present step, and then says so: what is said may not be read.
func (i *interrupts) act() {
	switch i.step {
	case 1:
		running := i.what.running()
		i.what.drain()
		i.say("finishing %s, starting no more; Ctrl-C again ends what runs", running)
	case 2:
		i.what.terminate()
		i.say("telling %s to end; Ctrl-C again kills them", i.what.called("running tickets"))
	case 3:
		i.what.kill()
		i.force.Do(func() {
			time.AfterFunc(byForce, func() {
				i.last()
				os.Exit(exitInterrupted)
			})
			i.say("killing all %s", i.what.called("workers"))
		})
	}
}

// say begins on a new line: the terminal shows ^C in the one where the cursor is.
func (i *interrupts) say(format string, args ...any) {
	fmt.Fprintf(i.stderr, "\nmaster: interrupted: "+format+"\n", args...)
}
