package ipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/proto"
)

func newTestPipe(t testing.TB) (a, b *Conn) {
	t.Helper()
	a, b, err := Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return a, b
}

// newRawPeer returns a Conn and the bare socket at its other end, on which a test
// can do what no Conn does.
func newRawPeer(t testing.TB, o ConnOptions) (c *Conn, fd int) {
	t.Helper()
	f, g, err := Socketpair()
	if err != nil {
		t.Fatal(err)
	}
	if c, err = NewConn(f, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		g.Close()
	})
	fd = int(g.Fd()) // blocking from here on, which is fine for a peer
	return c, fd
}

func frame(descriptors int, body string) []byte {
	return append(proto.AppendHeader(nil, proto.Header{Length: len(body), Descriptors: descriptors}), body...)
}

func TestConnKeepsBoundaries(t *testing.T) {
	checkLeaks(t)
	a, b := newTestPipe(t)
	want := []any{int64(42), "", "hello", []byte{}, []byte("raw"), nil, []any{int64(1), nil, "x"}, map[string]any{"k": true}}
	for _, v := range want {
		if err := a.Send(within(t), v); err != nil {
			t.Fatal(err)
		}
	}
	a.Close()
	for _, w := range want {
		var got any
		if err := b.Recv(within(t), &got); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", w) {
			t.Errorf("got %#v, sent %#v", got, w)
		}
	}
	var v any
	if err := b.Recv(within(t), &v); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if err := b.Send(within(t), 1); !errors.Is(err, ErrBroken) || !errors.Is(err, syscall.EPIPE) {
		t.Errorf("send to nobody: %v", err)
	}
}

func TestConnBothWaysAtOnce(t *testing.T) {
	checkLeaks(t)
	a, b := newTestPipe(t)
	big := bytes.Repeat([]byte("x"), 3<<20) // more than all the buffers on the way
	errs := make(chan error, 2)
	for _, c := range []*Conn{a, b} {
		go func() {
			errs <- c.Send(within(t), big)
		}()
	}
	for _, c := range []*Conn{a, b} {
		var got []byte
		if err := c.Recv(within(t), &got); err != nil || !bytes.Equal(got, big) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestConnContext(t *testing.T) {
	checkLeaks(t)
	a, b := newTestPipe(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	var n int
	if err := b.Recv(ctx, &n); err != context.DeadlineExceeded {
		t.Fatalf("nothing came: %v", err)
	}
	if err := a.Send(within(t), 7); err != nil {
		t.Fatal(err)
	}
	if err := b.Recv(within(t), &n); err != nil || n != 7 {
		t.Fatalf("after a time-out: %d, %v", n, err)
	}
}

// A time-out in the middle of a message loses nothing.
func TestConnTimeoutInsideAMessage(t *testing.T) {
	checkLeaks(t)
	c, fd := newRawPeer(t, ConnOptions{})
	body := string(proto.AppendString(nil, strings.Repeat("y", 200_000)))
	whole := frame(0, body)
	for _, part := range [][]byte{whole[:3], whole[3:100], whole[100:150_000]} {
		if _, err := unix.Write(fd, part); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
		var s string
		err := c.Recv(ctx, &s)
		cancel()
		if err != context.DeadlineExceeded {
			t.Fatalf("a part of a message: %v", err)
		}
	}
	go unix.Write(fd, whole[150_000:])
	var s string
	if err := c.Recv(within(t), &s); err != nil || len(s) != 200_000 {
		t.Fatalf("%d bytes, %v", len(s), err)
	}
}

func TestConnEndInsideAMessage(t *testing.T) {
	for _, part := range []int{1, 7, 8, 9, 20} {
		c, fd := newRawPeer(t, ConnOptions{Name: "raw"})
		if _, err := unix.Write(fd, frame(0, "0123456789abcdef")[:part]); err != nil {
			t.Fatal(err)
		}
		unix.Shutdown(fd, unix.SHUT_WR)
		_, err := c.ReadFrame()
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after %d bytes: %v", part, err)
		}
		if _, again := c.ReadFrame(); again != err {
			t.Errorf("after %d bytes, again: %v", part, again)
		}
	}
}

func TestConnLimits(t *testing.T) {
	checkLeaks(t)
	c, fd := newRawPeer(t, ConnOptions{Name: "raw", Limits: proto.Limits{Frame: 1000}})
	if _, err := unix.Write(fd, frame(0, strings.Repeat("z", 1001))); err != nil {
		t.Fatal(err)
	}
	_, err := c.ReadFrame()
	if !errors.Is(err, proto.ErrTooLarge) || !strings.Contains(err.Error(), "receive from raw") || !strings.Contains(err.Error(), "1001 > 1000 bytes") {
		t.Errorf("over the limit: %v", err)
	}
	if _, again := c.ReadFrame(); again != err {
		t.Errorf("not readable any more, and yet: %v", again)
	}
	if err := c.WriteFrame(nil, make([]byte, 1001)); !errors.Is(err, proto.ErrTooLarge) {
		t.Errorf("send over the limit: %v", err)
	}
	if err := c.WriteFrame(nil, []byte{0xc0}); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// Five bytes that promise four gigabytes cost nothing.
func TestConnPromisesAreNotAllocated(t *testing.T) {
	c, fd := newRawPeer(t, ConnOptions{})
	head := proto.AppendHeader(nil, proto.Header{Length: 64 << 20})
	if _, err := unix.Write(fd, append(head, 1, 2, 3)); err != nil {
		t.Fatal(err)
	}
	unix.Shutdown(fd, unix.SHUT_WR)
	if _, err := c.ReadFrame(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if cap(c.body) > firstBody {
		t.Errorf("%d bytes were allocated for three", cap(c.body))
	}
}

func TestConnClose(t *testing.T) {
	checkLeaks(t)
	a, b := newTestPipe(t)
	got := make(chan error)
	go func() {
		_, err := a.ReadFrame()
		got <- err
	}()
	a.Close()
	if err := <-got; err != ErrClosed {
		t.Errorf("receive during Close: %v", err)
	}
	if _, err := a.ReadFrame(); err != ErrClosed {
		t.Errorf("receive after Close: %v", err)
	}
	if err := a.WriteFrame(nil, []byte{0xc0}); err != ErrClosed {
		t.Errorf("send after Close: %v", err)
	}
	if _, _, err := a.EncodeHandle(); err != ErrClosed {
		t.Errorf("passed on after Close: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := b.ReadFrame(); err != io.EOF {
		t.Errorf("the other end: %v", err)
	}
}

// A file arrives as the same open file, and descriptors stay with their frames.
func TestConnPassesFiles(t *testing.T) {
	checkLeaks(t)
	a, b := newTestPipe(t)
	type item struct {
		N    int
		File *File
		List []*File
	}
	for n := range 20 {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		v := item{N: n, File: &File{w}}
		if n%3 == 0 {
			v.List = []*File{{w}, nil, {w}}
		}
		if err := a.Send(within(t), v); err != nil {
			t.Fatal(err)
		}
		w.Close()
		var got item
		if err := b.Recv(within(t), &got); err != nil {
			t.Fatal(err)
		}
		files := append(got.List, got.File)
		for _, f := range files {
			if f != nil {
				fmt.Fprintf(f, "%d ", got.N)
				f.Close()
			}
		}
		text, _ := io.ReadAll(r) // ends when every copy is closed
		r.Close()
		want := strings.Repeat(fmt.Sprintf("%d ", n), 1+2*min(1, len(got.List)))
		if string(text) != want {
			t.Errorf("through the file came %q, expected %q", text, want)
		}
	}
}

// PITFALLS 39: descriptors may arrive with an earlier read than their frame.
func TestConnDescriptorsArriveEarly(t *testing.T) {
	checkLeaks(t)
	c, fd := newRawPeer(t, ConnOptions{})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	three := append(append(frame(0, "one"), frame(1, "two")...), frame(1, "three")...)
	if err := unix.Sendmsg(fd, three, unix.UnixRights(int(w.Fd()), int(r.Fd())), nil, 0); err != nil {
		t.Fatal(err)
	}
	w.Close()
	for i, want := range []int{0, 1, 1} {
		f, err := c.ReadFrame()
		if err != nil || len(f.FDs) != want {
			t.Fatalf("frame %d: %d descriptors, %v; expected %d", i, len(f.FDs), err, want)
		}
		f.Close()
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("a copy of the descriptor is left: %d, %v", n, err)
	}
}

// A process without room for a descriptor loses it. That is the end of the Conn, or the
// frame would get the descriptor of the next one.
func TestConnLostDescriptors(t *testing.T) {
	checkLeaks(t)
	c, fd := newRawPeer(t, ConnOptions{})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	one, two := frame(1, "one"), frame(1, "two")
	if err := unix.Sendmsg(fd, one[:4], unix.UnixRights(int(r.Fd())), nil, 0); err != nil {
		t.Fatal(err)
	}
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		t.Fatal(err)
	}
	low := lim
	low.Cur = 3
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	err = c.Recv(endedContext(), new(any))
	if e := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); e != nil {
		t.Fatal(e)
	}
	if err == nil || !strings.Contains(err.Error(), "descriptors were lost") {
		t.Errorf("a descriptor for which there was no room: %v", err)
	}
	if err := unix.Sendmsg(fd, append(one[4:], two...), unix.UnixRights(int(w.Fd())), nil, 0); err != nil {
		t.Fatal(err)
	}
	if f, err := c.ReadFrame(); err == nil {
		f.Close()
		t.Errorf("the first frame came with %d descriptors, one of which is that of the second", len(f.FDs))
	}
}

// PITFALLS 36: whatever comes and is not wanted is closed.
func TestConnUnwantedDescriptorsAreClosed(t *testing.T) {
	for name, spoil := range map[string]func(c *Conn, fd, w int) error{
		"a frame with too few": func(c *Conn, fd, w int) error {
			unix.Sendmsg(fd, frame(2, "body"), unix.UnixRights(w), nil, 0)
			_, err := c.ReadFrame()
			return err
		},
		"a bad header": func(c *Conn, fd, w int) error {
			unix.Sendmsg(fd, []byte{0, 0, 0, 1, 1, 9, 0, 0, 0}, unix.UnixRights(w), nil, 0)
			_, err := c.ReadFrame()
			return err
		},
		"more than frames name": func(c *Conn, fd, w int) error {
			many := make([]int, 200)
			for i := range many {
				many[i] = w
			}
			unix.Sendmsg(fd, frame(0, "a"), unix.UnixRights(many...), nil, 0)
			unix.Sendmsg(fd, frame(0, "b"), unix.UnixRights(many...), nil, 0)
			if _, err := c.ReadFrame(); err != nil {
				return err
			}
			_, err := c.ReadFrame()
			return err
		},
		"the end before their frame": func(c *Conn, fd, w int) error {
			unix.Sendmsg(fd, frame(1, "body")[:9], unix.UnixRights(w), nil, 0)
			unix.Shutdown(fd, unix.SHUT_WR)
			_, err := c.ReadFrame()
			return err
		},
		"Close with some unread": func(c *Conn, fd, w int) error {
			unix.Sendmsg(fd, append(frame(0, "a"), frame(1, "b")...), unix.UnixRights(w), nil, 0)
			if _, err := c.ReadFrame(); err != nil {
				return err
			}
			c.Close()
			return ErrClosed
		},
		"a value that does not fit": func(c *Conn, fd, w int) error {
			body := string(proto.AppendExtHeader(nil, proto.ExtHandle, 3)) + string([]byte{handleFile, 0, 1})
			unix.Sendmsg(fd, frame(1, body), unix.UnixRights(w), nil, 0)
			var n int
			return c.Recv(context.Background(), &n)
		},
		"nobody looks at them": func(c *Conn, fd, w int) error {
			unix.Sendmsg(fd, frame(1, "\x07"), unix.UnixRights(w), nil, 0)
			var n int
			if err := c.Recv(context.Background(), &n); err != nil {
				return err
			}
			return ErrClosed
		},
	} {
		t.Run(name, func(t *testing.T) {
			checkLeaks(t)
			c, fd := newRawPeer(t, ConnOptions{})
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			err = spoil(c, fd, int(w.Fd()))
			w.Close()
			if err == nil {
				t.Error("no error")
			}
			r.SetReadDeadline(time.Now().Add(deadline))
			if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("the descriptor is still open somewhere: %d, %v", n, err)
			}
		})
	}
}

func TestConnPassesConns(t *testing.T) {
	checkLeaks(t)
	a, b := newTestPipe(t)
	inner, other := newTestPipe(t)
	if err := a.Send(within(t), inner); err != nil {
		t.Fatal(err)
	}
	inner.Close()
	var got Conn
	if err := b.Recv(within(t), &got); err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	if err := got.Send(within(t), "through"); err != nil {
		t.Fatal(err)
	}
	var s string
	if err := other.Recv(within(t), &s); err != nil || s != "through" {
		t.Fatalf("%q, %v", s, err)
	}
	if err := other.Send(within(t), 1); err != nil {
		t.Fatal(err)
	}
	if err := other.Send(within(t), 2); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := got.Recv(within(t), &n); err != nil || n != 1 {
		t.Fatalf("%d, %v", n, err)
	}
	if err := a.Send(within(t), &got); err == nil {
		t.Error("a Conn that has received what nobody took is passed on")
	}
}

// What arrives where no type is said arrives as what it is.
func TestConnHandlesIntoInterfaces(t *testing.T) {
	checkLeaks(t)
	a, b := newTestPipe(t)
	l := newTestLock(t, LockOptions{Name: "any"})
	block, err := NewBlock(3)
	if err != nil {
		t.Fatal(err)
	}
	defer block.Close()
	block.Word(2).Store(99)
	if err := a.Send(within(t), map[string]any{"lock": l, "block": block, "conn": a, "file": &File{os.Stdin}}); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := b.Recv(within(t), &got); err != nil {
		t.Fatal(err)
	}
	if lock, ok := got["lock"].(*Lock); !ok || lock.Name() != "any" {
		t.Errorf("the lock is %#v", got["lock"])
	}
	if bl, ok := got["block"].(*Block); !ok || bl.Word(2).Load() != 99 || bl.Len() < 3 {
		t.Errorf("the block is %#v", got["block"])
	} else {
		bl.Word(2).Store(100)
		bl.Close()
	}
	if block.Word(2).Load() != 100 {
		t.Error("the block is a copy")
	}
	for _, name := range []string{"conn", "file"} {
		if c, ok := got[name].(io.Closer); !ok || c.Close() != nil {
			t.Errorf("the %s is %#v", name, got[name])
		}
	}
}

// The end of file that tells of a peer's death.
func TestConnPeerKilled(t *testing.T) {
	checkLeaks(t)
	c := startLocker(t, newTestLock(t, LockOptions{}))
	c.kill()
	var s string
	if err := c.Recv(within(t), &s); err != io.EOF {
		t.Errorf("after the peer was killed: %v", err)
	}
}

func BenchmarkConnPingPong(b *testing.B) {
	x, y := newTestPipe(b)
	go func() {
		for {
			f, err := y.ReadFrame()
			if err != nil {
				return
			}
			y.WriteFrame(nil, f.Body)
		}
	}()
	b.ReportAllocs()
	body := []byte{1}
	for b.Loop() {
		if err := x.WriteFrame(nil, body); err != nil {
			b.Fatal(err)
		}
		if _, err := x.ReadFrame(); err != nil {
			b.Fatal(err)
		}
	}
}
