package ipc

import (
	"fmt"
	"sync/atomic"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
	"github.com/seed-185a7250/multiproc/proto"
)

// A Block is a few 64-bit words in shared memory, all zero at first, and nothing
// else: the first word is at the start of its memfd, so that any language can map
// it. Each word is atomic by itself; nothing orders two of them but the order of
// the stores.
type Block struct{ b *shm.Block }

// NewBlock creates a block of at least so many words; it fills whole pages.
func NewBlock(words int) (*Block, error) {
	b, err := shm.NewBlock(words)
	if err != nil {
		return nil, fmt.Errorf("ipc: new block: %w", err)
	}
	return &Block{b: b}, nil
}

// Len returns how many words there are; it is at least what was asked for.
func (b *Block) Len() int { return b.b.Len() }

// Word returns the i-th word, from 0. The pointer is good as long as b is
// reachable.
func (b *Block) Word(i int) *atomic.Uint64 { return b.b.Word(i) }

// Range returns n bytes from an offset on, where they lie: what another process does to them shows. They are good as long as b
// is reachable. Nothing is atomic here: say by a word when they may be read.
func (b *Block) Range(off, n int) []byte { return b.b.Range(off, n) }

// Close gives up the descriptor. The words stay readable until b is unreachable.
// Closing twice is fine.
func (b *Block) Close() error {
	if b.b != nil {
		b.b.Close()
	}
	return nil
}

// EncodeHandle implements proto.HandleEncoder.
func (b *Block) EncodeHandle() (proto.Handle, []int, error) {
	if b.b == nil {
		return proto.Handle{}, nil, ErrClosed
	}
	fd, err := b.b.Dup()
	if err != nil {
		return proto.Handle{}, nil, named(err)
	}
	return proto.Handle{Kind: handleBlock}, []int{fd}, nil
}

// DecodeHandle implements proto.HandleDecoder.
func (b *Block) DecodeHandle(h proto.Handle, fds []int) error {
	fd, err := single(h, fds, handleBlock, "block")
	if err != nil {
		return err
	}
	block, err := shm.OpenBlock(fd)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrForeign, err)
	}
	b.b = block
	return nil
}
