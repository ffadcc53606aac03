package proto

import (
	"fmt"
	"testing"
)

func aMap(n int, reverse bool) Raw {
	b := AppendMapHeader(nil, n)
	for i := range n {
		if reverse {
			i = n - 1 - i
		}
		b = AppendInt(AppendString(b, fmt.Sprint("key-", i)), int64(i))
	}
	return b
}

func anArray(n int, last byte) Raw {
	b := AppendArrayHeader(nil, n)
	for i := range n - 1 {
		b = append(b, byte(i&127))
	}
	return append(b, last)
}

func BenchmarkAppendKey(b *testing.B) {
	for _, c := range []struct {
		name string
		v    any
	}{{"small int", 5}, {"int", 123456}, {"str", "user:12345"}, {"long str", string(make([]byte, 50))}, {"float", 2.5}, {"whole float", 2.0}, {"tuple", Tuple{1, "a"}}, {"frozen set", FrozenSet{1, 2, 3}}} {
		b.Run(c.name, func(b *testing.B) {
			v, dst := enc(b, c.v), make([]byte, 0, 100)
			b.ReportAllocs()
			for b.Loop() {
				AppendKey(dst, v)
			}
		})
	}
}

func BenchmarkEqual(b *testing.B) {
	for _, c := range []struct {
		name string
		a, b Raw
	}{
		{"small", Raw{5}, Raw{6}}, {"str", enc(b, "user:12345"), enc(b, "user:12346")}, {"int and float", enc(b, 5), enc(b, 5.0)},
		{"array of 1000, same", anArray(1000, 1), anArray(1000, 1)}, {"array of 1000, last differs", anArray(1000, 1), anArray(1000, 2)},
		{"array of 4 M, last differs", anArray(4<<20, 1), anArray(4<<20, 2)},
		{"map of 1000, other order", aMap(1000, false), aMap(1000, true)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Equal(c.a, c.b)
			}
		})
	}
}

func BenchmarkCompare(b *testing.B) {
	for _, c := range []struct{ name, a, b string }{
		{"small ints", "\x05", "\x06"}, {"ints", string(enc(b, 100000)), string(enc(b, 100001))}, {"int and float", string(enc(b, 5)), string(enc(b, 5.5))},
		{"str", string(enc(b, "abc")), string(enc(b, "abd"))}, {"tuple (priority, str)", string(enc(b, Tuple{5, "a"})), string(enc(b, Tuple{5, "b"}))},
		{"array of 1000", string(anArray(1000, 1)), string(anArray(1000, 2))},
	} {
		b.Run(c.name, func(b *testing.B) {
			x, y := Raw(c.a), Raw(c.b)
			b.ReportAllocs()
			for b.Loop() {
				Compare(x, y)
			}
		})
	}
}

func BenchmarkRefs(b *testing.B) {
	for _, c := range []struct {
		name string
		v    Raw
	}{{"small int", Raw{5}}, {"str", enc(b, "user:12345")}, {"8 MiB bin", enc(b, make([]byte, 8<<20))}, {"record", enc(b, aSmall)}, {"array of 1000 ints", anArray(1000, 1)}, {"array of 4 M ints", anArray(4<<20, 1)}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Refs(c.v, 1, func(uint64) {})
			}
		})
	}
}

func BenchmarkAdd(b *testing.B) {
	x, y, dst := enc(b, 100000), enc(b, 1), make([]byte, 0, 100)
	b.ReportAllocs()
	for b.Loop() {
		Add(dst, x, y)
	}
}

func BenchmarkScanDeep(b *testing.B) {
	v := enc(b, []any{Tuple{1, "a"}, Ref{1, 2, ""}, aSmall})
	b.ReportAllocs()
	for b.Loop() {
		ScanDeep(v, Limits{})
	}
}
