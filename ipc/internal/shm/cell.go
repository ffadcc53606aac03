package shm

import (
	"bytes"
	"context"
	"runtime"
	"sync/atomic"
	"unsafe"
)

// A Cell is one value of any size that is read and written whole. It lies in a segment
// as a version number and two copies; the version says which is the present one. A
// writer writes the other one and then the version: so a death in between changes
// nothing. A reader that was overtaken by two writers reads again.
//
// The copies are read and written in whole words, each atomic: what is read before the
// version is looked at again must not be read after it.
type Cell[T any] struct {
	seg     *Segment
	version *atomic.Uint64
	copies  [2][]uint64
	guard   *Mutex
	layout  Layout[T]
}

// CellBytes returns how many bytes of state a Cell takes.
func CellBytes[T any]() int { return 8 + 2*8*cellWords[T]() }

func cellWords[T any]() int { return (Size[T]() + 7) / 8 }

// CellOf returns the Cell in s.
func CellOf[T any](s *Segment) *Cell[T] {
	n := cellWords[T]()
	words := unsafe.Slice((*uint64)(unsafe.Pointer(&s.State()[8])), 2*n)
	return &Cell[T]{
		seg: s, version: s.Word(0), copies: [2][]uint64{words[:n], words[n:]},
		guard: NewMutex(s), layout: LayoutOf[T](),
	}
}

// Load returns the value as one writer left it.
func (c *Cell[T]) Load() (v T) {
	var few [8]uint64
	words := few[:]
	if n := len(c.copies[0]); n > len(few) {
		words = make([]uint64, n)
	} else {
		words = words[:n]
	}
	for {
		version := c.version.Load()
		for i := range words {
			words[i] = atomic.LoadUint64(&c.copies[version&1][i])
		}
		if c.version.Load() == version {
			copy(BytesOf(&v), wordBytes(words))
			runtime.KeepAlive(c)
			return v
		}
	}
}

func wordBytes(words []uint64) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), 8*len(words))
}

// Update replaces the value by what f makes of it, and returns that. f must be short:
// other writers wait. If it says false, nothing changes.
func (c *Cell[T]) Update(f func(T) (T, bool)) (T, bool, error) {
	h, err := c.guard.Acquire(context.Background())
	if err != nil {
		var zero T
		return zero, false, err
	}
	defer c.guard.Release(h.Token)
	old := c.Load()
	v, change := f(old)
	if !change {
		return old, false, nil
	}
	words := make([]uint64, len(c.copies[0]))
	c.layout.Copy(wordBytes(words), &v)
	version := c.version.Load() + 1
	for i, w := range words {
		point(PointHeldBefore)
		atomic.StoreUint64(&c.copies[version&1][i], w)
	}
	point(PointHeldBefore)
	c.version.Store(version)
	point(PointHeldAfter)
	return v, true, nil
}

// Equal compares the bytes of two values, those of padding excepted.
func (c *Cell[T]) Equal(a, b T) bool {
	x, y := make([]byte, Size[T]()), make([]byte, Size[T]())
	c.layout.Copy(x, &a)
	c.layout.Copy(y, &b)
	return bytes.Equal(x, y)
}
