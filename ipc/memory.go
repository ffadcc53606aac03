package ipc

import (
	"fmt"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
	"github.com/seed-185a7250/multiproc/proto"
)

// SharedMemory is a block of bytes that processes share, of a fixed size. The kernel
// frees it with its last user.
type SharedMemory struct{ b *shm.Block }

// NewSharedMemory creates a block of size bytes, all zero; the kernel gives memory to
// the pages that are used.
func NewSharedMemory(size int) (*SharedMemory, error) {
	if size < 1 || size > 1<<40 {
		return nil, fmt.Errorf("ipc: shared memory of %d bytes, expected at least 1, and at most 1 TiB", size)
	}
	b, err := shm.NewBlockBytes(size)
	if err != nil {
		return nil, fmt.Errorf("ipc: new shared memory: %w", err)
	}
	return &SharedMemory{b: b}, nil
}

// Bytes returns the memory itself. It is good as long as m is reachable: keep m, not
// only the slice.
func (m *SharedMemory) Bytes() []byte {
	if m.b == nil {
		return nil
	}
	return m.b.Bytes()
}

// Close gives up the descriptor: the memory cannot be passed on any more. The bytes stay
// as long as m is reachable. Closing twice is fine.
func (m *SharedMemory) Close() error {
	if m.b != nil {
		m.b.Close()
	}
	return nil
}

// EncodeHandle implements proto.HandleEncoder.
func (m *SharedMemory) EncodeHandle() (proto.Handle, []int, error) {
	if m.b == nil {
		return proto.Handle{}, nil, ErrClosed
	}
	fd, err := m.b.Dup()
	if err != nil {
		return proto.Handle{}, nil, named(err)
	}
	return proto.Handle{Kind: handleMemory, Meta: m.b.Meta()}, []int{fd}, nil
}

// DecodeHandle implements proto.HandleDecoder.
func (m *SharedMemory) DecodeHandle(h proto.Handle, fds []int) error {
	fd, err := single(h, fds, handleMemory, "shared memory")
	if err != nil {
		return err
	}
	if m.b, err = shm.OpenBlockBytes(fd, h.Meta); err != nil {
		return fmt.Errorf("%w: %w", ErrForeign, err)
	}
	return nil
}
