package ipc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// ServeTCP accepts connections from l until ctx ends or the Manager or l is closed, which is no
// error. It does not close l. Who connects must have the Manager's key, or a certificate that c
// verifies (ClientAuth RequireAndVerifyClientCert), or both where there are both: with neither
// ServeTCP refuses to serve. Without c what is sent can be read, and changed, on its way.
//
// Descriptors do not go over TCP, and shutdown is denied. While there are no descriptors left
// for a connection it tries again now and then.
func (m *Manager) ServeTCP(ctx context.Context, l *net.TCPListener, c *tls.Config) error {
	if m.key == nil && (c == nil || c.ClientAuth != tls.RequireAndVerifyClientCert) {
		return errors.New("ipc: manager: over TCP there must be a key, or TLS with certificates of the clients")
	}
	defer context.AfterFunc(ctx, func() { l.SetDeadline(time.Unix(1, 0)) })()
	for pause := time.Millisecond; ; {
		t, err := l.AcceptTCP()
		switch {
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			if t != nil {
				t.Close()
			}
			return nil
		case err == nil:
			pause = time.Millisecond
			if !m.serveTCP(t, c) {
				return nil
			}
			continue
		case errors.Is(err, unix.ECONNABORTED):
			continue
		case !scarce(err):
			return fmt.Errorf("ipc: manager: accept on %v: %w", l.Addr(), plain(err))
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, time.Second)
		case <-ctx.Done():
		}
	}
}

// serveTCP serves one connection, and returns false if the Manager is closed.
func (m *Manager) serveTCP(t *net.TCPConn, c *tls.Config) bool {
	if err := noticeDeath(t); err != nil { // it is gone already
		t.Close()
		return true
	}
	s, err := m.remoteSession(t, c)
	if err != nil {
		m.complainer.say(t.RemoteAddr().String(), err)
		t.Close()
		return true
	}
	return m.serveSession(s)
}

func (m *Manager) remoteSession(t *net.TCPConn, c *tls.Config) (*session, error) {
	name := t.RemoteAddr().String()
	if c == nil {
		conn, err := newConn(t, bothWays, ConnOptions{Name: name})
		if err != nil {
			return nil, err
		}
		s := newSession(m, conn)
		s.remote = true
		return s, nil
	}
	p, conn, err := newPump(t, c, name)
	if err != nil {
		return nil, err
	}
	s := newSession(m, conn)
	s.remote, s.pump = true, p
	return s, nil
}

// How long a peer over TCP is believed to be there that answers nothing: one that is silent is
// asked every few seconds, one that takes nothing of what is sent has longer.
const (
	silentFor = 30 * time.Second
	stuckFor  = 2 * time.Minute
)

// noticeDeath makes a connection end when the machine at its other end is gone, or the way to it.
func noticeDeath(t *net.TCPConn) error {
	const probes = 3
	err := t.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable: true, Idle: silentFor / 2, Interval: silentFor / 2 / probes, Count: probes,
	})
	if err != nil {
		return err
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return err
	}
	// Probes are not sent while something is unacknowledged: tcp(7), TCP_USER_TIMEOUT.
	if e := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(stuckFor.Milliseconds()))
	}); e != nil {
		return e
	}
	return err
}
