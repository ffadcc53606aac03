package ipc

import (
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
)

// dup duplicates the descriptor behind rc; the copy is closed on exec.
func dup(rc syscall.RawConn) (int, error) {
	fd, err := -1, error(nil)
	if e := rc.Control(func(old uintptr) {
		fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3)
	}); e != nil {
		return -1, e
	}
	if err != nil {
		return -1, os.NewSyscallError("fcntl", err)
	}
	return fd, nil
}

// Socketpair returns two connected stream sockets, the wire between a master and
// one worker. Both are closed on exec.
func Socketpair() (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), "socketpair"), os.NewFile(uintptr(fds[1]), "socketpair"), nil
}

// unixConn takes f, a connected Unix stream socket, into the netpoller. f is
// closed in any case. (exec hands a descriptor over in blocking mode, and then
// deadlines would do nothing: golang/go#43894.)
func unixConn(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("ipc: descriptor is not a socket: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("ipc: descriptor is a %s socket, expected a Unix one", c.LocalAddr().Network())
	}
	return u, nil
}

// awaitReadable waits until something can be read, or the other end is gone.
func awaitReadable(fd int) {
	unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
}

// receive reads what there is into p, with descriptors. When there is room for none of them
// in the table of the process, the kernel's only word about it is MSG_CTRUNC.
func receive(fd int, p, oob []byte) (n int, fds []int, err error) {
	n, oobn, flags, err := shm.Recvmsg(fd, p, oob)
	if err != nil || oobn == 0 && flags&unix.MSG_CTRUNC == 0 {
		return max(n, 0), nil, err
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	for _, m := range msgs {
		if got, e := unix.ParseUnixRights(&m); e == nil {
			fds = append(fds, got...)
		}
	}
	if err == nil && flags&unix.MSG_CTRUNC != 0 {
		err = unix.EMSGSIZE
	}
	if err != nil {
		CloseFDs(fds)
		return 0, nil, fmt.Errorf("descriptors were lost on the way: %w", err)
	}
	return n, fds, nil
}
