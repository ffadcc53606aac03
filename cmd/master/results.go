package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// syncDelay is how old a line may get before it is forced to the disk.
const syncDelay = time.Second

// Results appends records to a results file: JSON Lines, one ticket a line, in the order in which they end.
//
// Promises: when Write has returned, the line is in the file, whole, and stays there however this process dies. A second later at
// the latest, and when Close has returned, it is on the disk and survives a loss of power. (A sync for each would cost more
// than most tickets.) Several masters may append to one file: every line is one write.
//
// A line that a dying machine left unfinished stays where it is, on a line of its own; who reads the file passes
// over what is not JSON.
type Results struct {
	path string
	f    *os.File

	mu     sync.Mutex
	torn   bool  // the file does not end with a newline
	failed error // the first error of a sync

	dirty chan struct{} // capacity 1: something was written since the last sync began
	stop  chan struct{} // closed by Close
	done  chan struct{} // closed when the syncing goroutine is gone
}

// OpenResults opens a results file to append to, and makes it if it is not there. It may be a pipe or a terminal, too.
func OpenResults(path string) (*Results, error) {
	f, torn, err := openAppend(path)
	if err != nil {
		return nil, fmt.Errorf("results: %w", plain(path, err))
	}
	r := &Results{path: path, f: f, torn: torn, dirty: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go r.syncing()
	return r, nil
}

// openAppend also tells whether the last line of the file is unfinished.
func openAppend(path string) (f *os.File, torn bool, err error) {
	mode := os.O_RDWR // to look at the last byte
	st, err := os.Stat(path)
	if err == nil && !st.Mode().IsRegular() {
		mode = os.O_WRONLY // a FIFO opened for both would never tell that its reader has gone
	}
	created := errors.Is(err, os.ErrNotExist)
	f, err = os.OpenFile(path, mode|os.O_APPEND|os.O_CREATE, 0o666)
	if errors.Is(err, os.ErrPermission) && mode == os.O_RDWR {
		// Write-only is enough for all but the look; a newline too many costs an empty line.
		f, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		return f, true, err
	}
	if err != nil {
		return nil, false, err
	}
	if created {
		syncDir(filepath.Dir(path))
	}
	return f, mode == os.O_RDWR && endsTorn(f), nil
}

func endsTorn(f *os.File) bool {
	st, err := f.Stat()
	if err != nil || st.Size() == 0 {
		return false
	}
	last := make([]byte, 1)
	_, err = f.ReadAt(last, st.Size()-1)
	return err == nil && last[0] != '\n'
}

// syncDir makes a new file's name durable. File systems that cannot do that have nothing to lose.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		d.Sync()
		d.Close()
	}
}

// Write appends one record. Any number of goroutines may call it. It reports its own errors and those of an earlier sync.
func (r *Results) Write(rec Record) error {
	line, err := rec.line()
	if err != nil {
		return fmt.Errorf("results: ticket %s: %w", rec.ID, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed != nil {
		return r.failed
	}
	if r.torn {
		line = append([]byte{'\n'}, line...)
	}
	n, err := r.f.Write(line)
	r.torn = r.torn && n == 0 || n > 0 && line[n-1] != '\n'
	if err != nil {
		return fmt.Errorf("results: %w", plain(r.path, err))
	}
	select {
	case r.dirty <- struct{}{}:
	default:
	}
	return nil
}

// syncing forces the file to the disk a second after something was written.
func (r *Results) syncing() {
	defer close(r.done)
	timer := time.NewTimer(syncDelay)
	defer timer.Stop()
	for {
		select {
		case <-r.dirty:
		case <-r.stop:
			return
		}
		timer.Reset(syncDelay)
		select {
		case <-timer.C:
		case <-r.stop:
			return // Close syncs
		}
		r.note(r.sync())
	}
}

func (r *Results) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed == nil {
		r.failed = err
	}
}

// sync is without effect on what has no disk behind it.
func (r *Results) sync() error {
	err := r.f.Sync()
	if err == nil || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil
	}
	return fmt.Errorf("results: not on the disk: %w", plain(r.path, err))
}

// Close syncs and closes the file. It returns the first error that no Write has reported. Call it once, after the last Write.
func (r *Results) Close() error {
	close(r.stop)
	<-r.done
	r.note(r.sync())
	if err := r.f.Close(); err != nil {
		r.note(fmt.Errorf("results: %w", plain(r.path, err)))
	}
	return r.failed
}
