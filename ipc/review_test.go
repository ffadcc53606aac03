package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/proto"
)

// The first waiter watches the owner; if it is stopped, the others see the death all
// the same.
func TestLockDeadOwnerBeforeAStoppedWaiter(t *testing.T) {
	checkLeaks(t)
	l := newTestLock(t, LockOptions{})
	owner, first, second := startLocker(t, l), startLocker(t, l), startLocker(t, l)
	owner.do("acquire", "held")
	first.send("acquire")
	untilWaiting(t, l, 1)
	first.stop()
	second.send("acquire")
	untilWaiting(t, l, 2)
	owner.kill()
	second.expect("held, owner died")
	second.do("release", "released")
	first.signal(syscall.SIGCONT)
	first.expect("held")
}

// The helper "starved" has one descriptor left when it tries to get a lock.
func init() {
	helpers["starved"] = func(c *Conn) error {
		ctx := context.Background()
		var l Lock
		if err := c.Recv(ctx, &l); err != nil {
			return err
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 64, Max: 64}); err != nil {
			return err
		}
		last := -1
		for fd, err := unix.Dup(0); err == nil; fd, err = unix.Dup(0) {
			last = fd
		}
		unix.Close(last)
		_, ok, err := l.TryAcquire()
		return c.Send(ctx, fmt.Sprint(ok, err))
	}
}

// Who cannot look whether an owner lives must not take it for dead.
func TestLockWithoutDescriptorsTakesNothing(t *testing.T) {
	l := newTestLock(t, LockOptions{})
	h := mustAcquire(t, l)
	c := start(t, "starved")
	c.send(l)
	c.expect("false <nil>")
	mustRelease(t, h)
}

// A worker whose tasks close the lock each time they get it.
func TestLockClosedAndReceivedAgain(t *testing.T) {
	l := newTestLock(t, LockOptions{})
	fd, err := l.x.Segment().Dup()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for i := range 3000 {
		again, err := unix.Dup(fd)
		if err != nil {
			t.Fatal(err)
		}
		var x Lock
		if err := x.DecodeHandle(proto.Handle{Kind: handleLock}, []int{again}); err != nil {
			t.Fatal(err)
		}
		h, err := x.Acquire(within(t))
		if err != nil {
			t.Fatalf("the %d-th time: %v", i, err)
		}
		mustRelease(t, h)
		x.Close()
	}
}

// Close of a holder wakes who waits in another process, without a look of its own.
func TestLockCloseWakesOthers(t *testing.T) {
	l := newTestLock(t, LockOptions{})
	mustAcquire(t, l)
	c := startLocker(t, l)
	c.send("acquire")
	untilWaiting(t, l, 1)
	l.Close()
	c.expect("held, owner died")
}

// A context ends the call it was given to, and no other on the same Conn.
func TestConnContextsOfTwoReceivers(t *testing.T) {
	checkLeaks(t)
	a, b := newTestPipe(t)
	got := make(chan error, 1)
	go func() {
		_, err := b.ReadFrame()
		got <- err
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	var v any
	if err := b.Recv(ctx, &v); err != context.DeadlineExceeded {
		// It may have been first in turn: then the other one gets the message.
		t.Fatalf("the one with a context: %v", err)
	}
	if err := a.Send(within(t), 1); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("the one without: %v", err)
	}
}

func TestConnContextsOfTwoSenders(t *testing.T) {
	checkLeaks(t)
	a, b := newTestPipe(t)
	big := make(chan error, 1)
	go func() { big <- a.Send(context.Background(), make([]byte, 4<<20)) }()
	untilTaken(t, &a.wmu) // it is half-way
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := a.Send(ctx, 1); err != context.DeadlineExceeded {
		t.Errorf("the small one: %v", err)
	}
	var got []byte
	if err := b.Recv(within(t), &got); err != nil || len(got) != 4<<20 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := <-big; err != nil {
		t.Errorf("the big one: %v", err)
	}
}

func TestConnManyReceiversWithOneContext(t *testing.T) {
	checkLeaks(t)
	for range 100 {
		_, b := newTestPipe(t)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 4)
		for range 4 {
			go func() {
				var v any
				done <- b.Recv(ctx, &v)
			}()
		}
		cancel()
		for range 4 {
			select {
			case err := <-done:
				if err != context.Canceled {
					t.Error(err)
				}
			case <-time.After(deadline):
				t.Fatal("a Recv goes on after its context has ended")
			}
		}
	}
}

func TestConnBeingReadIsNotPassedOn(t *testing.T) {
	checkLeaks(t)
	a, _ := newTestPipe(t)
	inner, other := newTestPipe(t)
	done := make(chan error)
	go func() {
		_, err := inner.ReadFrame()
		done <- err
	}()
	untilTaken(t, &inner.rmu)
	if err := a.Send(within(t), inner); err == nil {
		t.Error("passed on while somebody receives from it")
	}
	other.Close()
	if err := <-done; err != io.EOF {
		t.Error(err)
	}
}

func TestConnInUseIsNotDecodedInto(t *testing.T) {
	checkLeaks(t)
	a, b := newTestPipe(t)
	x, _ := newTestPipe(t)
	var c Conn
	for i, want := range []bool{true, false} {
		if err := a.Send(within(t), x); err != nil {
			t.Fatal(err)
		}
		if err := b.Recv(within(t), &c); (err == nil) != want {
			t.Errorf("time %d: %v", i+1, err)
		}
	}
	c.Close()
}

func TestConnZero(t *testing.T) {
	var c Conn
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.ReadFrame(); err != ErrClosed {
		t.Error(err)
	}
	if err := c.Send(context.Background(), 1); err != ErrClosed {
		t.Error(err)
	}
	var v any
	if err := c.Recv(context.Background(), &v); err != ErrClosed {
		t.Error(err)
	}
}

func TestConnFromAFile(t *testing.T) {
	checkLeaks(t)
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h, fds, err := (&File{f}).EncodeHandle()
	if err != nil {
		t.Fatal(err)
	}
	h.Kind = handleConn
	if err := new(Conn).DecodeHandle(h, fds); !errors.Is(err, ErrForeign) {
		t.Errorf("a file as a conn: %v", err)
	}
}

// Descriptors that no frame names end the connection before they fill the table.
func TestConnDescriptorFlood(t *testing.T) {
	checkLeaks(t)
	c, fd := newRawPeer(t, ConnOptions{})
	failed := make(chan error)
	go func() {
		_, err := c.ReadFrame()
		failed <- err
	}()
	if _, err := unix.Write(fd, proto.AppendHeader(nil, proto.Header{Length: 1 << 20})); err != nil {
		t.Fatal(err)
	}
	many := make([]int, 200)
	for range 20 {
		if err := unix.Sendmsg(fd, []byte("x"), unix.UnixRights(many...), nil, 0); err != nil {
			break // it has hung up
		}
	}
	if err := <-failed; !errors.Is(err, proto.ErrProtocol) {
		t.Error(err)
	}
	c.Close()
}

// untilTaken waits until somebody has the turn.
func untilTaken(t *testing.T, mu *turn) {
	t.Helper()
	for end := time.Now().Add(deadline); len(mu.taken) == 0; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("nobody takes the turn to send, or to receive")
		}
	}
}
