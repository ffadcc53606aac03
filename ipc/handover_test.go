package ipc

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// The helper "renamer" holds a lock and, in many threads, replaces a file by rename
// for as long as it lives.
type renaming struct {
	Lock *Lock
	Dir  string
}

func init() {
	helpers["renamer"] = func(c *Conn) error {
		var r renaming
		if err := c.Recv(context.Background(), &r); err != nil {
			return err
		}
		h, err := r.Lock.Acquire(context.Background())
		if err != nil {
			return err
		}
		failed := make(chan error)
		for i := range 8 {
			go func() {
				for {
					if err := replace(r.Dir, fmt.Sprint("new-", i), h.Token()); err != nil {
						failed <- err
						return
					}
				}
			}()
		}
		if err := c.Send(context.Background(), "renaming"); err != nil {
			return err
		}
		return <-failed
	}
}

// replace writes a token to a file and renames it over the file "data".
func replace(dir, name string, token uint64) error {
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, fmt.Append(nil, token), 0o600); err != nil {
		return err
	}
	return os.Rename(path, filepath.Join(dir, "data"))
}

// PITFALLS 37: when a lock is handed on, nothing that the dead owner had under way
// in the kernel can land afterwards.
func TestLockIsHandedOnAfterTheLastSystemCall(t *testing.T) {
	checkLeaks(t)
	l := newTestLock(t, LockOptions{})
	dir := t.TempDir()
	for range rounds(t, 30) {
		c := start(t, "renamer")
		c.send(renaming{l, dir})
		c.expect("renaming")
		next := make(chan Held)
		go func() {
			h, err := l.Acquire(context.Background())
			if err != nil {
				t.Error(err)
			}
			if err := replace(dir, "new", h.Token()); err != nil {
				t.Error(err)
			}
			next <- h
		}()
		untilWaiting(t, l, 1)
		c.kill() // returns when the process is reaped: no system call of its is left
		c.Close()
		h := <-next
		got, err := os.ReadFile(filepath.Join(dir, "data"))
		if err != nil || string(got) != fmt.Sprint(h.Token()) || !h.OwnerDied() {
			t.Fatalf("the holder with token %d (owner died: %v) finds %q in its file, %v", h.Token(), h.OwnerDied(), got, err)
		}
		mustRelease(t, h)
	}
}
