package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/proto"
)

const (
	readBuffer = 64 << 10 // what one system call asks for
	firstBody  = 1 << 20  // most that is allocated before any of a body has come
	copyBelow  = 16 << 10 // a frame up to this size is written from one buffer
	maxEarly   = 253      // descriptors that may wait for their frame (SCM_MAX_FD)
)

// ConnOptions of a Conn; the zero value is good.
type ConnOptions struct {
	// Limits of what is received; zero fields are the defaults of package proto. A
	// message beyond them makes the Conn unreadable.
	Limits proto.Limits
	// Name stands in errors; default "peer".
	Name string
}

// A Conn carries messages, with their boundaries and with descriptors, in both
// directions over a Unix stream socket. Any number of goroutines may send and
// receive; each message goes to one of the receivers, whole.
type Conn struct {
	sock   endpoint
	raw    syscall.RawConn
	way    way
	name   string
	limits proto.Limits
	closed atomic.Bool

	rmu   turn
	in    []byte // received, not yet taken: in[r:w]
	r, w  int
	body  []byte // the frame under way, when it is larger than in
	got   int
	head  proto.Header // of that frame
	fds   []int        // arrived, in order, not yet taken by a frame
	oob   []byte
	rx    received
	readE error // sticky

	wmu    turn
	out    []byte
	tx     sending
	writeE error // sticky
}

// An endpoint is a socket, or one end of a pipe(2), in the netpoller.
type endpoint interface {
	SyscallConn() (syscall.RawConn, error)
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	Close() error
}

// A way is in which directions a Conn carries messages.
type way byte

const (
	bothWays    way = 0
	receiveOnly way = 1
	sendOnly    way = 2
)

// received and sending are what one call of the netpoller is about. They are fields,
// and the functions that it calls are made once, so that a message costs no closure.
type received struct {
	f   func(fd uintptr) bool
	p   []byte // to be filled
	n   int    // bytes received
	fds []int
	err error
}

type sending struct {
	f    func(fd uintptr) bool
	bufs [][]byte // not sent yet
	oob  []byte   // goes with the next byte
	n    int      // bytes sent
	err  error
}

// NewConn makes a Conn of f, a connected Unix stream socket, which it takes over
// (f is closed in any case).
func NewConn(f *os.File, o ConnOptions) (*Conn, error) {
	c := new(Conn)
	return c, c.open(f, o)
}

func (c *Conn) open(f *os.File, o ConnOptions) error {
	sock, err := unixConn(f)
	if err != nil {
		return err
	}
	return c.use(sock, bothWays, o)
}

func (c *Conn) use(sock endpoint, w way, o ConnOptions) error {
	raw, err := sock.SyscallConn()
	if err != nil {
		sock.Close()
		return err
	}
	if o.Name == "" {
		o.Name = "peer"
	}
	c.sock, c.raw, c.way, c.name, c.limits = sock, raw, w, o.Name, o.Limits
	c.oob = make([]byte, unix.CmsgSpace(4*maxEarly))
	c.rx.f, c.tx.f = c.tryReceive, c.trySend
	c.rmu, c.wmu = make(turn, 1), make(turn, 1)
	return nil
}

// A turn is a mutex that can be waited for until a context ends. It is part of a
// deadline's meaning: who sets one has the turn, so that it is nobody else's.
type turn chan struct{}

func (t turn) Lock()   { t <- struct{}{} }
func (t turn) Unlock() { <-t }
func (t turn) TryLock() bool {
	select {
	case t <- struct{}{}:
		return true
	default:
		return false
	}
}

// Pipe returns the two ends of a duplex wire. Either may be passed to another
// process.
func Pipe() (*Conn, *Conn, error) {
	f, g, err := Socketpair()
	if err != nil {
		return nil, nil, err
	}
	a, err := NewConn(f, ConnOptions{})
	if err != nil {
		g.Close()
		return nil, nil, err
	}
	b, err := NewConn(g, ConnOptions{})
	if err != nil {
		a.Close()
		return nil, nil, err
	}
	return a, b, nil
}

// PipeOneWay returns the two ends of a wire that carries messages in one direction: the
// first end receives, the second sends. It is a pipe(2), so that descriptors cannot be
// passed over it (ErrHandle); the wrong direction is ErrDirection.
func PipeOneWay() (receiver, sender *Conn, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	receiver, sender = new(Conn), new(Conn)
	if err := receiver.use(r, receiveOnly, ConnOptions{}); err != nil {
		w.Close()
		return nil, nil, err
	}
	if err := sender.use(w, sendOnly, ConnOptions{}); err != nil {
		receiver.Close()
		return nil, nil, err
	}
	return receiver, sender, nil
}

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
// Close, os.ErrDeadlineExceeded after a read deadline (the Conn stays good, also in
// the middle of a message), and otherwise what the peer did wrong
// (proto.ErrTooLarge, proto.ErrProtocol); from then on the Conn is not readable.
func (c *Conn) ReadFrame() (Frame, error) {
	switch {
	case c.sock == nil:
		return Frame{}, ErrClosed
	case c.way == sendOnly:
		return Frame{}, fmt.Errorf("ipc: receive: %w", ErrDirection)
	}
	c.rmu.Lock()
	defer c.rmu.Unlock()
	return c.readFrameLocked()
}

func (c *Conn) readFrameLocked() (Frame, error) {
	if c.readE != nil {
		return Frame{}, c.readE
	}
	f, err := c.readFrame()
	if err == nil {
		return f, nil
	}
	if c.closed.Load() {
		err = ErrClosed
	} else if err != io.EOF {
		err = fmt.Errorf("ipc: receive from %s: %w", c.name, err)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		c.readE = err
		c.dropFDs()
	}
	return Frame{}, err
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
	}
	if err := c.readBody(); err != nil {
		return Frame{}, err
	}
	f := Frame{Body: c.body}
	c.body = nil
	if n := c.head.Descriptors; n > len(c.fds) {
		return Frame{}, fmt.Errorf("%w: frame with %d descriptors, %d have come", proto.ErrProtocol, n, len(c.fds))
	} else if n > 0 {
		f.FDs = c.fds[:n:n]
		c.fds = c.fds[n:]
	}
	if len(c.fds) > maxEarly {
		// A sender that writes several frames at once may let descriptors arrive before
		// their frame, but not without end.
		f.Close()
		return Frame{}, fmt.Errorf("%w: %d descriptors that no frame names", proto.ErrProtocol, len(c.fds))
	}
	return f, nil
}

func (c *Conn) readHeader() error {
	for c.w-c.r < proto.HeaderSize {
		if err := c.fill(); err != nil {
			if err == io.EOF && c.w > c.r {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	head, err := proto.ParseHeader(c.in[c.r:c.w], c.limits)
	if err != nil {
		return err
	}
	c.r += proto.HeaderSize
	c.head, c.got = head, 0
	// A header may promise much and bring nothing: what is allocated grows with what
	// has come.
	c.body = make([]byte, min(head.Length, firstBody))
	return nil
}

func (c *Conn) readBody() error {
	for {
		n := copy(c.body[c.got:], c.in[c.r:c.w])
		c.got += n
		c.r += n
		if c.got == c.head.Length {
			return nil
		}
		if c.got == len(c.body) {
			grown := make([]byte, min(c.head.Length, 2*len(c.body)))
			copy(grown, c.body)
			c.body = grown
			continue
		}
		var err error
		if rest := c.body[c.got:]; len(rest) >= readBuffer {
			n, err = c.receive(rest)
			c.got += n
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

// fill receives into the buffer, at least one byte.
func (c *Conn) fill() error {
	if c.in == nil {
		c.in = make([]byte, readBuffer)
	}
	if c.r > 0 {
		c.w = copy(c.in, c.in[c.r:c.w])
		c.r = 0
	}
	n, err := c.receive(c.in[c.w:])
	c.w += n
	return err
}

func (c *Conn) receive(p []byte) (int, error) {
	c.rx.p = p
	err := c.raw.Read(c.rx.f)
	rx := c.rx
	c.rx = received{f: rx.f}
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
		if rx.err != unix.EINTR {
			return rx.err != unix.EAGAIN
		}
	}
}

// WriteFrame sends one message, whose body is the parts in a row, with
// descriptors, which stay the caller's. It waits while the peer does not read. It
// returns proto.ErrTooLarge before anything is sent; ErrClosed after Close;
// os.ErrDeadlineExceeded if nothing was sent by then; otherwise ErrBroken, now and
// from now on: the peer is gone, or has got a part only.
func (c *Conn) WriteFrame(fds []int, parts ...[]byte) error {
	switch {
	case c.sock == nil:
		return ErrClosed
	case c.way == receiveOnly:
		return fmt.Errorf("ipc: send: %w", ErrDirection)
	}
	c.wmu.Lock()
	defer c.wmu.Unlock()
	return c.writeFrameLocked(fds, parts...)
}

func (c *Conn) writeFrameLocked(fds []int, parts ...[]byte) error {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	if c.way == sendOnly && len(fds) > 0 {
		return fmt.Errorf("ipc: send over a pipe: %w", ErrHandle)
	}
	head := proto.Header{Length: size, Descriptors: len(fds)}
	if err := checkFrame(head, c.limits); err != nil {
		return fmt.Errorf("ipc: send to %s: %w", c.name, err)
	}
	if c.writeE != nil {
		return c.writeE
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
	sent, err := c.transmit(fds)
	if err == nil {
		return nil
	}
	if c.closed.Load() {
		return ErrClosed
	}
	err = fmt.Errorf("ipc: send to %s: %w", c.name, err)
	if sent > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("%w: %w", ErrBroken, err)
		c.writeE = err
	}
	return err
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

// transmit sends all of tx.bufs; the descriptors go with the first byte.
func (c *Conn) transmit(fds []int) (sent int, err error) {
	tx := &c.tx
	all := tx.bufs
	tx.n, tx.err, tx.oob = 0, nil, nil
	if len(fds) > 0 {
		tx.oob = unix.UnixRights(fds...)
	}
	err = c.raw.Write(tx.f)
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
		if tx.err != nil {
			return tx.err != unix.EAGAIN
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

// Send encodes v and sends it as one message. It waits while the peer does not
// read, until ctx ends; a message that was sent in part by then breaks the Conn.
// v may hold locks, files, Conns: they go along.
func (c *Conn) Send(ctx context.Context, v any) error {
	p, err := proto.Marshal(v)
	defer CloseFDs(p.FDs)
	if err != nil {
		return err
	}
	return c.until(ctx, false, func() error {
		return c.writeFrameLocked(p.FDs, p.Bytes)
	})
}

// Recv waits for a message until ctx ends, and decodes it into v, a pointer. A
// message that does not fit into v is lost, with an error that says why; the Conn
// stays good. For the end of the Conn see ReadFrame.
func (c *Conn) Recv(ctx context.Context, v any) error {
	var f Frame
	err := c.until(ctx, true, func() (err error) {
		f, err = c.readFrameLocked()
		return err
	})
	if err != nil {
		return err
	}
	left, err := proto.Unmarshal(proto.Payload{Bytes: f.Body, FDs: f.FDs}, v, c.limits)
	CloseFDs(left)
	return err
}

// until runs do and makes its deadline pass when ctx ends; the error is that of
// ctx then. Deadlines that others have set are not kept.
func (c *Conn) until(ctx context.Context, receiving bool, do func() error) error {
	switch {
	case c.sock == nil:
		return ErrClosed
	case receiving && c.way == sendOnly || !receiving && c.way == receiveOnly:
		return fmt.Errorf("ipc: %w", ErrDirection)
	}
	mu, set := c.wmu, c.sock.SetWriteDeadline
	if receiving {
		mu, set = c.rmu, c.sock.SetReadDeadline
	}
	if !mu.TryLock() { // first, so that an ended context polls
		select {
		case mu <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer mu.Unlock()
	if ctx.Done() == nil {
		return do()
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		set(time.Unix(1, 0))
		close(ended)
	})
	err := do()
	if !stop() {
		<-ended
		set(time.Time{})
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// SetReadDeadline and SetWriteDeadline bound the calls that wait, now and later;
// the zero time is no bound.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.sock.SetReadDeadline(t) }

// SetWriteDeadline: see SetReadDeadline.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.sock.SetWriteDeadline(t) }

// Close closes this end and ends all calls that wait. The peer reads what was
// sent, then io.EOF. Closing twice is fine.
func (c *Conn) Close() error {
	if c.sock == nil || c.closed.Swap(true) {
		return nil
	}
	err := c.sock.Close()
	c.rmu.Lock()
	defer c.rmu.Unlock()
	c.dropFDs()
	if c.readE == nil {
		c.readE = ErrClosed
	}
	return err
}

// EncodeHandle implements proto.HandleEncoder. An end that has received a part of
// what was sent to it cannot be passed on.
func (c *Conn) EncodeHandle() (proto.Handle, []int, error) {
	if c.sock == nil || c.closed.Load() {
		return proto.Handle{}, nil, ErrClosed
	}
	if !c.rmu.TryLock() {
		return proto.Handle{}, nil, errors.New("ipc: a Conn that somebody receives from cannot be passed on")
	}
	defer c.rmu.Unlock()
	if c.r != c.w || c.body != nil || len(c.fds) > 0 {
		return proto.Handle{}, nil, errors.New("ipc: a Conn with unread messages cannot be passed on: they would stay here")
	}
	fd, err := dup(c.raw)
	if err != nil {
		return proto.Handle{}, nil, err
	}
	return proto.Handle{Kind: handleConn, Meta: []byte{byte(c.way)}}, []int{fd}, nil
}

// DecodeHandle implements proto.HandleDecoder.
func (c *Conn) DecodeHandle(h proto.Handle, fds []int) error {
	fd, err := single(h, fds, handleConn, "conn")
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "conn") // in the netpoller if it is non-blocking, as a pipe's end is
	if c.sock != nil {
		f.Close()
		return errors.New("ipc: a Conn in use cannot be decoded into; decode into a new one")
	}
	switch {
	case len(h.Meta) == 0 || len(h.Meta) == 1 && way(h.Meta[0]) == bothWays:
		err = c.open(f, ConnOptions{})
	case len(h.Meta) == 1 && way(h.Meta[0]) <= sendOnly:
		err = c.use(f, way(h.Meta[0]), ConnOptions{})
	default:
		f.Close()
		err = fmt.Errorf("a conn of an unknown sort %x", h.Meta)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrForeign, err)
	}
	return nil
}
