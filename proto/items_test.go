package proto

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

type pair struct{ A, B int }

func itemsThereAndBack[T any](t *testing.T, list []T) {
	t.Helper()
	b, done, err := AppendItems(nil, list)
	if err != nil || done != len(list) {
		t.Fatalf("%T: %d, %v", list, done, err)
	}
	var each []byte
	for _, v := range list {
		p, err := Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		each = append(each, p.Bytes...)
	}
	if string(b) != string(each) {
		t.Errorf("%T: % x, one by one % x", list, b, each)
	}
	got := make([]T, len(list))
	if done, err := ParseItems(b, got); err != nil || done != len(list) || !reflect.DeepEqual(got, list) {
		t.Errorf("%v came back as %v, %d, %v", list, got, done, err)
	}
}

// Elements by hand are those of Marshal, and come back.
func TestItems(t *testing.T) {
	itemsThereAndBack(t, []int{0, 1, 127, 128, 300, 70000, -1, -32, -33, -129, math.MaxInt, math.MinInt})
	itemsThereAndBack(t, []int64{1, -1, math.MinInt64})
	itemsThereAndBack(t, []int32{5, math.MaxInt32, math.MinInt32})
	itemsThereAndBack(t, []uint{0, math.MaxUint})
	itemsThereAndBack(t, []uint64{1, math.MaxUint64})
	itemsThereAndBack(t, []uint32{1, math.MaxUint32})
	itemsThereAndBack(t, []float64{0, 1.5, math.Inf(-1)})
	itemsThereAndBack(t, []string{"", "a", strings.Repeat("x", 300)})
	itemsThereAndBack(t, [][]byte{nil, {}, {1, 2}, make([]byte, 70000)})
	itemsThereAndBack(t, []pair{{1, 2}, {-3, 4}})
	itemsThereAndBack(t, []any{nil, "a", int64(5), []any{true}})
}

// What does not fit is an error that says which element it is.
func TestItemsThatDoNotFit(t *testing.T) {
	b, _, _ := AppendItems(nil, []any{1, 2, "three"})
	if done, err := ParseItems(b, make([]int, 3)); done != 2 || err == nil || !strings.Contains(err.Error(), "element 2") {
		t.Errorf("%d, %v", done, err)
	}
	if done, err := ParseItems(b, make([]string, 3)); done != 0 || err == nil {
		t.Errorf("%d, %v", done, err)
	}
	big, _, _ := AppendItems(nil, []int64{math.MaxInt32 + 1})
	if done, err := ParseItems(big, make([]int32, 1)); done != 0 || err == nil {
		t.Errorf("%d, %v", done, err)
	}
	if done, err := ParseItems(b[:1], make([]int, 2)); done != 1 || err == nil {
		t.Errorf("%d, %v", done, err)
	}
	if _, done, err := AppendItems(nil, []any{1, func() {}}); done != 1 || err == nil {
		t.Errorf("%d, %v", done, err)
	}
}

func BenchmarkItems(b *testing.B) {
	list := make([]int, 4096)
	for i := range list {
		list[i] = i
	}
	var buf []byte
	for b.Loop() {
		buf, _, _ = AppendItems(buf[:0], list)
		if _, err := ParseItems(buf, list); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/4096, "ns/item")
}

// A chunk's results come back with the errors at their places.
func TestChunk(t *testing.T) {
	faults := map[int]*Fault{0: {Kind: "a"}, 3: {Kind: "b"}, 4: {Kind: "c"}}
	b, err := AppendChunk(nil, []int{9, 10, 11, 12, 13, 14}, faults)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]int, 6)
	errs, err := ParseChunk(b, got)
	if err != nil || len(errs) != 3 || !reflect.DeepEqual(got, []int{0, 10, 11, 0, 0, 14}) {
		t.Fatalf("%v, %v, %v", got, errs, err)
	}
	if f, ok := errs[3].(*Fault); !ok || f.Kind != "b" {
		t.Errorf("%v", errs[3])
	}
	b, err = AppendChunk(nil, []any{1, func() {}, "x"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ints := make([]int, 3)
	errs, err = ParseChunk(b, ints)
	if err != nil || len(errs) != 2 || errs[1] == nil || errs[2] == nil || ints[0] != 1 {
		t.Errorf("%v, %v, %v", ints, errs, err)
	}
	for _, bad := range []Raw{nil, {0x90}, {0x92, 0xc0, 0x91, 0x01}, {0x92, 0x81, 0x07, 0xc0, 0x92, 1, 2}, {0x92, 0xc0, 0x92, 1, 2, 3}} {
		if _, err := ParseChunk(bad, make([]int, 2)); err == nil {
			t.Errorf("% x: no error", bad)
		}
	}
}
