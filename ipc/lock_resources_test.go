package ipc

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
)

// A lock that arrives again is the same one: mapped once, and a goroutine that
// holds one handle excludes those with another.
func TestLockArrivesTwice(t *testing.T) {
	checkLeaks(t)
	a, b, err := Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	l := newTestLock(t, LockOptions{})
	h := mustAcquire(t, l)
	before := mustMaps(t)
	for range 100 {
		var again Lock
		if err := a.Send(within(t), l); err != nil {
			t.Fatal(err)
		}
		if err := b.Recv(within(t), &again); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := again.TryAcquire(); ok || err != nil {
			t.Fatalf("second handle: %v, %v", ok, err)
		}
	}
	if now := mustMaps(t); now != before {
		t.Fatalf("%d mappings, were %d", now, before)
	}
	mustRelease(t, h)
}

func TestLockWaitersCostNoThreads(t *testing.T) {
	checkLeaks(t)
	l := newTestLock(t, LockOptions{})
	h := mustAcquire(t, l)
	var all sync.WaitGroup
	inside := 0
	for range 1000 {
		all.Go(func() {
			h, err := l.Acquire(context.Background())
			if err != nil {
				t.Error(err)
				return
			}
			inside++ // the race detector looks
			h.Release()
		})
	}
	untilWaiting(t, l, 1)
	if n := threads(t); n >= 50 {
		t.Errorf("%d threads while 1000 goroutines wait", n)
	}
	mustRelease(t, h)
	all.Wait()
	if inside != 1000 {
		t.Fatalf("%d were inside", inside)
	}
}

func TestForeignHandles(t *testing.T) {
	checkLeaks(t)
	a, b, err := Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	block, err := NewBlock(1)
	if err != nil {
		t.Fatal(err)
	}
	defer block.Close()
	if err := a.Send(within(t), block); err != nil {
		t.Fatal(err)
	}
	var l Lock
	if err := b.Recv(within(t), &l); !errors.Is(err, ErrForeign) {
		t.Fatalf("a block as a lock: %v", err)
	}
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	// A file that says it is a lock.
	h, fds, err := (&File{file}).EncodeHandle()
	if err != nil {
		t.Fatal(err)
	}
	h.Kind = handleLock
	if err := l.DecodeHandle(h, fds); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "no memfd with a fixed size") {
		t.Fatalf("a file as a lock: %v", err)
	}
	if _, err := l.Acquire(within(t)); err != ErrClosed {
		t.Fatalf("the zero lock: %v", err)
	}
}
