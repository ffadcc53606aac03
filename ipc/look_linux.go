package ipc

import "golang.org/x/sys/unix"

// tryLook is tryReceive that takes nothing.
func (c *Conn) tryLook(fd uintptr) bool {
	if readable(fd) {
		return true
	}
	c.rmu.park()
	return false
}

// readable tells whether a receive would get something, or an error. It does not receive:
// what is in this process's buffers no other process can read.
func readable(fd uintptr) bool {
	p := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(p[:], 0)
		if err != unix.EINTR {
			return n > 0 || err != nil
		}
	}
}
