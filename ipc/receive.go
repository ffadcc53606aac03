package ipc

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/proto"
)

// A Frame is one message as it came: the body, which is the receiver's, and the
// descriptors, which the receiver has to close or to hand on.
type Frame struct {
	Body []byte
	FDs  []int
}

// Close closes the descriptors.
func (f Frame) Close() { CloseFDs(f.FDs) }

// ReadFrame waits for the next message. It returns io.EOF when the peer has closed
// or died between two messages, io.ErrUnexpectedEOF inside one, ErrClosed after
// Close, ErrDirection at the sending end of a one-way pipe, os.ErrDeadlineExceeded
// after a read deadline (the Conn stays good, also in the middle of a message), and
// otherwise what the peer did wrong (proto.ErrTooLarge, proto.ErrProtocol); from then
// on the Conn is not readable.
func (c *Conn) ReadFrame() (Frame, error) {
	if c.sock == nil {
		return Frame{}, ErrClosed
	}
	c.rmu.lock()
	defer c.rmu.unlock()
	return c.nextFrame()
}

// Buffered tells whether the next ReadFrame has all it needs already, and makes no system call. It is for the goroutine that reads, if
// no other does.
func (c *Conn) Buffered() bool {
	have := c.w - c.r
	if c.body != nil {
		return c.head.Length-c.got <= have
	}
	if have < proto.HeaderSize {
		return false
	}
	head, err := proto.ParseHeader(c.in[c.r:c.w], c.limits)
	return err != nil || head.Length <= have-proto.HeaderSize
}

// nextFrame is ReadFrame for who has the turn.
func (c *Conn) nextFrame() (f Frame, err error) {
	return f, c.reading(func() error {
		f, err = c.readFrame()
		return err
	})
}

// reading runs f, which reads, if the Conn is readable, and gives its error the name
// that it has outside.
func (c *Conn) reading(f func() error) error {
	if err := c.usable(sendOnly); err != nil {
		return err
	}
	if c.readE != nil {
		return c.readE
	}
	err := f()
	if err == nil {
		return nil
	}
	if c.closed.Load() {
		return ErrClosed
	}
	if err != io.EOF {
		err = fmt.Errorf("ipc: receive from %s: %w", c.name, err)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		c.readE = err
		c.dropFDs()
	}
	return err
}

// dropFDs closes what arrived for frames that nobody will read.
func (c *Conn) dropFDs() {
	CloseFDs(c.fds)
	c.fds = nil
}

func (c *Conn) readFrame() (Frame, error) {
	if c.body == nil {
		if err := c.readHeader(); err != nil {
			return Frame{}, err
		}
		// A header may promise much and bring nothing: what is allocated grows with what
		// has come.
		c.body = make([]byte, min(c.head.Length, c.startBody()))
	}
	if err := c.readBody(); err != nil {
		return Frame{}, err
	}
	f := Frame{Body: c.body}
	c.body = nil
	var err error
	f.FDs, err = c.takeFDs()
	return f, err
}

// startBody is how much of a body is allocated before any of it has come.
func (c *Conn) startBody() int {
	if c.gauge != nil {
		return smallFrame
	}
	return firstBody
}

// inPlace is the largest frame that readInPlace leaves in the buffer.
const inPlace = 16 << 10

// readInPlace is ReadFrame for the only reader of the Conn: the body of a small frame stays in the buffer, and
// is valid until a ReadFrame of either sort has to wait (which it does not have to while Buffered says so).
func (c *Conn) readInPlace() (f Frame, err error) {
	c.rmu.lock()
	defer c.rmu.unlock()
	return f, c.reading(func() error {
		f, err = c.frameInPlace()
		return err
	})
}

func (c *Conn) frameInPlace() (Frame, error) {
	if c.body != nil {
		return c.readFrame()
	}
	if err := c.want(proto.HeaderSize); err != nil {
		return Frame{}, err
	}
	head, err := proto.ParseHeader(c.in[c.r:c.w], c.limits)
	if err != nil {
		return Frame{}, err
	}
	size := proto.HeaderSize + head.Length
	if size > inPlace {
		return c.readFrame()
	}
	if err := c.want(size); err != nil {
		return Frame{}, err
	}
	f := Frame{Body: c.in[c.r+proto.HeaderSize : c.r+size : c.r+size]}
	c.r += size
	c.head = head
	f.FDs, err = c.takeFDs()
	return f, err
}

// want waits until n bytes are in the buffer.
func (c *Conn) want(n int) error {
	for c.w-c.r < n {
		if err := c.fill(); err != nil {
			if err == io.EOF && c.w > c.r {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// takeFDs takes the descriptors of the frame that was just read.
func (c *Conn) takeFDs() ([]int, error) {
	n := c.head.Descriptors
	switch {
	case n > len(c.fds):
		return nil, fmt.Errorf("%w: frame with %d descriptors, %d have come", proto.ErrProtocol, n, len(c.fds))
	case len(c.fds)-n > maxEarly:
		// A sender that writes several frames at once may let descriptors arrive before
		// their frame, but not without end.
		return nil, fmt.Errorf("%w: %d descriptors that no frame names", proto.ErrProtocol, len(c.fds)-n)
	case n == 0:
		return nil, nil
	}
	fds := c.fds[:n:n]
	c.fds = c.fds[n:]
	return fds, nil
}

func (c *Conn) readHeader() error {
	if err := c.want(proto.HeaderSize); err != nil {
		return err
	}
	head, err := proto.ParseHeader(c.in[c.r:c.w], c.limits)
	if err != nil {
		return err
	}
	c.r += proto.HeaderSize
	c.head, c.got = head, 0
	return nil
}

func (c *Conn) readBody() error {
	for {
		if err := c.readInto(c.body); err != nil {
			return err
		}
		if c.got == c.head.Length {
			return nil
		}
		if c.gauge != nil && c.gauge.l == nil {
			if err := c.gauge.large(c.head.Length); err != nil {
				return err
			}
		}
		grown := make([]byte, min(c.head.Length, 2*len(c.body)))
		copy(grown, c.body)
		c.body = grown
	}
}

// readInto reads on until p, the body or its beginning, is full.
func (c *Conn) readInto(p []byte) error {
	for {
		n := copy(p[c.got:], c.in[c.r:c.w])
		c.took(n)
		c.r += n
		if c.got == len(p) {
			return nil
		}
		var err error
		if rest := p[c.got:]; len(rest) >= readBuffer {
			n, err = c.receive(rest)
			c.took(n)
		} else {
			err = c.fill()
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
}

// took notes that n more bytes of the body are there.
func (c *Conn) took(n int) {
	c.got += n
	if c.gauge != nil {
		c.gauge.came(n)
	}
}

// fill receives into the buffer, at least one byte.
func (c *Conn) fill() error {
	c.makeRoom()
	n, err := c.receive(c.in[c.w:])
	c.w += n
	return err
}

// makeRoom makes room in the buffer, which is small until a receive has filled it.
func (c *Conn) makeRoom() {
	in := c.in
	if c.w == len(in) && len(in) < readBuffer {
		in = make([]byte, min(max(8*len(in), firstBuffer), readBuffer))
	}
	if c.r > 0 || len(in) > len(c.in) {
		c.w = copy(in, c.in[c.r:c.w])
		c.r, c.in = 0, in
	}
}

// received is what one call of the netpoller is about. It is a field, and the functions
// that the netpoller calls are made once, so that a message costs no closure.
type received struct {
	f, look func(fd uintptr) bool
	over    func() (bool, error) // f, once and now
	got     bool                 // by over
	p       []byte               // to be filled
	n       int                  // bytes received
	fds     []int
	err     error
}

func (c *Conn) receive(p []byte) (int, error) {
	c.rx.p = p
	var err error
	if c.rmu.once {
		// Not by a deadline: after one the netpoller does not even look.
		got := false
		if err = c.raw.Control(func(fd uintptr) { got = c.tryReceive(fd) }); err == nil && !got {
			err = os.ErrDeadlineExceeded
		}
	} else if c.look == nil {
		err = c.raw.Read(c.rx.f)
	} else {
		err = c.courteous()
	}
	c.rmu.unpark()
	rx := c.rx
	c.rx.p, c.rx.n, c.rx.fds, c.rx.err = nil, 0, nil, nil
	c.fds = append(c.fds, rx.fds...)
	if err == nil {
		err = rx.err
	}
	if err == nil && len(c.fds) > 2*maxEarly {
		// Checked here too: they could fill the table before the frame ends.
		err = fmt.Errorf("%w: %d descriptors that no frame names", proto.ErrProtocol, len(c.fds))
	}
	switch {
	case err == unix.ECONNRESET:
		return 0, io.EOF // it died with something of ours unread
	case err != nil:
		return 0, err
	case rx.n == 0:
		return 0, io.EOF
	}
	return rx.n, nil
}

// tryReceive tells whether it has received something, or an error.
func (c *Conn) tryReceive(fd uintptr) bool {
	rx := &c.rx
	for {
		if c.way == receiveOnly {
			rx.n, rx.err = unix.Read(int(fd), rx.p)
			rx.n = max(rx.n, 0)
		} else {
			rx.n, rx.fds, rx.err = receive(int(fd), rx.p, c.oob)
		}
		switch rx.err {
		case unix.EINTR:
		case unix.EAGAIN:
			c.rmu.park()
			return false
		default:
			return true
		}
	}
}

// courteous receives like raw.Read, but looks for a while before it waits.
func (c *Conn) courteous() error {
	if ok, err := c.rx.over(); ok || err != nil {
		return err
	}
	c.rmu.unpark()
	if ok, err := c.look.Look(c.rx.over); ok || err != nil {
		return err
	}
	return c.raw.Read(c.rx.f)
}
