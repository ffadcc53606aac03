package proto

import (
	"bytes"
	"errors"
	"testing"
)

// What the functions on values promise about any two of them, which were scanned and no more.
func FuzzValues(f *testing.F) {
	var some [][]byte
	seeds(f, func(b []byte) {
		if len(b) < 40 && Scan(b, Limits{}) == nil {
			some = append(some, b)
		}
	})
	for _, row := range sameValues(f) {
		for _, v := range row {
			some = append(some, v)
			f.Add([]byte(v), []byte(row[0]))
		}
	}
	for i, a := range some {
		f.Add(a, some[(i*7+1)%len(some)])
	}
	f.Add([]byte("\x83\x01\x01\x01\x01\x02\x02"), []byte("\x83\x02\x02\x01\x01\x03\x03"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if Scan(a, Limits{}) != nil || Scan(b, Limits{}) != nil {
			return
		}
		nan := hasNaN(a) || hasNaN(b)
		equal := Equal(a, b)
		if equal != Equal(b, a) || !nan && (!Equal(a, a) || bytes.Equal(a, b) && !equal) {
			t.Fatalf("%x and %x: equal %t, the other way round %t, the first to itself %t", a, b, equal, Equal(b, a), Equal(a, a))
		}
		fuzzKeys(t, a, b, equal, nan)
		fuzzOrder(t, a, b, equal, nan)
		fuzzSum(t, a, b)
		fuzzAlone(t, a)
	})
}

func fuzzKeys(t *testing.T, a, b []byte, equal, nan bool) {
	k, err := AppendKey(nil, a)
	l, err2 := AppendKey(nil, b)
	if err != nil && !errors.Is(err, ErrKey) && !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
	if err != nil || err2 != nil {
		return
	}
	if again, err := AppendKey(nil, k); err != nil || !bytes.Equal(k, again) || !nan && !Equal(k, a) {
		t.Fatalf("%x has key %x, and that %x, %v", a, k, again, err)
	}
	if same := bytes.Equal(k, l); same != equal && (!nan || equal) {
		t.Fatalf("%x and %x: equal %t, keys %x and %x", a, b, equal, k, l)
	}
	if ScanDeep(a, Limits{}) == nil && ScanDeep(k, Limits{}) != nil {
		t.Fatalf("%x has a bad key %x", a, k)
	}
}

func fuzzOrder(t *testing.T, a, b []byte, equal, nan bool) {
	c, err := Compare(a, b)
	d, err2 := Compare(b, a)
	if c != -d || (err == nil) != (err2 == nil) || err != nil && !errors.Is(err, ErrOrder) {
		t.Fatalf("%x and %x: %d, %v, the other way round %d, %v", a, b, c, err, d, err2)
	}
	if err == nil && !nan && (c == 0) != equal {
		t.Fatalf("%x and %x: %d and equal %t", a, b, c, equal)
	}
}

func fuzzSum(t *testing.T, a, b []byte) {
	sum, err := Add(nil, a, b)
	if err != nil && !errors.Is(err, ErrOperands) || err == nil && Scan(sum, Limits{}) != nil {
		t.Fatalf("%x + %x is %x, %v", a, b, sum, err)
	}
}

func fuzzAlone(t *testing.T, a []byte) {
	for _, limit := range []int{1, 20, 1000} {
		if text := AppendText(nil, a, limit); len(text) > limit {
			t.Fatalf("%x is %q, more than %d", a, text, limit)
		}
	}
	Refs(a, 0, func(uint64) {})
	TypeName(a)
	var v any
	if ScanDeep(a, Limits{}) != nil {
		return
	}
	if _, err := Unmarshal(Payload{Bytes: a}, &v, Limits{}); err != nil {
		return // a handle, or a key that Go cannot have
	}
	// Some change on the way: a slice is clamped, a fault is shortened and loses options, and
	// true and 1 are two keys in Go.
	for w := (walker{cursor{b: a}}); w.i < len(a); {
		if t, _, _ := w.next(); t.class == classMap || t.class == classExt && (t.ext == ExtSlice || t.ext == ExtError) {
			return
		}
	}
	if p, err := Marshal(v); err != nil || !hasNaN(a) && !Equal(a, p.Bytes) {
		t.Fatalf("%x is %#v, and that %x, %v", a, v, p.Bytes, err)
	}
}
