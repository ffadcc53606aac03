package ipc

import (
	"bytes"
	"context"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
)

// A wideValue has padding in it, and is larger than a word.
type wideValue struct {
	A    uint8
	B    int64
	C    [3]uint8
	D    float64
	Last bool
}

type sums struct {
	Int   *Value[int64]
	Float *Value[float32]
	Wide  *Value[wideValue]
	Bytes *Array[uint8]
	Words *Array[uint16]
	Reals *Array[float64]
	Plain *Value[int] // changed under its lock
	N     int
}

func init() {
	helpers["adder"] = func(c *Conn) error {
		var s sums
		if err := c.Recv(context.Background(), &s); err != nil {
			return err
		}
		if err := s.add(); err != nil {
			return err
		}
		return c.Send(context.Background(), "added")
	}
}

func (s *sums) add() error {
	for i := range s.N {
		if _, err := Add(s.Int, 1); err != nil {
			return err
		}
		if _, err := Add(s.Float, 0.5); err != nil {
			return err
		}
		v, err := s.Wide.Update(func(v wideValue) wideValue {
			return wideValue{v.A + 1, v.B + 1, [3]uint8{v.A, v.A, v.A}, v.D + 0.5, true}
		})
		if err != nil || int64(v.A) != v.B&0xff || v.D != float64(v.B)/2 {
			return errors.Join(err, errors.New("a torn value"))
		}
		AddAt(s.Bytes, i%3, 1)
		AddAt(s.Words, i%3, 1)
		AddAt(s.Reals, i%3, 1)
		h, err := s.Plain.Lock().Acquire(context.Background())
		if err != nil {
			return err
		}
		s.Plain.Set(s.Plain.Get() + 1)
		if err := h.Release(); err != nil {
			return err
		}
	}
	return nil
}

// Additions by four processes are all there.
func TestValuesAndArraysBetweenProcesses(t *testing.T) {
	checkLeaks(t)
	const procs, n = 4, 3000
	s := sums{
		Int:   mustMake[*Value[int64]](t)(NewValue("", int64(10))),
		Float: mustMake[*Value[float32]](t)(NewValue("", float32(0))),
		Wide:  mustMake[*Value[wideValue]](t)(NewValue("", wideValue{})),
		Bytes: mustMake[*Array[uint8]](t)(NewArray[uint8]("", 3)),
		Words: mustMake[*Array[uint16]](t)(NewArray[uint16]("", 3)),
		Reals: mustMake[*Array[float64]](t)(NewArray[float64]("", 3)),
		Plain: mustMake[*Value[int]](t)(NewValue("", 0)),
		N:     n,
	}
	var all []*child
	for range procs {
		c := start(t, "adder")
		c.send(s)
		all = append(all, c)
	}
	for _, c := range all {
		c.expect("added")
	}
	if got := s.Int.Get(); got != 10+procs*n {
		t.Errorf("int64: %d", got)
	}
	if got := s.Float.Get(); got != procs*n/2 {
		t.Errorf("float32: %v", got)
	}
	if got := s.Wide.Get(); got.B != procs*n {
		t.Errorf("struct: %v", got)
	}
	if got := s.Plain.Get(); got != procs*n {
		t.Errorf("under the lock: %d", got)
	}
	for i := range 3 {
		a, b, c := s.Bytes.Get(i), s.Words.Get(i), s.Reals.Get(i)
		if a != uint8(procs*n/3%256) || b != procs*n/3 || c != procs*n/3 {
			t.Errorf("element %d: %d, %d, %v", i, a, b, c)
		}
	}
}

func swaps[T comparable](t *testing.T, old, next T) {
	t.Helper()
	v := mustMake[*Value[T]](t)(NewValue("", old))
	if v.Get() != old && old == old {
		t.Fatalf("%T: %v, expected %v", old, v.Get(), old)
	}
	if ok, err := v.CompareAndSwap(next, old); ok || err != nil {
		t.Fatalf("%T: swapped %v, which was %v: %v", old, next, old, err)
	}
	if ok, err := v.CompareAndSwap(old, next); !ok || err != nil || v.Get() != next {
		t.Fatalf("%T: not swapped: %v, %v", old, v.Get(), err)
	}
	if err := v.Set(old); err != nil || v.Get() != old && old == old {
		t.Fatalf("%T: set: %v, %v", old, v.Get(), err)
	}
}

func TestValueTypes(t *testing.T) {
	swaps(t, false, true)
	swaps(t, int8(-1), 3)
	swaps(t, uint16(1), 3)
	swaps(t, int32(math.MinInt32), 3)
	swaps(t, 1, 3)
	swaps(t, uint64(math.MaxUint64), 3)
	swaps(t, float32(1.5), 3)
	swaps(t, math.Copysign(0, -1), 3)
	swaps(t, math.NaN(), 3)
	swaps(t, complex(1, 2), 3)
	swaps(t, [3]uint8{1, 2, 3}, [3]uint8{3})
	swaps(t, [100]int{99: 1}, [100]int{3})
	swaps(t, struct {
		A uint8
		B uint16
	}{1, 2}, struct {
		A uint8
		B uint16
	}{3, 4})
	swaps(t, wideValue{A: 1, D: 5}, wideValue{Last: true})
}

// What is between the fields of a struct is no part of it.
func TestCompareAndSwapIgnoresPadding(t *testing.T) {
	dirty := func(v wideValue, with byte) wideValue {
		b := shm.BytesOf(&v)
		for _, i := range []int{1, 7, 19, 23, 33, 39} {
			b[i] = with
		}
		return v
	}
	want := wideValue{A: 1, B: 2, C: [3]uint8{3, 4, 5}, D: 6, Last: true}
	v := mustMake[*Value[wideValue]](t)(NewValue("", dirty(want, 0xaa)))
	if ok, err := v.CompareAndSwap(dirty(want, 0x55), wideValue{}); !ok || err != nil {
		t.Fatalf("a large one: %v, %v", ok, err)
	}
	type small struct {
		A uint8
		B uint32
	}
	x := small{1, 2}
	w := mustMake[*Value[small]](t)(NewValue("", x))
	shm.BytesOf(&x)[2] = 0xaa
	if ok, err := w.CompareAndSwap(x, small{}); !ok || err != nil {
		t.Fatalf("a small one: %v, %v", ok, err)
	}
}

func TestTypesThatCannotBeShared(t *testing.T) {
	refused := func(err error) {
		t.Helper()
		if !errors.Is(err, shm.ErrType) {
			t.Errorf("%v", err)
		}
	}
	_, err := NewValue("", "text")
	refused(err)
	_, err = NewValue("", []int{})
	refused(err)
	_, err = NewValue("", struct{ P *int }{})
	refused(err)
	_, err = NewValue("", struct{}{})
	refused(err)
	_, err = NewArray[map[string]int]("", 1)
	refused(err)
	_, err = NewArray[[0]int]("", 1)
	refused(err)
	for _, n := range []int{-1, 0, math.MaxInt} {
		if _, err := NewArray[int64]("", n); err == nil {
			t.Errorf("an array of %d", n)
		}
		if _, err := NewSharedMemory(n); err == nil {
			t.Errorf("shared memory of %d bytes", n)
		}
	}
}

// A process may have a value already that arrives again with something wrong about it:
// the one it has stays good.
func TestValueThatArrivesWrong(t *testing.T) {
	checkLeaks(t)
	v := mustMake[*Value[int64]](t)(NewValue("", int64(7)))
	h, fds, err := v.EncodeHandle()
	if err != nil {
		t.Fatal(err)
	}
	CloseFDs(fds[1:])
	other := mustMake[*SharedMemory](t)(NewSharedMemory(10))
	_, more, err := other.EncodeHandle()
	if err != nil {
		t.Fatal(err)
	}
	var again Value[int64]
	if err := again.DecodeHandle(h, append(fds[:1], more...)); !errors.Is(err, ErrForeign) {
		t.Fatalf("with another thing for a lock: %v", err)
	}
	if _, fds, err := v.EncodeHandle(); err != nil {
		t.Fatalf("the value is gone: %v", err)
	} else {
		CloseFDs(fds)
	}
	if again.Get() != 0 || again.Set(1) != ErrClosed {
		t.Fatal("what did not arrive is of use")
	}
}

// After Close a value of any size can be read, and not changed.
func TestValueAfterClose(t *testing.T) {
	small := mustMake[*Value[int64]](t)(NewValue("", int64(7)))
	large := mustMake[*Value[wideValue]](t)(NewValue("", wideValue{B: 7}))
	small.Close()
	large.Close()
	_, add := Add(small, 1)
	_, swap := small.CompareAndSwap(7, 8)
	_, update := large.Update(func(v wideValue) wideValue { return v })
	_, swapLarge := large.CompareAndSwap(wideValue{B: 7}, wideValue{})
	for i, err := range []error{small.Set(8), add, swap, large.Set(wideValue{}), update, swapLarge} {
		if err != ErrClosed {
			t.Errorf("change %d after Close: %v", i, err)
		}
	}
	if small.Get() != 7 || large.Get().B != 7 {
		t.Errorf("the values are %d and %v", small.Get(), large.Get())
	}
}

func TestArrayInPlace(t *testing.T) {
	checkLeaks(t)
	a := mustMake[*Array[wideValue]](t)(NewArray[wideValue]("", 1000))
	s := a.Slice()
	if len(s) != 1000 || a.Len() != 1000 {
		t.Fatalf("%d elements", len(s))
	}
	s[999].B = 5
	var again Array[wideValue]
	if err := travel(t, a, &again); err != nil {
		t.Fatal(err)
	}
	if &again.Slice()[0] != &s[0] || again.Get(999).B != 5 {
		t.Fatal("not the same memory")
	}
	a.Set(0, wideValue{D: 1})
	if s[0].D != 1 || a.Update(0, func(v wideValue) wideValue { v.D++; return v }).D != 2 {
		t.Fatalf("element 0: %v", s[0])
	}
	b := mustMake[*Array[int8]](t)(NewArray[int8]("", 9))
	for i := range b.Len() {
		b.Set(i, int8(-i))
	}
	if CompareAndSwapAt(b, 5, 5, 0) || !CompareAndSwapAt(b, 5, -5, 50) {
		t.Fatal("compare and swap")
	}
	if !bytes.Equal(shm.BytesOf((*[9]int8)(b.Slice())), []byte{0, 255, 254, 253, 252, 50, 250, 249, 248}) {
		t.Fatalf("%v", b.Slice())
	}
}

func init() {
	helpers["memory"] = func(c *Conn) error {
		for {
			var m SharedMemory
			if err := c.Recv(context.Background(), &m); err != nil {
				return err
			}
			m.Bytes()[0]++
			n, err := mapsOf("multiproc-block")
			if err != nil {
				return err
			}
			if err := c.Send(context.Background(), n); err != nil {
				return err
			}
			runtime.KeepAlive(&m)
		}
	}
}

// PROGRAMS Q9: 100 MB pass as a descriptor. It is mapped once, however often it arrives,
// and gone with its last user.
func TestSharedMemory(t *testing.T) {
	checkLeaks(t)
	before, err := mapsOf("multiproc-block")
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewSharedMemory(100e6)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Bytes()) != 100e6 || cap(m.Bytes()) != 100e6 {
		t.Fatalf("%d bytes", len(m.Bytes()))
	}
	c := start(t, "memory")
	var keep []*SharedMemory
	for range 10 {
		c.send(m)
		if n := recv[int](c); n != 1 {
			t.Fatalf("%d mappings in the other process", n)
		}
		again := new(SharedMemory)
		if err := travel(t, m, again); err != nil {
			t.Fatal(err)
		}
		keep = append(keep, again)
	}
	for _, again := range keep {
		if got := again.Bytes()[0]; got != 10 || &again.Bytes()[0] != &m.Bytes()[0] {
			t.Fatalf("the byte is %d", got)
		}
	}
	m.Close()
	if _, _, err := m.EncodeHandle(); err != ErrClosed {
		t.Fatalf("passed on after Close: %v", err)
	}
	m.Bytes()[1] = 1 // still there
	m, keep = nil, nil
	until(t, "the memory is unmapped", func() bool {
		collect()
		n, err := mapsOf("multiproc-block")
		return err == nil && n <= before
	})
	var foreign SharedMemory
	if err := foreign.DecodeHandle(handleOf(t, mustMake[*Block](t)(NewBlock(1)))); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "shared memory") {
		t.Fatalf("a block as shared memory: %v", err)
	}
	if foreign.Bytes() != nil {
		t.Fatal("bytes of nothing")
	}
}
