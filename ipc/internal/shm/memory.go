package shm

import (
	"errors"
	"fmt"
	"reflect"
	"unsafe"
)

// ErrType: a type that cannot lie in shared memory.
var ErrType = errors.New("shm: type with pointers, or of no fixed size")

// CheckType fails for types whose values are more than their bytes, or have none.
func CheckType(t reflect.Type) error {
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return nil
	case reflect.Array:
		if t.Size() > 0 {
			return CheckType(t.Elem())
		}
	case reflect.Struct:
		for i := range t.NumField() {
			if err := CheckType(t.Field(i).Type); err != nil {
				return fmt.Errorf("%w (field %s of %v)", ErrType, t.Field(i).Name, t)
			}
		}
		if t.Size() > 0 {
			return nil
		}
	}
	return fmt.Errorf("%w: %v", ErrType, t)
}

// A Layout says which bytes of a T are its fields; those between them (padding) are
// whatever was in memory before, and must not take part in a comparison.
type Layout[T any] struct {
	spans [][2]int // begin and end; nil: all bytes
}

// LayoutOf returns the layout of T, which must have passed CheckType.
func LayoutOf[T any]() Layout[T] {
	spans := spansOf(reflect.TypeFor[T](), 0, nil)
	if len(spans) == 1 {
		return Layout[T]{}
	}
	return Layout[T]{spans}
}

// spansOf appends the bytes of a t at an offset, in one piece with those before if they
// touch.
func spansOf(t reflect.Type, off int, spans [][2]int) [][2]int {
	switch t.Kind() {
	case reflect.Array:
		for i := range t.Len() {
			spans = spansOf(t.Elem(), off+i*int(t.Elem().Size()), spans)
		}
		return spans
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			spans = spansOf(f.Type, off+int(f.Offset), spans)
		}
		return spans
	}
	end := off + int(t.Size())
	if n := len(spans); n > 0 && spans[n-1][1] == off {
		spans[n-1][1] = end
		return spans
	}
	return append(spans, [2]int{off, end})
}

// Copy copies the bytes of *v to b, and 0 for the padding.
func (l Layout[T]) Copy(b []byte, v *T) {
	from := BytesOf(v)
	if l.spans == nil {
		copy(b, from)
		return
	}
	clear(b)
	for _, s := range l.spans {
		copy(b[s[0]:s[1]], from[s[0]:s[1]])
	}
}

// Bits returns a T of at most 8 bytes as a word, and FromBits the T.
func (l Layout[T]) Bits(v T) (bits uint64) {
	if l.spans == nil {
		*(*T)(unsafe.Pointer(&bits)) = v
		return bits
	}
	l.Copy(BytesOf(&bits), &v)
	return bits
}

// FromBits: see Layout.Bits.
func FromBits[T any](bits uint64) T { return *(*T)(unsafe.Pointer(&bits)) }

// Slice returns n values of T from a byte of the state on, without a copy, nil if there
// are not as many. T must have passed CheckType, and off be a multiple of 16. It is good
// as long as s is reachable.
func Slice[T any](s *Segment, off, n int) []T {
	state := s.State()
	if n < 1 || n > (len(state)-off)/Size[T]() {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&state[off])), n)
}

// Size returns the bytes of one T.
func Size[T any]() int {
	var zero T
	return int(unsafe.Sizeof(zero))
}

// BytesOf returns the bytes of *v.
func BytesOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), Size[T]())
}
