package ipc

import (
	"fmt"

	"github.com/seed-185a7250/multiproc/proto"
)

// appendQuick appends the encoding of *v if that needs no reflection. v must not go anywhere from here, or it would have to lie on the
// heap.
func appendQuick[T any](b []byte, v *T) ([]byte, bool) {
	if s, ok := any(v).(*string); ok {
		return proto.AppendString(b, *s), true
	}
	if x, ok := any(v).(*any); ok {
		if s, ok := (*x).(string); ok {
			return proto.AppendString(b, s), true
		}
	}
	if head, body, ok := encodeQuick(b, v); ok {
		return append(head, body...), true
	}
	return b, false
}

// appendValue appends the encoding of v, which goes to the manager of l. The proxies in it must be kept until the manager has it.
func appendValue(b []byte, v *any, l *link) ([]byte, error) {
	if b, ok := appendQuick(b, v); ok {
		return b, nil
	}
	return appendSlow(b, *v, l)
}

func appendSlow(b []byte, v any, l *link) ([]byte, error) {
	p, err := proto.MarshalRefs(v, l)
	if len(p.FDs) > 0 {
		CloseFDs(p.FDs)
		if err == nil {
			err = ErrHandle
		}
	}
	return append(b, p.Bytes...), err
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
func (q *query) into(v any) (err error) {
	if len(q.fds) > 0 {
		p := proto.Payload{Bytes: q.result, FDs: q.fds}
		q.fds = nil
		var left []int
		left, err = proto.Unmarshal(p, v, q.l.limits)
		CloseFDs(left)
	} else {
		in := q.l.intake(q.c, q.result)
		defer in.settle()
		err = decodeFrom(in, q.result, v, q.l.limits)
	}
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
