package ipc

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/proto"
)

func TestConnBytes(t *testing.T) {
	checkLeaks(t)
	a, b := newTestPipe(t)
	buf := make([]byte, 3<<20)
	for _, n := range []int{0, 1, 255, 256, 1000, 65_535, 65_536, 70_000, 1 << 20, 3 << 20} {
		want := bytes.Repeat([]byte{byte(n), 7, 9}, n/3+1)[:n]
		sent := make(chan error, 1)
		go func() {
			for range 3 {
				if err := a.SendBytes(within(t), want); err != nil {
					sent <- err
					return
				}
			}
			sent <- a.Send(within(t), want)
		}()
		for i := range 4 {
			var got []byte
			var err error
			switch i {
			case 0, 3: // of Send too
				var k int
				k, err = b.RecvBytesInto(within(t), buf)
				got = buf[:k]
			case 1:
				got, err = b.RecvBytes(within(t))
			case 2:
				err = b.Recv(within(t), &got)
			}
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes, way %d: %d bytes, %v", n, i, len(got), err)
			}
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	}
}

// writeAll writes all of b: a signal of the runtime may cut a write short.
func writeAll(fd int, b []byte) {
	unix.SetNonblock(fd, false) // File.Fd does not do it any more
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err != nil && err != unix.EINTR {
			return
		}
		b = b[max(n, 0):]
	}
}

// What does not fit is lost, and nothing else.
func TestConnBytesThatDoNotFit(t *testing.T) {
	checkLeaks(t)
	a, b := newTestPipe(t)
	go func() {
		a.SendBytes(within(t), make([]byte, 100_000))
		a.Send(within(t), "no bytes")
		a.Send(within(t), map[string]*Conn{"a conn": a})
		a.SendBytes(within(t), []byte("good"))
	}()
	buf := make([]byte, 1000)
	for _, want := range []error{proto.ErrTooLarge, proto.ErrProtocol, proto.ErrProtocol, nil} {
		n, err := b.RecvBytesInto(within(t), buf)
		if !errors.Is(err, want) || err != nil && n != 0 || err == nil && string(buf[:n]) != "good" {
			t.Errorf("%d bytes, %v; expected %v", n, err, want)
		}
	}
}

// A time-out in the middle loses nothing, whatever call goes on.
func TestConnBytesTimeoutInside(t *testing.T) {
	for name, goOn := range map[string]func(c *Conn) ([]byte, error){
		"RecvBytes": func(c *Conn) ([]byte, error) { return c.RecvBytes(within(t)) },
		"RecvBytesInto": func(c *Conn) ([]byte, error) {
			buf := make([]byte, 300_000)
			n, err := c.RecvBytesInto(within(t), buf)
			return buf[:n], err
		},
	} {
		for _, cut := range []int{3, 8, 9, 12, 13, 100, 70_000, 200_000} {
			c, fd := newRawPeer(t, ConnOptions{})
			want := bytes.Repeat([]byte("0123456789"), 25_000)
			whole := frame(0, string(proto.AppendBin(nil, want)))
			writeAll(fd, whole[:cut])
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
			scratch := make([]byte, 300_000)
			_, err := c.RecvBytesInto(ctx, scratch)
			cancel()
			if err != context.DeadlineExceeded {
				t.Fatalf("%s after %d bytes: %v", name, cut, err)
			}
			clear(scratch) // it is the caller's
			go writeAll(fd, whole[cut:])
			if got, err := goOn(c); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s after %d bytes: %d bytes, %v", name, cut, len(got), err)
			}
			c.Close()
		}
	}
}

// The caller's buffer is all that is used.
func TestConnBytesIntoAllocatesNothing(t *testing.T) {
	a, b := newTestPipe(t)
	item, buf := make([]byte, 64<<10), make([]byte, 64<<10)
	ctx := context.Background()
	got := testing.AllocsPerRun(200, func() {
		if err := a.SendBytes(ctx, item); err != nil {
			t.Fatal(err)
		}
		if _, err := b.RecvBytesInto(ctx, buf); err != nil {
			t.Fatal(err)
		}
	})
	if got > 8 { // a few words for closures and the head
		t.Errorf("%v allocations for an item", got)
	}
	before := testing.Benchmark(func(t *testing.B) {
		for t.Loop() {
			a.SendBytes(ctx, item)
			b.RecvBytesInto(ctx, buf)
		}
	}).AllocedBytesPerOp()
	if before > 1024 {
		t.Errorf("%d bytes are allocated for an item of %d", before, len(item))
	}
}
