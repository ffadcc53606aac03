package proto

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

func TestScan(t *testing.T) {
	nest := func(n int, head, end byte) []byte { return append(bytes.Repeat([]byte{head}, n), end) }
	for _, c := range []struct {
		name string
		b    []byte
		lim  Limits
		err  error
		text string
	}{
		{"128 levels", nest(128, 0x91, 0xc0), Limits{}, nil, ""},
		{"129 levels", nest(129, 0x91, 0xc0), Limits{}, ErrTooLarge, "nesting: 129 > 128 levels"},
		{"129 levels of none", nest(128, 0x91, 0x90), Limits{}, ErrTooLarge, "nesting"},
		{"maps count as levels", []byte{0x81, 1, 0x81, 1, 1}, Limits{Depth: 1}, ErrTooLarge, "nesting: 2 > 1"},
		{"a deep key", []byte{0x81, 0x91, 0x91, 1, 1}, Limits{Depth: 2}, ErrTooLarge, "nesting"},
		{"beyond all sense", nest(20_000, 0x91, 1), Limits{Depth: math.MaxInt}, ErrTooLarge, "nesting: 10001 > 10000 levels"},
		{"elements", []byte{0x93, 1, 2, 3}, Limits{Elements: 3}, nil, ""},
		{"too many", []byte{0x93, 1, 2, 3}, Limits{Elements: 2}, ErrTooLarge, "value: 3 > 2 elements"},
		{"together", []byte{0x93, 0x91, 1, 2, 0x91, 3}, Limits{Elements: 4}, ErrTooLarge, "value: 5 > 4 elements"},
		{"a map counts two", []byte{0x82, 1, 1, 2, 2}, Limits{Elements: 3}, ErrTooLarge, "value: 4 > 3 elements"},
		{"bytes", []byte{0xa9, 1, 2, 3, 4, 5, 6, 7, 8, 9}, Limits{Frame: 18}, ErrTooLarge, "value: 10 > 9 bytes"},
		{"claims of an array", []byte{0xdd, 0xff, 0xff, 0xff, 0xff}, Limits{}, ErrTooLarge, "value: 4294967295 > 4194304 elements"},
		{"claims of a map", []byte{0xdf, 0xff, 0xff, 0xff, 0xff}, Limits{}, ErrTooLarge, "value: 8589934590 > 4194304 elements"},
		{"claims within the limit", []byte{0xdd, 0, 1, 0, 0, 1}, Limits{}, ErrProtocol, "array with 65536 values and 1 bytes left"},
		{"claims of a str", []byte{0xdb, 0xff, 0xff, 0xff, 0xff, 'x'}, Limits{}, ErrProtocol, "a str of 4294967295 bytes with 1 bytes left"},
		{"claims of a bin", []byte{0xc6, 0x7f, 0, 0, 0}, Limits{}, ErrProtocol, "a bin of"},
		{"claims of an ext", []byte{0xc9, 0xff, 0xff, 0xff, 0xff, 1}, Limits{}, ErrProtocol, "a extension of"},
		{"nothing", nil, Limits{}, ErrProtocol, "end within a value"},
		{"never used", []byte{0xc1}, Limits{}, ErrProtocol, "byte 0xc1"},
		{"two values", []byte{1, 2}, Limits{}, ErrProtocol, "1 bytes after"},
		{"an extension is closed", []byte{0xc7, 5, 9, 0xdd, 0xff, 0xff, 0xff, 0xff}, Limits{}, nil, ""},
	} {
		err := Scan(c.b, c.lim)
		if !errors.Is(err, c.err) || err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %v, want %v with %q", c.name, err, c.err, c.text)
		}
	}
}

// Every prefix of a value is cut short, whatever token it is cut in, and says so.
func TestScanCut(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	for _, v := range []any{
		1, 200, 60_000, 1 << 20, 1 << 40, -1, -100, -1000, -1 << 20, -1 << 40, true, 1.5, float32(1), "short",
		long[:100], long[:1000], []byte(long[:10]), []byte(long[:1000]), [5]int{}, make([]int, 100), map[string]int{"a": 1},
		Ext{1 << 5, []byte("1")}, Ext{33, []byte("22")}, Ext{33, []byte("333")}, Ext{33, []byte("4444")}, Ext{33, []byte("88888888")},
		Ext{33, []byte(long[:16])}, Ext{33, []byte(long[:300])}, handlesOf(1),
	} {
		p, err := Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := Scan(p.Bytes, Limits{}); err != nil {
			t.Errorf("%x: %v", p.Bytes[:min(len(p.Bytes), 20)], err)
		}
		for i := range p.Bytes {
			if err := Scan(p.Bytes[:i], Limits{}); !errors.Is(err, ErrProtocol) {
				t.Fatalf("%x cut at %d: %v", p.Bytes, i, err)
			}
			c := cursor{b: p.Bytes[:i]}
			if c.skip() == nil {
				t.Fatalf("%x cut at %d was skipped", p.Bytes, i)
			}
		}
		c := cursor{b: append(p.Bytes, 1)}
		if raw, err := c.raw("x"); err != nil || len(raw) != len(p.Bytes) {
			t.Errorf("raw: %d of %d, %v", len(raw), len(p.Bytes), err)
		}
	}
}

func handlesOf(n int) any {
	v := make([]*FakeHandle, n)
	for i := range v {
		v[i] = &FakeHandle{meta: strings.Repeat("m", 300), fds: []int{i}}
	}
	return v
}

func TestScanAllocates(t *testing.T) {
	p, _ := Marshal(full())
	if n := testing.AllocsPerRun(100, func() { Scan(p.Bytes, Limits{}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// The append functions write what the library reads, in the shortest form.
func TestPack(t *testing.T) {
	for _, n := range []uint64{0, 127, 128, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, math.MaxInt64, math.MaxUint64} {
		var got uint64
		if err := msgpack.Unmarshal(AppendUint(nil, n), &got); err != nil || got != n {
			t.Errorf("%d: %d, %v", n, got, err)
		}
		tok, err := readToken(AppendUint(nil, n))
		if err != nil || tok.class != classUint || tok.bits != n {
			t.Errorf("%d: %+v, %v", n, tok, err)
		}
	}
	for _, n := range []int64{-1, -32, -33, -128, -129, -32768, -32769, -1 << 31, -1<<31 - 1, math.MinInt64} {
		var got int64
		if err := msgpack.Unmarshal(AppendInt(nil, n), &got); err != nil || got != n {
			t.Errorf("%d: %d, %v", n, got, err)
		}
		tok, err := readToken(AppendInt(nil, n))
		if err != nil || tok.class != classInt || int64(tok.bits) != n {
			t.Errorf("%d: %+v, %v", n, tok, err)
		}
	}
	for _, n := range []int{0, 15, 16, 31, 32, 255, 256, 65535, 65536} {
		s := strings.Repeat("x", n)
		var str string
		if err := msgpack.Unmarshal(AppendString(nil, s), &str); err != nil || str != s {
			t.Errorf("str of %d: %v", n, err)
		}
		var bin []byte
		if err := msgpack.Unmarshal(AppendBin(nil, []byte(s)), &bin); err != nil || string(bin) != s {
			t.Errorf("bin of %d: %v", n, err)
		}
		list := append(AppendArrayHeader(nil, n), bytes.Repeat([]byte{1}, n)...)
		var ints []int
		if err := msgpack.Unmarshal(list, &ints); err != nil || len(ints) != n {
			t.Errorf("array of %d: %d, %v", n, len(ints), err)
		}
		dict := append(AppendMapHeader(nil, n), bytes.Repeat([]byte{1, 2}, n)...)
		if tok, err := readToken(dict); err != nil || tok.class != classMap || tok.n() != n || Scan(dict, Limits{}) != nil {
			t.Errorf("map of %d: %+v, %v", n, tok, err)
		}
		ext := append(AppendExtHeader(nil, -7, n), s...)
		if tok, err := readToken(ext); err != nil || tok.class != classExt || tok.ext != -7 || tok.n() != n || tok.head()+n != len(ext) {
			t.Errorf("ext of %d: %+v, %v", n, tok, err)
		}
	}
	// Longer forms than needed are read as well, a positive number in a signed one too.
	for in, want := range map[string]uint64{"\xcc\x01": 1, "\xcd\x00\x01": 1, "\xd0\x05": 5, "\xd3\x00\x00\x00\x00\x00\x00\x00\x05": 5} {
		if tok, err := readToken([]byte(in)); err != nil || tok.class != classUint || tok.bits != want {
			t.Errorf("%x: %+v, %v", in, tok, err)
		}
	}
}
