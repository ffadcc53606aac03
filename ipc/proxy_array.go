package ipc

import (
	"context"
	"fmt"

	"github.com/seed-185a7250/multiproc/proto"
)

const kindArray = "array"

// An ArrayElement is what an array of a manager may hold.
type ArrayElement interface {
	int8 | int16 | int32 | int64 | int | uint8 | uint16 | uint32 | uint64 | uint | float32 | float64
}

// A ManagedArray is numbers of one type, whose length never changes, that a manager keeps. Indices may be negative; one out of range is ErrIndex.
type ManagedArray[T ArrayElement] struct {
	Proxy `msgpack:"-"`
}

// NewManagedArray creates an array of these elements.
func NewManagedArray[T ArrayElement](ctx context.Context, c *Client, o ManagedOptions, elements ...T) (*ManagedArray[T], error) {
	return newManagedArray[T](ctx, c, o, some(elements))
}

// NewManagedZeros creates an array of n zeros.
func NewManagedZeros[T ArrayElement](ctx context.Context, c *Client, o ManagedOptions, n int) (*ManagedArray[T], error) {
	return newManagedArray[T](ctx, c, o, n)
}

func newManagedArray[T ArrayElement](ctx context.Context, c *Client, o ManagedOptions, elements any) (*ManagedArray[T], error) {
	p, err := c.createProxy(ctx, o, kindArray, typeCode[T](), elements)
	if err != nil {
		return nil, err
	}
	return &ManagedArray[T]{p}, nil
}

// OpenManagedArray returns the array with this name. It returns ErrUnknown if there is none, ErrForeign if that is something else, or an array of
// another type.
func OpenManagedArray[T ArrayElement](ctx context.Context, c *Client, name string) (*ManagedArray[T], error) {
	p, err := c.openProxy(ctx, name, kindArray)
	if err != nil {
		return nil, err
	}
	a := &ManagedArray[T]{p}
	code, err := a.TypeCode(ctx)
	if want := typeCode[T](); err == nil && !sameNumbers(code, want) {
		err = fmt.Errorf("ipc: open %q: %w: expected an array of type %q, found %q", name, ErrForeign, want, code)
	}
	if err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// typeCode is Python's code of a type.
func typeCode[T ArrayElement]() string {
	switch any(T(0)).(type) {
	case int8:
		return "b"
	case uint8:
		return "B"
	case int16:
		return "h"
	case uint16:
		return "H"
	case int32:
		return "i"
	case uint32:
		return "I"
	case uint64, uint:
		return "Q"
	case float32:
		return "f"
	case float64:
		return "d"
	}
	return "q"
}

// sameNumbers tells whether two codes are of the same numbers.
func sameNumbers(a, b string) bool {
	same := map[string]string{"l": "i", "L": "I"}
	if s, ok := same[a]; ok {
		a = s
	}
	return a == b
}

// DecodeHandle implements proto.HandleDecoder.
func (a *ManagedArray[T]) DecodeHandle(h proto.Handle, fds []int) error {
	return a.decode(h, fds, kindArray)
}

// Get returns an element.
func (a *ManagedArray[T]) Get(ctx context.Context, i int) (T, error) {
	return ask[T](ctx, &a.Proxy, "get", i)
}

// Set replaces an element.
func (a *ManagedArray[T]) Set(ctx context.Context, i int, v T) error { return a.tell(ctx, "set", i, v) }

// GetSlice returns the elements of a slice, with Python's rules; see [Range].
func (a *ManagedArray[T]) GetSlice(ctx context.Context, s proto.Slice) ([]T, error) {
	return askEach(ctx, &a.Proxy, partOf[T], "get", s)
}

// SetSlice replaces the elements of a slice by as many; ErrValue if that is another number.
func (a *ManagedArray[T]) SetSlice(ctx context.Context, s proto.Slice, list []T) error {
	return a.tell(ctx, "set", s, some(list))
}

// Len returns how many elements there are.
func (a *ManagedArray[T]) Len(ctx context.Context) (int, error) {
	return ask[int](ctx, &a.Proxy, "len")
}

// Copy returns all elements.
func (a *ManagedArray[T]) Copy(ctx context.Context) ([]T, error) {
	return askEach(ctx, &a.Proxy, partOf[T], "copy")
}

// TypeCode returns Python's code of the type of the elements.
func (a *ManagedArray[T]) TypeCode(ctx context.Context) (string, error) {
	return ask[string](ctx, &a.Proxy, "type")
}

// Add adds delta to an element and returns the sum; ErrOverflow if that does not fit, and nothing changes.
func (a *ManagedArray[T]) Add(ctx context.Context, i int, delta T) (T, error) {
	return ask[T](ctx, &a.Proxy, "add", i, delta)
}

// CompareAndSwap replaces an element if it is equal to old, and tells whether it did.
func (a *ManagedArray[T]) CompareAndSwap(ctx context.Context, i int, old, new T) (bool, error) {
	return ask[bool](ctx, &a.Proxy, "cas", i, old, new)
}
