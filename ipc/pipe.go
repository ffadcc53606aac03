package ipc

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/proto"
)

// Pipe returns the two ends of a duplex wire. Either may be passed to another
// process.
func Pipe() (*Conn, *Conn, error) {
	f, g, err := Socketpair()
	if err != nil {
		return nil, nil, err
	}
	a, err := NewConn(f, ConnOptions{})
	if err != nil {
		g.Close()
		return nil, nil, err
	}
	b, err := NewConn(g, ConnOptions{})
	if err != nil {
		a.Close()
		return nil, nil, err
	}
	return a, b, nil
}

// PipeOneWay returns the two ends of a wire that carries messages in one direction: the
// first end receives, the second sends. It is a pipe(2), so that descriptors cannot be
// passed over it (ErrHandle); the wrong direction is ErrDirection.
func PipeOneWay() (receiver, sender *Conn, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	if receiver, err = newConn(r, receiveOnly, ConnOptions{}); err != nil {
		w.Close()
		return nil, nil, err
	}
	if sender, err = newConn(w, sendOnly, ConnOptions{}); err != nil {
		receiver.Close()
		return nil, nil, err
	}
	return receiver, sender, nil
}

// EncodeHandle implements proto.HandleEncoder. An end that has received a part of
// what was sent to it, or receives just now, cannot be passed on: the other process
// would get the rest. The peer of an end that was passed on is at its end of file when
// every copy is closed, this one too.
func (c *Conn) EncodeHandle() (proto.Handle, []int, error) {
	if c.sock == nil || c.closed.Load() {
		return proto.Handle{}, nil, ErrClosed
	}
	if !c.rmu.lockUnlessParked() {
		return proto.Handle{}, nil, errors.New("ipc: a Conn that somebody receives from cannot be passed on")
	}
	defer c.rmu.unlock()
	if c.r != c.w || c.body != nil || len(c.fds) > 0 {
		return proto.Handle{}, nil, errors.New("ipc: a Conn with unread messages cannot be passed on: they would stay here")
	}
	fd, err := dup(c.raw)
	if err != nil {
		return proto.Handle{}, nil, err
	}
	return proto.Handle{Kind: handleConn, Meta: []byte{byte(c.way)}}, []int{fd}, nil
}

// DecodeHandle implements proto.HandleDecoder. c is a zero Conn, or a closed one.
func (c *Conn) DecodeHandle(h proto.Handle, fds []int) error {
	fd, err := single(h, fds, handleConn, "conn")
	if err != nil {
		return err
	}
	if c.sock != nil && !c.closed.Load() {
		unix.Close(fd)
		return errors.New("ipc: a Conn in use cannot be decoded into; decode into a new one")
	}
	w := bothWays
	if len(h.Meta) > 0 {
		w = way(h.Meta[0])
	}
	if len(h.Meta) > 1 || w > sendOnly {
		unix.Close(fd)
		return fmt.Errorf("%w: a conn of an unknown sort %x", ErrForeign, h.Meta)
	}
	// Others share the flag with this descriptor, and may have cleared it; without it the
	// netpoller does not take a pipe.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return os.NewSyscallError("fcntl", err)
	}
	f := os.NewFile(uintptr(fd), "conn")
	if w != bothWays {
		return c.usePipe(f, w)
	}
	sock, err := unixConn(f)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrForeign, err)
	}
	return c.use(sock, bothWays, ConnOptions{})
}

// usePipe refuses what is not a pipe: on a file, say, no wait would ever end.
func (c *Conn) usePipe(f *os.File, w way) error {
	info, err := f.Stat()
	if err == nil && info.Mode()&os.ModeNamedPipe == 0 {
		err = fmt.Errorf("%w: expected a pipe, found %s", ErrForeign, info.Mode())
	}
	if err != nil {
		f.Close()
		return err
	}
	return c.use(f, w, ConnOptions{})
}
