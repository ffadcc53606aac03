package ipc

import (
	"context"

	"github.com/seed-185a7250/multiproc/proto"
)

// Create creates an object of a kind of PROTOCOL.md, with an encoded array of arguments; nil for none. The connection then has a
// lease on it: see [Client.Release].
func (c *Client) Create(ctx context.Context, kind string, args proto.Raw, o ManagedOptions) (proto.Attached, error) {
	l, err := c.connected(ctx)
	if err != nil {
		return proto.Attached{}, err
	}
	return l.create(ctx, kind, args, o)
}

func (l *link) create(ctx context.Context, kind string, args proto.Raw, o ManagedOptions) (proto.Attached, error) {
	return l.attached(ctx, proto.MethodCreate, func(b []byte) []byte {
		return proto.AppendCreateParams(b, proto.Create{Kind: kind, Args: args, Name: o.Name, Keep: o.Keep, Existing: o.Existing})
	})
}

// Attach takes a lease on an object.
func (c *Client) Attach(ctx context.Context, object Target) (proto.Attached, error) {
	l, err := c.connected(ctx)
	if err != nil {
		return proto.Attached{}, err
	}
	return l.attach(ctx, object)
}

func (l *link) attach(ctx context.Context, object Target) (proto.Attached, error) {
	return l.attached(ctx, proto.MethodAttach, func(b []byte) []byte { return proto.AppendObjectParams(b, object) })
}

func (l *link) attached(ctx context.Context, method string, params func(b []byte) []byte) (proto.Attached, error) {
	q, err := l.control(ctx, method, params)
	if err != nil {
		return proto.Attached{}, err
	}
	defer q.free()
	return proto.ParseAttached(q.result)
}

// Release gives back n leases on an object: of Create, Attach, and of references in results of Call, CallRaw, Pending.Wait and Batch,
// of which each brings one. (Proxies look after theirs.) More than the connection has is ErrValue.
func (c *Client) Release(ctx context.Context, id uint64, n uint64) error {
	q, err := c.control(ctx, proto.MethodDecref, func(b []byte) []byte { return proto.AppendLeaseParams(b, id, n) })
	if err == nil {
		q.free()
	}
	return err
}

// Keep says whether the manager itself refers to an object, which then lives without anybody else; and returns whether it did before.
func (c *Client) Keep(ctx context.Context, object Target, on bool) (was bool, err error) {
	l, err := c.connected(ctx)
	if err != nil {
		return false, err
	}
	return l.keep(ctx, object, on)
}

func (l *link) keep(ctx context.Context, object Target, on bool) (was bool, err error) {
	q, err := l.control(ctx, proto.MethodKeep, func(b []byte) []byte { return proto.AppendKeepParams(b, object, on) })
	if err != nil {
		return false, err
	}
	defer q.free()
	return proto.ParseBool(q.result)
}

// List describes all objects of a kind, or of any if that is empty, whose names begin with prefix, by their numbers.
func (c *Client) List(ctx context.Context, kind, prefix string) ([]proto.Description, error) {
	q, err := c.control(ctx, proto.MethodList, func(b []byte) []byte { return proto.AppendListParams(b, kind, prefix) })
	if err != nil {
		return nil, err
	}
	defer q.free()
	return proto.ParseDescriptions(q.result)
}

// Describe describes an object.
func (c *Client) Describe(ctx context.Context, object Target) (proto.Description, error) {
	l, err := c.connected(ctx)
	if err != nil {
		return proto.Description{}, err
	}
	return l.describe(ctx, object)
}

func (l *link) describe(ctx context.Context, object Target) (proto.Description, error) {
	q, err := l.control(ctx, proto.MethodDescribe, func(b []byte) []byte { return proto.AppendObjectParams(b, object) })
	if err != nil {
		return proto.Description{}, err
	}
	defer q.free()
	return proto.ParseDescription(q.result)
}

// A ManagerStats says how much a manager has at this moment.
type ManagerStats struct {
	Connections int
	Objects     int
	Leases      int
	Waiting     int    // calls that wait
	Bytes       int    // of stored values
	Calls       uint64 // so far
}

// Stats returns how much the manager has.
func (c *Client) Stats(ctx context.Context) (s ManagerStats, err error) {
	q, err := c.control(ctx, proto.MethodStats, proto.AppendNoParams)
	if err != nil {
		return s, err
	}
	defer q.free()
	told := map[string]uint64{}
	if err := q.into(&told); err != nil {
		return s, err
	}
	return ManagerStats{int(told["connections"]), int(told["objects"]), int(told["leases"]), int(told["waiting"]), int(told["bytes"]), told["calls"]}, nil
}

// Ping asks the manager for an answer.
func (c *Client) Ping(ctx context.Context) error {
	q, err := c.control(ctx, proto.MethodPing, proto.AppendNoParams)
	if err == nil {
		q.free()
	}
	return err
}

// Shutdown ends the manager and all its connections, this one too. When it is gone already, that is ErrGone. ErrDenied: this manager is not
// ended by clients.
func (c *Client) Shutdown(ctx context.Context) error {
	q, err := c.control(ctx, proto.MethodShutdown, proto.AppendNoParams)
	if err == nil {
		q.free()
	}
	return err
}

// Deposit leaves something that lives in descriptors, a queue or a lock in shared memory or a file, with the manager: whoever is on this
// machine can take it from there with [Client.Open]. The connection has a lease on the object that holds it.
func (c *Client) Deposit(ctx context.Context, handle proto.HandleEncoder, o ManagedOptions) (proto.Attached, error) {
	l, err := c.connected(ctx)
	if err != nil {
		return proto.Attached{}, err
	}
	p, err := proto.Marshal(handle)
	if err != nil {
		CloseFDs(p.FDs)
		return proto.Attached{}, err
	}
	q := l.query(proto.MethodDeposit)
	defer q.free()
	q.out = proto.AppendDepositParams(q.out, p.Bytes, o.Name, o.Keep)
	if err = q.seal(len(p.FDs)); err != nil {
		CloseFDs(p.FDs)
		return proto.Attached{}, err
	}
	if err = l.sendWith(q, p.FDs); err == nil {
		err = l.finish(ctx, q)
	}
	if err != nil {
		return proto.Attached{}, err
	}
	return proto.ParseAttached(q.result)
}

// Open takes what was deposited into a zero value of its type: *Lock, *Queue[T], *File.
func (c *Client) Open(ctx context.Context, object Target, into proto.HandleDecoder) error {
	l, err := c.connected(ctx)
	if err != nil {
		return err
	}
	q := l.operation(object, "open", 0)
	defer q.free()
	if err := q.call(ctx, 0); err != nil {
		return err
	}
	return q.into(into)
}

// ManagedOptions of an object that is created; the zero value is good.
type ManagedOptions struct {
	// Name, by which it can be attached, of up to 255 bytes; no two objects of a manager have the same. Empty: none.
	Name string
	// Keep has the manager itself refer to the object, so that it lives when nobody else does.
	Keep bool
	// Existing takes the object of this name and kind if there is one, as it is.
	Existing bool
	// Handoff is for locks, semaphores and conditions: anybody may release, and nothing is given back when a connection ends.
	Handoff bool
}
