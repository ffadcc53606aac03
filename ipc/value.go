package ipc

import (
	"bytes"
	"fmt"
	"reflect"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
	"github.com/seed-185a7250/multiproc/proto"
)

// Number is what Add can add.
type Number interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~float32 | ~float64
}

// A Value is one T in shared memory, read and written whole: a T of numbers, booleans,
// and arrays and structs of them. Up to 8 bytes it is one atomic word. A larger one is
// written beside the old one and then takes its place in one step; its writers wait for
// each other, its readers for nobody.
type Value[T any] struct {
	s    *shm.Segment
	cell *shm.Cell[T] // for a large T
	lock *Lock
}

// NewValue creates a value. The name is for people. It returns an error for a T that
// has pointers, strings, slices or maps in it.
func NewValue[T any](name string, initial T) (*Value[T], error) {
	if err := shm.CheckType(reflect.TypeFor[T]()); err != nil {
		return nil, fmt.Errorf("ipc: new value: %w", err)
	}
	s, err := shm.Create(shm.Config{Kind: shm.KindArray, Name: name, Slots: shm.MaxSlots, Bytes: shm.CellBytes[T]()}, plainSegment)
	if err != nil {
		return nil, fmt.Errorf("ipc: new value: %w", err)
	}
	lock, err := NewLock(LockOptions{Name: name})
	if err != nil {
		s.Close()
		return nil, err
	}
	v := &Value[T]{s: s, lock: lock}
	v.open()
	return v, v.Set(initial)
}

func plainSegment(*shm.Segment) any { return nil }

func (v *Value[T]) open() {
	if shm.Size[T]() > 8 {
		v.cell = shm.CellOf[T](v.s)
	}
}

// Get returns the value.
func (v *Value[T]) Get() T {
	if v.cell != nil {
		return v.cell.Load()
	}
	return shm.FromBits[T](v.s.Word(0).Load())
}

// Set replaces the value.
func (v *Value[T]) Set(x T) error {
	if v.cell == nil {
		v.s.Word(0).Store(shm.Bits(x))
		return nil
	}
	_, _, err := v.cell.Update(func(T) (T, bool) { return x, true })
	return named(err)
}

// Update replaces the value by what f makes of it, in one step, and returns that. f may
// be called several times and must do nothing else.
func (v *Value[T]) Update(f func(T) T) (T, error) {
	if v.cell != nil {
		x, _, err := v.cell.Update(func(old T) (T, bool) { return f(old), true })
		return x, named(err)
	}
	w := v.s.Word(0)
	for {
		old := w.Load()
		x := f(shm.FromBits[T](old))
		if w.CompareAndSwap(old, shm.Bits(x)) {
			return x, nil
		}
	}
}

// CompareAndSwap replaces the value by x if it is old, byte for byte, and tells
// whether it was.
func (v *Value[T]) CompareAndSwap(old, x T) (bool, error) {
	if v.cell == nil {
		return v.s.Word(0).CompareAndSwap(shm.Bits(old), shm.Bits(x)), nil
	}
	_, swapped, err := v.cell.Update(func(now T) (T, bool) {
		return x, bytes.Equal(shm.BytesOf(&now), shm.BytesOf(&old))
	})
	return swapped, named(err)
}

// Add adds to a number in one step and returns the sum.
func Add[T Number](v *Value[T], delta T) (T, error) {
	return v.Update(func(x T) T { return x + delta })
}

// Lock returns a lock that belongs to the value, for changes that take more than one
// step. Nothing enforces it.
func (v *Value[T]) Lock() *Lock { return v.lock }

// Close ends the use of the value and its lock in this process. What Get returns
// afterwards is still the value.
func (v *Value[T]) Close() error {
	if v.s != nil {
		v.s.Close()
		v.lock.Close()
	}
	return nil
}

// EncodeHandle implements proto.HandleEncoder.
func (v *Value[T]) EncodeHandle() (proto.Handle, []int, error) {
	return encodeWithLock(proto.Handle{Kind: handleValue, Meta: []byte(shapeOf[T]())}, v.s, v.lock)
}

// DecodeHandle implements proto.HandleDecoder. It returns ErrForeign if the value is of
// a type of another shape: other numbers, or in another order.
func (v *Value[T]) DecodeHandle(h proto.Handle, fds []int) (err error) {
	if err := checkShape[T](h, handleValue, "a value"); err != nil {
		CloseFDs(fds)
		return err
	}
	v.s, v.lock, err = decodeWithLock(h, fds, handleValue, "value", shm.CellBytes[T]())
	if err == nil {
		v.open()
	}
	return err
}

// An Array is a fixed number of T in shared memory, T as for Value. Its elements are
// used in place, as a slice. An element of up to 8 bytes is read and written whole;
// beyond that, and for more than one step, there is the Lock.
type Array[T any] struct {
	s    *shm.Segment
	list []T
	lock *Lock
}

// NewArray creates an array of n elements, all zero. The name is for people.
func NewArray[T any](name string, n int) (*Array[T], error) {
	if err := shm.CheckType(reflect.TypeFor[T]()); err != nil {
		return nil, fmt.Errorf("ipc: new array: %w", err)
	}
	if n < 1 {
		return nil, fmt.Errorf("ipc: array of %d elements, expected at least 1", n)
	}
	bytes := 16 + n*shm.Size[T]()
	s, err := shm.Create(shm.Config{Kind: shm.KindArray, Name: name, Slots: 0, Bytes: bytes}, plainSegment)
	if err != nil {
		return nil, fmt.Errorf("ipc: new array: %w", err)
	}
	lock, err := NewLock(LockOptions{Name: name})
	if err != nil {
		s.Close()
		return nil, err
	}
	s.Word(0).Store(uint64(n))
	s.Word(1).Store(uint64(shm.Size[T]()))
	a := &Array[T]{s: s, lock: lock}
	return a, a.open()
}

func (a *Array[T]) open() error {
	n, size := a.s.Word(0).Load(), a.s.Word(1).Load()
	if size != uint64(shm.Size[T]()) || n > 1<<40 {
		return fmt.Errorf("%w: an array of %d elements of %d bytes, expected elements of %d", ErrForeign, n, size, shm.Size[T]())
	}
	if a.list = shm.Slice[T](a.s, 16, int(n)); a.list == nil {
		return fmt.Errorf("%w: an array of %d elements of %d bytes in a segment that is smaller", ErrForeign, n, size)
	}
	return nil
}

// Slice returns the elements themselves. It is good as long as a is reachable: keep a,
// not only the slice.
func (a *Array[T]) Slice() []T { return a.list }

// Len returns the number of elements.
func (a *Array[T]) Len() int { return len(a.list) }

// Get returns element i, Set replaces it.
func (a *Array[T]) Get(i int) T { return a.list[i] }

// Set: see Get.
func (a *Array[T]) Set(i int, x T) { a.list[i] = x }

// Lock returns a lock that belongs to the array. Nothing enforces it.
func (a *Array[T]) Lock() *Lock { return a.lock }

// Close ends the use of the array and its lock in this process. The elements stay
// readable as long as a is reachable.
func (a *Array[T]) Close() error {
	if a.s != nil {
		a.s.Close()
		a.lock.Close()
	}
	return nil
}

// EncodeHandle implements proto.HandleEncoder.
func (a *Array[T]) EncodeHandle() (proto.Handle, []int, error) {
	return encodeWithLock(proto.Handle{Kind: handleArray, Meta: []byte(shapeOf[T]())}, a.s, a.lock)
}

// DecodeHandle implements proto.HandleDecoder. It returns ErrForeign if the elements are
// of another shape; see Value.
func (a *Array[T]) DecodeHandle(h proto.Handle, fds []int) (err error) {
	if err := checkShape[T](h, handleArray, "an array"); err != nil {
		CloseFDs(fds)
		return err
	}
	if a.s, a.lock, err = decodeWithLock(h, fds, handleArray, "array", 16); err != nil {
		return err
	}
	if err = a.open(); err != nil {
		a.Close()
	}
	return err
}

// SharedMemory is a block of bytes that processes share, of a fixed size. The kernel
// frees it with its last user.
type SharedMemory struct{ b *shm.Block }

// NewSharedMemory creates a block of size bytes, all zero; the kernel gives memory to
// the pages that are used.
func NewSharedMemory(size int) (*SharedMemory, error) {
	if size < 1 {
		return nil, fmt.Errorf("ipc: shared memory of %d bytes, expected at least 1", size)
	}
	b, err := shm.NewBlockBytes(size)
	if err != nil {
		return nil, fmt.Errorf("ipc: new shared memory: %w", err)
	}
	return &SharedMemory{b: b}, nil
}

// Bytes returns the memory itself. It is good as long as m is reachable: keep m, not
// only the slice.
func (m *SharedMemory) Bytes() []byte { return m.b.Bytes() }

// Close gives up the descriptor; the bytes stay as long as m is reachable.
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
	return h, append(fds, more...), err
}

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
		s.Close()
		return nil, nil, err
	}
	if len(s.State()) < least {
		s.Close()
		lock.Close()
		return nil, nil, fmt.Errorf("%w: a %s of at most %d bytes, expected %d", ErrForeign, what, len(s.State()), least)
	}
	return s, lock, nil
}
