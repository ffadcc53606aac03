package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/seed-185a7250/multiproc/proto"
)

// SendBytes sends b as one message, without a copy: the same as Send of a []byte.
func (c *Conn) SendBytes(ctx context.Context, b []byte) error {
	head := proto.AppendBinHeader(make([]byte, 0, 8), len(b))
	return c.until(ctx, false, func() error { return c.writeFrameLocked(nil, head, b) })
}

// RecvBytes waits for a message that is bytes, and returns them.
func (c *Conn) RecvBytes(ctx context.Context) ([]byte, error) {
	var f Frame
	err := c.until(ctx, true, func() (err error) {
		f, err = c.readFrameLocked()
		return err
	})
	if err != nil {
		return nil, err
	}
	f.Close()
	return proto.ParseBin(f.Body)
}

// RecvBytesInto waits for a message that is bytes, and copies them into buf. If they
// are more, the message is lost, and the error (proto.ErrTooLarge) tells how many they
// are.
func (c *Conn) RecvBytesInto(ctx context.Context, buf []byte) (n int, err error) {
	b, err := c.RecvBytes(ctx)
	if err != nil {
		return 0, err
	}
	if len(b) > len(buf) {
		return 0, fmt.Errorf("ipc: receive from %s: %w: %d bytes for a buffer of %d", c.name, proto.ErrTooLarge, len(b), len(buf))
	}
	return copy(buf, b), nil
}

// WaitReady waits until a receive would not wait, or ctx ends: a message has begun to
// come, or the end of the connection.
func (c *Conn) WaitReady(ctx context.Context) error {
	return c.until(ctx, true, func() error {
		if c.readE != nil || c.r < c.w || c.body != nil {
			return nil
		}
		err := c.fill()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case c.closed.Load():
			c.readE = ErrClosed
		case err == io.EOF:
			c.readE = io.EOF
		default:
			c.readE = fmt.Errorf("ipc: receive from %s: %w", c.name, err)
		}
		return nil
	})
}

// Poll tells whether a receive would not wait.
func (c *Conn) Poll() bool {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	return c.WaitReady(ended) == nil
}
