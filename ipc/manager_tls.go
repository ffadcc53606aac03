package ipc

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A pump carries bytes between a TLS connection and one end of a socket pair, whose other end is
// an ordinary Conn: so that whatever is made for sockets (looking whether a peer stands, writing
// what goes without waiting) is the same with TLS. It has two goroutines, which end when either
// side does.
type pump struct {
	far  *net.TCPConn
	raw  syscall.RawConn // of far
	tls  *tls.Conn
	near *net.UnixConn
}

// newPump takes t over, and returns the Conn at whose other end it will be when it runs.
func newPump(t *net.TCPConn, c *tls.Config, name string) (*pump, *Conn, error) {
	raw, err := t.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	near, end, err := Socketpair()
	if err != nil {
		return nil, nil, err
	}
	sock, err := unixConn(near)
	if err != nil {
		end.Close()
		return nil, nil, err
	}
	conn, err := NewConn(end, ConnOptions{Name: name})
	if err != nil {
		sock.Close()
		return nil, nil, err
	}
	return &pump{far: t, raw: raw, tls: tls.Server(t, c), near: sock}, conn, nil
}

// in carries what the peer sends. The handshake has as much time as hello, which counts for both:
// a session that is not greeted in time ends, and out with it.
func (p *pump) in() {
	ctx, stop := context.WithTimeout(context.Background(), helloTime)
	err := p.tls.HandshakeContext(ctx)
	stop()
	if err == nil {
		_, err = io.Copy(onlyWriter{p.near}, p.tls)
	}
	p.near.CloseWrite()
	if err == nil || errors.Is(err, unix.EPIPE) {
		io.Copy(io.Discard, p.far) // see partFrom
	}
	p.far.Close()
}

// out carries what is sent to the peer, until the session ends.
func (p *pump) out() {
	_, err := io.Copy(onlyWriter{p.tls}, onlyReader{p.near})
	if err == nil {
		p.tls.CloseWrite() // tells the peer that it has got everything
	}
	p.near.Close()
	partFrom(p.far)
}

// stop is called when the session has ended.
func (p *pump) stop() {
	p.far.SetWriteDeadline(time.Now().Add(partTime)) // out may be writing to who does not read
}

// partTime is how long a connection that the manager ends waits for its peer.
const partTime = time.Second

// partFrom ends a connection such that what was sent last arrives: if it was closed with something
// unread, that would be thrown away (RFC 1122, 4.2.2.13). What still comes is to be read and
// dropped.
func partFrom(t *net.TCPConn) {
	t.CloseWrite()
	t.SetReadDeadline(time.Now().Add(partTime))
}

// onlyReader and onlyWriter hide from io.Copy that it could let the kernel splice.
type onlyReader struct{ io.Reader }
type onlyWriter struct{ io.Writer }
