package ipc

import (
	"context"
	"iter"
	"slices"

	"github.com/seed-185a7250/multiproc/proto"
)

const kindDict = "dict"

// A Dict is a dict that a manager keeps, in the order in which keys were set first. Each method is one atomic operation, also those that
// do several things. Values are copies: to change a part of one, put it back, or have it be an object itself (a V that is a *List, say,
// is kept as a reference). Keys are the same if they are equal as in Python: 1 and 1.0 are one key, "1" is another.
type Dict[K comparable, V any] struct {
	Proxy `msgpack:"-"`
}

// NewDict creates an empty dict.
func NewDict[K comparable, V any](ctx context.Context, c *Client, o ManagedOptions) (*Dict[K, V], error) {
	p, err := c.createProxy(ctx, o, kindDict)
	if err != nil {
		return nil, err
	}
	return &Dict[K, V]{p}, nil
}

// OpenDict returns the dict with this name. It returns ErrUnknown if there is none, ErrForeign if that is something else.
func OpenDict[K comparable, V any](ctx context.Context, c *Client, name string) (*Dict[K, V], error) {
	p, err := c.openProxy(ctx, name, kindDict)
	if err != nil {
		return nil, err
	}
	return &Dict[K, V]{p}, nil
}

// DecodeHandle implements proto.HandleDecoder.
func (d *Dict[K, V]) DecodeHandle(h proto.Handle, fds []int) error { return d.decode(h, fds, kindDict) }

// Get returns the value of a key, or ErrKey.
func (d *Dict[K, V]) Get(ctx context.Context, key K) (v V, err error) {
	q, err := d.begin(ctx, "get", 1)
	if err != nil {
		return v, err
	}
	defer q.free()
	put(q, &key)
	if err := q.call(ctx, 0); err != nil {
		return v, err
	}
	return resultOf[V](q)
}

// Lookup is Get that tells whether the key is there.
func (d *Dict[K, V]) Lookup(ctx context.Context, key K) (V, bool, error) {
	v, err := d.Get(ctx, key)
	return lookedUp(v, err, ErrKey)
}

// GetOr is Get with a value for a key that is not there.
func (d *Dict[K, V]) GetOr(ctx context.Context, key K, otherwise V) (V, error) {
	return ask[V](ctx, &d.Proxy, "get", key, otherwise)
}

// Set sets the value of a key.
func (d *Dict[K, V]) Set(ctx context.Context, key K, v V) error {
	q, err := d.begin(ctx, "set", 2)
	if err != nil {
		return err
	}
	defer q.free()
	put(q, &key)
	put(q, &v)
	return q.call(ctx, 0)
}

// Delete removes a key, or returns ErrKey.
func (d *Dict[K, V]) Delete(ctx context.Context, key K) error { return d.tell(ctx, "delete", key) }

// Contains tells whether a key is there.
func (d *Dict[K, V]) Contains(ctx context.Context, key K) (bool, error) {
	return ask[bool](ctx, &d.Proxy, "contains", key)
}

// Len returns how many keys there are.
func (d *Dict[K, V]) Len(ctx context.Context) (int, error) { return ask[int](ctx, &d.Proxy, "len") }

// Pop removes a key and returns its value, or ErrKey.
func (d *Dict[K, V]) Pop(ctx context.Context, key K) (V, error) {
	return ask[V](ctx, &d.Proxy, "pop", key)
}

// PopOr is Pop with a value for a key that is not there.
func (d *Dict[K, V]) PopOr(ctx context.Context, key K, otherwise V) (V, error) {
	return ask[V](ctx, &d.Proxy, "pop", key, otherwise)
}

// PopItem removes the key that was set last, and returns it with its value; ErrKey if the dict is empty.
func (d *Dict[K, V]) PopItem(ctx context.Context) (pair Pair[K, V], err error) {
	q, err := d.begin(ctx, "popitem", 0)
	if err != nil {
		return pair, err
	}
	defer q.free()
	if err := q.call(ctx, 0); err != nil {
		return pair, err
	}
	err = q.parts(func(whole part) (err error) {
		pair, err = pairOf[K, V](whole)
		return err
	})
	return pair, err
}

// SetDefault returns the value of a key, which is v from now on if there was none.
func (d *Dict[K, V]) SetDefault(ctx context.Context, key K, v V) (V, error) {
	return ask[V](ctx, &d.Proxy, "setdefault", key, v)
}

// Insert sets the value of a key that is not there, and tells whether it did.
func (d *Dict[K, V]) Insert(ctx context.Context, key K, v V) (bool, error) {
	return ask[bool](ctx, &d.Proxy, "insert", key, v)
}

// Update sets all keys of m, or, with an error, none.
func (d *Dict[K, V]) Update(ctx context.Context, m map[K]V) error { return d.tell(ctx, "update", m) }

// UpdatePairs is Update in this order.
func (d *Dict[K, V]) UpdatePairs(ctx context.Context, pairs []Pair[K, V]) error {
	list := make([][2]any, len(pairs))
	for i, p := range pairs {
		list[i] = [2]any{p.Key, p.Value}
	}
	return d.tell(ctx, "update", list)
}

// Clear removes all keys.
func (d *Dict[K, V]) Clear(ctx context.Context) error { return d.tell(ctx, "clear") }

// Keys returns all keys, Values all values, Items both, in their order.
func (d *Dict[K, V]) Keys(ctx context.Context) ([]K, error) {
	return askEach(ctx, &d.Proxy, partOf[K], "keys")
}

// Values: see Keys.
func (d *Dict[K, V]) Values(ctx context.Context) ([]V, error) {
	return askEach(ctx, &d.Proxy, partOf[V], "values")
}

// Items: see Keys.
func (d *Dict[K, V]) Items(ctx context.Context) ([]Pair[K, V], error) {
	return askEach(ctx, &d.Proxy, pairOf[K, V], "items")
}

// Copy returns all of the dict as a map.
func (d *Dict[K, V]) Copy(ctx context.Context) (map[K]V, error) {
	pairs, err := askEach(ctx, &d.Proxy, pairOf[K, V], "copy")
	if err != nil {
		return nil, err
	}
	m := make(map[K]V, len(pairs))
	for _, p := range pairs {
		m[p.Key] = p.Value
	}
	return m, nil
}

// scanChunk is how many entries or elements an iteration fetches at a time.
const scanChunk = 256

// All goes over the entries in their order, some hundred to a call. An error is the last element: ErrChanged once a key was added or removed;
// to set the value of one that is there is no such change.
func (d *Dict[K, V]) All(ctx context.Context) iter.Seq2[Pair[K, V], error] {
	return func(yield func(Pair[K, V], error) bool) {
		var position, shape any = 0, nil
		for position != nil {
			var pairs []Pair[K, V]
			var err error
			if shape, position, pairs, err = d.scan(ctx, position, shape); err != nil {
				yield(Pair[K, V]{}, err)
				return
			}
			for _, p := range pairs {
				if !yield(p, nil) {
					return
				}
			}
		}
	}
}

func (d *Dict[K, V]) scan(ctx context.Context, position, shape any) (newShape, next any, pairs []Pair[K, V], err error) {
	q, err := d.begin(ctx, "scan", 3)
	if err != nil {
		return nil, nil, nil, err
	}
	defer q.free()
	q.args([]any{position, scanChunk, shape})
	if err := q.call(ctx, 0); err != nil {
		return nil, nil, nil, err
	}
	err = q.parts(func(whole part) error {
		parts, err := whole.split(3)
		if err != nil {
			return err
		}
		newShape, next = slices.Clone(parts[0].raw), any(slices.Clone(parts[1].raw))
		if proto.IsNil(parts[1].raw) {
			next = nil
		}
		pairs, err = eachOf(parts[2], pairOf[K, V])
		return err
	})
	return newShape, next, pairs, err
}

// GetMany returns the values of several keys at one moment; ErrKey if one is not there.
func (d *Dict[K, V]) GetMany(ctx context.Context, keys ...K) ([]V, error) {
	return askEach(ctx, &d.Proxy, partOf[V], "get_many", some(keys))
}

// GetManyOr is GetMany with a value for keys that are not there.
func (d *Dict[K, V]) GetManyOr(ctx context.Context, otherwise V, keys ...K) ([]V, error) {
	return askEach(ctx, &d.Proxy, partOf[V], "get_many", some(keys), otherwise)
}

// Add adds delta to the value of a key, as Python's + does, and returns the sum; ErrKey if the key is not there.
func (d *Dict[K, V]) Add(ctx context.Context, key K, delta V) (V, error) {
	return ask[V](ctx, &d.Proxy, "add", key, delta)
}

// AddFrom is Add for which a key that is not there has the value start.
func (d *Dict[K, V]) AddFrom(ctx context.Context, key K, delta, start V) (V, error) {
	return ask[V](ctx, &d.Proxy, "add", key, delta, start)
}

// CompareAndSwap sets the value of a key if it is equal to old, and tells whether it did.
func (d *Dict[K, V]) CompareAndSwap(ctx context.Context, key K, old, new V) (bool, error) {
	return ask[bool](ctx, &d.Proxy, "cas", key, old, new)
}

// DeleteIf removes a key if its value is equal to old, and tells whether it did.
func (d *Dict[K, V]) DeleteIf(ctx context.Context, key K, old V) (bool, error) {
	return ask[bool](ctx, &d.Proxy, "delete_if", key, old)
}

// GetVersion returns the value of a key and its version, which is 0 if the key is not there. Each change of an entry gives it the next version
// of the dict.
func (d *Dict[K, V]) GetVersion(ctx context.Context, key K) (v V, version uint64, err error) {
	q, err := d.begin(ctx, "get_version", 1)
	if err != nil {
		return v, 0, err
	}
	defer q.free()
	put(q, &key)
	if err := q.call(ctx, 0); err != nil {
		return v, 0, err
	}
	err = q.parts(func(whole part) error {
		parts, err := whole.split(2)
		if err != nil {
			return err
		}
		if version, err = proto.ParseUint(parts[1].raw); err != nil || version == 0 {
			return err
		}
		v, err = partOf[V](parts[0])
		return err
	})
	return v, version, err
}

// SetVersion sets the value of a key if its version is still the one given (0: if the key is not there), and returns its version now; 0 if it was
// not set.
func (d *Dict[K, V]) SetVersion(ctx context.Context, key K, version uint64, v V) (uint64, error) {
	return ask[uint64](ctx, &d.Proxy, "cas_version", key, version, v)
}

// Version returns the version of the last change, 0 for a dict that was never changed.
func (d *Dict[K, V]) Version(ctx context.Context) (uint64, error) {
	return ask[uint64](ctx, &d.Proxy, "version")
}

// GetOrCreate returns the value of a key, which is to be an object; where the key is not there, an object of this kind is created, with arguments
// as in PROTOCOL.md, and its reference set.
func (d *Dict[K, V]) GetOrCreate(ctx context.Context, key K, kind string, args ...any) (V, error) {
	return ask[V](ctx, &d.Proxy, "get_or_create", key, kind, some(args))
}

// Wait waits until a condition on the value of a key holds, or ctx ends, and returns the value then. The conditions: "present"; "absent"; "==", "!=",
// "<", "<=", ">", ">=" with an operand; "newer": the version of the entry is greater than the operand.
func (d *Dict[K, V]) Wait(ctx context.Context, key K, condition string, operand ...any) (v V, err error) {
	q, err := d.begin(ctx, "wait", 2+len(operand))
	if err != nil {
		return v, err
	}
	defer q.free()
	put(q, &key)
	put(q, &condition)
	q.args(operand)
	if err := q.call(ctx, 0); err != nil || proto.IsNil(q.result) {
		return v, err
	}
	return resultOf[V](q)
}

// Changes are what has changed in a dict after a version.
type Changes[K comparable, V any] struct {
	Version  uint64 // up to which this tells; for the next Watch
	Complete bool   // false: older removals are forgotten; read the dict anew
	List     []Change[K, V]
}

// A Change is what one key is now.
type Change[K comparable, V any] struct {
	Key     K
	Version uint64
	Present bool
	Value   V // if it is present
}

// Watch waits for a change after a version, of one of the keys (of none: of any), or until ctx ends, and returns all there are: one for each key.
// Begin with the version of [Dict.Version], and go on with that of the Changes.
func (d *Dict[K, V]) Watch(ctx context.Context, after uint64, keys ...K) (c Changes[K, V], err error) {
	q, err := d.begin(ctx, "watch", 2)
	if err != nil {
		return c, err
	}
	defer q.free()
	put(q, &after)
	var which any
	if len(keys) > 0 {
		which = some(keys)
	}
	put(q, &which)
	if err := q.call(ctx, 0); err != nil {
		return c, err
	}
	err = q.parts(func(whole part) error {
		parts, err := whole.split(3)
		if err != nil {
			return err
		}
		if c.Version, err = proto.ParseUint(parts[0].raw); err != nil {
			return err
		}
		if c.Complete, err = proto.ParseBool(parts[1].raw); err != nil {
			return err
		}
		c.List, err = eachOf(parts[2], changeOf[K, V])
		return err
	})
	return c, err
}

func changeOf[K comparable, V any](p part) (c Change[K, V], err error) {
	parts, err := p.split(4)
	if err != nil {
		return c, err
	}
	if c.Key, err = partOf[K](parts[0]); err != nil {
		return c, err
	}
	if c.Version, err = proto.ParseUint(parts[1].raw); err != nil {
		return c, err
	}
	if c.Present, err = proto.ParseBool(parts[2].raw); err != nil || !c.Present {
		return c, err
	}
	c.Value, err = partOf[V](parts[3])
	return c, err
}
