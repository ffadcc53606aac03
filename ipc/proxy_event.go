package ipc

import (
	"context"

	"github.com/seed-185a7250/multiproc/proto"
)

const kindEvent = "event"

// A ManagedEvent is a flag that a manager keeps and that anybody can wait for.
type ManagedEvent struct {
	Proxy `msgpack:"-"`
}

// NewManagedEvent creates an event that is not set.
func NewManagedEvent(ctx context.Context, c *Client, o ManagedOptions) (*ManagedEvent, error) {
	p, err := c.createProxy(ctx, o, kindEvent)
	if err != nil {
		return nil, err
	}
	return &ManagedEvent{p}, nil
}

// OpenManagedEvent returns the event with this name. It returns ErrUnknown if there is none, ErrForeign if that is something else.
func OpenManagedEvent(ctx context.Context, c *Client, name string) (*ManagedEvent, error) {
	p, err := c.openProxy(ctx, name, kindEvent)
	if err != nil {
		return nil, err
	}
	return &ManagedEvent{p}, nil
}

// DecodeHandle implements proto.HandleDecoder.
func (e *ManagedEvent) DecodeHandle(h proto.Handle, fds []int) error {
	return e.decode(h, fds, kindEvent)
}

// Set sets the flag and wakes all who wait, also if it is cleared at once.
func (e *ManagedEvent) Set(ctx context.Context) error { return e.tell(ctx, "set") }

// Clear clears the flag.
func (e *ManagedEvent) Clear(ctx context.Context) error { return e.tell(ctx, "clear") }

// IsSet tells whether the flag is set.
func (e *ManagedEvent) IsSet(ctx context.Context) (bool, error) {
	return ask[bool](ctx, &e.Proxy, "is_set")
}

// Wait waits until the flag is set, or ctx ends, and returns the error of ctx then.
func (e *ManagedEvent) Wait(ctx context.Context) error {
	set, err := ask[bool](ctx, &e.Proxy, "wait")
	if err == nil && !set {
		return ctx.Err()
	}
	return err
}

// WaitReady is Wait.
func (e *ManagedEvent) WaitReady(ctx context.Context) error { return e.Wait(ctx) }
