package ipc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/seed-185a7250/multiproc/proto"
)

// ConnectOptions of a Client; the zero value is good for a Unix socket.
type ConnectOptions struct {
	// Key proves to the manager, and the manager to the client, that both have it: one that does not ask for it is refused.
	Key []byte
	// TLS is for an address that begins with "tcp:". Where its ServerName is empty, that is the host.
	TLS *tls.Config
	// Reconnect makes calls dial again when the connection has ended; see [Client.Reconnect].
	Reconnect bool
	// Patience is how long a manager may take to answer that a call is cancelled; then it is given up, and the connection with
	// it. Default 5 seconds.
	Patience time.Duration
	// Limits of what is received; zero fields are the defaults of package proto.
	Limits proto.Limits
}

const defaultPatience = 5 * time.Second

// A Client is a connection to a manager. Any number of goroutines may use it at once: their calls are all under way together,
// and one that waits holds up none of the others. Each call ends when its context does; see [Client.Call].
//
// What the connection holds (locks, permits, places in barriers) and the references of all proxies made with it end with it,
// however it ends. When the manager is gone, or does not answer for the time of Patience when a call is cancelled, all calls
// under way return ErrGone, and so do all later ones: no call is ever repeated.
type Client struct {
	address string
	o       ConnectOptions
	link    atomic.Pointer[link]
	mu      sync.Mutex // one dials
	closed  atomic.Bool
}

// Connect connects to the manager at an address, the path of a Unix socket or "tcp:host:port", until ctx ends. It returns ErrDenied
// when either side is not who it should be (another user, another key), proto.ErrVersion when there is no common version, and
// fs.ErrNotExist or syscall.ECONNREFUSED when there is no manager.
func Connect(ctx context.Context, address string, o ConnectOptions) (*Client, error) {
	if o.Patience <= 0 {
		o.Patience = defaultPatience
	}
	c := &Client{address: address, o: o}
	l, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	c.use(l)
	return c, nil
}

// ConnectFile makes a Client of f, a connected socket on which nothing was said yet, and takes f over.
func ConnectFile(ctx context.Context, f *os.File, o ConnectOptions) (*Client, error) {
	if o.Patience <= 0 {
		o.Patience = defaultPatience
	}
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("ipc: connect: %w", err)
	}
	c := &Client{o: o}
	l, err := c.greet(ctx, conn)
	if err != nil {
		return nil, err
	}
	c.use(l)
	return c, nil
}

// use makes l the connection of c.
func (c *Client) use(l *link) {
	c.link.Store(l)
	clients.add(l.instance, c)
	runtime.AddCleanup(c, func(l *link) { l.fail(ErrClosed) }, l) // nobody may ever close it
}

// dial makes a connection and says hello.
func (c *Client) dial(ctx context.Context) (*link, error) {
	conn, err := dialAddress(ctx, c.address, c.o)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !errors.Is(err, ErrDenied) {
			err = plain(err)
		}
		return nil, fmt.Errorf("ipc: connect to %s: %w", c.address, err)
	}
	return c.greet(ctx, conn)
}

func dialAddress(ctx context.Context, address string, o ConnectOptions) (net.Conn, error) {
	host, isTCP := strings.CutPrefix(address, "tcp:")
	if !isTCP {
		u, err := dial(ctx, address)
		if err == nil {
			if err = samePeer(u); err != nil {
				u.Close()
				return nil, err
			}
		}
		return u, err
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	t := c.(*net.TCPConn)
	if err := noticeDeath(t); err != nil {
		t.Close()
		return nil, err
	}
	if o.TLS == nil {
		return t, nil
	}
	return dialTLS(ctx, t, host, o.TLS)
}

// dialTLS makes the handshake over t, which it takes over.
func dialTLS(ctx context.Context, t *net.TCPConn, address string, config *tls.Config) (net.Conn, error) {
	if config.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			t.Close()
			return nil, err
		}
		config = config.Clone()
		config.ServerName = host
	}
	c := tls.Client(t, config)
	if err := c.HandshakeContext(ctx); err != nil {
		t.Close()
		return nil, refused(err)
	}
	return c, nil
}

// refused is err, and ErrDenied if it says that one side does not believe the certificate of the other.
func refused(err error) error {
	op, ok := errors.AsType[*net.OpError](err)
	_, unverified := errors.AsType[*tls.CertificateVerificationError](err)
	if unverified || ok && op.Op == "remote error" {
		return fmt.Errorf("%w: %w", ErrDenied, err)
	}
	return err
}

// greet makes a link of a new connection, which it takes over.
func (c *Client) greet(ctx context.Context, conn net.Conn) (*link, error) {
	w, err := wireOf(conn)
	if err != nil {
		return nil, err
	}
	l := newLink(w, c.address, c.o)
	if err := l.greet(ctx, c.o.Key); err != nil {
		l.fail(err)
		return nil, fmt.Errorf("ipc: connect to %s: %w", c.address, refused(err)) // TLS tells the client last
	}
	return l, nil
}

func wireOf(conn net.Conn) (wire, error) {
	if sock, ok := conn.(endpoint); ok {
		return newSockWire(sock)
	}
	return netWire{conn}, nil
}

// Address returns what Connect was given, Instance which manager that is: a number that it has drawn when it was created.
func (c *Client) Address() string { return c.address }

// Instance: see Address.
func (c *Client) Instance() uint64 { return c.link.Load().instance }

// Err returns why the connection has ended, ErrClosed or ErrGone, and nil as far as is known when it has not.
func (c *Client) Err() error { return c.link.Load().ended() }

// Dup returns a descriptor of the connection. The manager sees the connection as ended when all copies of it are closed: a process that
// has one keeps what the connection holds held, until it has closed it or is dead, even if this one dies before; or until shutdown(2)
// ends the connection for all. Nothing can be said over it. It shares its mode with the connection, so use SyscallConn and not Fd. With TLS there is none, and the error says so.
func (c *Client) Dup() (*os.File, error) {
	fd, err := c.link.Load().wire.dup()
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "manager"), nil
}

// Close ends the connection, and with it all calls under way, which return ErrClosed. Closing twice is fine.
func (c *Client) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.link.Load()
	clients.remove(l.instance, c)
	l.fail(ErrClosed)
	return nil
}

// Reconnect dials again if the connection has ended. It never repeats a call. The proxies of this client find their objects anew
// with their next call, by their ids where the manager is the same (one that persists is the same after its restart), else by
// their names, and take a lease anew; one whose object is not there returns ErrGone. What the old connection held is lost: a
// Release of it is ErrNotHeld.
//
// With ConnectOptions.Reconnect each call does that when it is needed.
func (c *Client) Reconnect(ctx context.Context) error {
	_, err := c.redial(ctx)
	return err
}

func (c *Client) redial(ctx context.Context) (*link, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.link.Load()
	if c.closed.Load() {
		return nil, ErrClosed
	}
	if old.ended() == nil {
		return old, nil
	}
	if c.address == "" {
		return nil, fmt.Errorf("%w: there is no address to connect to again", ErrGone)
	}
	l, err := c.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGone, err)
	}
	clients.remove(old.instance, c)
	c.use(l)
	return l, nil
}

// connected returns the link to ask over.
func (c *Client) connected(ctx context.Context) (*link, error) {
	l := c.link.Load()
	if !c.o.Reconnect || l.ended() == nil {
		return l, nil
	}
	return c.redial(ctx)
}

// clients are those of this process, by instance: what arrives from elsewhere uses the connection that there is. It does not keep
// them.
var clients = clientTable{of: map[uint64][]weak.Pointer[Client]{}}

type clientTable struct {
	mu sync.Mutex
	of map[uint64][]weak.Pointer[Client]
}

func (t *clientTable) add(instance uint64, c *Client) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.of[instance] = append(t.of[instance], weak.Make(c))
	runtime.AddCleanup(c, func(instance uint64) { t.find(instance) }, instance)
}

func (t *clientTable) remove(instance uint64, c *Client) { t.sift(instance, c) }

// find returns a client of this manager, nil if there is none.
func (t *clientTable) find(instance uint64) *Client {
	for _, p := range t.sift(instance, nil) {
		if c := p.Value(); c != nil && c.Err() == nil {
			return c
		}
	}
	return nil
}

// sift takes out gone, and those that nobody has any more, and returns a copy of those that are left.
func (t *clientTable) sift(instance uint64, gone *Client) []weak.Pointer[Client] {
	t.mu.Lock()
	defer t.mu.Unlock()
	var left []weak.Pointer[Client]
	for _, p := range t.of[instance] {
		if c := p.Value(); c != nil && c != gone {
			left = append(left, p)
		}
	}
	if len(left) == 0 {
		delete(t.of, instance)
	} else {
		t.of[instance] = left
	}
	return append([]weak.Pointer[Client](nil), left...)
}
