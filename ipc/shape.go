package ipc

import (
	"fmt"
	"hash/fnv"
	"reflect"
	"strings"

	"github.com/seed-185a7250/multiproc/proto"
)

// The meta of a value or an array is the shape of its T: the types of its numbers without the names that a program gives
// them, such as int64, [3]float64 or {float64 [4]uint8}. By its size alone, what is written as a float64 could be read as
// an int64. No meta fits all.

// maxShape is the longest meta that is written out; a longer one ends with its hash.
const maxShape = 120

// shapeOf returns the shape of T.
func shapeOf[T any]() string {
	s := shape(reflect.TypeFor[T]())
	if len(s) <= maxShape {
		return s
	}
	h := fnv.New64a()
	h.Write([]byte(s))
	return fmt.Sprintf("%s… %x", s[:maxShape], h.Sum64())
}

func shape(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int: // of 64 bits wherever this package compiles
		return "int64"
	case reflect.Uint:
		return "uint64"
	case reflect.Array:
		return fmt.Sprintf("[%d]%s", t.Len(), shape(t.Elem()))
	case reflect.Struct:
		fields := make([]string, t.NumField())
		for i := range fields {
			fields[i] = shape(t.Field(i).Type)
		}
		return "{" + strings.Join(fields, " ") + "}"
	}
	return t.Kind().String()
}

// checkShape refuses a handle whose T is another one.
func checkShape[T any](h proto.Handle, kind uint8, what string) error {
	if want := shapeOf[T](); h.Kind == kind && len(h.Meta) > 0 && string(h.Meta) != want {
		return fmt.Errorf("%w: %s of %s, expected %s", ErrForeign, what, h.Meta, want)
	}
	return nil
}

// Where nothing says what T is, a number is an int64 or a float64, an array has such elements, and a queue takes anything.
func init() {
	proto.RegisterHandle(handleValue, func(h proto.Handle, fds []int) (any, error) {
		if string(h.Meta) == "float64" {
			return opener[Value[float64]](h, fds)
		}
		return opener[Value[int64]](h, fds)
	})
	proto.RegisterHandle(handleArray, func(h proto.Handle, fds []int) (any, error) {
		switch string(h.Meta) {
		case "float64":
			return opener[Array[float64]](h, fds)
		case "uint8":
			return opener[Array[byte]](h, fds)
		}
		return opener[Array[int64]](h, fds)
	})
	proto.RegisterHandle(handleQueue, func(h proto.Handle, fds []int) (any, error) {
		x, err := openQueue(h, fds)
		if err != nil {
			return nil, err
		}
		q := Queue[any]{x: x}
		if q.x.Joinable() {
			return &JoinableQueue[any]{Queue: q}, nil
		}
		return &q, nil
	})
}
