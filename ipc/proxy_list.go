package ipc

import (
	"context"
	"iter"

	"github.com/seed-185a7250/multiproc/proto"
)

const kindList = "list"

// A List is a list that a manager keeps. Each method is one atomic operation. Indices may be negative: -1 is the last element; one out of range
// is ErrIndex. Values are copies, as in a [Dict].
type List[T any] struct {
	Proxy `msgpack:"-"`
}

// NewList creates a list of these elements.
func NewList[T any](ctx context.Context, c *Client, o ManagedOptions, elements ...T) (*List[T], error) {
	p, err := c.createProxy(ctx, o, kindList, some(elements))
	if err != nil {
		return nil, err
	}
	return &List[T]{p}, nil
}

// OpenList returns the list with this name. It returns ErrUnknown if there is none, ErrForeign if that is something else.
func OpenList[T any](ctx context.Context, c *Client, name string) (*List[T], error) {
	p, err := c.openProxy(ctx, name, kindList)
	if err != nil {
		return nil, err
	}
	return &List[T]{p}, nil
}

// DecodeHandle implements proto.HandleDecoder.
func (l *List[T]) DecodeHandle(h proto.Handle, fds []int) error { return l.decode(h, fds, kindList) }

// Range is the slice from:to of Python.
func Range(from, to int) proto.Slice {
	start, stop := int64(from), int64(to)
	return proto.Slice{Start: &start, Stop: &stop}
}

// From is the slice from: of Python.
func From(from int) proto.Slice {
	start := int64(from)
	return proto.Slice{Start: &start}
}

// Get returns an element.
func (l *List[T]) Get(ctx context.Context, i int) (v T, err error) {
	q, err := l.begin(ctx, "get", 1)
	if err != nil {
		return v, err
	}
	defer q.free()
	put(q, &i)
	if err := q.call(ctx, 0); err != nil {
		return v, err
	}
	return resultOf[T](q)
}

// Set replaces an element.
func (l *List[T]) Set(ctx context.Context, i int, v T) error {
	q, err := l.begin(ctx, "set", 2)
	if err != nil {
		return err
	}
	defer q.free()
	put(q, &i)
	put(q, &v)
	return q.call(ctx, 0)
}

// Delete removes an element.
func (l *List[T]) Delete(ctx context.Context, i int) error { return l.tell(ctx, "delete", i) }

// GetSlice returns the elements of a slice, with Python's rules; see [Range].
func (l *List[T]) GetSlice(ctx context.Context, s proto.Slice) ([]T, error) {
	return askEach(ctx, &l.Proxy, partOf[T], "get", s)
}

// SetSlice replaces the elements of a slice; with a step other than 1 by as many, else it is ErrValue.
func (l *List[T]) SetSlice(ctx context.Context, s proto.Slice, list []T) error {
	return l.tell(ctx, "set", s, some(list))
}

// DeleteSlice removes the elements of a slice.
func (l *List[T]) DeleteSlice(ctx context.Context, s proto.Slice) error {
	return l.tell(ctx, "delete", s)
}

// Insert puts v before the element i; one out of range is the nearest end.
func (l *List[T]) Insert(ctx context.Context, i int, v T) error {
	return l.tell(ctx, "insert", i, v)
}

// Append puts v at the end.
func (l *List[T]) Append(ctx context.Context, v T) error {
	q, err := l.begin(ctx, "append", 1)
	if err != nil {
		return err
	}
	defer q.free()
	put(q, &v)
	return q.call(ctx, 0)
}

// Extend puts all of list at the end.
func (l *List[T]) Extend(ctx context.Context, list []T) error {
	return l.tell(ctx, "extend", some(list))
}

// Pop removes the last element and returns it; ErrIndex if there is none.
func (l *List[T]) Pop(ctx context.Context) (T, error) { return ask[T](ctx, &l.Proxy, "pop") }

// PopAt removes an element and returns it.
func (l *List[T]) PopAt(ctx context.Context, i int) (T, error) {
	return ask[T](ctx, &l.Proxy, "pop", i)
}

// Remove removes the first element that is equal to v; ErrValue if there is none.
func (l *List[T]) Remove(ctx context.Context, v T) error { return l.tell(ctx, "remove", v) }

// Index returns the index of the first element that is equal to v, among those from the first bound on, up to the second if there are bounds;
// ErrValue if there is none.
func (l *List[T]) Index(ctx context.Context, v T, bounds ...int) (int, error) {
	args := []any{v}
	for _, b := range bounds {
		args = append(args, b)
	}
	return ask[int](ctx, &l.Proxy, "index", args...)
}

// Count returns how many elements are equal to v.
func (l *List[T]) Count(ctx context.Context, v T) (int, error) {
	return ask[int](ctx, &l.Proxy, "count", v)
}

// Contains tells whether an element is equal to v.
func (l *List[T]) Contains(ctx context.Context, v T) (bool, error) {
	return ask[bool](ctx, &l.Proxy, "contains", v)
}

// Reverse turns the list round.
func (l *List[T]) Reverse(ctx context.Context) error { return l.tell(ctx, "reverse") }

// Sort sorts the list, the smallest first, or with reverse the greatest; equal ones stay in their order. ErrType if two have no order; then nothing
// has changed.
func (l *List[T]) Sort(ctx context.Context, reverse bool) error { return l.tell(ctx, "sort", reverse) }

// Len returns how many elements there are.
func (l *List[T]) Len(ctx context.Context) (int, error) { return ask[int](ctx, &l.Proxy, "len") }

// Clear removes all elements.
func (l *List[T]) Clear(ctx context.Context) error { return l.tell(ctx, "clear") }

// Copy returns all elements.
func (l *List[T]) Copy(ctx context.Context) ([]T, error) {
	return askEach(ctx, &l.Proxy, partOf[T], "copy")
}

// Concat returns all elements and then those of list; the list does not change.
func (l *List[T]) Concat(ctx context.Context, list []T) ([]T, error) {
	return askEach(ctx, &l.Proxy, partOf[T], "concat", some(list))
}

// Repeat returns all elements n times; the list does not change.
func (l *List[T]) Repeat(ctx context.Context, n int) ([]T, error) {
	return askEach(ctx, &l.Proxy, partOf[T], "repeat", n)
}

// Multiply makes the list n times what it is; n below 1 makes it empty.
func (l *List[T]) Multiply(ctx context.Context, n int) error { return l.tell(ctx, "imul", n) }

// Add adds delta to an element, as Python's + does, and returns the sum.
func (l *List[T]) Add(ctx context.Context, i int, delta T) (T, error) {
	return ask[T](ctx, &l.Proxy, "add", i, delta)
}

// CompareAndSwap replaces an element if it is equal to old, and tells whether it did.
func (l *List[T]) CompareAndSwap(ctx context.Context, i int, old, new T) (bool, error) {
	return ask[bool](ctx, &l.Proxy, "cas", i, old, new)
}

// PushTrim puts v at the end, and then removes elements from the front until there are max at most; it returns those.
func (l *List[T]) PushTrim(ctx context.Context, v T, max int) ([]T, error) {
	return askEach(ctx, &l.Proxy, partOf[T], "push_trim", v, max)
}

// Move takes the element from out of this list and inserts it into another, which may be the same, before the element to, as one operation; it
// returns the element.
func (l *List[T]) Move(ctx context.Context, into *List[T], from, to int) (T, error) {
	return ask[T](ctx, &l.Proxy, "move", into, from, to)
}

// MoveToEnd is Move to the end.
func (l *List[T]) MoveToEnd(ctx context.Context, into *List[T], from int) (T, error) {
	return ask[T](ctx, &l.Proxy, "move", into, from)
}

// WaitLen waits until the length is "==", "!=", "<", "<=", ">" or ">=" n, or ctx ends, and returns it.
func (l *List[T]) WaitLen(ctx context.Context, condition string, n int) (int, error) {
	return ask[int](ctx, &l.Proxy, "wait", condition, n)
}

// All goes over the elements by index: 0, 1, 2 and so on, until there is none. The list may change meanwhile: as in Python, what is at the next index is
// what comes next. Some hundred elements are fetched by one call, as they are then; who must see each as it is when it is reached uses Get.
func (l *List[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for i := 0; ; {
			chunk, err := l.GetSlice(ctx, Range(i, i+scanChunk))
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			if len(chunk) == 0 {
				return
			}
			for _, v := range chunk {
				if !yield(v, nil) {
					return
				}
			}
			i += len(chunk)
		}
	}
}
