package ipc

import (
	"errors"
	"fmt"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
	"github.com/seed-185a7250/multiproc/proto"
)

// encodeQuick appends the encoding of *v to b if that needs no reflection; the bytes of
// a []byte and a string that is not short stay where they are, as the body. v must not
// go anywhere from here, or it would have to lie on the heap.
func encodeQuick[T any](b []byte, v *T) (head, body []byte, ok bool) {
	switch v := any(v).(type) {
	case *any:
		switch v := (*v).(type) {
		case int:
			return proto.AppendInt(b, int64(v)), nil, true
		case []byte:
			return encodeQuick(b, &v)
		}
	case *int:
		return proto.AppendInt(b, int64(*v)), nil, true
	case *int64:
		return proto.AppendInt(b, *v), nil, true
	case *uint64:
		return proto.AppendUint(b, *v), nil, true
	case *float64:
		return proto.AppendFloat(b, *v), nil, true
	case *bool:
		return proto.AppendBool(b, *v), nil, true
	case *string:
		if len(*v) < 64 {
			return proto.AppendString(b, *v), nil, true
		}
	case *[]byte:
		if *v != nil && len(*v) <= shm.MaxItem {
			return proto.AppendBinHeader(b, len(*v)), *v, true
		}
	}
	return nil, nil, false
}

// encodeItem encodes anything.
func encodeItem(v any) ([]byte, error) {
	p, err := proto.MarshalRefs(v, nil)
	if len(p.FDs) > 0 {
		CloseFDs(p.FDs)
		if err == nil {
			err = ErrHandle
		}
	}
	return p.Bytes, err
}

// encodeAll encodes all values, the quick ones one behind the other.
func encodeAll[T any](vs []T) ([]shm.Item, error) {
	items := make([]shm.Item, len(vs))
	buf := make([]byte, 0, 16*len(vs))
	for i := range vs {
		head, body, ok := encodeQuick(buf[len(buf):], &vs[i])
		if ok {
			if cap(head) == cap(buf)-len(buf) {
				buf = buf[:len(buf)+len(head)] // it had room there
			}
			items[i] = shm.Item{head, body}
			continue
		}
		b, err := encodeItem(vs[i])
		if err != nil {
			return nil, err
		}
		items[i] = shm.Item{b}
	}
	return items, nil
}

// decodeQuick decodes what needs no reflection, and tells whether it did. The rest is to
// be decoded when the queue is not held any more.
func decodeQuick[T any](b []byte, v *T) bool {
	switch v := any(v).(type) {
	case *int:
		n, err := proto.ParseInt(b)
		*v = int(n)
		return err == nil
	case *int64:
		n, err := proto.ParseInt(b)
		*v = n
		return err == nil
	case *[]byte:
		content, err := proto.ParseBin(b)
		if err != nil {
			return false
		}
		own := make([]byte, len(content))
		copy(own, content)
		*v = own
		return true
	}
	return false
}

// itemLimits let in what encodeQuick lets out: 64 MiB of bytes and their head.
var itemLimits = proto.Limits{Frame: shm.MaxItem + 64<<10}

func decodeItem[T any](b []byte) (v T, err error) {
	left, err := proto.Unmarshal(proto.Payload{Bytes: b}, &v, itemLimits)
	CloseFDs(left)
	if err != nil {
		return v, fmt.Errorf("ipc: queue: %w", err)
	}
	return v, nil
}

// later keeps copies of what is to be decoded when the queue is not held any more.
type later[T any] struct {
	index []int // in the list of values
	ends  []int // of the copies in bytes
	bytes []byte
}

func (l *later[T]) add(index int, b []byte) {
	l.index = append(l.index, index)
	l.bytes = append(l.bytes, b...)
	l.ends = append(l.ends, len(l.bytes))
}

// decode puts the values in their places, and leaves those out that do not fit.
func (l *later[T]) decode(vs []T) ([]T, error) {
	var failed []error
	begin, bad := 0, map[int]bool{}
	for i, end := range l.ends {
		v, err := decodeItem[T](l.bytes[begin:end])
		begin = end
		vs[l.index[i]] = v
		if err != nil {
			failed = append(failed, err)
			bad[l.index[i]] = true
		}
	}
	if failed == nil {
		return vs, nil
	}
	good := vs[:0]
	for i, v := range vs {
		if !bad[i] {
			good = append(good, v)
		}
	}
	return good, errors.Join(failed...)
}
