package ipc

import (
	"fmt"
	"reflect"
	"runtime"

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
// each other, its readers for nobody. The zero Value is of use only to be decoded into.
type Value[T any] struct {
	s      *shm.Segment
	cell   *shm.Cell[T] // for a large T
	layout shm.Layout[T]
	lock   *Lock
}

// NewValue creates a value. The name is for people. It returns an error for a T that
// has pointers, strings, slices or maps in it.
func NewValue[T any](name string, initial T) (*Value[T], error) {
	if err := shm.CheckType(reflect.TypeFor[T]()); err != nil {
		return nil, fmt.Errorf("ipc: new value: %w", err)
	}
	s, lock, err := newWithLock(name, shm.MaxSlots, shm.CellBytes[T]())
	if err != nil {
		return nil, fmt.Errorf("ipc: new value: %w", err)
	}
	v := &Value[T]{s: s, lock: lock}
	v.open()
	return v, v.Set(initial)
}

func (v *Value[T]) open() {
	v.layout = shm.LayoutOf[T]()
	if shm.Size[T]() > 8 {
		v.cell = shm.CellOf[T](v.s)
	}
}

// Get returns the value, also after Close.
func (v *Value[T]) Get() (x T) {
	switch {
	case v.cell != nil:
		x = v.cell.Load()
	case v.s != nil:
		x = shm.FromBits[T](v.s.Word(0).Load())
	}
	runtime.KeepAlive(v)
	return x
}

// Set replaces the value. Like all that changes it, it returns ErrClosed after Close.
func (v *Value[T]) Set(x T) error {
	if v.cell == nil && v.s != nil && !v.s.Closed() {
		v.s.Word(0).Store(v.layout.Bits(x))
		runtime.KeepAlive(v)
		return nil
	}
	_, err := v.Update(func(T) T { return x })
	return err
}

// Update replaces the value by what f makes of it, in one step, and returns that. f may
// be called several times and must do nothing else.
func (v *Value[T]) Update(f func(T) T) (T, error) {
	if v.s == nil || v.s.Closed() {
		var zero T
		return zero, ErrClosed
	}
	if v.cell != nil {
		x, _, err := v.cell.Update(func(old T) (T, bool) { return f(old), true })
		return x, named(err)
	}
	defer runtime.KeepAlive(v)
	w := v.s.Word(0)
	for {
		old := w.Load()
		x := f(shm.FromBits[T](old))
		if w.CompareAndSwap(old, v.layout.Bits(x)) {
			return x, nil
		}
	}
}

// CompareAndSwap replaces the value by x if it is old, byte for byte (so 0.0 is not
// −0.0, and a NaN is itself), and tells whether it was.
func (v *Value[T]) CompareAndSwap(old, x T) (bool, error) {
	if v.s == nil || v.s.Closed() {
		return false, ErrClosed
	}
	if v.cell == nil {
		defer runtime.KeepAlive(v)
		return v.s.Word(0).CompareAndSwap(v.layout.Bits(old), v.layout.Bits(x)), nil
	}
	_, swapped, err := v.cell.Update(func(now T) (T, bool) { return x, v.cell.Equal(now, old) })
	return swapped, named(err)
}

// Add adds to a number in one step and returns the sum.
func Add[T Number](v *Value[T], delta T) (T, error) {
	return v.Update(func(x T) T { return x + delta })
}

// Lock returns a lock that belongs to the value, for changes that take more than one
// step. Nothing enforces it.
func (v *Value[T]) Lock() *Lock { return v.lock }

// Close ends the use of the value and its lock in this process. Closing twice is fine.
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
