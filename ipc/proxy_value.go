package ipc

import (
	"context"

	"github.com/seed-185a7250/multiproc/proto"
)

const kindValue = "value"

// A ManagedValue is one value that a manager keeps.
type ManagedValue[T any] struct {
	Proxy `msgpack:"-"`
}

// NewManagedValue creates a value.
func NewManagedValue[T any](ctx context.Context, c *Client, o ManagedOptions, v T) (*ManagedValue[T], error) {
	p, err := c.createProxy(ctx, o, kindValue, nil, v)
	if err != nil {
		return nil, err
	}
	return &ManagedValue[T]{p}, nil
}

// OpenManagedValue returns the value with this name. It returns ErrUnknown if there is none, ErrForeign if that is something else.
func OpenManagedValue[T any](ctx context.Context, c *Client, name string) (*ManagedValue[T], error) {
	p, err := c.openProxy(ctx, name, kindValue)
	if err != nil {
		return nil, err
	}
	return &ManagedValue[T]{p}, nil
}

// DecodeHandle implements proto.HandleDecoder.
func (v *ManagedValue[T]) DecodeHandle(h proto.Handle, fds []int) error {
	return v.decode(h, fds, kindValue)
}

// Get returns the value.
func (v *ManagedValue[T]) Get(ctx context.Context) (x T, err error) {
	q, err := v.begin(ctx, "get", 0)
	if err != nil {
		return x, err
	}
	defer q.free()
	if err := q.call(ctx, 0); err != nil {
		return x, err
	}
	return resultOf[T](q)
}

// Set sets the value.
func (v *ManagedValue[T]) Set(ctx context.Context, x T) error {
	q, err := v.begin(ctx, "set", 1)
	if err != nil {
		return err
	}
	defer q.free()
	put(q, &x)
	return q.call(ctx, 0)
}

// Add adds delta to the value, as Python's + does, and returns the sum.
func (v *ManagedValue[T]) Add(ctx context.Context, delta T) (T, error) {
	return ask[T](ctx, &v.Proxy, "add", delta)
}

// CompareAndSwap sets the value if it is equal to old, and tells whether it did.
func (v *ManagedValue[T]) CompareAndSwap(ctx context.Context, old, new T) (bool, error) {
	return ask[bool](ctx, &v.Proxy, "cas", old, new)
}

// TypeCode returns what a Python client has named as its type, empty if nothing was named. It binds nobody.
func (v *ManagedValue[T]) TypeCode(ctx context.Context) (string, error) {
	code, err := ask[*string](ctx, &v.Proxy, "type")
	if err != nil || code == nil {
		return "", err
	}
	return *code, nil
}
