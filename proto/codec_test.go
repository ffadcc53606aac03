package proto

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

type inner struct {
	Name  string
	Count int8
}

type embedded struct {
	UserID int `json:"user_id,omitempty"`
	Hidden string
}

type everything struct {
	embedded
	*Outer
	Bool     bool
	I        int
	I8       int8
	U16      uint16
	F        float64
	F32      float32
	Text     string
	Data     []byte
	List     []inner
	Fixed    [2]int
	Hash     [4]byte
	Map      map[string]int
	ByNumber map[int]string
	Ptr      *inner
	Any      any
	Raw      Raw
	When     time.Time
	Wait     time.Duration
	Big      *big.Int
	Addr     netip.Addr
	Err      error
	Renamed  int   `msgpack:"other" json:"ignored"`
	Skipped  int   `msgpack:"-"`
	Empty    []int `msgpack:",omitempty"`
	Ext      Ext
	Strings  []string
	//lint:ignore U1000 it is there to be left out
	private int
}

type Outer struct{ Level string }

func full() everything {
	return everything{
		embedded: embedded{UserID: 5, Hidden: "h"}, Outer: &Outer{Level: "top"},
		Bool: true, I: math.MinInt64, I8: -128, U16: 65535, F: 0.1, F32: 0.5, Text: "täxt", Data: []byte{0, 1},
		List: []inner{{"a", 1}, {"b", -1}}, Fixed: [2]int{7, 8}, Hash: [4]byte{1, 2, 3, 4},
		Map: map[string]int{"b": 2, "a": 1}, ByNumber: map[int]string{-1: "m", 10: "x", 9: "n"},
		Ptr: &inner{"p", 3}, Any: map[any]any{int64(1): []any{nil, true, uint64(math.MaxUint64)}, "k": 1.5},
		Raw: Raw{0x93, 1, 2, 3}, When: time.Unix(1700000000, 123).UTC(), Wait: time.Minute,
		Big: new(big.Int).Lsh(big.NewInt(1), 100), Addr: netip.MustParseAddr("::1"), Err: errors.New("oops"),
		Renamed: 4, Ext: Ext{Code: 42, Data: []byte("x")}, Strings: []string{"", "s"},
	}
}

func TestMarshalRoundTrip(t *testing.T) {
	in := full()
	p, err := Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out everything
	left, err := Unmarshal(p, &out, Limits{})
	if err != nil || left != nil {
		t.Fatal(left, err)
	}
	if !reflect.DeepEqual(in, out) {
		t.Errorf("got  %+v\nwant %+v", out, in)
	}
	for range 20 { // maps have an order of their own in Go, not here
		if q, _ := Marshal(in); !bytes.Equal(p.Bytes, q.Bytes) {
			t.Fatalf("the same value, other bytes:\n%x\n%x", p.Bytes, q.Bytes)
		}
	}
	var back everything // out of the zero value, nil and empty stay what they are
	p, _ = Marshal(everything{When: time.Time{}, Strings: []string{}})
	if _, err := Unmarshal(p, &back, Limits{}); err != nil {
		t.Fatal(err)
	}
	if back.Strings == nil || back.List != nil || back.Map != nil || back.Ptr != nil || back.Outer != nil || !back.When.IsZero() {
		t.Errorf("got %+v", back)
	}
}

func TestMarshalBytes(t *testing.T) {
	type tagged struct {
		MaxRetries int
		URL        string
		HTTPServer int `json:"srv,omitempty"`
	}
	for _, c := range []struct {
		v    any
		want string
	}{
		{nil, "c0"}, {true, "c3"}, {false, "c2"}, {0, "00"}, {127, "7f"}, {128, "cc80"}, {255, "ccff"}, {256, "cd0100"},
		{65536, "ce00010000"}, {int64(1 << 32), "cf0000000100000000"}, {-1, "ff"}, {-32, "e0"}, {-33, "d0df"},
		{-129, "d1ff7f"}, {-32769, "d2ffff7fff"}, {math.MinInt64, "d38000000000000000"}, {int64(5), "05"}, {int8(5), "05"},
		{uint16(5), "05"}, {uint64(math.MaxUint64), "cfffffffffffffffff"}, {1.5, "cb3ff8000000000000"},
		{float32(1.5), "ca3fc00000"}, {"", "a0"}, {"é", "a2c3a9"}, {[]byte{}, "c400"}, {[]byte(nil), "c0"}, {[]byte{9}, "c40109"},
		{[]int(nil), "c0"}, {[]int{}, "90"}, {[]int{1, 2}, "920102"}, {map[string]int(nil), "c0"}, {map[string]any{}, "80"},
		{map[string]any{"b": 1, "a": nil}, "82a161c0a16201"}, {map[int]bool{2: true, -1: false, 1: true}, "83ffc201c302c3"},
		{map[any]any{"a": 1, 1: 2}, "820102a16101"}, {(*int)(nil), "c0"}, {Raw{0x91, 0xc0}, "91c0"}, {Raw(nil), "c0"},
		{Ext{Code: 9, Data: []byte{1}}, "d40901"}, {time.Duration(1), "01"}, {struct{}{}, "80"},
		{tagged{MaxRetries: 1, URL: "u"}, "82ab6d61785f7265747269657301a375726ca175"},
		{time.Unix(1, 0), "d6ff00000001"}, {time.Unix(1, 1), "d7ff0000000400000001"}, {time.Unix(-1, 0), "c70cff00000000ffffffffffffffff"},
		{big.NewInt(-7), "f9"}, {new(big.Int).Lsh(big.NewInt(1), 64), "c70905010000000000000000"}, {errBox{errors.New("x")}, "81a3657272a178"},
	} {
		p, err := Marshal(c.v)
		if got := hex.EncodeToString(p.Bytes); err != nil || got != c.want {
			t.Errorf("Marshal(%#v) = %s, %v, want %s", c.v, got, err, c.want)
		}
	}
}

type errBox struct{ Err error }

// Whatever we encode another library can read, and what it encodes we can.
func TestOtherLibrary(t *testing.T) {
	type plain struct {
		A int            `msgpack:"a"`
		B []string       `msgpack:"b"`
		C map[string]int `msgpack:"c"`
		D *float64       `msgpack:"d"`
		E []byte         `msgpack:"e"`
		F uint8          `msgpack:"f"`
		G time.Time      `msgpack:"g"`
		H any            `msgpack:"h"`
	}
	f := 2.5
	in := plain{-70000, []string{"x"}, map[string]int{"k": 1}, &f, []byte{1}, 200, time.Unix(5, 6).UTC(), "any"}
	ours, err := Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out plain
	if err := msgpack.Unmarshal(ours.Bytes, &out); err != nil {
		t.Fatal(err)
	}
	out.G = out.G.UTC()
	if !reflect.DeepEqual(in, out) {
		t.Errorf("the library reads %+v, want %+v", out, in)
	}
	theirs, err := msgpack.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	out = plain{}
	if _, err := Unmarshal(Payload{Bytes: theirs}, &out, Limits{}); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(in, out) {
		t.Errorf("we read %+v, want %+v", out, in)
	}
}

type manyFields struct {
	Stock   int
	DB      string
	Timeout time.Duration
}

func TestUnmarshalErrors(t *testing.T) {
	for _, c := range []struct {
		in   any
		into any
		want string
	}{
		{300, new(int8), "proto: expected an integer from -128 to 127, found 300"},
		{-129, new(int8), "proto: expected an integer from -128 to 127, found -129"},
		{-1, new(uint8), "proto: expected an integer from 0 to 255, found -1"},
		{256, new(uint8), "proto: expected an integer from 0 to 255, found 256"},
		{-1, new(uint64), "proto: expected an integer from 0 to 18446744073709551615, found -1"},
		{uint64(1 << 63), new(int), "proto: expected an integer from -9223372036854775808 to 9223372036854775807, found 9223372036854775808"},
		{3.0, new(int), "proto: expected an integer, found the floating-point number 3"},
		{"ten", new(int), `proto: expected an integer, found the string "ten"`},
		{nil, new(int), "proto: expected an integer, found nothing (nil)"},
		{nil, new(string), "proto: expected a string, found nothing (nil)"},
		{nil, new(bool), "proto: expected true or false, found nothing (nil)"},
		{1, new(bool), "proto: expected true or false, found 1"},
		{true, new(string), "proto: expected a string, found true"},
		{[]byte("x"), new(string), "proto: expected a string, found 1 byte"},
		{[]int{1}, new(string), "proto: expected a string, found a list of 1"},
		{1<<53 + 1, new(float64), "proto: expected a number that is exact in floating point, found 9007199254740993"},
		{1<<24 + 1, new(float32), "proto: expected a number that is exact in floating point, found 16777217"},
		{1e300, new(float32), "proto: expected a number of at most 3.4e38, found the floating-point number 1e+300"},
		{"x", new(float64), `proto: expected a number, found the string "x"`},
		{[]int{1, 2, 3}, new([2]int), "proto: expected a list of 2, found a list of 3"},
		{[]byte{1}, new([2]byte), "proto: expected 2 bytes, found 1 byte"},
		{map[string]int{"stok": 1}, new(manyFields), `proto: unknown field "stok"; did you mean "stock"?`},
		{map[string]int{"Time-Out": 1}, new(manyFields), `proto: unknown field "Time-Out"; did you mean "timeout"?`},
		{map[string]int{"colour": 1}, new(manyFields), `proto: unknown field "colour"; there are stock, db, timeout`},
		{map[string]int{"x": 1}, new(struct{}), `proto: unknown field "x"; there are no fields`},
		{map[string]any{"stock": "10"}, new(manyFields), `proto: stock: expected an integer, found the string "10"`},
		{map[string]any{"timeout": "soon"}, new(manyFields), `proto: timeout: expected a duration ("1m30s", or nanoseconds), found the string "soon"`},
		{map[string]any{"list": []any{map[string]any{}, map[string]any{"count": 999}}}, new(everything), "proto: list[1].count: expected an integer from -128 to 127, found 999"},
		{map[string]any{"map": map[string]any{"PATH": nil}}, new(everything), `proto: map["PATH"]: expected an integer, found nothing (nil)`},
		{map[string]any{"by_number": map[string]any{"1": "x"}}, new(everything), `proto: by_number[key]: expected an integer, found the string "1"`},
		{map[int]int{1: 1}, new(manyFields), "proto: expected the name of a field, found 1"},
		{[]int{1}, new(manyFields), "proto: expected a map of fields, found a list of 1"},
		{map[string]any{"ptr": 3}, new(everything), "proto: ptr: expected a map of fields, found 3"},
		{map[string]any{"addr": "nowhere"}, new(everything), `proto: addr: "nowhere" is no netip.Addr: ParseAddr("nowhere"): unable to parse IP`},
		{map[string]any{"when": "today"}, new(everything), `proto: when: expected a time, found the string "today"`},
		{1, new(fmt.Stringer), "proto: expected a handle of something that is a fmt.Stringer, found 1"},
		{Raw{0x82, 0xa5, 's', 't', 'o', 'c', 'k', 1, 0xa5, 's', 't', 'o', 'c', 'k', 2}, new(manyFields), `proto: field "stock" is given twice`},
		{Raw{0x82, 0xa1, 'k', 1, 0xa1, 'k', 2}, new(map[string]int), `proto: the key ["k"] is given twice`},
		{Raw{0x82, 0xa1, 'k', 1, 0xa1, 'k', 2}, new(any), `proto: the key "k" is given twice`},
		{Raw{0x82, 1, 1, 1, 2}, new(any), `proto: the key 1 is given twice`},
		{Raw{0x81, 0x90, 1}, new(any), "proto: a []interface {} cannot be a key"},
		{Raw{0x81, 0x90, 1}, new(map[any]int), "proto: a []interface {} cannot be a key"},
		{Raw{0x81, 0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 1, 1}, new(any), "proto: a key that is not a number (NaN)"},
		{Ext{Code: 5}, new(int), "proto: expected an integer, found an extension of code 5"},
		{strings.Repeat("ä", 100), new(int), `proto: expected an integer, found the string "` + strings.Repeat("ä", 40) + `…"`},
	} {
		p, err := Marshal(c.in)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Unmarshal(p, c.into, Limits{})
		var m *MismatchError
		if err == nil || err.Error() != c.want || !errors.Is(err, ErrMismatch) || !errors.As(err, &m) {
			t.Errorf("%v into %T:\n got %v\nwant %s", c.in, c.into, err, c.want)
		}
	}
}

func TestUnmarshalBad(t *testing.T) {
	deep := append(bytes.Repeat([]byte{0x91}, 128), 0xc0)
	for _, c := range []struct {
		b    []byte
		into any
		want error
	}{
		{nil, new(int), ErrProtocol}, {[]byte{1, 2}, new(int), ErrProtocol}, {[]byte{0xc1}, new(any), ErrProtocol},
		{[]byte{0xa5, 'a'}, new(string), ErrProtocol}, {[]byte{0xcd, 1}, new(int), ErrProtocol},
		{[]byte{0xdd, 0xff, 0xff, 0xff, 0xff}, new(any), ErrTooLarge}, {[]byte{0xdd, 0, 0, 0xff, 0xff}, new(any), ErrProtocol},
		{[]byte{0xdf, 0xff, 0xff, 0xff, 0xff}, new(map[string]any), ErrTooLarge},
		{[]byte{0xc6, 0xff, 0xff, 0xff, 0xff}, new([]byte), ErrProtocol}, {[]byte{0xc9, 0xff, 0xff, 0xff, 0xff, 5}, new(any), ErrProtocol},
		// A map behind the head of an extension: the library would make room for 4 G.
		{[]byte{0xc7, 5, 5, 0xdf, 0xff, 0xff, 0xff, 0xff}, new(map[string]any), ErrMismatch},
		{deep, new(any), nil}, {append([]byte{0x91}, deep...), new(any), ErrTooLarge},
		{[]byte{1}, 5, ErrUnsupported}, {[]byte{1}, (*int)(nil), ErrUnsupported}, {[]byte{1}, nil, ErrUnsupported},
		{[]byte{1}, new(chan int), ErrUnsupported},
	} {
		if _, err := Unmarshal(Payload{Bytes: c.b}, c.into, Limits{}); !errors.Is(err, c.want) {
			t.Errorf("%x into %T: got %v, want %v", c.b, c.into, err, c.want)
		}
	}
	if _, err := Unmarshal(Payload{Bytes: []byte{0xa3, 1, 2, 3}}, new(string), Limits{Frame: 6}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("beyond a limit for bytes: %v", err)
	}
	if _, err := Unmarshal(Payload{Bytes: []byte{0x92, 0x91, 1, 2}}, new(any), Limits{Elements: 2}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("elements of all levels together: %v", err)
	}
}

func TestUnmarshalForms(t *testing.T) {
	for _, c := range []struct {
		in   any
		into any
		want any
	}{
		{5, new(float64), 5.0}, {-5, new(float32), float32(-5)}, {float32(0.5), new(float64), 0.5}, {0.1, new(float32), float32(0.1)},
		{"text", new([]byte), []byte("text")}, {nil, new([]byte), []byte(nil)}, {nil, new([]int), []int(nil)},
		{"1m", new(time.Duration), time.Minute}, {1000, new(time.Duration), time.Microsecond}, {-5, new(time.Duration), time.Duration(-5)},
		{"2024-01-02T03:04:05Z", new(time.Time), time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)},
		{nil, new(manyFields), manyFields{}}, {[]int{1}, new(any), []any{int64(1)}}, {uint64(math.MaxUint64), new(any), uint64(math.MaxUint64)},
		{float32(1), new(any), 1.0}, {[]byte{1}, new(any), []byte{1}}, {map[int]int{1: 2}, new(any), map[any]any{int64(1): int64(2)}},
		{map[string]int{"a": 1}, new(any), map[string]any{"a": int64(1)}}, {Ext{Code: 77, Data: []byte{}}, new(any), Ext{Code: 77, Data: []byte{}}},
		{time.Unix(5, 0), new(any), time.Unix(5, 0).UTC()}, {nil, new(any), nil}, {[]int{1, 2}, new(Raw), Raw{0x92, 1, 2}},
		{nil, new(*int), (*int)(nil)}, {nil, new(error), error(nil)}, {uint64(7), new(int), 7}, {7, new(uint64), uint64(7)},
	} {
		p, err := Marshal(c.in)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Unmarshal(p, c.into, Limits{})
		if got := reflect.ValueOf(c.into).Elem().Interface(); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v into %T: got %#v, %v, want %#v", c.in, c.into, got, err, c.want)
		}
	}
}

// What is missing keeps its default, also in a value that is there already, and a
// whole map or slice is replaced.
func TestUnmarshalOver(t *testing.T) {
	v := everything{I: 1, Text: "default", Map: map[string]int{"old": 1}, List: []inner{{"x", 1}}, Ptr: &inner{Name: "n", Count: 1}, Any: 5}
	kept := v.Ptr
	p, _ := Marshal(map[string]any{"i": 2, "map": map[string]int{"new": 2}, "list": []any{}, "ptr": map[string]any{"count": 2}, "any": "s"})
	if _, err := Unmarshal(p, &v, Limits{}); err != nil {
		t.Fatal(err)
	}
	if v.I != 2 || v.Text != "default" || len(v.Map) != 1 || len(v.List) != 0 || v.Ptr != kept || *kept != (inner{"n", 2}) || v.Any != "s" {
		t.Errorf("got %+v", v)
	}
}

// Nothing that was stored changes when the frame's buffer is used again.
func TestUnmarshalCopies(t *testing.T) {
	in := full()
	p, _ := Marshal(in)
	var out everything
	if _, err := Unmarshal(p, &out, Limits{}); err != nil {
		t.Fatal(err)
	}
	clear(p.Bytes)
	if !reflect.DeepEqual(in, out) {
		t.Errorf("got %+v", out)
	}
}

type ring struct{ Next *ring }
type tree []tree
type selfPointer *selfPointer

func TestMarshalErrors(t *testing.T) {
	loop := &ring{}
	loop.Next = loop
	branch := make(tree, 1)
	branch[0] = branch
	var box any
	box = &box
	list := make([]any, 1)
	list[0] = list
	dict := map[string]any{}
	dict["me"] = dict
	var sp selfPointer
	sp = &sp
	for _, c := range []struct {
		name string
		v    any
		err  error
		text string
	}{
		{"ring", loop, ErrTooLarge, "contain itself"}, {"tree", branch, ErrTooLarge, "contain itself"},
		{"interface", box, ErrTooLarge, "contain itself"}, {"list", list, ErrTooLarge, "contain itself"},
		{"dict", dict, ErrTooLarge, "contain itself"}, {"pointer type", sp, ErrUnsupported, "pointers in a row"},
		{"chan", struct{ C []chan int }{make([]chan int, 1)}, ErrUnsupported, "c[0]: a chan int has no form on the wire"},
		{"func", map[string]any{"f": func() {}}, ErrUnsupported, `["f"]: a func() has no form on the wire`},
		{"uintptr", uintptr(1), ErrUnsupported, "uintptr"}, {"bad raw", Raw{0xc1}, ErrProtocol, ""}, {"two in a raw", Raw{1, 1}, ErrProtocol, ""},
		{"half a raw", struct{ R Raw }{Raw{0x92, 1}}, ErrProtocol, ""}, {"handle in a raw", Raw{0xc7, 3, 1, 1, 0, 1}, ErrUnsupported, "descriptors are not here"},
		{"handle by hand", Ext{Code: ExtHandle}, ErrUnsupported, "descriptors are not here"},
		{"names", struct {
			A int
			B int `json:"a"`
		}{}, ErrUnsupported, `two fields of`},
		{"keys", map[any]int{int8(1): 1, int64(1): 2}, ErrUnsupported, "the same on the wire"},
		{"NaN", map[float64]int{math.NaN(): 1}, ErrUnsupported, "NaN"},
		{"long string", []any{strings.Repeat("x", 40<<20), strings.Repeat("x", 40<<20)}, ErrTooLarge, "bytes"},
	} {
		p, err := Marshal(c.v)
		if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.text) || p.Bytes != nil {
			t.Errorf("%s: got %v, want %v with %q", c.name, err, c.err, c.text)
		}
	}
	long := strings.Repeat("x", maxValue-5)
	if p, err := Marshal(long); err != nil || Scan(p.Bytes, Limits{}) != nil {
		t.Errorf("the longest string: %v, %v", err, Scan(p.Bytes, Limits{}))
	}
	if _, err := Marshal(long + "x"); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one byte longer: %v", err)
	}
}

// A value at the limits of Marshal goes through Unmarshal, and in a message.
func TestLimitsAgree(t *testing.T) {
	var v any
	for range 128 {
		v = []any{v}
	}
	for name, v := range map[string]any{"deep": v, "wide": make([]any, defaultElements), "wide map": wideMap(1000)} {
		p, err := Marshal(v)
		if err != nil {
			t.Fatal(name, err)
		}
		var out any
		if _, err := Unmarshal(p, &out, Limits{}); err != nil {
			t.Error(name, err)
		}
		body := AppendRequest(nil, 1, MethodRun, AppendRunParams(nil, Run{Task: "t", Args: p.Bytes, Ticket: "x"}))
		if _, err := ParseMessage(body, Limits{}); err != nil {
			t.Error(name, "in a message:", err)
		}
		body = AppendResponse(nil, 1, &Fault{Kind: KindError, Value: p.Bytes}, nil)
		if _, err := ParseMessage(body, Limits{}); err != nil {
			t.Error(name, "in a fault:", err)
		}
	}
	if _, err := Marshal([]any{v}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too deep: %v", err)
	}
	if _, err := Marshal(make([]any, defaultElements+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too wide: %v", err)
	}
}

func wideMap(n int) map[string]any {
	m := map[string]any{}
	for i := range n {
		m[fmt.Sprint(i)] = i
	}
	return m
}

// One encoder and plan serve many goroutines.
func TestMarshalTogether(t *testing.T) {
	in := full()
	want, _ := Marshal(in)
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			for range 200 {
				p, err := Marshal(&in)
				if err != nil || !bytes.Equal(p.Bytes, want.Bytes) {
					t.Fatal(err)
				}
				var out everything
				if _, err := Unmarshal(p, &out, Limits{}); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestSnake(t *testing.T) {
	for in, want := range map[string]string{
		"Stock": "stock", "MaxRetries": "max_retries", "ID": "id", "UserID": "user_id", "HTTPServer": "http_server",
		"X1": "x1", "A": "a", "Sha256Sum": "sha256_sum", "With_Under": "with_under", "Äpfel": "äpfel",
	} {
		if got := snake(in); got != want {
			t.Errorf("snake(%q) = %q, want %q", in, got, want)
		}
	}
}

// Long lists grow as they come, and a struct of many fields keeps count of all.
func TestUnmarshalLarge(t *testing.T) {
	in := make([]inner, 10_000)
	for i := range in {
		in[i] = inner{Name: fmt.Sprint(i), Count: int8(i)}
	}
	p, err := Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out []inner
	if _, err := Unmarshal(p, &out, Limits{}); err != nil || !reflect.DeepEqual(in, out) {
		t.Errorf("%d elements, %v", len(out), err)
	}

	var list []reflect.StructField
	for i := range 70 {
		list = append(list, reflect.StructField{Name: fmt.Sprintf("F%d", i), Type: reflect.TypeFor[int]()})
	}
	v := reflect.New(reflect.StructOf(list))
	v.Elem().Field(69).SetInt(5)
	if p, err = Marshal(v.Interface()); err != nil {
		t.Fatal(err)
	}
	w := reflect.New(v.Elem().Type())
	if _, err := Unmarshal(p, w.Interface(), Limits{}); err != nil || w.Elem().Field(69).Int() != 5 {
		t.Errorf("%+v, %v", w.Elem(), err)
	}
	b := AppendMapHeader(nil, 2)
	b = AppendInt(AppendString(b, "f69"), 1)
	b = AppendInt(AppendString(b, "f69"), 2)
	if _, err := Unmarshal(Payload{Bytes: b}, w.Interface(), Limits{}); err == nil || err.Error() != `proto: field "f69" is given twice` {
		t.Errorf("twice: %v", err)
	}
}
