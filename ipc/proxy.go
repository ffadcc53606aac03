package ipc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/proto"
)

// A Proxy stands for an object of a manager: [Dict], [List], [ManagedLock] and so on are proxies with Go types. Any number of goroutines
// may use it.
//
// It holds a lease on the object, which lives as long as anybody refers to it: as long as there are proxies in any process, or values in
// other objects in which it stands. Close gives the lease back; for a proxy that is forgotten the garbage collector does.
//
// A proxy can be passed on. In a value that goes to the same manager, or into a [Queue] in shared memory, it becomes a reference, and
// arrives as a proxy where the Go type says so, or where it says any. In the argument or result of a task, and over a [Conn], it is a
// handle: with a connection of its own, which it uses there unless the process has one already, and with a lease.
//
// The zero Proxy is of use only to be decoded into. A proxy in a variable of type any that came out of a result is a *Proxy; to use it
// with types write &Dict[K, V]{Proxy: *p}.
type Proxy struct{ p *proxy }

// proxy is what all copies of a Proxy share.
type proxy struct {
	bound atomic.Pointer[lease] // nil: to be found

	mu     sync.Mutex
	client *Client // nil: to be found
	ref    proto.Ref
	kind   string // empty: not known
	name   string
	spare  *os.File // the connection that has come with the handle, until another is found
	closed bool
}

// newProxy makes a Proxy that has a lease.
func (c *Client) newProxy(l *link, a proto.Attached) Proxy {
	p := &proxy{client: c, ref: proto.Ref{Instance: l.instance, ID: a.ID}, kind: a.Kind, name: a.Name}
	p.hold(&lease{l: l, id: a.ID})
	return Proxy{p}
}

// hold makes x the lease of p.
func (p *proxy) hold(x *lease) {
	p.bound.Store(x)
	runtime.AddCleanup(p, (*lease).forget, x)
}

// createProxy creates an object and returns a proxy of it.
func (c *Client) createProxy(ctx context.Context, o ManagedOptions, kind string, args ...any) (Proxy, error) {
	l, err := c.connected(ctx)
	if err != nil {
		return Proxy{}, err
	}
	b := proto.AppendArrayHeader(nil, len(args))
	for i := range args {
		if b, err = appendValue(b, &args[i], l); err != nil {
			return Proxy{}, err
		}
	}
	a, err := l.create(ctx, kind, b, o)
	runtime.KeepAlive(args)
	if err != nil {
		return Proxy{}, fmt.Errorf("ipc: new %s: %w", kind, err)
	}
	return c.newProxy(l, a), nil
}

// NewProxy creates an object of any kind, with arguments as in PROTOCOL.md.
func NewProxy(ctx context.Context, c *Client, kind string, o ManagedOptions, args ...any) (*Proxy, error) {
	p, err := c.createProxy(ctx, o, kind, args...)
	if err != nil {
		return nil, err
	}
	return &p, nil
}

// OpenProxy returns a proxy of the object with this name.
func OpenProxy(ctx context.Context, c *Client, name string) (*Proxy, error) {
	p, err := c.openProxy(ctx, name)
	if err != nil {
		return nil, err
	}
	return &p, nil
}

// openProxy attaches the object of this name, which must be of one of the kinds; of none: any.
func (c *Client) openProxy(ctx context.Context, name string, kinds ...string) (Proxy, error) {
	l, err := c.connected(ctx)
	if err != nil {
		return Proxy{}, err
	}
	a, err := l.attach(ctx, Named(name))
	if err != nil {
		return Proxy{}, fmt.Errorf("ipc: open %q: %w", name, err)
	}
	p := c.newProxy(l, a)
	if err := p.check(kinds); err != nil {
		p.Discard()
		return Proxy{}, fmt.Errorf("ipc: open %q: %w", name, err)
	}
	return p, nil
}

func (p Proxy) check(kinds []string) error {
	if len(kinds) > 0 && p.p.kind != "" && !slices.Contains(kinds, p.p.kind) {
		return fmt.Errorf("%w: expected a %s, found a %s", ErrForeign, strings.Join(kinds, " or "), p.p.kind)
	}
	return nil
}

// lease returns the lease over which to call: the one it has, or when it arrived without, or the client was connected again, a new one.
func (p *proxy) lease(ctx context.Context) (*lease, error) {
	if p == nil {
		return nil, ErrClosed
	}
	if x := p.bound.Load(); x != nil && x.l == p.client.link.Load() && (!p.client.o.Reconnect || x.l.ended() == nil) {
		return x, nil
	}
	return p.find(ctx)
}

// find takes a new lease if that is needed.
func (p *proxy) find(ctx context.Context) (*lease, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	if p.client == nil {
		c, err := p.reach(ctx)
		if err != nil {
			return nil, err
		}
		p.client = c
	}
	l, err := p.client.connected(ctx)
	if err != nil {
		return nil, err
	}
	if x := p.bound.Load(); x != nil && x.l == l {
		p.dropSpare()
		return x, nil
	}
	a, err := p.attach(ctx, l)
	if err != nil {
		return nil, err
	}
	p.ref = proto.Ref{Instance: l.instance, ID: a.ID, Address: p.ref.Address}
	p.kind, p.name = a.Kind, a.Name
	x := &lease{l: l, id: a.ID}
	p.hold(x)
	p.dropSpare()
	return x, nil
}

// attach finds the object, by its number or, in another manager than it was in, by its name. mu is held.
func (p *proxy) attach(ctx context.Context, l *link) (a proto.Attached, err error) {
	by := Numbered(p.ref.ID)
	if l.instance != p.ref.Instance {
		if by = Named(p.name); p.name == "" {
			return a, fmt.Errorf("%w: the manager of object %d, which has no name, has ended", ErrGone, p.ref.ID)
		}
	}
	a, err = l.attach(ctx, by)
	if errors.Is(err, ErrUnknown) {
		err = fmt.Errorf("%w: %w", ErrGone, err)
	}
	if err == nil && p.kind != "" && a.Kind != p.kind {
		l.drop(a.ID)
		l.sendDrops()
		err = fmt.Errorf("%w: %q was a %s, and is a %s now", ErrGone, p.name, p.kind, a.Kind)
	}
	return a, err
}

// reach finds a client of the manager that p is in: one that the process has, else a new one by the address, else one over the
// connection that has come with p. mu is held.
func (p *proxy) reach(ctx context.Context) (*Client, error) {
	if c := clients.find(p.ref.Instance); c != nil {
		return c, nil
	}
	err := error(ErrGone)
	if p.ref.Address != "" && (p.spare == nil || !strings.HasPrefix(p.ref.Address, "tcp:")) {
		var c *Client
		if c, err = Connect(ctx, p.ref.Address, ConnectOptions{}); err == nil && c.Instance() == p.ref.Instance {
			return c, nil
		}
		if err == nil {
			c.Close()
			err = fmt.Errorf("another manager is at %s", p.ref.Address)
		}
	}
	if p.spare == nil {
		return nil, fmt.Errorf("%w: no way to the manager of object %d: %w", ErrGone, p.ref.ID, err)
	}
	conn, err := net.FileConn(p.spare)
	if err != nil {
		return nil, fmt.Errorf("ipc: the connection of a proxy: %w", err)
	}
	c, err := adopt(conn, p.ref)
	if err == nil { // the connection has a lease already
		p.hold(&lease{l: c.link.Load(), id: p.ref.ID})
	}
	return c, err
}

// handedIDs is where request ids begin on a connection that was handed on: whoever had it before has used smaller ones.
const handedIDs = 1 << 32

// adopt makes a client of a connection on which hello is done.
func adopt(conn net.Conn, r proto.Ref) (*Client, error) {
	w, err := wireOf(conn)
	if err != nil {
		return nil, err
	}
	c := &Client{address: r.Address, o: ConnectOptions{Patience: defaultPatience}}
	l := newLink(w, r.Address, c.o)
	l.instance = r.Instance
	l.ids.Store(handedIDs)
	l.older = handedIDs
	c.use(l)
	return c, nil
}

// dropSpare closes this end of the connection that has come with p: there is another now, or a copy. mu is held.
func (p *proxy) dropSpare() {
	if p.spare != nil {
		p.spare.Close()
		p.spare = nil
	}
}

// ID returns the number of the object in its manager, Kind what it is in the words of PROTOCOL.md, Name its name; empty if it has none.
// Kind and Name of a proxy that has arrived from elsewhere are empty before it is used.
func (p *Proxy) ID() uint64 {
	if p.p == nil {
		return 0
	}
	p.p.mu.Lock()
	defer p.p.mu.Unlock()
	return p.p.ref.ID
}

// Kind: see ID.
func (p *Proxy) Kind() string {
	if p.p == nil {
		return ""
	}
	p.p.mu.Lock()
	defer p.p.mu.Unlock()
	return p.p.kind
}

// Name: see ID.
func (p *Proxy) Name() string {
	if p.p == nil {
		return ""
	}
	p.p.mu.Lock()
	defer p.p.mu.Unlock()
	return p.p.name
}

// Call calls any operation of the object; see [Client.Call]. The leases of references in the result are the caller's.
func (p *Proxy) Call(ctx context.Context, op string, args ...any) (proto.Payload, error) {
	q, err := p.begin(ctx, op, len(args))
	if err != nil {
		return proto.Payload{}, err
	}
	defer q.free()
	q.args(args)
	if err := q.call(ctx, ownerOf(ctx)); err != nil {
		return proto.Payload{}, err
	}
	return q.take(), nil
}

// Start starts a call of any operation, whose result is waited for later; see [Client.Start].
func (p *Proxy) Start(op string, args ...any) *Pending {
	q, err := p.begin(context.Background(), op, len(args))
	if err != nil {
		return &Pending{err: err}
	}
	q.args(args)
	return q.start()
}

// Describe says what is in the object, and who refers to it.
func (p *Proxy) Describe(ctx context.Context) (proto.Description, error) {
	x, err := p.p.lease(ctx)
	if err != nil {
		return proto.Description{}, err
	}
	defer runtime.KeepAlive(p.p)
	return x.l.describe(ctx, Numbered(x.id))
}

// Keep says whether the manager itself refers to the object, and returns whether it did before; see [ManagedOptions].
func (p *Proxy) Keep(ctx context.Context, on bool) (was bool, err error) {
	x, err := p.p.lease(ctx)
	if err != nil {
		return false, err
	}
	defer runtime.KeepAlive(p.p)
	return x.l.keep(ctx, Numbered(x.id), on)
}

// begin begins a call of an operation with n arguments.
func (p *Proxy) begin(ctx context.Context, op string, n int) (*query, error) {
	x, err := p.p.lease(ctx)
	if err != nil {
		return nil, err
	}
	q := x.l.operation(Numbered(x.id), op, n)
	q.of, q.object, q.c = p.p, x.id, p.p.client
	return q, nil
}

// Close gives the lease back: the object ends if nobody else refers to it. The proxy is of no more use, nor are its copies. Closing twice
// is fine.
func (p *Proxy) Close() error {
	p.Discard()
	return nil
}

// Discard is Close, for proxies whose Close does more.
func (p *Proxy) Discard() {
	if p.p == nil {
		return
	}
	p.p.mu.Lock()
	defer p.p.mu.Unlock()
	p.p.closed = true
	p.p.dropSpare()
	if x := p.p.bound.Swap(nil); x != nil {
		x.giveBack()
	}
}

// EncodeRef implements proto.RefEncoder. The address is left out on the way to the manager itself.
func (p *Proxy) EncodeRef(to any) (proto.Ref, error) {
	if p.p == nil {
		return proto.Ref{}, ErrClosed
	}
	p.p.mu.Lock()
	defer p.p.mu.Unlock()
	if p.p.closed {
		return proto.Ref{}, ErrClosed
	}
	r := p.p.ref
	if l, ok := to.(*link); ok && l.instance == r.Instance {
		r.Address = ""
	} else if p.p.client != nil {
		r.Address = p.p.client.address
	}
	return r, nil
}

// DecodeRef implements proto.RefDecoder.
func (p *Proxy) DecodeRef(r proto.Ref, from any) error {
	x := &proxy{ref: r}
	if in, ok := from.(*intake); ok {
		if lease := in.take(r); lease != nil {
			x.client = in.c
			x.hold(lease)
		}
	}
	p.p = x
	return nil
}

// handleTime bounds how long a proxy that is passed on tries to reach its manager.
const handleTime = 10 * time.Second

// EncodeHandle implements proto.HandleEncoder: it makes a connection, with a lease, for whoever gets it. It returns an error for a
// manager that is reached by TLS, for that cannot be handed on, and for one whose address is not known.
func (p *Proxy) EncodeHandle() (proto.Handle, []int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), handleTime)
	defer cancel()
	x, err := p.p.lease(ctx)
	if err != nil {
		return proto.Handle{}, nil, err
	}
	defer runtime.KeepAlive(p.p)
	c := p.p.client
	if c.address == "" {
		return proto.Handle{}, nil, fmt.Errorf("%w: the address of its manager is not known", ErrHandle)
	}
	l, err := c.dial(ctx)
	if err != nil {
		return proto.Handle{}, nil, err
	}
	defer l.fail(ErrClosed)
	a, err := l.attach(ctx, Numbered(x.id))
	if err != nil {
		return proto.Handle{}, nil, err
	}
	fd, err := l.wire.dup()
	if err != nil {
		return proto.Handle{}, nil, err
	}
	meta := proto.AppendObjectMeta(nil, proto.ObjectMeta{Ref: proto.Ref{Instance: l.instance, ID: a.ID, Address: c.address}, Kind: a.Kind})
	return proto.Handle{Kind: proto.HandleObject, Meta: meta}, []int{fd}, nil
}

// DecodeHandle implements proto.HandleDecoder.
func (p *Proxy) DecodeHandle(h proto.Handle, fds []int) error { return p.decode(h, fds) }

func (p *Proxy) decode(h proto.Handle, fds []int, kinds ...string) error {
	fd, err := single(h, fds, proto.HandleObject, "object of a manager")
	if err != nil {
		return err
	}
	meta, err := proto.ParseObjectMeta(h.Meta)
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("%w: %w", ErrForeign, err)
	}
	x := Proxy{&proxy{ref: meta.Ref, kind: meta.Kind, spare: os.NewFile(uintptr(fd), "manager")}}
	if err := x.check(kinds); err != nil {
		x.Discard()
		return err
	}
	*p = x
	return nil
}

func init() { proto.RegisterHandle(proto.HandleObject, opener[Proxy]) }
