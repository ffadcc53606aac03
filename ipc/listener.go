package ipc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A Listener accepts Conns on a Unix socket in the file system. Only processes of the
// same user are let in.
type Listener struct {
	l      *net.UnixListener
	place  *place
	opts   ConnOptions
	turn   turn
	closed atomic.Bool
}

// Listen makes a socket at path, of any length, with mode 0600. A socket that is there
// and that nobody listens on any more is replaced; anything else is an error
// (syscall.EADDRINUSE).
func Listen(path string, o ConnOptions) (*Listener, error) {
	p, err := openPlace(path)
	if err != nil {
		return nil, fmt.Errorf("ipc: listen: %w", err)
	}
	l, err := p.bind()
	if err != nil {
		p.close()
		return nil, fmt.Errorf("ipc: listen on %s: %w", path, plain(err))
	}
	x := &Listener{l: l, place: p, opts: o}
	x.turn.init(l.SetDeadline)
	return x, nil
}

// plain is err without the words of package net, which names a path of its own.
func plain(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

// Path returns the path given to Listen.
func (l *Listener) Path() string { return l.place.path }

// Accept waits for somebody to dial, until ctx ends. A peer of another user is turned
// away, and waited on. While there are no descriptors left it tries again now and then,
// and the error tells so when ctx ends. It returns ErrClosed after Close.
func (l *Listener) Accept(ctx context.Context) (c *Conn, err error) {
	var lack error
	for pause := time.Millisecond; ; pause = min(2*pause, time.Second) {
		err = l.turn.do(ctx, func() error {
			c, err = l.accept()
			return err
		})
		switch {
		case l.closed.Load():
			if c != nil {
				c.Close()
			}
			return nil, ErrClosed
		case err == nil:
			return c, nil
		case scarce(err):
			lack = err
		case lack != nil && ctx.Err() != nil:
			return nil, fmt.Errorf("ipc: accept on %s: %w, %w", l.place.path, err, lack)
		case ctx.Err() != nil:
			return nil, ctx.Err()
		default:
			return nil, fmt.Errorf("ipc: accept on %s: %w", l.place.path, plain(err))
		}
		// Who dialled stays in the line, so accept would fail at once, for ever.
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		case <-l.place.closed:
		}
	}
}

// accept takes the first of the line who may come in.
func (l *Listener) accept() (*Conn, error) {
	if l.turn.once { // the context has ended
		return nil, os.ErrDeadlineExceeded
	}
	for {
		l.turn.park()
		u, err := l.l.AcceptUnix()
		l.turn.unpark()
		if errors.Is(err, unix.ECONNABORTED) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if samePeer(u) != nil {
			u.Close()
			continue
		}
		return newConn(u, bothWays, l.opts)
	}
}

// scarce tells errors that pass when others give something back.
func scarce(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM)
}

// Close stops listening and removes the socket. Closing twice is fine.
func (l *Listener) Close() error {
	if l.closed.Swap(true) {
		return nil
	}
	// First the name: a socket that has one and no listener may be replaced by others, and
	// then the name is theirs.
	l.place.remove()
	err := l.l.Close()
	l.place.close()
	return err
}

// Dial connects to who listens at path, of any length, until ctx ends; with a full line
// it waits. It returns ErrDenied if that is another user, fs.ErrNotExist if there is no
// socket, and syscall.ECONNREFUSED if nobody listens.
func Dial(ctx context.Context, path string, o ConnOptions) (*Conn, error) {
	u, err := dial(ctx, path)
	if err == nil {
		if err = samePeer(u); err != nil {
			u.Close()
		}
	}
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			<-ctx.Done() // package net looks at its deadline, and is a moment early
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("ipc: dial %s: %w", path, plain(err))
	}
	if o.Name == "" {
		o.Name = path
	}
	return newConn(u, bothWays, o)
}

func dial(ctx context.Context, path string) (*net.UnixConn, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var d net.Dialer
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		c, err := d.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d", fd))
		if err == nil {
			return c.(*net.UnixConn), nil
		}
		if !errors.Is(err, unix.EAGAIN) {
			return nil, err
		}
		// The line is full, and nothing tells when it is not.
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// samePeer checks that the process at the other end is of this process's user.
func samePeer(u *net.UnixConn) error {
	rc, err := u.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	if e := rc.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); e != nil {
		return e
	}
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	if int(cred.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: the peer is user %d, this is %d", ErrDenied, cred.Uid, os.Geteuid())
	}
	return nil
}
