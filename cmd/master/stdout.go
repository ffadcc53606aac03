package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
)

// A screen is the standard output of a job. Whoever read it may go away (`master … | head`): writing fails from then on, and broken
// is closed, so that the job can be ended in good order. (By default the program would die of SIGPIPE on the spot and
// leave its directory behind; see interrupts.)
type screen struct {
	w      io.Writer
	mu     sync.Mutex
	err    error
	broken chan struct{}
}

func newScreen(w io.Writer) *screen { return &screen{w: w, broken: make(chan struct{})} }

// whenBroken calls do when the reader has gone. It is given up, and not running, when stop returns.
func (s *screen) whenBroken(do func()) (stop func()) {
	over, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		select {
		case <-s.broken:
			do()
		case <-over:
		}
	}()
	return func() {
		close(over)
		<-gone
	}
}

// Write writes b whole. Any number of goroutines may call it.
func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.w.Write(b)
	if err != nil {
		if pe, ok := errors.AsType[*fs.PathError](err); ok {
			err = pe.Err
		}
		s.err = fmt.Errorf("standard output: %w", err)
		close(s.broken)
	}
	return n, s.err
}
