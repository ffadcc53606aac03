package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/supervisor"
)

// toldSignals are those that end the command, or go to the command that runs in it.
var toldSignals = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2}

// endSignals listens for signals. While a command runs they go to it; else the first ends the wait that is under way, and a second
// ends the program at once.
type endSignals struct {
	signals chan os.Signal
	done    chan struct{}
	cancel  context.CancelFunc

	mu    sync.Mutex
	first syscall.Signal      // 0 as long as none has come
	child *supervisor.Process // nil: none runs
}

// listenForEnd returns a context that ends with the first signal. What was ignored when the program started stays so.
func listenForEnd(ctx context.Context) (context.Context, *endSignals) {
	ctx, cancel := context.WithCancel(ctx)
	t := &endSignals{signals: make(chan os.Signal, 8), done: make(chan struct{}), cancel: cancel}
	for _, s := range toldSignals {
		if !signal.Ignored(s) {
			signal.Notify(t.signals, s)
		}
	}
	go func() {
		defer close(t.done)
		for s := range t.signals {
			t.hear(s.(syscall.Signal))
		}
	}()
	return ctx, t
}

func (t *endSignals) stop() {
	signal.Stop(t.signals)
	close(t.signals)
	<-t.done
	t.cancel()
}

func (t *endSignals) hear(s syscall.Signal) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.child != nil {
		if !fromTerminal(s) {
			t.child.Signal(s)
		}
		return
	}
	if t.first == 0 {
		t.first = s
	}
	signal.Stop(t.signals)
	t.cancel()
}

// signal is the one that has ended the wait, 0 if none has.
func (t *endSignals) signal() syscall.Signal {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.first
}

// run starts a command, unless a signal has come, waits for its end, and meanwhile hands signals on to it.
func (t *endSignals) run(ctx context.Context, spec supervisor.Spec) (supervisor.Exit, error) {
	t.mu.Lock()
	if ctx.Err() != nil {
		t.mu.Unlock()
		return supervisor.Exit{}, ctx.Err()
	}
	p, err := supervisor.Start(spec)
	t.child = p
	t.mu.Unlock()
	if err != nil {
		return supervisor.Exit{}, err
	}
	defer p.Close()
	<-p.Done()
	t.mu.Lock()
	t.child = nil
	t.mu.Unlock()
	return p.Join(context.Background())
}

// fromTerminal tells whether a signal is one that the terminal sends to all of its foreground group, the command included. Go does
// not say who sends a signal, so one that a person there sends with kill(1) to us alone is taken for one of the terminal.
func fromTerminal(s syscall.Signal) bool {
	if s != syscall.SIGINT && s != syscall.SIGQUIT {
		return false
	}
	tty, err := unix.Open("/dev/tty", unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer unix.Close(tty)
	group, err := unix.IoctlGetInt(tty, unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
