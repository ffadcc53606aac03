package ipc

import (
	"context"

	"github.com/seed-185a7250/multiproc/proto"
)

const kindNamespace = "namespace"

// A Namespace is values by names, each of its own type: see [Attribute].
type Namespace struct {
	Proxy `msgpack:"-"`
}

// NewNamespace creates an empty namespace.
func NewNamespace(ctx context.Context, c *Client, o ManagedOptions) (*Namespace, error) {
	p, err := c.createProxy(ctx, o, kindNamespace)
	if err != nil {
		return nil, err
	}
	return &Namespace{p}, nil
}

// OpenNamespace returns the namespace with this name. It returns ErrUnknown if there is none, ErrForeign if that is something else.
func OpenNamespace(ctx context.Context, c *Client, name string) (*Namespace, error) {
	p, err := c.openProxy(ctx, name, kindNamespace)
	if err != nil {
		return nil, err
	}
	return &Namespace{p}, nil
}

// DecodeHandle implements proto.HandleDecoder.
func (n *Namespace) DecodeHandle(h proto.Handle, fds []int) error {
	return n.decode(h, fds, kindNamespace)
}

// Attribute returns the value of a name, or ErrKey.
func Attribute[T any](ctx context.Context, n *Namespace, name string) (T, error) {
	return ask[T](ctx, &n.Proxy, "get", name)
}

// Set sets the value of a name.
func (n *Namespace) Set(ctx context.Context, name string, v any) error {
	return n.tell(ctx, "set", name, v)
}

// Delete removes a name, or returns ErrKey.
func (n *Namespace) Delete(ctx context.Context, name string) error {
	return n.tell(ctx, "delete", name)
}

// Contains tells whether a name is there.
func (n *Namespace) Contains(ctx context.Context, name string) (bool, error) {
	return ask[bool](ctx, &n.Proxy, "contains", name)
}

// Names returns all names, sorted.
func (n *Namespace) Names(ctx context.Context) ([]string, error) {
	return ask[[]string](ctx, &n.Proxy, "names")
}

// Items returns all names and values, in the order in which they were set first.
func (n *Namespace) Items(ctx context.Context) ([]Pair[string, any], error) {
	return askEach(ctx, &n.Proxy, pairOf[string, any], "items")
}

// AddTo adds delta to the value of a name, as Python's + does, and returns the sum. With a start, that is the value of a name that is not there;
// without, that is ErrKey.
func AddTo[T any](ctx context.Context, n *Namespace, name string, delta T, start ...T) (T, error) {
	args := []any{name, delta}
	for _, v := range start {
		args = append(args, v)
	}
	return ask[T](ctx, &n.Proxy, "add", args...)
}

// CompareAndSwap sets the value of a name if it is equal to old, and tells whether it did.
func (n *Namespace) CompareAndSwap(ctx context.Context, name string, old, new any) (bool, error) {
	return ask[bool](ctx, &n.Proxy, "cas", name, old, new)
}
