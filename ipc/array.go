package ipc

import (
	"fmt"
	"reflect"
	"runtime"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
	"github.com/seed-185a7250/multiproc/proto"
)

// An Array is a fixed number of T in shared memory, T as for Value. Its elements can be
// used in place, as a slice. A number or a boolean is read and changed whole by the
// methods of the array; for a larger element, and for more than one step, there is the
// Lock.
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
	if n < 1 || n > 1<<40/shm.Size[T]() {
		return nil, fmt.Errorf("ipc: array of %d elements of %d bytes, expected at least 1, and at most 1 TiB", n, shm.Size[T]())
	}
	s, lock, err := newWithLock(name, 0, arrayHead+n*shm.Size[T]())
	if err != nil {
		return nil, fmt.Errorf("ipc: new array: %w", err)
	}
	s.Word(0).Store(uint64(n))
	s.Word(1).Store(uint64(shm.Size[T]()))
	a := &Array[T]{s: s, lock: lock}
	return a, a.open()
}

// arrayHead is what lies before the elements: their number and their size.
const arrayHead = 16

func (a *Array[T]) open() error {
	n, size := a.s.Word(0).Load(), a.s.Word(1).Load()
	if size != uint64(shm.Size[T]()) || n > 1<<40 {
		return fmt.Errorf("%w: an array of %d elements of %d bytes, expected elements of %d", ErrForeign, n, size, shm.Size[T]())
	}
	if a.list = shm.Slice[T](a.s, arrayHead, int(n)); a.list == nil {
		return fmt.Errorf("%w: an array of %d elements of %d bytes in a segment that is smaller", ErrForeign, n, size)
	}
	return nil
}

// Slice returns the elements themselves. It is good as long as a is reachable: keep a,
// not only the slice.
func (a *Array[T]) Slice() []T { return a.list }

// Len returns the number of elements.
func (a *Array[T]) Len() int { return len(a.list) }

// Get returns element i.
func (a *Array[T]) Get(i int) T {
	defer runtime.KeepAlive(a)
	if shm.Atomic[T]() {
		return shm.LoadElement(&a.list[i])
	}
	return a.list[i]
}

// Set replaces element i.
func (a *Array[T]) Set(i int, x T) { a.Update(i, func(T) T { return x }) }

// Update replaces element i by what f makes of it, and returns that. f may be called
// several times and must do nothing else.
func (a *Array[T]) Update(i int, f func(T) T) T {
	defer runtime.KeepAlive(a)
	if !shm.Atomic[T]() {
		a.list[i] = f(a.list[i])
		return a.list[i]
	}
	for p := &a.list[i]; ; {
		old := shm.LoadElement(p)
		if x := f(old); shm.SwapElement(p, old, x) {
			return x
		}
	}
}

// CompareAndSwapAt replaces a number or a boolean if it is old, bit for bit, and tells
// whether it was.
func CompareAndSwapAt[T Number | ~bool](a *Array[T], i int, old, x T) bool {
	defer runtime.KeepAlive(a)
	return shm.SwapElement(&a.list[i], old, x)
}

// AddAt adds to a number in one step and returns the sum.
func AddAt[T Number](a *Array[T], i int, delta T) T {
	return a.Update(i, func(x T) T { return x + delta })
}

// Lock returns a lock that belongs to the array. Nothing enforces it.
func (a *Array[T]) Lock() *Lock { return a.lock }

// Close ends the use of the array and its lock in this process. The elements stay as
// long as a is reachable. Closing twice is fine.
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
	if a.s, a.lock, err = decodeWithLock(h, fds, handleArray, "array", arrayHead); err != nil {
		return err
	}
	return a.open()
}
