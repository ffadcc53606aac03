package ipc

import (
	"fmt"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
	"github.com/seed-185a7250/multiproc/proto"
)

func plainSegment(*shm.Segment) any { return nil }

// newWithLock makes a segment of plain bytes, and a lock.
func newWithLock(name string, slots, bytes int) (*shm.Segment, *Lock, error) {
	s, err := shm.Create(shm.Config{Kind: shm.KindArray, Name: name, Slots: slots, Bytes: bytes}, plainSegment)
	if err != nil {
		return nil, nil, err
	}
	lock, err := NewLock(LockOptions{Name: name})
	if err != nil {
		s.Close()
		return nil, nil, err
	}
	return s, lock, nil
}

// encodeSegment makes a handle of a segment.
func encodeSegment(kind uint8, s *shm.Segment) (proto.Handle, []int, error) {
	fd, err := s.Dup()
	if err != nil {
		return proto.Handle{}, nil, named(err)
	}
	return proto.Handle{Kind: kind}, []int{fd}, nil
}

func encodeWithLock(h proto.Handle, s *shm.Segment, lock *Lock) (proto.Handle, []int, error) {
	if s == nil {
		return proto.Handle{}, nil, ErrClosed
	}
	_, fds, err := encodeSegment(h.Kind, s)
	if err != nil {
		return h, nil, err
	}
	_, more, err := lock.EncodeHandle()
	if err != nil {
		CloseFDs(fds)
		return h, nil, err
	}
	return h, append(fds, more...), nil
}

// decodeWithLock opens a segment of at least so many bytes and its lock. With an error
// it closes neither: the process may have had one of them before.
func decodeWithLock(h proto.Handle, fds []int, kind uint8, what string, least int) (*shm.Segment, *Lock, error) {
	if h.Kind != kind || len(fds) != 2 {
		CloseFDs(fds)
		return nil, nil, fmt.Errorf("%w: expected a %s (kind %d, 2 descriptors), found kind %d with %d", ErrForeign, what, kind, h.Kind, len(fds))
	}
	s, err := openSegment(h, fds[:1], kind, shm.KindArray, plainSegment)
	if err != nil {
		CloseFDs(fds[1:])
		return nil, nil, err
	}
	lock := new(Lock)
	if err := lock.DecodeHandle(proto.Handle{Kind: handleLock}, fds[1:]); err != nil {
		return nil, nil, err
	}
	if n := len(s.State()); n < least {
		return nil, nil, fmt.Errorf("%w: a %s of at most %d bytes, expected %d", ErrForeign, what, n, least)
	}
	return s, lock, nil
}
