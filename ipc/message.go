package ipc

import (
	"context"
	"os"

	"github.com/seed-185a7250/multiproc/proto"
)

// Send encodes v and sends it as one message. It waits while the peer does not
// read, until ctx ends; a message that was sent in part by then breaks the Conn.
// v may hold locks, files, Conns: they go along. For the errors see WriteFrame.
func (c *Conn) Send(ctx context.Context, v any) error {
	if err := c.usable(receiveOnly); err != nil {
		return err
	}
	p, err := proto.Marshal(v)
	defer CloseFDs(p.FDs)
	if err != nil {
		return err
	}
	return c.wmu.do(ctx, func() error { return c.writeFrame(p.FDs, p.Bytes) })
}

// Recv waits for a message until ctx ends, and decodes it into v, a pointer; with a ctx
// that has ended it takes one that is there. A message that does not fit into v is lost, with an error that says why; the Conn
// stays good. For the end of the Conn see ReadFrame.
func (c *Conn) Recv(ctx context.Context, v any) error {
	f, err := c.recv(ctx)
	if err != nil {
		return err
	}
	left, err := proto.Unmarshal(proto.Payload{Bytes: f.Body, FDs: f.FDs}, v, c.limits)
	CloseFDs(left)
	return err
}

func (c *Conn) recv(ctx context.Context) (f Frame, err error) {
	if err := c.usable(sendOnly); err != nil {
		return Frame{}, err
	}
	err = c.rmu.do(ctx, func() error {
		f, err = c.nextFrame()
		return err
	})
	return f, err
}

// WaitReady waits until a receive would not wait, or ctx ends, and takes nothing: not
// out of the kernel either, so that the Conn can still be passed on. A receive would
// not wait when a message has begun to come, or when there will be no more.
func (c *Conn) WaitReady(ctx context.Context) error {
	if ready, err := c.ready(); ready || err != nil {
		return err
	}
	return c.rmu.do(ctx, func() error {
		if ready, err := c.readyNow(); ready || err != nil {
			return err
		}
		if c.rmu.once {
			return os.ErrDeadlineExceeded
		}
		err := c.raw.Read(c.rx.look)
		c.rmu.unpark()
		if c.closed.Load() {
			return ErrClosed
		}
		return err
	})
}

// Poll waits until a receive would not wait, or ctx ends, which is no error; with a ctx
// that has ended it looks once. See WaitReady.
func (c *Conn) Poll(ctx context.Context) (bool, error) {
	err := c.WaitReady(ctx)
	if err != nil && ctx.Err() != nil && err == ctx.Err() {
		return false, nil
	}
	return err == nil, err
}

// ready looks once. While somebody else receives, nothing is there for the caller.
func (c *Conn) ready() (bool, error) {
	if err := c.usable(sendOnly); err != nil {
		return false, err
	}
	if !c.rmu.tryLock() {
		return false, nil
	}
	defer c.rmu.unlock()
	return c.readyNow()
}

func (c *Conn) readyNow() (ready bool, err error) {
	if c.readE != nil || c.buffered() {
		return true, nil
	}
	if e := c.raw.Control(func(fd uintptr) { ready = readable(fd) }); e != nil {
		return false, ErrClosed
	}
	return ready, nil
}

// buffered tells whether the next message, or what is wrong with it, is here already.
func (c *Conn) buffered() bool {
	have := c.w - c.r
	if c.body != nil {
		return have >= c.head.Length-c.got
	}
	if have < proto.HeaderSize {
		return false
	}
	h, err := proto.ParseHeader(c.in[c.r:c.w], c.limits)
	return err != nil || have >= proto.HeaderSize+h.Length
}
