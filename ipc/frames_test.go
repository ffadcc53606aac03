package ipc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Frames that are written together are read one by one.
func TestWriteFrames(t *testing.T) {
	checkLeaks(t)
	a, b := newTestPipe(t)
	var all []byte
	for n := range 1000 {
		all = append(all, frame(0, fmt.Sprint(n))...)
	}
	if err := a.WriteFrames(all); err != nil {
		t.Fatal(err)
	}
	if err := a.WriteFrame(nil, []byte("last")); err != nil {
		t.Fatal(err)
	}
	for n := range 1001 {
		want := fmt.Sprint(n)
		if n == 1000 {
			want = "last"
		}
		if f, err := b.ReadFrame(); string(f.Body) != want || err != nil {
			t.Fatalf("frame %d: %q, %v", n, f.Body, err)
		}
	}
}

// The errors of WriteFrames are those of WriteFrame; a part of the frames is the end of the Conn.
func TestWriteFramesFails(t *testing.T) {
	checkLeaks(t)
	a, b := newTestPipe(t)
	long := bytes.Repeat(frame(0, "0123456789"), 100_000) // more than the socket takes
	a.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	if err := a.WriteFrames(long); !errors.Is(err, ErrBroken) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("to who does not read: %v", err)
	}
	a.SetWriteDeadline(time.Time{})
	if err := a.WriteFrames(frame(0, "x")); !errors.Is(err, ErrBroken) {
		t.Errorf("after a part: %v", err)
	}
	b.Close()
	a.Close()
	if err := a.WriteFrames(frame(0, "x")); err != ErrClosed {
		t.Errorf("after Close: %v", err)
	}
	if err := new(Conn).WriteFrames(nil); err != ErrClosed {
		t.Errorf("zero Conn: %v", err)
	}
	c, d := newTestPipe(t)
	d.Close()
	if err := c.WriteFrames(frame(0, "x")); !errors.Is(err, ErrBroken) {
		t.Errorf("to nobody: %v", err)
	}
}

// Buffered tells whether the next message is there, whole, and ReadFrame would not wait.
func TestBuffered(t *testing.T) {
	checkLeaks(t)
	c, fd := newRawPeer(t, ConnOptions{})
	write := func(b []byte) {
		t.Helper()
		if _, err := unix.Write(fd, b); err != nil {
			t.Fatal(err)
		}
	}
	read := func(want string, left bool) {
		t.Helper()
		if f, err := c.ReadFrame(); string(f.Body) != want || err != nil {
			t.Fatalf("%q, %v, expected %q", f.Body, err, want)
		}
		if got := c.Buffered(); got != left {
			t.Errorf("after %q: buffered %v", want, got)
		}
	}
	if c.Buffered() {
		t.Error("buffered before anything was read")
	}
	two := append(frame(0, "one"), frame(0, "two")...)
	write(append(two, frame(0, "three")[:4]...)) // half of a header
	read("one", true)
	read("two", false)
	write(frame(0, "three")[4:10]) // and half of the body
	c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := c.ReadFrame(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("half a message: %v", err)
	}
	c.SetReadDeadline(time.Time{})
	if c.Buffered() {
		t.Error("half a message is buffered")
	}
	write(append(frame(0, "three")[10:], frame(0, "four")...))
	read("three", true)
	read("four", false)
	write(append(frame(0, "last"), 1, 2, 3, 4, 5, 6, 7, 8)) // no header
	read("last", true)                                      // the error is there
	if _, err := c.ReadFrame(); err == nil {
		t.Error("read what is no frame")
	}
}

// A Conn that waits in the kernel carries messages and descriptors as before, hears of the end, and Close ends its wait.
func TestWaitInKernel(t *testing.T) {
	checkLeaks(t)
	a, b := newTestPipe(t)
	b.WaitInKernel()
	b.WaitInKernel() // twice is fine
	type got struct {
		f   Frame
		err error
	}
	frames := make(chan got)
	go func() {
		for {
			f, err := b.ReadFrame()
			frames <- got{f, err}
			if err != nil {
				return
			}
		}
	}()
	for n := range 100 {
		if err := a.WriteFrame(nil, []byte(fmt.Sprint(n))); err != nil {
			t.Fatal(err)
		}
		if g := <-frames; string(g.f.Body) != fmt.Sprint(n) || g.err != nil {
			t.Fatalf("frame %d: %q, %v", n, g.f.Body, g.err)
		}
		if err := b.WriteFrame(nil, []byte("back")); err != nil { // while the other waits
			t.Fatal(err)
		}
		if f, err := a.ReadFrame(); string(f.Body) != "back" || err != nil {
			t.Fatalf("back: %q, %v", f.Body, err)
		}
	}
	b.Close()
	select {
	case g := <-frames:
		if g.err != ErrClosed {
			t.Errorf("after Close: %v", g.err)
		}
	case <-within(t).Done():
		t.Fatal("Close does not end the wait")
	}
	if _, err := a.ReadFrame(); err != io.EOF {
		t.Errorf("the other end: %v", err)
	}
	c, d := newTestPipe(t)
	d.WaitInKernel()
	c.Close()
	if _, err := d.ReadFrame(); err != io.EOF {
		t.Errorf("the peer has closed: %v", err)
	}
}

// The bytes of a range are those of the words, for all who map the block.
func TestBlockRange(t *testing.T) {
	checkLeaks(t)
	b, err := NewBlock(1024)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	h, fds, err := b.EncodeHandle()
	if err != nil {
		t.Fatal(err)
	}
	var other Block
	if err := other.DecodeHandle(h, fds); err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	r := b.Range(4096, 16)
	if len(r) != 16 || cap(r) != 16 {
		t.Errorf("%d bytes, room for %d", len(r), cap(r))
	}
	copy(r, "12345678abcdefgh")
	if got := string(other.Range(4100, 8)); got != "5678abcd" {
		t.Errorf("the other has %q", got)
	}
	other.Word(513).Store(0x3837363534333231)
	if got := string(r); got != "1234567812345678" {
		t.Errorf("after the other's store: %q", got)
	}
	for _, c := range [][2]int{{-1, 1}, {8 * b.Len(), 1}, {0, 8*b.Len() + 1}, {1, -1}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("range %v of %d bytes", c, 8*b.Len())
				}
			}()
			b.Range(c[0], c[1])
		}()
	}
}
