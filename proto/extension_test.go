package proto

import (
	"encoding/hex"
	"errors"
	"math"
	"math/big"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

type extensionCase struct {
	name string
	b    []byte
	v    any // what it is in an interface
}

// extensionCases are the values of extensions that the golden file and the page have.
func extensionCases() []extensionCase {
	one, two := int64(1), int64(2)
	var cases []extensionCase
	add := func(name string, v any) {
		p, err := Marshal(v)
		if err != nil {
			panic(err)
		}
		cases = append(cases, extensionCase{name, p.Bytes, v})
	}
	add("tuple (1, 2)", Tuple{one, two})
	add("tuple ()", Tuple{})
	add("tuple of tuples ((1,), ((),))", Tuple{Tuple{one}, Tuple{Tuple{}}})
	add("tuple with an array and a map ([1], {'a': 1})", Tuple{[]any{one}, map[string]any{"a": one}})
	add("set {1, 2}", Set{one, two})
	add("set of no elements", Set{})
	add("frozen set {1, 2}", FrozenSet{one, two})
	add("big integer 2^64", power(64))
	add("big integer -2^63-1", new(big.Int).Not(power(63)))
	add("big integer 2^127", power(127))
	add("big integer -2^127", new(big.Int).Neg(power(127)))
	add("big integer 2^127-1", new(big.Int).Not(new(big.Int).Neg(power(127))))
	add("slice [1::2]", Slice{Start: &one, Step: &two})
	add("slice [:]", Slice{})
	add("slice [-1:0:-1]", Slice{new(int64(-1)), new(int64(0)), new(int64(-1))})
	add("object 7 of manager 1, here", Ref{1, 7, ""})
	add("object 7 of manager 1, at /m", Ref{1, 7, "/m"})
	add("object 18446744073709551615 of manager 18446744073709551615", Ref{math.MaxUint64, math.MaxUint64, ""})
	add("error ValueError('x')", &Fault{Kind: "ValueError", Text: "x"})
	add("error with stack and value", &Fault{Kind: "KeyError", Text: "k", Stack: "line 1", Value: Raw{0x91, 5}})
	add("opaque blob, python/pickle", Opaque{"python/pickle", []byte("\x80.")})
	add("opaque blob of no bytes", Opaque{"", []byte{}})
	add("complex 1+2j", 1+2i)
	add("complex -0.0-infj", complex(math.Copysign(0, -1), math.Inf(-1)))
	return cases
}

func TestExtensions(t *testing.T) {
	for _, c := range extensionCases() {
		if err := ScanDeep(c.b, Limits{}); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		var v any
		if _, err := Unmarshal(Payload{Bytes: c.b}, &v, Limits{}); err != nil || !reflect.DeepEqual(v, c.v) {
			t.Errorf("%s: %#v, %v, want %#v", c.name, v, err, c.v)
		}
		into := reflect.New(reflect.TypeOf(c.v))
		if _, err := Unmarshal(Payload{Bytes: c.b}, into.Interface(), Limits{}); err != nil || !reflect.DeepEqual(into.Elem().Interface(), c.v) {
			t.Errorf("%s: %#v, %v, want %#v", c.name, into.Elem(), err, c.v)
		}
		var kept Raw
		if _, err := Unmarshal(Payload{Bytes: c.b}, &kept, Limits{}); err != nil || string(kept) != string(c.b) {
			t.Errorf("%s: %x, %v", c.name, kept, err)
		}
		var inside struct{ V any }
		p, err := Marshal(map[string]any{"v": []any{c.v, Ext{Code: int8(c.b[0]), Data: nil}}})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, err := Unmarshal(p, &inside, Limits{}); err != nil || !reflect.DeepEqual(inside.V.([]any)[0], c.v) {
			t.Errorf("%s: %#v, %v", c.name, inside, err)
		}
	}
}

// The page shows some of them, to the byte.
func TestExtensionsOnThePage(t *testing.T) {
	page, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	digits := strings.ReplaceAll(string(page), " ", "")
	for _, name := range []string{"tuple (1, 2)", "set {1, 2}", "frozen set {1, 2}", "big integer 2^64", "big integer -2^63-1", "slice [1::2]", "object 7 of manager 1, here",
		"object 7 of manager 1, at /m", "error ValueError('x')", "opaque blob, python/pickle", "complex 1+2j"} {
		i := slices.IndexFunc(extensionCases(), func(c extensionCase) bool { return c.name == name })
		if want := "\n" + hex.EncodeToString(extensionCases()[i].b); !strings.Contains(digits, want) {
			t.Errorf("PROTOCOL.md does not have %s, %s", name, want)
		}
	}
}

// Several forms fit one Go type.
func TestExtensionForms(t *testing.T) {
	for _, c := range []struct{ in, into, want any }{
		{Tuple{1, 2}, new([]int), []int{1, 2}}, {Tuple{1, 2}, new([2]int), [2]int{1, 2}}, {Set{1}, new([]int), []int{1}}, {FrozenSet{1}, new([]any), []any{int64(1)}},
		{[]int{1}, new(Tuple), Tuple{int64(1)}}, {nil, new(Tuple), Tuple(nil)}, {FrozenSet{1}, new(Set), Set{int64(1)}},
		{5, new(*big.Int), big.NewInt(5)}, {"-5", new(*big.Int), big.NewInt(-5)}, {nil, new(*big.Int), (*big.Int)(nil)}, {rawExt(ExtBigInt, 0xfe), new(int), -2}, {rawExt(ExtBigInt, 0, 200), new(uint8), uint8(200)},
		{rawExt(ExtBigInt, 2), new(any), int64(2)}, {rawExt(ExtBigInt, 0, 255, 255, 255, 255, 255, 255, 255, 255), new(any), uint64(math.MaxUint64)}, {rawExt(ExtBigInt, 2), new(float64), 2.0},
		{1.5, new(complex128), 1.5 + 0i}, {2, new(complex64), complex64(2)}, {&Fault{Kind: "k"}, new(error), error(&Fault{Kind: "k"})},
		{Slice{Start: new(int64(5))}, new(Slice), Slice{Start: new(int64(5))}}, {rawExt(ExtSlice, append(append([]byte{0x93}, enc(t, power(99))...), 0xc0, 0xc0)...), new(Slice), Slice{Start: new(int64(math.MaxInt64))}},
		{map[any]any{1i: 1}, new(any), map[any]any{1i: int64(1)}}, {map[Ref]int{{1, 2, ""}: 3}, new(any), map[any]any{Ref{1, 2, ""}: int64(3)}},
		{rawExt(ExtTuple, 1), new(any), Ext{ExtTuple, []byte{1}}}, {rawExt(ExtBlob, 0x91, 1), new(any), Ext{ExtBlob, []byte{0x91, 1}}}, {rawExt(ExtBigInt), new(any), Ext{ExtBigInt, []byte{}}},
		{Tuple(nil), new(any), nil},
	} {
		_, err := Unmarshal(Payload{Bytes: enc(t, c.in)}, c.into, Limits{})
		if got := reflect.ValueOf(c.into).Elem().Interface(); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v into %T: %#v, %v, want %#v", c.in, c.into, got, err, c.want)
		}
	}
	for _, c := range []struct {
		in, into any
		want     string
	}{
		{Tuple{1}, new([2]int), "proto: expected a list of 2, found a list of 1"}, {Tuple{"a"}, new([]int), `proto: [0]: expected an integer, found the string "a"`}, {Set{1}, new([1]int), "proto: expected a list of 1, found a set"},
		{power(64), new(int), "proto: expected an integer, found 18446744073709551616"}, {power(1000), new(uint), "proto: expected an integer, found an integer of 126 bytes"},
		{Set{1}, new(Tuple), "proto: expected a tuple, found a set"}, {1.5, new(big.Int), "proto: expected an integer, found the floating-point number 1.5"}, {rawExt(ExtTuple, 1), new(Tuple), "proto: expected a tuple, found an extension of code 2"},
		{1i, new(float64), "proto: expected a number, found a complex number"}, {Raw{0x81, 0xc7, 2, byte(ExtTuple), 0x91, 1, 1}, new(any), "proto: a proto.Tuple cannot be a key"},
		{Raw(append(append([]byte{0x81}, enc(t, power(64))...), 1)), new(any), "proto: a *big.Int cannot be a key"}, {complex(1e300, 1), new(complex64), "proto: expected a number of at most 3.4e38, found a complex number"},
	} {
		_, err := Unmarshal(Payload{Bytes: enc(t, c.in)}, c.into, Limits{})
		if !errors.Is(err, ErrMismatch) || err.Error() != c.want {
			t.Errorf("%v into %T: %v, want %s", c.in, c.into, err, c.want)
		}
	}
	for _, v := range []any{Set{1, 1.0}, Set{[]int{}}, FrozenSet{math.NaN(), math.NaN()}, Set{Set{}}, &Fault{Value: Raw{0xc7, 3, 1, 1, 0, 1}}} {
		if _, err := Marshal(v); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%#v: %v", v, err)
		}
	}
	if _, err := Marshal(&Fault{Value: Raw{0x91}}); !errors.Is(err, ErrProtocol) {
		t.Error(err)
	}
}
