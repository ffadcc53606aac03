package ipc

import (
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
	"github.com/seed-185a7250/multiproc/proto"
)

const (
	readBuffer  = 64 << 10 // what one system call asks for
	firstBuffer = 4 << 10  // and as long as nothing larger has come
	firstBody   = 1 << 20  // most that is allocated before any of a body has come
	copyBelow   = 16 << 10 // a frame up to this size is written from one buffer
	maxEarly    = 253      // descriptors that may wait for their frame (SCM_MAX_FD)
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
// receive; each message goes to one of the receivers, whole. One process at a time may
// use an end: the kernel knows bytes, not messages, and another process would get the
// rest of a message that this one has begun to read.
//
// The zero Conn is a closed one; a handle that arrives may be decoded into it.
type Conn struct {
	sock   endpoint
	raw    syscall.RawConn
	way    way
	name   string
	limits proto.Limits
	closed atomic.Bool

	rmu   turn
	gauge *frameGauge // is told of large bodies; nil: nobody is
	in    []byte      // received, not yet taken: in[r:w]
	r, w  int
	body  []byte       // of the frame under way
	got   int          // bytes of it that have come
	head  proto.Header // of that frame
	fds   []int        // arrived, in order, not yet taken by a frame
	oob   []byte
	rx    received
	look  *shm.Lookout // how long to look before waiting; nil: not at all
	readE error        // sticky

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

// NewConn makes a Conn of f, a connected Unix stream socket, which it takes over
// (f is closed in any case).
func NewConn(f *os.File, o ConnOptions) (*Conn, error) {
	sock, err := unixConn(f)
	if err != nil {
		return nil, err
	}
	return newConn(sock, bothWays, o)
}

func newConn(sock endpoint, w way, o ConnOptions) (*Conn, error) {
	c := new(Conn)
	if err := c.use(sock, w, o); err != nil {
		return nil, err
	}
	return c, nil
}

// use makes c, whatever it was before, a Conn over sock.
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
	c.in, c.r, c.w, c.body, c.fds, c.readE = nil, 0, 0, nil, nil, nil
	c.writeE = nil
	if w == bothWays {
		c.oob = make([]byte, unix.CmsgSpace(4*maxEarly))
	}
	c.rx, c.tx = received{f: c.tryReceive, look: c.tryLook}, sending{f: c.trySend}
	c.rmu.init(sock.SetReadDeadline)
	c.wmu.init(sock.SetWriteDeadline)
	c.closed.Store(false)
	return nil
}

// WaitInKernel is for a goroutine that does nothing but wait for messages: from now on a receive waits in the kernel and keeps its
// thread, which saves a wake-up through the netpoller. No context and no deadline ends it any more, only Close. Call it before
// the first receive.
func (c *Conn) WaitInKernel() {
	if _, ok := c.raw.(inKernel); !ok && c.sock != nil {
		c.raw = inKernel{c.raw}
	}
}

// beCourteous is for one end of a connection over which somebody asks and waits for the answer: a receive looks for a while before it
// waits, unless that has been of no use. To wake a sleeper takes longer than most answers.
func (c *Conn) beCourteous() {
	c.look = new(shm.Lookout)
	now := func(fd uintptr) { c.rx.got = c.tryReceive(fd) }
	c.rx.over = func() (bool, error) {
		c.rx.got = false
		err := c.raw.Control(now)
		return c.rx.got, err
	}
}

// inKernel waits for what can be read in the kernel.
type inKernel struct{ syscall.RawConn }

func (k inKernel) Read(f func(fd uintptr) bool) error {
	return k.Control(func(fd uintptr) {
		for !f(fd) {
			awaitReadable(int(fd))
		}
	})
}

// usable returns ErrClosed, or ErrDirection if messages only go the other way, other.
func (c *Conn) usable(other way) error {
	switch {
	case c.sock == nil || c.closed.Load():
		return ErrClosed
	case c.way == other:
		return ErrDirection
	}
	return nil
}

// SetReadDeadline and SetWriteDeadline bound the calls that wait, now and later, beside
// their contexts; the zero time is no bound.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if c.sock == nil {
		return ErrClosed
	}
	return c.rmu.setDeadline(t)
}

// SetWriteDeadline: see SetReadDeadline.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if c.sock == nil {
		return ErrClosed
	}
	return c.wmu.setDeadline(t)
}

// Close closes this end and ends all calls that wait. The peer reads what was
// sent, then io.EOF. Closing twice is fine.
func (c *Conn) Close() error {
	if c.sock == nil || c.closed.Swap(true) {
		return nil
	}
	c.interrupt()
	err := c.sock.Close()
	c.rmu.lock()
	defer c.rmu.unlock()
	c.dropFDs()
	c.in, c.body = nil, nil
	return err
}

// interrupt ends a receive that waits in the kernel.
func (c *Conn) interrupt() {
	if k, ok := c.raw.(inKernel); ok {
		k.Control(func(fd uintptr) { unix.Shutdown(int(fd), unix.SHUT_RDWR) })
	}
}
