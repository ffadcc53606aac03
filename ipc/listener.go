package ipc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A Listener accepts Conns on a Unix socket in the file system. Only processes of the
// same user are let in.
type Listener struct {
	l    *net.UnixListener
	path string
	dir  *os.File // of the socket, open as long as the listener
	opts ConnOptions
}

// Listen makes a socket at path, of any length, with mode 0600. A socket that is there
// and that nobody listens on any more is replaced; anything else is an error.
func Listen(path string, o ConnOptions) (*Listener, error) {
	dir, short, err := shorten(path)
	if err != nil {
		return nil, fmt.Errorf("ipc: listen: %w", err)
	}
	l, err := listen(short)
	if err != nil {
		dir.Close()
		return nil, fmt.Errorf("ipc: listen on %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false) // it would look for the short path
	return &Listener{l: l, path: path, dir: dir, opts: o}, nil
}

// shorten makes a path that fits into a socket address: the directory is opened, and
// reached through /proc.
func shorten(path string) (dir *os.File, short string, err error) {
	fd, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, "", &os.PathError{Op: "open", Path: filepath.Dir(path), Err: err}
	}
	return os.NewFile(uintptr(fd), filepath.Dir(path)), fmt.Sprintf("/proc/self/fd/%d/%s", fd, filepath.Base(path)), nil
}

func listen(short string) (*net.UnixListener, error) {
	addr := &net.UnixAddr{Name: short, Net: "unix"}
	l, err := net.ListenUnix("unix", addr)
	if errors.Is(err, unix.EADDRINUSE) {
		if c, e := net.DialUnix("unix", nil, addr); e == nil {
			c.Close()
			return nil, err // somebody listens
		} else if !errors.Is(e, unix.ECONNREFUSED) {
			return nil, err // it is no socket
		}
		if e := os.Remove(short); e != nil {
			return nil, e
		}
		l, err = net.ListenUnix("unix", addr)
	}
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(short, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Path returns the path given to Listen.
func (l *Listener) Path() string { return l.path }

// Accept waits for somebody to dial, until ctx ends. A peer of another user is turned
// away, and waited on. It returns ErrClosed after Close. One goroutine may call it at a
// time.
func (l *Listener) Accept(ctx context.Context) (*Conn, error) {
	stop := context.AfterFunc(ctx, func() { l.l.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() {
			l.l.SetDeadline(time.Time{})
		}
	}()
	for {
		u, err := l.l.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil, ErrClosed
		case err != nil && ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			return nil, fmt.Errorf("ipc: accept on %s: %w", l.path, err)
		}
		if samePeer(u) != nil {
			u.Close()
			continue
		}
		c := new(Conn)
		return c, c.use(u, bothWays, l.opts)
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
	if int(cred.Uid) != os.Getuid() {
		return fmt.Errorf("%w: user %d, this is %d", ErrDenied, cred.Uid, os.Getuid())
	}
	return nil
}

// Close stops listening and removes the socket.
func (l *Listener) Close() error {
	err := l.l.Close()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	unix.Unlinkat(int(l.dir.Fd()), filepath.Base(l.path), 0)
	l.dir.Close()
	return err
}

// Dial connects to who listens at path, of any length, until ctx ends. It returns
// ErrDenied if that is another user.
func Dial(ctx context.Context, path string, o ConnOptions) (*Conn, error) {
	dir, short, err := shorten(path)
	if err != nil {
		return nil, fmt.Errorf("ipc: dial: %w", err)
	}
	defer dir.Close()
	var d net.Dialer
	n, err := d.DialContext(ctx, "unix", short)
	if err != nil {
		return nil, fmt.Errorf("ipc: dial %s: %w", path, errors.Unwrap(err))
	}
	u := n.(*net.UnixConn)
	if err := samePeer(u); err != nil {
		u.Close()
		return nil, fmt.Errorf("ipc: dial %s: %w", path, err)
	}
	if o.Name == "" {
		o.Name = path
	}
	c := new(Conn)
	return c, c.use(u, bothWays, o)
}
