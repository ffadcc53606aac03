package ipc

import (
	"errors"
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/proto"
)

// sending is what one call of the netpoller is about; see received.
type sending struct {
	f    func(fd uintptr) bool
	bufs [][]byte // not sent yet
	oob  []byte   // goes with the next byte
	n    int      // bytes sent
	err  error
}

// WriteFrame sends one message, whose body is the parts in a row, with
// descriptors, which stay the caller's. It waits while the peer does not read. It
// returns before anything is sent: proto.ErrTooLarge, ErrClosed after Close,
// ErrDirection at the receiving end of a one-way pipe, ErrHandle for descriptors over
// one; os.ErrDeadlineExceeded if nothing was sent by then. The peer gone, or a message
// of which it has got a part only, is ErrBroken, now and from now on.
func (c *Conn) WriteFrame(fds []int, parts ...[]byte) error {
	if c.sock == nil {
		return ErrClosed
	}
	c.wmu.lock()
	defer c.wmu.unlock()
	return c.writeFrame(fds, parts...)
}

// WriteFrames sends bytes that are frames already, each with its header and without descriptors, in one go: many small ones
// cost as much as one. For the errors see WriteFrame; what the frames are is not checked.
func (c *Conn) WriteFrames(frames []byte) error {
	if c.sock == nil {
		return ErrClosed
	}
	return c.writeFrames(frames, nil)
}

// writeFrame is WriteFrame for who has the turn.
func (c *Conn) writeFrame(fds []int, parts ...[]byte) error {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	head := proto.Header{Length: size, Descriptors: len(fds)}
	if err := c.sendable(head); err != nil {
		return err
	}
	c.out = proto.AppendHeader(c.out[:0], head)
	c.tx.bufs = append(c.tx.bufs[:0], nil)
	if size <= copyBelow {
		for _, p := range parts {
			c.out = append(c.out, p...)
		}
	} else {
		c.tx.bufs = append(c.tx.bufs, parts...)
	}
	c.tx.bufs[0] = c.out
	return c.written(c.transmit(fds))
}

// written gives the error of a transmission the name that it has outside.
func (c *Conn) written(sent int, err error) error {
	if err == nil {
		return nil
	}
	if c.closed.Load() {
		return ErrClosed
	}
	err = fmt.Errorf("ipc: send to %s: %w", c.name, err)
	if sent > 0 || gone(err) {
		err = fmt.Errorf("%w: %w", ErrBroken, err)
		c.writeE = err
	}
	return err
}

// sendable refuses what cannot be sent at all.
func (c *Conn) sendable(head proto.Header) error {
	if err := c.usable(receiveOnly); err != nil {
		return err
	}
	if c.way == sendOnly && head.Descriptors > 0 {
		return fmt.Errorf("ipc: send over a pipe: %w", ErrHandle)
	}
	if err := checkFrame(head, c.limits); err != nil {
		return fmt.Errorf("ipc: send to %s: %w", c.name, err)
	}
	return c.writeE
}

// checkFrame refuses what a receiver with the same limits would refuse.
func checkFrame(h proto.Header, lim proto.Limits) error {
	if h.Length > math.MaxUint32 || h.Descriptors > maxEarly {
		return fmt.Errorf("%w: %d bytes and %d descriptors", proto.ErrTooLarge, h.Length, h.Descriptors)
	}
	var b [proto.HeaderSize]byte
	_, err := proto.ParseHeader(proto.AppendHeader(b[:0], h), lim)
	return err
}

// gone tells the errors after which nothing can be sent any more from those of one
// message, such as too many descriptors under way (ETOOMANYREFS).
func gone(err error) bool {
	return errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.ENOTCONN) || errors.Is(err, os.ErrClosed)
}

// transmit sends all of tx.bufs; the descriptors go with the first byte.
func (c *Conn) transmit(fds []int) (sent int, err error) {
	if c.wmu.once {
		// The context has ended already, so do not begin: a part of a message would be the
		// end of the Conn.
		return 0, os.ErrDeadlineExceeded
	}
	tx := &c.tx
	all := tx.bufs
	tx.n, tx.err, tx.oob = 0, nil, nil
	if len(fds) > 0 {
		tx.oob = unix.UnixRights(fds...)
	}
	err = c.raw.Write(tx.f)
	c.wmu.unpark()
	clear(all) // they are the caller's again
	tx.bufs = all
	if err == nil {
		err = tx.err
	}
	return tx.n, err
}

// trySend tells whether it has sent everything, or has got an error.
func (c *Conn) trySend(fd uintptr) bool {
	tx := &c.tx
	for len(tx.bufs) > 0 {
		var n int
		if len(tx.oob) == 0 && len(tx.bufs) == 1 {
			n, tx.err = unix.Write(int(fd), tx.bufs[0]) // sendmsg costs more
		} else if c.way == sendOnly {
			n, tx.err = unix.Writev(int(fd), tx.bufs)
		} else {
			n, tx.err = unix.SendmsgBuffers(int(fd), tx.bufs, tx.oob, nil, unix.MSG_NOSIGNAL)
		}
		if tx.err == unix.EINTR {
			continue
		}
		if tx.err == unix.EAGAIN {
			c.wmu.park()
			return false
		}
		if tx.err != nil {
			return true
		}
		tx.oob = nil
		tx.n += n
		tx.bufs = advance(tx.bufs, n)
	}
	return true
}

// advance drops the first n bytes of bufs.
func advance(bufs [][]byte, n int) [][]byte {
	for len(bufs) > 0 && n >= len(bufs[0]) {
		n -= len(bufs[0])
		bufs = bufs[1:]
	}
	if len(bufs) > 0 {
		bufs[0] = bufs[0][n:]
	}
	return bufs
}

// writeFrames is WriteFrames with descriptors, which go with the first byte.
func (c *Conn) writeFrames(frames []byte, fds []int) error {
	c.wmu.lock()
	defer c.wmu.unlock()
	if err := c.usable(receiveOnly); err != nil {
		return err
	}
	if c.writeE != nil {
		return c.writeE
	}
	c.tx.bufs = append(c.tx.bufs[:0], frames)
	return c.written(c.transmit(fds))
}

// tryWrite sends as much of frames as goes without waiting, and tells how much. Who sends the
// rest must be the next to send.
func (c *Conn) tryWrite(frames []byte) (sent int, err error) {
	c.wmu.lock()
	defer c.wmu.unlock()
	if err := c.usable(receiveOnly); err != nil {
		return 0, err
	}
	if c.writeE != nil {
		return 0, c.writeE
	}
	e := c.raw.Control(func(fd uintptr) {
		for {
			sent, err = unix.Write(int(fd), frames)
			if err != unix.EINTR {
				return
			}
		}
	})
	if err == unix.EAGAIN {
		return 0, nil
	}
	if e != nil {
		err = e
	}
	return max(sent, 0), c.written(max(sent, 0), err)
}
