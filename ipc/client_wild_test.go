package ipc

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/proto"
)

// wildManager answers hello as it should and then does what it likes with the next request.
func wildManager(t *testing.T, greeting func(id uint64) []byte, then func(c *Conn, id uint64)) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "wild.sock")
	l, err := Listen(path, ConnOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept(ctx)
		if err != nil {
			return
		}
		defer c.Close()
		for _, answer := range []func(id uint64){func(id uint64) { c.WriteFrame(nil, greeting(id)) }, func(id uint64) { then(c, id) }} {
			f, err := c.ReadFrame()
			if err != nil {
				return
			}
			m, err := proto.ParseMessage(f.Body, proto.Limits{})
			if err != nil {
				t.Errorf("the client has sent %x: %v", f.Body, err)
				return
			}
			answer(m.ID)
		}
		c.ReadFrame() // until the client gives up
	}()
	t.Cleanup(func() {
		l.Close()
		select {
		case <-done:
		case <-time.After(deadline):
			t.Error("the client does not end the connection")
		}
	})
	return path
}

func goodGreeting(id uint64) []byte {
	return proto.AppendResponse(nil, id, nil, proto.AppendGreeting(nil, proto.Greeting{Version: 1, Instance: 7}))
}

// Whatever a manager sends, the client ends in order, and leaves no descriptor.
func TestClientWildManager(t *testing.T) {
	devNull, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer devNull.Close()
	null := int(devNull.Fd())
	frame := func(b []byte) []byte { return append(proto.AppendHeader(nil, proto.Header{Length: len(b)}), b...) }
	for name, then := range map[string]func(c *Conn, id uint64){
		"the answer to another request": func(c *Conn, id uint64) { c.WriteFrame(nil, proto.AppendResponse(nil, id+1, nil, nil)) },
		"two answers": func(c *Conn, id uint64) {
			b := frame(proto.AppendResponse(nil, id+7, nil, nil))
			c.WriteFrames(append(b, b...))
		},
		"a request":         func(c *Conn, id uint64) { c.WriteFrame(nil, proto.AppendRequest(nil, id, "ping", []byte{0x91, 0x80})) },
		"no message":        func(c *Conn, id uint64) { c.WriteFrame(nil, []byte{0xc1}) },
		"a bad header":      func(c *Conn, id uint64) { c.WriteFrames([]byte{0, 0, 0, 1, 0, 9, 0, 0, 0xc0}) },
		"a frame too large": func(c *Conn, id uint64) { c.WriteFrames([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}) },
		"half a frame": func(c *Conn, id uint64) {
			b := frame(proto.AppendResponse(nil, id, nil, nil))
			c.WriteFrames(b[:len(b)-1])
			c.Close()
		},
		"half of a large frame": func(c *Conn, id uint64) {
			c.WriteFrames(append(proto.AppendHeader(nil, proto.Header{Length: 10 << 20}), make([]byte, 1<<17)...))
			c.Close()
		},
		"the end": func(c *Conn, id uint64) { c.Close() },
		"fewer descriptors than it says": func(c *Conn, id uint64) {
			b := proto.AppendResponse(nil, id, nil, nil)
			c.WriteFrames(append(proto.AppendHeader(nil, proto.Header{Length: len(b), Descriptors: 2}), b...))
		},
		"descriptors with no answer": func(c *Conn, id uint64) {
			c.WriteFrame([]int{null}, proto.AppendResponse(nil, id+1, nil, nil))
		},
	} {
		t.Run(name, func(t *testing.T) {
			checkLeaks(t)
			c := connect(t, wildManager(t, goodGreeting, then), ConnectOptions{})
			if err := c.Ping(within(t)); !errors.Is(err, ErrGone) {
				t.Errorf("the call: %v", err)
			}
			if err := c.Ping(within(t)); !errors.Is(err, ErrGone) {
				t.Errorf("a later call: %v", err)
			}
			c.Close()
		})
	}
	for name, result := range map[string][]byte{
		"nothing": {0xc0}, "another version": proto.AppendGreeting(nil, proto.Greeting{Version: 9, Instance: 7}),
		"no instance": {0x92, 1, 0x80}, "another proof": proto.AppendGreeting(nil, proto.Greeting{Version: 1, Instance: 7, Auth: "riddle"}),
	} {
		t.Run("greets with "+name, func(t *testing.T) {
			checkLeaks(t)
			path := wildManager(t, func(id uint64) []byte { return proto.AppendResponse(nil, id, nil, result) }, func(*Conn, uint64) {})
			if c, err := Connect(within(t), path, ConnectOptions{}); err == nil {
				c.Close()
				t.Error("connected")
			}
		})
	}
}

// Descriptors that come with an answer that has no use for them are closed.
func TestClientUnwantedDescriptors(t *testing.T) {
	checkLeaks(t)
	devNull, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer devNull.Close()
	null := int(devNull.Fd())
	path := wildManager(t, goodGreeting, func(c *Conn, id uint64) {
		c.WriteFrame([]int{null, null}, proto.AppendResponse(nil, id, nil, nil))
	})
	c := connect(t, path, ConnectOptions{})
	if err := c.Ping(within(t)); err != nil {
		t.Error(err)
	}
	c.Close()
	if _, err := unix.FcntlInt(uintptr(null), unix.F_GETFD, 0); err != nil {
		t.Error(err)
	}
}
