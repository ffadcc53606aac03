package ipc

import (
	"fmt"

	"github.com/seed-185a7250/multiproc/proto"
)

// appendValue appends the encoding of *v, which goes to a manager. v must not go anywhere from here, or it would have to lie on the
// heap.
func appendValue[T any](b []byte, v *T) ([]byte, error) {
	if s, ok := any(v).(*string); ok {
		return proto.AppendString(b, *s), nil
	}
	if head, body, ok := encodeQuick(b, v); ok {
		return append(head, body...), nil
	}
	return appendSlow(b, *v)
}

func appendSlow[T any](b []byte, v T) ([]byte, error) {
	x, err := encodeItem(v)
	if err != nil {
		return b, err
	}
	return append(b, x...), nil
}

// resultOf is what a query was answered, as a T.
func resultOf[T any](q *query) (v T, err error) {
	if decodeQuick(q.result, &v) || decodeLone(q.result, &v) {
		return v, nil
	}
	return slowResult[T](q)
}

func slowResult[T any](q *query) (v T, err error) {
	err = q.into(&v)
	return v, err
}

// into decodes the result into the pointer v.
func (q *query) into(v any) error {
	p := proto.Payload{Bytes: q.result, FDs: q.fds}
	q.fds = nil
	left, err := proto.Unmarshal(p, v, q.l.limits)
	CloseFDs(left)
	if err != nil {
		return fmt.Errorf("ipc: the result: %w", err)
	}
	return nil
}

// decodeLone is decodeQuick for more types.
func decodeLone[T any](b []byte, v *T) (ok bool) {
	var err error
	switch v := any(v).(type) {
	case *string:
		*v, err = proto.ParseString(b)
	case *bool:
		*v, err = proto.ParseBool(b)
	case *uint64:
		*v, err = proto.ParseUint(b)
	default:
		return false
	}
	return err == nil
}
