package ipc

import (
	"context"
	"errors"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

const kindBarrier = "barrier"

// A ManagedBarrier lets its parties go on when all of them have come, again and again. A party whose connection ends in it, or that gives up, breaks it.
type ManagedBarrier struct {
	Proxy `msgpack:"-"`
}

// ManagedBarrierOptions of a ManagedBarrier.
type ManagedBarrierOptions struct {
	ManagedOptions
	// Timeout of waits; one that takes longer breaks the barrier. 0: none.
	Timeout time.Duration
	// Action: one of the parties runs something before the others go on; see [ManagedBarrier.WaitAction].
	Action bool
}

// NewManagedBarrier creates a barrier for so many parties, at least 1.
func NewManagedBarrier(ctx context.Context, c *Client, o ManagedBarrierOptions, parties int) (*ManagedBarrier, error) {
	options := map[string]any{}
	if o.Action {
		options["action"] = true
	}
	if o.Timeout > 0 {
		options["timeout_ms"] = (o.Timeout + time.Millisecond - 1).Milliseconds()
	}
	p, err := c.createProxy(ctx, o.ManagedOptions, kindBarrier, parties, options)
	if err != nil {
		return nil, err
	}
	return &ManagedBarrier{p}, nil
}

// OpenManagedBarrier returns the barrier with this name. It returns ErrUnknown if there is none, ErrForeign if that is something else.
func OpenManagedBarrier(ctx context.Context, c *Client, name string) (*ManagedBarrier, error) {
	p, err := c.openProxy(ctx, name, kindBarrier)
	if err != nil {
		return nil, err
	}
	return &ManagedBarrier{p}, nil
}

// DecodeHandle implements proto.HandleDecoder.
func (b *ManagedBarrier) DecodeHandle(h proto.Handle, fds []int) error {
	return b.decode(h, fds, kindBarrier)
}

// Wait comes to the barrier and waits until all have come. It returns a place that no other party has, from 0. It returns ErrBarrier if the barrier is broken, or becomes
// so; and the error of ctx if that ends first, which breaks the barrier for the others.
func (b *ManagedBarrier) Wait(ctx context.Context) (place int, err error) {
	return b.WaitAction(ctx, nil)
}

// WaitAction is Wait with something that the party whom a barrier made with Action chooses does before anybody goes. An error of it, or a panic, breaks the barrier; the error is
// told to that party only.
func (b *ManagedBarrier) WaitAction(ctx context.Context, action func() error) (place int, err error) {
	q, err := b.begin(ctx, "wait", 0)
	if err != nil {
		return 0, err
	}
	defer q.free()
	if err := q.call(ctx, ownerOf(ctx)); err != nil {
		return 0, err
	}
	place, run, err := readPlace(q.result)
	if err != nil || !run {
		return place, err
	}
	return place, b.run(ctx, action)
}

func readPlace(r proto.Raw) (place int, run bool, err error) {
	var room [2]proto.Raw
	raws, err := proto.Elements(r, room[:0])
	if err == nil && len(raws) != 2 {
		err = proto.ErrProtocol
	}
	if err != nil {
		return 0, false, err
	}
	if place, err = proto.ParseCount(raws[0]); err == nil {
		run, err = proto.ParseBool(raws[1])
	}
	return place, run, err
}

// run runs the action and tells the manager how it has ended. That must be told, so it does not end with ctx.
func (b *ManagedBarrier) run(ctx context.Context, action func() error) (err error) {
	ctx = context.WithoutCancel(ctx)
	ended := "failed"
	defer func() {
		if e := b.tell(ctx, ended); e != nil && err == nil {
			err = e
		}
	}()
	if action != nil {
		if err := action(); err != nil {
			return errors.Join(ErrBarrier, err)
		}
	}
	ended = "done"
	return nil
}

// Abort breaks the barrier.
func (b *ManagedBarrier) Abort(ctx context.Context) error { return b.tell(ctx, "abort") }

// Reset throws out who waits, with ErrBarrier, and makes the barrier usable again.
func (b *ManagedBarrier) Reset(ctx context.Context) error { return b.tell(ctx, "reset") }

// Parties returns how many must come, Waiting how many have, Broken whether it is broken.
func (b *ManagedBarrier) Parties(ctx context.Context) (int, error) {
	return ask[int](ctx, &b.Proxy, "parties")
}

// Waiting: see Parties.
func (b *ManagedBarrier) Waiting(ctx context.Context) (int, error) {
	return ask[int](ctx, &b.Proxy, "waiting")
}

// Broken: see Parties.
func (b *ManagedBarrier) Broken(ctx context.Context) (bool, error) {
	return ask[bool](ctx, &b.Proxy, "broken")
}
