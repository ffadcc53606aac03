package ipc

import (
	"context"
	"sync/atomic"

	"github.com/seed-185a7250/multiproc/proto"
)

// A ManagedHeld is one holding of a lock of a manager, or one level of it; its copies are the same holding. It is released once, by any goroutine. It
// ends with the connection: the next holder is then told that the owner died.
type ManagedHeld struct{ h *managedHolding }

type managedHolding struct {
	of       *proxy // keeps the lease
	l        *link
	id       uint64
	owner    owner
	token    uint64
	level    int
	died     bool
	released atomic.Bool
}

// Token numbers the acquisitions of the lock, by whomever, and grows: a fence for what the lock protects. For a further level of an RLock it is that of the
// first.
func (h ManagedHeld) Token() uint64 {
	if h.h == nil {
		return 0
	}
	return h.h.token
}

// OwnerDied tells that the connection of the owner before ended while it held the lock, so that what the lock protects may be half changed. It is told to
// the next holder only.
func (h ManagedHeld) OwnerDied() bool { return h.h != nil && h.h.died }

// Level is how many levels there were with this one, from 1; of a plain lock it is 1.
func (h ManagedHeld) Level() int {
	if h.h == nil {
		return 0
	}
	return h.h.level
}

// Release gives up the lock, or one level of it. It returns ErrNotHeld if this holding has ended: it was released, or its client was connected anew.
func (h ManagedHeld) Release() error {
	if h.h == nil || h.h.released.Swap(true) {
		return ErrNotHeld
	}
	l := h.h.l
	if l != h.h.of.client.link.Load() {
		return ErrNotHeld
	}
	q := l.operation(Numbered(h.h.id), "release", 0)
	q.of = h.h.of
	defer q.free()
	return q.try(context.Background(), h.h.owner)
}

// acquire waits until the owner that ctx names has the lock that p is.
func (p *Proxy) acquire(ctx context.Context, wait bool) (ManagedHeld, error) {
	q, err := p.begin(ctx, "acquire", 0)
	if err != nil {
		return ManagedHeld{}, err
	}
	defer q.free()
	o := ownerOf(ctx)
	if wait {
		err = q.call(ctx, o)
	} else {
		err = q.try(ctx, o)
	}
	if err != nil {
		return ManagedHeld{}, err
	}
	h := &managedHolding{of: p.p, l: q.l, id: q.object, owner: o, level: 1}
	if err := h.read(q.result); err != nil {
		return ManagedHeld{}, err
	}
	return ManagedHeld{h}, nil
}

// read reads [token, owner_died] and, of an rlock, the level.
func (h *managedHolding) read(r proto.Raw) (err error) {
	var room [3]proto.Raw
	raws, err := proto.Elements(r, room[:0])
	if err != nil {
		return err
	}
	if len(raws) < 2 {
		return proto.ErrProtocol
	}
	if h.token, err = proto.ParseUint(raws[0]); err != nil {
		return err
	}
	if h.died, err = proto.ParseBool(raws[1]); err == nil && len(raws) > 2 {
		h.level, err = proto.ParseCount(raws[2])
	}
	return err
}

// tryAcquire is acquire without waiting.
func (p *Proxy) tryAcquire(ctx context.Context) (ManagedHeld, bool, error) {
	h, err := p.acquire(ctx, false)
	if isFault(err, proto.KindTimeout) {
		return ManagedHeld{}, false, nil
	}
	return h, err == nil, err
}
