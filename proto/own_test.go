package proto

import (
	"errors"
	"math"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// Types that say themselves what they are: as text, as bytes, nil as nil.
type ownForms struct {
	IP    net.IP                // text, a slice
	None  net.IP                // nil
	URL   url.URL               // bytes, by a pointer's method
	Far   *url.URL              // behind a pointer
	Ports map[netip.Addr]uint16 // text as a key
	Bits  bitset
}

// bitset has its own encoding as a slice type.
type bitset []byte

func (b bitset) EncodeMsgpack(enc *msgpack.Encoder) error { return enc.EncodeInt(int64(len(b))) }
func (b *bitset) DecodeMsgpack(dec *msgpack.Decoder) error {
	n, err := dec.DecodeInt()
	if err == nil && n >= 0 && n < 100 {
		*b = make(bitset, n)
	}
	return err
}

func TestOwnForms(t *testing.T) {
	in := ownForms{
		IP: net.ParseIP("10.0.0.1"), URL: url.URL{Scheme: "http", Host: "a"}, Far: &url.URL{Path: "/p"},
		Ports: map[netip.Addr]uint16{netip.MustParseAddr("::2"): 2, netip.MustParseAddr("::1"): 1}, Bits: make(bitset, 3),
	}
	p, err := Marshal(&in)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"ip":"10.0.0.1","none":null,"url":{"$bin":"687474703a2f2f61"},"far":{"$bin":"2f70"},"ports":{"::1":1,"::2":2},"bits":3}`
	if toJSON(p.Bytes) != want {
		t.Errorf("got  %s\nwant %s", toJSON(p.Bytes), want)
	}
	var out ownForms
	if _, err := Unmarshal(p, &out, Limits{}); err != nil || !reflect.DeepEqual(in, out) {
		t.Errorf("got  %+v, %v\nwant %+v", out, err, in)
	}
	p, _ = Marshal(map[string]any{"ip": nil, "bits": nil, "far": nil})
	if _, err := Unmarshal(p, &out, Limits{}); err != nil || out.IP != nil || out.Bits != nil || out.Far != nil {
		t.Errorf("nil: %+v, %v", out, err)
	}
	for in, want := range map[string]any{
		"proto: url: expected bytes, found 5":      map[string]any{"url": 5},
		"proto: ip: expected a string, found":      map[string]any{"ip": 5},
		`proto: ports[key]: "x" is no netip.Addr`:  map[string]any{"ports": map[string]int{"x": 1}},
		`proto: ports["::1"]: expected an integer`: map[string]any{"ports": map[string]string{"::1": "x"}},
		"that are no url.URL":                      map[string]any{"url": []byte("http://[")},
	} {
		p, _ := Marshal(want)
		if _, err := Unmarshal(p, new(ownForms), Limits{}); err == nil || !strings.Contains(err.Error(), in) {
			t.Errorf("got %v, want %q", err, in)
		}
	}
}

// What a method returns as error comes out of Marshal and Unmarshal as it is.
type refuses struct{}

var errRefused = errors.New("refused")

func (refuses) MarshalText() ([]byte, error) { return nil, errRefused }

type refusesBytes struct{}

func (refusesBytes) MarshalBinary() ([]byte, error) { return nil, errRefused }

func TestOwnErrors(t *testing.T) {
	for _, v := range []any{refuses{}, []refuses{{}}, map[refuses]int{{}: 1}, refusesBytes{}} {
		if _, err := Marshal(v); !errors.Is(err, errRefused) {
			t.Errorf("%T: %v", v, err)
		}
	}
}

type base struct {
	ID   int
	Name string
}
type left struct{ Same int }
type right struct{ Same int }
type self struct{ *self }

func TestFields(t *testing.T) {
	type hides struct {
		base
		Name string // of the two, the one further out
	}
	p, err := Marshal(hides{base{1, "inner"}, "outer"})
	if err != nil || toJSON(p.Bytes) != `{"id":1,"name":"outer"}` {
		t.Errorf("%s, %v", toJSON(p.Bytes), err)
	}
	type tags struct {
		A int `msgpack:"-"`
		B int `json:"-"`
		//lint:ignore SA5008 encoding/json reads it as the name "-", and so must we
		C    int       `json:"-,"`
		D    int       `json:",omitzero"`
		E    time.Time `msgpack:"e,omitempty"`
		F    base      `msgpack:",inline"`
		G    *int      `json:"g,omitempty"`
		H    []int     `json:",omitempty"`
		base `msgpack:"b"`
	}
	if p, err = Marshal(tags{}); err != nil || toJSON(p.Bytes) != `{"-":0,"id":0,"name":""}` {
		t.Errorf("%s, %v", toJSON(p.Bytes), err)
	}
	for name, v := range map[string]any{
		"two fields of": struct {
			left
			right
		}{},
		"which cannot be set from outside": struct{ *base }{},
	} {
		if _, err := Marshal(v); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q", err, name)
		}
		w := reflect.New(reflect.TypeOf(v)).Interface()
		if _, err := Unmarshal(Payload{Bytes: []byte{0x80}}, w, Limits{}); !errors.Is(err, ErrUnsupported) {
			t.Errorf("Unmarshal: got %v, want %q", err, name)
		}
	}
	if _, err := Marshal(self{}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("embeds itself: %v", err)
	}
}

// The short way for lone values does what the long way does.
func TestScalars(t *testing.T) {
	type named[T any] struct{ V T }
	for _, v := range []any{0, -1, math.MaxInt64, math.MinInt64, uint64(math.MaxUint64), true, false, 1.5, math.Inf(-1), "", "text", []byte{}, []byte("x"), nil, []int{}, map[string]int{}} {
		p, err := Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		long, _ := Marshal(named[any]{v})
		for _, into := range [][2]any{
			{new(int), new(named[int])}, {new(int64), new(named[int64])}, {new(uint64), new(named[uint64])}, {new(bool), new(named[bool])},
			{new(float64), new(named[float64])}, {new(string), new(named[string])}, {new([]byte), new(named[[]byte])}, {new(any), new(named[any])},
		} {
			_, err1 := Unmarshal(p, into[0], Limits{})
			_, err2 := Unmarshal(long, into[1], Limits{})
			one := reflect.ValueOf(into[0]).Elem().Interface()
			two := reflect.ValueOf(into[1]).Elem().Field(0).Interface()
			if (err1 == nil) != (err2 == nil) || !reflect.DeepEqual(one, two) {
				t.Errorf("%#v into %T: %#v, %v and %#v, %v", v, into[0], one, err1, two, err2)
			}
		}
	}
}
