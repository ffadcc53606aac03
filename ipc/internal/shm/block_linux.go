package shm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
	"weak"

	"golang.org/x/sys/unix"
)

// A Block is a mapped memfd of words and nothing else. It has no table: nobody
// holds or waits for anything in it.
type Block struct {
	mem  []byte
	size int // in bytes, when it is made of bytes
	fd   *descriptor
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

// Range returns n bytes from an offset on, where they lie. They are good as long as b is reachable.
func (b *Block) Range(off, n int) []byte { return b.mem[off : off+n : off+n] }

// Dup returns a new descriptor of the block.
func (b *Block) Dup() (int, error) { return b.fd.dup() }

// Close gives up the descriptor; the words stay.
func (b *Block) Close() { b.fd.close() }

// NewBlockBytes makes a Block of size bytes.
func NewBlockBytes(size int) (*Block, error) {
	b, err := NewBlock((size + 7) / 8)
	if err != nil {
		return nil, err
	}
	b.size = size
	blocks.Lock()
	defer blocks.Unlock()
	return b, b.enter()
}

// blocks holds every Block of bytes that the process has mapped, by the device and the
// inode of its memfd: so one that arrives again is the same.
var blocks struct {
	sync.Mutex
	mapped map[[2]uint64]weak.Pointer[Block]
}

// enter makes b findable; blocks is locked.
func (b *Block) enter() error {
	key, err := inode(b.fd.fd)
	if err != nil {
		return err
	}
	if blocks.mapped == nil {
		blocks.mapped = make(map[[2]uint64]weak.Pointer[Block])
	}
	blocks.mapped[key] = weak.Make(b)
	runtime.AddCleanup(b, func(key [2]uint64) {
		blocks.Lock()
		defer blocks.Unlock()
		if blocks.mapped[key].Value() == nil {
			delete(blocks.mapped, key)
		}
	}, key)
	return nil
}

func inode(fd int) ([2]uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return [2]uint64{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return [2]uint64{st.Dev, st.Ino}, nil
}

// Meta tells the size to OpenBlockBytes: the memfd itself has whole pages.
func (b *Block) Meta() []byte { return binary.BigEndian.AppendUint64(nil, uint64(b.size)) }

// OpenBlockBytes maps what NewBlockBytes made; it owns fd. A block that the process has
// mapped already, and not closed, comes back as it is.
func OpenBlockBytes(fd int, meta []byte) (*Block, error) {
	blocks.Lock()
	defer blocks.Unlock()
	key, err := inode(fd)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	if b := blocks.mapped[key].Value(); b != nil && bytes.Equal(meta, b.Meta()) && b.fd.open() {
		unix.Close(fd)
		return b, nil
	}
	b, err := OpenBlock(fd)
	if err != nil {
		return nil, err
	}
	if len(meta) != 8 || binary.BigEndian.Uint64(meta) > uint64(len(b.mem)) {
		b.Close()
		return nil, fmt.Errorf("%w: no size, or one that is too large", ErrFormat)
	}
	b.size = int(binary.BigEndian.Uint64(meta))
	return b, b.enter()
}

// Bytes returns the memory itself, good as long as b is reachable.
func (b *Block) Bytes() []byte { return b.mem[:b.size:b.size] }
