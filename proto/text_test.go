package proto

import (
	"math"
	"math/big"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// Most of these are what repr of Python 3.11 writes.
func TestAppendText(t *testing.T) {
	three := int64(3)
	for _, c := range []struct {
		v    any
		want string
	}{
		{Raw{0x82, 0xa1, 'a', 0x95, 1, 0xcb, 0x40, 4, 0, 0, 0, 0, 0, 0, 0xc0, 0xc3, 0xc4, 1, 0, 0xc7, 2, byte(ExtTuple), 0x91, 1, 0xa1, 'x'}, `{'a': [1, 2.5, None, True, b'\x00'], (1,): 'x'}`},
		{false, "False"}, {-5, "-5"}, {uint64(math.MaxUint64), "18446744073709551615"}, {power(64), "18446744073709551616"}, {new(big.Int).Neg(power(64)), "-18446744073709551616"},
		{1.0, "1.0"}, {-0.5, "-0.5"}, {math.Copysign(0, -1), "-0.0"}, {1e15, "1000000000000000.0"}, {1e16, "1e+16"}, {1e-4, "0.0001"}, {1e-5, "1e-05"}, {1.5e300, "1.5e+300"}, {float32(0.1), "0.1"},
		{math.Inf(1), "inf"}, {math.Inf(-1), "-inf"}, {math.NaN(), "nan"},
		{"it's", `"it's"`}, {`say "it's"`, `'say "it\'s"'`}, {"a\\b\n\r\t\x00\x7f", `'a\\b\n\r\t\x00\x7f'`}, {"é✓\u00a0\u200b\U000e0001", `'é✓\xa0\u200b\U000e0001'`}, {"\xff", `'\xff'`},
		{[]byte("a'\xff\n"), `b"a'\xff\n"`}, {[]any{}, "[]"}, {map[string]any{}, "{}"}, {Tuple{}, "()"}, {Tuple{1, 2}, "(1, 2)"}, {Set{}, "set()"}, {Set{1}, "{1}"}, {FrozenSet{}, "frozenset()"},
		{FrozenSet{1, "a"}, "frozenset({1, 'a'})"}, {Slice{Start: &three}, "slice(3, None, None)"}, {1i, "1j"}, {1 + 2i, "(1+2j)"}, {1.5 - 2.5i, "(1.5-2.5j)"}, {complex(math.Copysign(0, -1), 2), "(-0+2j)"},
		{complex(math.NaN(), math.Inf(-1)), "(nan-infj)"},
		{Ref{1, 7, "/m"}, "<reference 7>"}, {&Fault{Kind: "ValueError", Text: "no"}, "<error ValueError: 'no'>"}, {Opaque{"python/pickle", []byte("12")}, "<python/pickle, 2 bytes>"},
		{time.Unix(0, 5), "<1970-01-01T00:00:00.000000005Z>"}, {Ext{77, []byte("1")}, "<extension 77, 1 byte>"}, {rawExt(ExtTuple, 1), "<extension 2, 1 byte>"},
		{rawExt(ExtBigInt), "<extension 5, 0 bytes>"}, {power(100000), "<integer of 12501 bytes>"},
	} {
		if got := string(AppendText([]byte("x"), enc(t, c.v), 200)); got != "x"+c.want {
			t.Errorf("%#v is %s, want %s", c.v, got[1:], c.want)
		}
	}
	if got := string(AppendText(nil, Raw{0xd6, byte(ExtHandle), 3, 0, 1, 9}, 99)); got != "<handle of kind 3>" {
		t.Error(got)
	}
}

// What is cut off is cut between letters, and nothing is longer than it may be.
func TestAppendTextCut(t *testing.T) {
	v := enc(t, []any{"ääääää", strings.Repeat("x", 1000), map[string]any{"k": Tuple{1, 2, []byte("abc")}}, power(300), &Fault{Kind: "é", Text: "é"}, 1i})
	whole := string(AppendText(nil, v, 1<<20))
	for limit := range len(whole) + 3 {
		got := string(AppendText([]byte("<"), v, limit))[1:]
		cut := limit < len(whole)
		if len(got) > limit || !utf8.ValidString(got) || !cut && got != whole || cut && limit >= 3 && !strings.HasSuffix(got, "…") {
			t.Fatalf("in %d: %s", limit, got)
		}
	}
	for _, v := range []Raw{nil, {}, {0xa5, 'a'}, {0x95, 1}, {0xc1}} {
		if got := AppendText(nil, v, 50); len(got) > 50 || !strings.Contains(string(got), "…") {
			t.Errorf("%x is %s", v, got)
		}
	}
}

func TestTypeName(t *testing.T) {
	for want, v := range map[string]any{"nil": nil, "a bool": true, "an integer": power(64), "a float": 0.5, "a str": "", "a bin": []byte{}, "an array": []any{}, "a map": map[string]any{},
		"a tuple": Tuple{}, "a set": Set{}, "a frozen set": FrozenSet{}, "a slice": Slice{}, "a reference": Ref{}, "an error": &Fault{}, "an opaque blob": Opaque{}, "a complex number": 1i,
		"a time": time.Now(), "an extension of code -9": Ext{-9, nil}} {
		if got := TypeName(enc(t, v)); got != want {
			t.Errorf("%#v is %s, want %s", v, got, want)
		}
	}
	if TypeName(Raw{0xff}) != "an integer" || TypeName(nil) != "nothing" || TypeName(rawExt(ExtHandle, 1, 0, 1)) != "a handle" {
		t.Error("by hand")
	}
}
