package ipc

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A place is a name for a socket in a directory, which is open as long as the place is
// used: so its path may be longer than an address, and the directory may be renamed.
type place struct {
	path   string
	base   string
	dir    int
	self   unix.Stat_t // of the socket, to know it again
	closed chan struct{}
}

func openPlace(path string) (*place, error) {
	dir, base := filepath.Split(path)
	if base == "" || base == "." || base == ".." {
		return nil, &os.PathError{Op: "listen", Path: path, Err: unix.EISDIR}
	}
	if dir == "" {
		dir = "."
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return &place{path: path, base: base, dir: fd, closed: make(chan struct{})}, nil
}

func (p *place) close() {
	close(p.closed)
	unix.Close(p.dir)
}

// bind makes a socket that listens and then gives it its name, so that a socket of that
// name on which nobody listens is always one that was left behind.
func (p *place) bind() (*net.UnixListener, error) {
	temp := "." + p.base[:min(len(p.base), 16)] + "." + strings.ToLower(rand.Text()[:8])
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: p.address(temp), Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // it would look for the name of now
	err = p.publish(temp)
	if e := unix.Unlinkat(p.dir, temp, 0); err == nil {
		err = e
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// address is what stands for a name of the directory in a socket address of 108 bytes.
func (p *place) address(name string) string {
	if a := filepath.Join(filepath.Dir(p.path), name); len(a) < 108 && a[0] != '@' {
		return a // this is what ss(8) shows
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", p.dir, name)
}

func (p *place) publish(temp string) error {
	if err := unix.Fchmodat(p.dir, temp, 0o600, 0); err != nil {
		return os.NewSyscallError("chmod", err)
	}
	if err := unix.Fstatat(p.dir, temp, &p.self, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return os.NewSyscallError("stat", err)
	}
	err := unix.Linkat(p.dir, temp, p.dir, p.base, 0)
	if err == unix.EEXIST {
		return p.replace(temp)
	}
	return os.NewSyscallError("link", err)
}

// replace takes the place of a socket that was left behind.
func (p *place) replace(temp string) error {
	// One at a time: another one who replaces would remove what this one has put there.
	dir, err := unix.Openat(p.dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open", err)
	}
	defer unix.Close(dir)
	for {
		if err = unix.Flock(dir, unix.LOCK_EX); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return os.NewSyscallError("flock", err)
	}
	if err := p.leftBehind(); err != nil {
		return err
	}
	if err := unix.Unlinkat(p.dir, p.base, 0); err != nil && err != unix.ENOENT {
		return os.NewSyscallError("unlink", err)
	}
	if err = unix.Linkat(p.dir, temp, p.dir, p.base, 0); err == unix.EEXIST {
		return unix.EADDRINUSE // somebody was faster
	}
	return os.NewSyscallError("link", err)
}

// leftBehind returns nil if there is a socket and nobody listens on it.
func (p *place) leftBehind() error {
	fd, err := unix.Openat(p.dir, p.base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return os.NewSyscallError("open", err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return os.NewSyscallError("stat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return fmt.Errorf("%w by something that is no socket", unix.EADDRINUSE)
	}
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: fmt.Sprintf("/proc/self/fd/%d", fd), Net: "unix"})
	if err == nil {
		c.Close()
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return unix.EADDRINUSE // somebody listens, or has a full line, or is another user
	}
	return nil
}

// remove takes the name away, if it is still that of this socket.
func (p *place) remove() {
	var st unix.Stat_t
	err := unix.Fstatat(p.dir, p.base, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && st.Dev == p.self.Dev && st.Ino == p.self.Ino {
		unix.Unlinkat(p.dir, p.base, 0)
	}
}
