package shm

import (
	"sync/atomic"
	"unsafe"
)

// Elements of a slice in shared memory, of 1, 2, 4 or 8 bytes, lie within one word, which
// is read and changed as a whole.

// Atomic tells whether a T is of such a size, and lies so in a slice.
func Atomic[T any]() bool {
	var zero T
	size := unsafe.Sizeof(zero)
	return size <= 8 && size&(size-1) == 0 && unsafe.Alignof(zero) == size
}

// LoadElement returns *p.
func LoadElement[T any](p *T) T {
	if Size[T]() == 8 {
		return FromBits[T]((*atomic.Uint64)(unsafe.Pointer(p)).Load())
	}
	w, shift, mask := wordOf(p)
	return FromBits[T](uint64(w.Load() >> shift & mask))
}

// SwapElement replaces *p by next if it is old, byte for byte.
func SwapElement[T any](p *T, old, next T) bool {
	var l Layout[T]
	from, to := l.Bits(old), l.Bits(next)
	if Size[T]() == 8 {
		return (*atomic.Uint64)(unsafe.Pointer(p)).CompareAndSwap(from, to)
	}
	w, shift, mask := wordOf(p)
	for {
		now := w.Load()
		if now>>shift&mask != uint32(from) {
			return false
		}
		if w.CompareAndSwap(now, now&^(mask<<shift)|uint32(to)<<shift) {
			return true
		}
	}
}

// wordOf returns the word of 4 bytes that *p lies in, and where. Memory begins and ends
// with whole words.
func wordOf[T any](p *T) (w *atomic.Uint32, shift, mask uint32) {
	in := uintptr(unsafe.Pointer(p)) % 4
	w = (*atomic.Uint32)(unsafe.Add(unsafe.Pointer(p), -int(in)))
	return w, uint32(8 * in), uint32(1<<(8*Size[T]()) - 1)
}
