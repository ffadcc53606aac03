package ipc

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/seed-185a7250/multiproc/proto"
)

// This file has what the operations of proxies share.

// tell calls an operation whose result does not matter.
func (p *Proxy) tell(ctx context.Context, op string, args ...any) error {
	q, err := p.begin(ctx, op, len(args))
	if err != nil {
		return err
	}
	defer q.free()
	q.args(args)
	return q.call(ctx, ownerOf(ctx))
}

// ask calls an operation with a result of type R.
func ask[R any](ctx context.Context, p *Proxy, op string, args ...any) (v R, err error) {
	q, err := p.begin(ctx, op, len(args))
	if err != nil {
		return v, err
	}
	defer q.free()
	q.args(args)
	if err := q.call(ctx, ownerOf(ctx)); err != nil {
		return v, err
	}
	return resultOf[R](q)
}

// askEach calls an operation whose result is an array, of what each makes of the elements.
func askEach[R any](ctx context.Context, p *Proxy, each func(part) (R, error), op string, args ...any) (list []R, err error) {
	q, err := p.begin(ctx, op, len(args))
	if err != nil {
		return nil, err
	}
	defer q.free()
	q.args(args)
	if err := q.call(ctx, ownerOf(ctx)); err != nil {
		return nil, err
	}
	err = q.parts(func(whole part) error {
		list, err = eachOf(whole, each)
		return err
	})
	return list, err
}

// A part is a part of a result.
type part struct {
	raw proto.Raw
	in  *intake
	lim proto.Limits
}

// parts calls f with the whole result, and gives back the leases that nobody has taken.
func (q *query) parts(f func(whole part) error) error {
	in := q.l.intake(q.c, q.result)
	defer in.settle()
	if err := f(part{q.result, in, q.l.limits}); err != nil {
		return fmt.Errorf("ipc: the result: %w", err)
	}
	return nil
}

// split returns the elements of an array; of exactly n, unless n is negative.
func (p part) split(n int) ([]part, error) {
	raws, err := proto.Elements(p.raw, nil)
	if err == nil && n >= 0 && len(raws) != n {
		err = fmt.Errorf("%w: an array of %d, expected %d", proto.ErrProtocol, len(raws), n)
	}
	if err != nil {
		return nil, err
	}
	parts := make([]part, len(raws))
	for i, r := range raws {
		parts[i] = part{r, p.in, p.lim}
	}
	return parts, nil
}

// partOf decodes a part.
func partOf[T any](p part) (v T, err error) {
	if decodeQuick(p.raw, &v) || decodeLone(p.raw, &v) {
		return v, nil
	}
	return slowPart[T](p)
}

func slowPart[T any](p part) (v T, err error) {
	err = decodeFrom(p.in, p.raw, &v, p.lim)
	return v, err
}

func eachOf[R any](p part, each func(part) (R, error)) ([]R, error) {
	parts, err := p.split(-1)
	if err != nil {
		return nil, err
	}
	list := make([]R, len(parts))
	for i, p := range parts {
		if list[i], err = each(p); err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
	}
	return list, nil
}

// A Pair is an entry of a dict, or of a namespace.
type Pair[K, V any] struct {
	Key   K
	Value V
}

func pairOf[K, V any](p part) (pair Pair[K, V], err error) {
	parts, err := p.split(2)
	if err != nil {
		return pair, err
	}
	if pair.Key, err = partOf[K](parts[0]); err != nil {
		return pair, err
	}
	pair.Value, err = partOf[V](parts[1])
	return pair, err
}

// lookedUp turns the error that there is no such thing into false.
func lookedUp[V any](v V, err error, not error) (V, bool, error) {
	if errors.Is(err, not) {
		return v, false, nil
	}
	return v, err == nil, err
}

// some is list as an array of the wire: never nil, nor the bytes that a list of bytes is elsewhere.
func some[T any](list []T) any {
	if reflect.TypeFor[T]().Kind() == reflect.Uint8 {
		each := make([]any, len(list))
		for i, v := range list {
			each[i] = v
		}
		return each
	}
	if list == nil {
		return []T{}
	}
	return list
}
