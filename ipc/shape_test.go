package ipc

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

// travel sends from to into, as a message does.
func travel(t *testing.T, from, into any) error {
	t.Helper()
	p, err := proto.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	left, err := proto.Unmarshal(p, into, proto.Limits{})
	CloseFDs(left)
	return err
}

func mustMake[T io.Closer](t *testing.T) func(v T, err error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if q, ok := any(v).(interface{ Detach() error }); ok {
				q.Detach()
			}
			v.Close()
		})
		return v
	}
}

func TestShapes(t *testing.T) {
	type long struct {
		A, B, C, D [3]struct{ X, Y, Z, U, V, W float64 }
	}
	for got, want := range map[string]string{
		shapeOf[int](): "int64", shapeOf[int64](): "int64", shapeOf[uint](): "uint64", shapeOf[bool](): "bool",
		shapeOf[struct {
			Age  uint8
			At   [2]float32
			Name [4]byte
		}](): "{uint8 [2]float32 [4]uint8}",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if s := shapeOf[long](); len(s) > maxShape+20 || !strings.Contains(s, "… ") {
		t.Errorf("got %s", s)
	}
}

// What is a float64 there does not arrive as an int64 here, though both have 8 bytes.
func TestShapeMustFit(t *testing.T) {
	checkLeaks(t)
	v := mustMake[*Value[float64]](t)(NewValue("v", 1.5))
	a := mustMake[*Array[byte]](t)(NewArray[byte]("a", 8))
	q := mustMake[*Queue[int]](t)(NewQueue[int](QueueOptions{}))
	for want, try := range map[string]error{
		"a value of float64, expected int64":                     travel(t, v, new(Value[int])),
		"an array of uint8, expected int8":                       travel(t, a, new(Array[int8])),
		"a queue, not a joinable one":                            travel(t, q, new(JoinableQueue[int])),
		"expected a value (kind 9, 2 descriptors), found kind 1": travel(t, v.Lock(), new(Value[int])),
	} {
		if !errors.Is(try, ErrForeign) || !strings.Contains(try.Error(), want) {
			t.Errorf("got %v, want %s", try, want)
		}
	}
	type weight float64
	var same Value[weight]
	if err := travel(t, v, &same); err != nil || same.Get() != 1.5 {
		t.Errorf("got %v, %v", same.Get(), err)
	}
	same.Close()
}

// Where no Go type says what is wanted, the handle does.
func TestAnyHandle(t *testing.T) {
	for want, v := range map[string]any{
		"*ipc.Value[int64]":                mustMake[*Value[int]](t)(NewValue("v", 7)),
		"*ipc.Value[float64]":              mustMake[*Value[float64]](t)(NewValue("v", 1.5)),
		"*ipc.Array[int64]":                mustMake[*Array[int64]](t)(NewArray[int64]("a", 3)),
		"*ipc.Array[float64]":              mustMake[*Array[float64]](t)(NewArray[float64]("a", 3)),
		"*ipc.Array[uint8]":                mustMake[*Array[byte]](t)(NewArray[byte]("a", 3)),
		"*ipc.Queue[interface {}]":         mustMake[*Queue[string]](t)(NewQueue[string](QueueOptions{})),
		"*ipc.JoinableQueue[interface {}]": mustMake[*JoinableQueue[string]](t)(NewJoinableQueue[string](QueueOptions{})),
		"*ipc.RLock":                       mustMake[*RLock](t)(NewRLock("")),
		"*ipc.Semaphore":                   mustMake[*Semaphore](t)(NewSemaphore(SemaphoreOptions{})),
		"*ipc.Event":                       mustMake[*Event](t)(NewEvent("")),
		"*ipc.Condition":                   mustMake[*Condition](t)(NewCondition("", nil)),
		"*ipc.Barrier":                     mustMake[*Barrier](t)(NewBarrier("", 2)),
		"*ipc.SharedMemory":                mustMake[*SharedMemory](t)(NewSharedMemory(10)),
	} {
		var got any
		if err := travel(t, v, &got); err != nil || fmt.Sprintf("%T", got) != want {
			t.Errorf("%T arrives as %T, %v; want %s", v, got, err, want)
		}
	}
	var n any
	if err := travel(t, mustMake[*Value[uint8]](t)(NewValue("v", uint8(1))), &n); !errors.Is(err, ErrForeign) {
		t.Errorf("got %T, %v; want an error, since nothing says what it is", n, err)
	}
}
