package ipc

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/seed-185a7250/multiproc/proto"
)

// SendBytes sends b as one message, without a copy: the same as Send of a []byte.
func (c *Conn) SendBytes(ctx context.Context, b []byte) error {
	if err := c.usable(receiveOnly); err != nil {
		return err
	}
	head := proto.AppendBinHeader(make([]byte, 0, maxBinHead), len(b))
	return c.wmu.do(ctx, func() error { return c.writeFrame(nil, head, b) })
}

// RecvBytes waits for a message that is bytes, until ctx ends, and returns them. Another
// message is lost, with an error (proto.ErrProtocol).
func (c *Conn) RecvBytes(ctx context.Context) ([]byte, error) {
	f, err := c.recv(ctx)
	if err != nil {
		return nil, err
	}
	f.Close()
	b, err := proto.ParseBin(f.Body)
	if err != nil {
		return nil, fmt.Errorf("ipc: receive from %s: %w", c.name, err)
	}
	return b, nil
}

const maxBinHead = 5 // bytes before the content of a bin

// RecvBytesInto waits for a message that is bytes, until ctx ends, and reads them into
// buf, whose content is undefined after an error. If they are more, the message is lost,
// and the error (proto.ErrTooLarge) tells how many they are.
func (c *Conn) RecvBytesInto(ctx context.Context, buf []byte) (n int, err error) {
	if err := c.usable(sendOnly); err != nil {
		return 0, err
	}
	var lost error
	err = c.rmu.do(ctx, func() error {
		return c.reading(func() (err error) {
			n, lost, err = c.readBin(buf)
			return err
		})
	})
	if err == nil && lost != nil {
		return 0, fmt.Errorf("ipc: receive from %s: %w", c.name, lost)
	}
	return n, err
}

// readBin reads the next frame into buf; lost is why the message is none for buf.
func (c *Conn) readBin(buf []byte) (n int, lost, err error) {
	if c.body == nil {
		if err := c.readHeader(); err != nil {
			return 0, nil, err
		}
		if k, size := c.binHead(); k > 0 && size <= len(buf) && k+size == c.head.Length {
			return c.readContent(k, buf[:size])
		}
		c.body = make([]byte, min(c.head.Length, firstBody))
	}
	// What was begun by another call, does not fit or is not plain.
	f, err := c.readFrame()
	if err != nil {
		return 0, nil, err
	}
	f.Close()
	b, lost := proto.ParseBin(f.Body)
	if lost == nil && len(b) > len(buf) {
		lost = fmt.Errorf("%w: %d bytes for a buffer of %d", proto.ErrTooLarge, len(b), len(buf))
	}
	return copy(buf, b), lost, nil
}

// binHead returns the length of the bin's head and of its content, if that much is here.
func (c *Conn) binHead() (k, size int) {
	for k = 2; k <= min(maxBinHead, c.w-c.r, c.head.Length); k++ {
		// The head is right if the one for the length that it leaves is the same bytes.
		want := proto.AppendBinHeader(make([]byte, 0, maxBinHead), c.head.Length-k)
		if len(want) == k && string(want) == string(c.in[c.r:c.r+k]) {
			return k, c.head.Length - k
		}
	}
	return 0, 0
}

// readContent reads what follows a head of k bytes into buf.
func (c *Conn) readContent(k int, buf []byte) (n int, lost, err error) {
	head := [maxBinHead]byte{}
	copy(head[:k], c.in[c.r:])
	c.r += k
	err = c.readInto(buf)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// The next call goes on in a body of our own, for buf is the caller's again.
		c.body = make([]byte, c.head.Length)
		copy(c.body, head[:k])
		copy(c.body[k:], buf[:c.got])
		c.got += k
	}
	if err != nil {
		return 0, nil, err
	}
	fds, err := c.takeFDs()
	CloseFDs(fds)
	return len(buf), nil, err
}
