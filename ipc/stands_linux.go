package ipc

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// stands tells whether the peer has not gone, as far as the kernel knows. A process that dies
// has gone when its descriptors are closed.
func (c *Conn) stands() bool { return !c.closed.Load() && connected(c.raw) }

// connected tells whether the other end of a socket is open. One that will send no more counts as
// closed: over TCP, half closed and closed are not to be told apart.
func connected(raw syscall.RawConn) bool {
	up := false
	raw.Control(func(fd uintptr) {
		p := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(p[:], 0)
		for err == unix.EINTR {
			n, err = unix.Poll(p[:], 0)
		}
		up = err == nil && n == 0
	})
	return up
}

// hangUp ends the connection under whoever reads or writes, who then closes it.
func (c *Conn) hangUp() {
	c.raw.Control(func(fd uintptr) { unix.Shutdown(int(fd), unix.SHUT_RDWR) })
}

// who names the peer for people: by its pid, where that is known.
func (c *Conn) who() string {
	name := c.name
	c.raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil && cred.Pid > 0 {
			name = fmt.Sprintf("pid %d", cred.Pid)
		}
	})
	return name
}
