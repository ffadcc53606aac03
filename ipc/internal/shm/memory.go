package shm

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"unsafe"
)

// ErrType: a type that cannot lie in shared memory.
var ErrType = errors.New("shm: type with pointers, or of no fixed size")

// CheckType fails for types whose values are more than their bytes.
func CheckType(t reflect.Type) error {
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return nil
	case reflect.Array:
		return CheckType(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if err := CheckType(t.Field(i).Type); err != nil {
				return fmt.Errorf("%w (field %s of %v)", ErrType, t.Field(i).Name, t)
			}
		}
		return nil
	}
	return fmt.Errorf("%w: %v", ErrType, t)
}

// Slice returns n values of T from a byte of the state on, without a copy. T must have
// passed CheckType, and off be a multiple of 8. It is good as long as s is reachable.
func Slice[T any](s *Segment, off, n int) []T {
	var zero T
	state := s.State()
	if n == 0 || off+n*int(unsafe.Sizeof(zero)) > len(state) {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&state[off])), n)
}

// Size returns the bytes of one T.
func Size[T any]() int {
	var zero T
	return int(unsafe.Sizeof(zero))
}

// Bits returns a T of at most 8 bytes as a word, and FromBits the T.
func Bits[T any](v T) (bits uint64) {
	*(*T)(unsafe.Pointer(&bits)) = v
	return bits
}

// FromBits: see Bits.
func FromBits[T any](bits uint64) T { return *(*T)(unsafe.Pointer(&bits)) }

// A Cell is one value of any size that is read and written whole. It lies in a segment
// as a version number and two copies; the version says which is the present one. A
// writer writes the other one and then the version: so a death in between changes
// nothing.
type Cell[T any] struct {
	version *atomic.Uint64
	copies  []T
	guard   *Mutex
}

// CellBytes returns how many bytes of state a Cell takes.
func CellBytes[T any]() int { return 8 + 2*((Size[T]()+7)/8*8) + 8 }

// CellOf returns the Cell in s.
func CellOf[T any](s *Segment) *Cell[T] {
	return &Cell[T]{version: s.Word(0), copies: Slice[T](s, 8, 2), guard: NewMutex(s)}
}

// Load returns the value as one writer left it.
func (c *Cell[T]) Load() T {
	for {
		v := c.version.Load()
		x := c.copies[v&1]
		if c.version.Load() == v {
			return x
		}
	}
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
	v := c.version.Load()
	x, change := f(c.copies[v&1])
	if !change {
		return c.copies[v&1], false, nil
	}
	c.copies[(v+1)&1] = x
	point(PointHeldBefore)
	c.version.Store(v + 1)
	point(PointHeldAfter)
	return x, true, nil
}

// BytesOf returns the bytes of *v.
func BytesOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), Size[T]())
}
