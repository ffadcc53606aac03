package proto

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestScanDeep(t *testing.T) {
	utf := func(s string) []byte { return AppendString(nil, s) }
	for _, c := range []struct {
		name string
		v    Raw
		text string // "" for none
	}{
		{"no array", rawExt(ExtTuple, 1), "a tuple (extension 2) must be an array"}, {"nothing", rawExt(ExtTuple), "must be an array"}, {"two arrays", rawExt(ExtTuple, 0x90, 0x90), "has bytes after its end"},
		{"array cut short", rawExt(ExtFrozenSet, 0x92, 1), "(in a frozen set)"}, {"bad inside", Raw{0x91, 0xc7, 4, 2, 0x91, 0xd4, 2, 1}, "must be an array"}, {"inside a map", Raw{0x81, 1, 0xd4, 6, 0x90}, "a slice"},
		{"twice", rawExt(ExtSet, 0x92, 1, 1), "an element is there twice"}, {"twice in other forms", rawExt(ExtSet, 0x92, 1, 0xc3), "twice"}, {"no key", rawExt(ExtSet, 0x91, 0x90), "an array cannot be one"},
		{"no key within", rawExt(ExtFrozenSet, 0x91, 0xc7, 2, 2, 0x91, 0x80), "a map cannot be one"},
		{"slice of 2", rawExt(ExtSlice, 0x92, 1, 1), "three integers or nil"}, {"slice of floats", rawExt(ExtSlice, 0x93, 0xc0, 0xca, 0, 0, 0, 0, 0xc0), "three"}, {"slice of bools", rawExt(ExtSlice, 0x93, 0xc0, 0xc3, 0xc0), "three"},
		{"big of nothing", rawExt(ExtBigInt), "1 byte at least"}, {"reference of 15", rawExt(ExtObject, make([]byte, 15)...), "16 bytes at least"}, {"complex of 15", rawExt(ExtComplex, make([]byte, 15)...), "16 bytes"},
		{"complex of 17", rawExt(ExtComplex, make([]byte, 17)...), "16 bytes"}, {"fault of 2", rawExt(ExtError, 0x92, 0xa0, 0xa0), "fault"}, {"fault of numbers", rawExt(ExtError, 0x93, 1, 1, 0x80), "kind"},
		{"fault with a bad value", rawExt(ExtError, slices.Concat([]byte{0x93, 0xa0, 0xa0, 0x81}, utf("value"), []byte{0xd4, 2, 1})...), "must be an array"},
		{"blob without format", rawExt(ExtBlob, 0x91, 0xc4, 0), "a str and a bin"}, {"blob of strs", rawExt(ExtBlob, 0x92, 0xa0, 0xa0), "a str and a bin"}, {"blob and more", rawExt(ExtBlob, 0x92, 0xa0, 0xc4, 0, 1), "a str and a bin"},
		{"long big", rawExt(ExtBigInt, 0, 0, 0, 1), ""}, {"unknown", rawExt(50, 0xc1), ""}, {"time", rawExt(ExtTime, 1), ""}, {"handle", rawExt(ExtHandle, 1, 0, 1), ""},
		{"blob with anything", rawExt(ExtBlob, 0x92, 0xa1, 'f', 0xc4, 1, 0xc1), ""},
	} {
		err := ScanDeep(c.v, Limits{})
		if (err == nil) != (c.text == "") || err != nil && (!errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), c.text)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.text)
		}
		if err := Scan(c.v, Limits{}); err != nil {
			t.Errorf("%s: Scan: %v", c.name, err)
		}
		var v any
		if _, err := Unmarshal(Payload{Bytes: c.v}, &v, Limits{}); err != nil && c.name != "handle" {
			t.Errorf("%s: Unmarshal: %v", c.name, err)
		}
	}
}

// nested is n tuples, or what wrap makes, within each other around v.
func nested(v Raw, n int, wrap func(v Raw) Raw) Raw {
	for range n {
		v = wrap(v)
	}
	return v
}

func tupleOf(v Raw) Raw { return rawExt(ExtTuple, append([]byte{0x91}, v...)...) }

// Levels and elements count through extensions.
func TestScanDeepLimits(t *testing.T) {
	deepest := nested(Raw{1}, defaultDepth, tupleOf)
	wide := rawExt(ExtTuple, append(AppendArrayHeader(nil, 50), make([]byte, 50)...)...)
	several := append(AppendArrayHeader(nil, 3), slices.Concat(wide, wide, wide)...)
	for _, c := range []struct {
		name string
		v    Raw
		lim  Limits
		want error
	}{
		{"128 levels", deepest, Limits{}, nil}, {"129 levels", tupleOf(deepest), Limits{}, ErrTooLarge}, {"129 with an array", append(Raw{0x91}, deepest...), Limits{}, ErrTooLarge},
		{"elements", several, Limits{Elements: 153}, nil}, {"elements too many", several, Limits{Elements: 152}, ErrTooLarge},
		{"claims", rawExt(ExtTuple, 0xdd, 0xff, 0xff, 0xff, 0xff), Limits{}, ErrTooLarge},
	} {
		if err := ScanDeep(c.v, c.lim); !errors.Is(err, c.want) {
			t.Errorf("%s: ScanDeep: %v, want %v", c.name, err, c.want)
		}
		var v any
		if _, err := Unmarshal(Payload{Bytes: c.v}, &v, c.lim); !errors.Is(err, c.want) {
			t.Errorf("%s: Unmarshal: %v, want %v", c.name, err, c.want)
		}
		if err := Scan(c.v, c.lim); err != nil {
			t.Errorf("%s: Scan: %v", c.name, err)
		}
	}
	v := any(Tuple{1})
	for range defaultDepth {
		v = Tuple{v}
	}
	for _, v := range []any{v, Tuple{Raw(deepest)}, Tuple{Ext{ExtTuple, append([]byte{0x91}, deepest...)}}} {
		if _, err := Marshal(v); !errors.Is(err, ErrTooLarge) {
			t.Errorf("Marshal: %v", err)
		}
	}
}

// What was never checked is deeper than any limit, and costs no stack.
func TestValuesUnchecked(t *testing.T) {
	v := Raw{0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 1}
	head := func(n int) []byte { return append(AppendExtHeader(nil, ExtTuple, n+1), 0x91) }
	var heads [][]byte
	for n := len(v); len(heads) < 200_000; n += len(heads[len(heads)-1]) {
		heads = append(heads, head(n))
	}
	var deep Raw
	for _, h := range slices.Backward(heads) {
		deep = append(deep, h...)
	}
	deep = append(deep, v...)
	if err := ScanDeep(deep, Limits{}); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	if _, err := AppendKey(nil, deep); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	other := append(slices.Clone(deep[:len(deep)-1]), 2)
	if Equal(deep, other) || len(AppendText(nil, deep, 1<<20)) > 1<<20 || refsOf(deep, 0) != nil {
		t.Error("deeper than any limit")
	}
	if _, err := Compare(deep, other); !errors.Is(err, ErrOrder) {
		t.Error(err)
	}
}
