package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/seed-185a7250/multiproc/supervisor"
)

// Interrupts are what Ctrl-C does, once, twice and three times. Workers are in process groups of their own, so that only the master
// hears it. SIGTERM and SIGHUP (the terminal is gone) begin with the second step: nobody is there to press a key again.
type interrupts struct {
	signals chan os.Signal
	done    chan struct{}
	stderr  io.Writer
	cancel  context.CancelFunc

	mu   sync.Mutex
	step int // how far it has come: 0 to 3
	pool *supervisor.Pool
}

// listen begins to listen, before the first process is started.
func listen(stderr io.Writer) *interrupts {
	i := &interrupts{signals: make(chan os.Signal, 8), done: make(chan struct{}), stderr: stderr, cancel: func() {}}
	signal.Notify(i.signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		defer close(i.done)
		for s := range i.signals {
			i.hear(s)
		}
	}()
	return i
}

func (i *interrupts) stop() {
	signal.Stop(i.signals)
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

// end names the pool that interrupts are to end.
func (i *interrupts) end(pool *supervisor.Pool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.pool = pool
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
	if i.pool == nil {
		i.cancel()
		return
	}
	i.act()
}

// act takes the present step.
func (i *interrupts) act() {
	switch i.step {
	case 1:
		running := 0
		for _, place := range i.pool.Status() {
			if place.State == supervisor.PlaceBusy {
				running++
			}
		}
		fmt.Fprintf(i.stderr, "\nmaster: interrupted: finishing %s, starting no more; Ctrl-C again ends what runs\n", count(running, "running ticket"))
		i.pool.Drain()
	case 2:
		fmt.Fprintf(i.stderr, "\nmaster: interrupted: telling running tickets to end; Ctrl-C again kills them\n")
		i.pool.Terminate()
	case 3:
		fmt.Fprintf(i.stderr, "\nmaster: interrupted: killing all workers\n")
		i.pool.Kill()
	}
}
