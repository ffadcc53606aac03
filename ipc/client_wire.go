package ipc

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
)

// A wire is what a link sends and receives bytes over. One goroutine at a time reads and one writes; close ends what they wait for.
type wire interface {
	// read waits until something has come, until the deadline.
	read(p []byte) (n int, fds []int, err error)
	// tryWrite writes what can be written at once.
	tryWrite(p []byte) (n int, err error)
	// write writes all of p; fds go with its first byte.
	write(p []byte, fds []int) error
	setReadDeadline(t time.Time) error
	// dup returns a descriptor of the same connection, to be handed on.
	dup() (int, error)
	close() error
}

// A sockWire is a socket, Unix or TCP.
type sockWire struct {
	sock endpoint
	raw  syscall.RawConn
	unix bool // carries descriptors

	in   sockRead
	look shm.Lookout // how long to look for an answer before waiting for it
	out  sockWrite
}

// What the functions that the netpoller calls are about; see received.
type sockRead struct {
	f      func(fd uintptr) bool
	once   func(fd uintptr)     // f, without what it returns
	over   func() (bool, error) // once, now
	got    bool                 // by once
	p, oob []byte
	n      int
	fds    []int
	err    error
}

type sockWrite struct {
	f    func(fd uintptr) bool
	p    []byte
	oob  []byte
	n    int
	err  error
	park bool
}

func newSockWire(sock endpoint) (*sockWire, error) {
	raw, err := sock.SyscallConn()
	if err != nil {
		sock.Close()
		return nil, err
	}
	_, isUnix := sock.(*net.UnixConn)
	w := &sockWire{sock: sock, raw: raw, unix: isUnix}
	if isUnix {
		w.in.oob = make([]byte, unix.CmsgSpace(4*maxEarly))
	}
	w.in.f, w.out.f = w.receive, w.send
	w.in.once = func(fd uintptr) { w.in.got = w.receive(fd) }
	w.in.over = func() (bool, error) {
		w.in.got = false
		err := w.raw.Control(w.in.once)
		return w.in.got, err
	}
	return w, nil
}

func (w *sockWire) read(p []byte) (n int, fds []int, err error) {
	in := &w.in
	in.p, in.n, in.fds, in.err = p, 0, nil, nil
	err = w.wait()
	n, fds = in.n, in.fds
	if err == nil {
		err = in.err
	}
	in.p, in.fds = nil, nil
	if err == nil && n == 0 {
		err = errEnded
	}
	return n, fds, err
}

// wait receives, and looks for a while before it waits: to be woken takes longer than most answers.
func (w *sockWire) wait() error {
	if ok, err := w.in.over(); ok || err != nil {
		return err
	}
	if ok, err := w.look.Look(w.in.over); ok || err != nil {
		return err
	}
	return w.raw.Read(w.in.f)
}

// errEnded is the end of what a manager sends: it has closed, or is dead.
var errEnded = errors.New("it has ended the connection")

// receive tells whether it has received something, or an error.
func (w *sockWire) receive(fd uintptr) bool {
	in := &w.in
	for {
		if w.unix {
			in.n, in.fds, in.err = receive(int(fd), in.p, in.oob)
		} else {
			in.n, in.err = unix.Read(int(fd), in.p)
			in.n = max(in.n, 0)
		}
		if in.err != unix.EINTR {
			return in.err != unix.EAGAIN
		}
	}
}

func (w *sockWire) tryWrite(p []byte) (int, error) {
	n, err := w.writeFrom(p, nil, false)
	if err == unix.EAGAIN {
		err = nil
	}
	return n, err
}

func (w *sockWire) write(p []byte, fds []int) error {
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	_, err := w.writeFrom(p, oob, true)
	return err
}

func (w *sockWire) writeFrom(p, oob []byte, park bool) (int, error) {
	out := &w.out
	out.p, out.oob, out.park, out.n, out.err = p, oob, park, 0, nil
	err := w.raw.Write(out.f)
	out.p, out.oob = nil, nil
	if err == nil {
		err = out.err
	}
	return out.n, err
}

// send tells whether it has sent all, or has got an error; or has nothing to wait for.
func (w *sockWire) send(fd uintptr) bool {
	out := &w.out
	for len(out.p) > 0 {
		var n int
		if len(out.oob) > 0 {
			n, out.err = unix.SendmsgN(int(fd), out.p, out.oob, nil, unix.MSG_NOSIGNAL)
		} else {
			n, out.err = unix.Write(int(fd), out.p)
		}
		switch {
		case out.err == unix.EINTR:
		case out.err == unix.EAGAIN:
			return !out.park
		case out.err != nil:
			return true
		default:
			out.oob = nil
			out.n += n
			out.p = out.p[n:]
		}
	}
	return true
}

func (w *sockWire) setReadDeadline(t time.Time) error { return w.sock.SetReadDeadline(t) }
func (w *sockWire) dup() (int, error)                 { return dup(w.raw) }
func (w *sockWire) close() error                      { return w.sock.Close() }

// A netWire is any other connection: one of TLS.
type netWire struct{ net.Conn }

func (w netWire) read(p []byte) (int, []int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		err = nil
	}
	return n, nil, err
}

func (w netWire) tryWrite([]byte) (int, error) { return 0, nil }

func (w netWire) write(p []byte, fds []int) error {
	if len(fds) > 0 {
		return ErrHandle
	}
	_, err := w.Conn.Write(p)
	return err
}

func (w netWire) setReadDeadline(t time.Time) error { return w.Conn.SetReadDeadline(t) }
func (w netWire) dup() (int, error)                 { return -1, errTLS }
func (w netWire) close() error                      { return w.Conn.Close() }

var errTLS = errors.New("ipc: a connection with TLS cannot be handed to another process")

// isDeadline tells the end of a wait from the end of a connection.
func isDeadline(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
