package shm

import (
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Block is a mapped memfd of words and nothing else. It has no table: nobody
// holds or waits for anything in it.
type Block struct {
	mem []byte
	fd  *descriptor
}

// NewBlock makes a Block of at least so many words, all 0.
func NewBlock(words int) (*Block, error) {
	fd, mem, err := allocate("block", max(8*words, 1))
	if err != nil {
		return nil, err
	}
	return newBlock(fd, mem), nil
}

// OpenBlock maps the block behind fd, which it owns from here on.
func OpenBlock(fd int) (*Block, error) {
	mem, err := mapSealed(fd, 8)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return newBlock(fd, mem), nil
}

func newBlock(fd int, mem []byte) *Block {
	b := &Block{mem: mem, fd: &descriptor{fd: fd}}
	type rest struct {
		mem []byte
		fd  *descriptor
	}
	runtime.AddCleanup(b, func(r rest) {
		r.fd.close()
		unix.Munmap(r.mem)
	}, rest{mem, b.fd})
	return b
}

// Len returns the number of words.
func (b *Block) Len() int { return len(b.mem) / 8 }

// Word returns the i-th word. The pointer is good as long as b is reachable.
func (b *Block) Word(i int) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&b.mem[8*i]))
}

// Dup returns a new descriptor of the block.
func (b *Block) Dup() (int, error) { return b.fd.dup() }

// Close gives up the descriptor; the words stay.
func (b *Block) Close() { b.fd.close() }
