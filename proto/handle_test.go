package proto

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

// A FakeHandle is what ipc's types are: a pointer type that travels as descriptors.
type FakeHandle struct {
	meta   string
	fds    []int
	closed *[]int // where Close writes what it closed
}

func (h *FakeHandle) EncodeHandle() (Handle, []int, error) {
	if h.meta == "broken" {
		return Handle{}, []int{99}, errors.New("cannot duplicate")
	}
	return Handle{Kind: 200, Meta: []byte(h.meta)}, h.fds, nil
}

func (h *FakeHandle) DecodeHandle(in Handle, fds []int) error {
	if in.Kind != 200 {
		closedFakes = append(closedFakes, fds...) // they are its own, also now
		return errors.New("not a fake")
	}
	h.meta, h.fds, h.closed = string(in.Meta), fds, &closedFakes
	return nil
}

func (h *FakeHandle) Close() error { *h.closed = append(*h.closed, h.fds...); return nil }

var closedFakes []int

func init() {
	RegisterHandle(200, func(h Handle, fds []int) (any, error) {
		f := new(FakeHandle)
		return f, f.DecodeHandle(h, fds)
	})
}

type withHandles struct {
	*FakeHandle             // promotes the methods of a handle, and is none
	Lock        *FakeHandle `msgpack:"lock"`
	ByValue     FakeHandle  `msgpack:"by_value"`
	None        *FakeHandle
	Deep        []map[string]*FakeHandle
	Any         any
	Closer      interface{ Close() error }
	Last        int
}

func handles() *withHandles {
	return &withHandles{
		FakeHandle: &FakeHandle{meta: "embedded", fds: []int{10}},
		Lock:       &FakeHandle{meta: "lock", fds: []int{11, 12}},
		ByValue:    FakeHandle{meta: "value", fds: []int{13}},
		Deep:       []map[string]*FakeHandle{{"a": {meta: "deep", fds: []int{14}}, "none": nil}},
		Any:        &FakeHandle{meta: "any"},
		Closer:     &FakeHandle{meta: "closer", fds: []int{15}},
		Last:       1,
	}
}

func TestHandles(t *testing.T) {
	in := handles()
	p, err := Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{10, 11, 12, 13, 14, 15}; !slices.Equal(p.FDs, want) {
		t.Fatalf("descriptors %v, want %v", p.FDs, want)
	}
	var out withHandles
	left, err := Unmarshal(p, &out, Limits{})
	if err != nil || len(left) != 0 {
		t.Fatal(left, err)
	}
	if len(closedFakes) != 0 {
		t.Errorf("closed %v", closedFakes)
	}
	for _, f := range []*FakeHandle{out.FakeHandle, out.Lock, &out.ByValue, out.Deep[0]["a"], out.Any.(*FakeHandle), out.Closer.(*FakeHandle)} {
		f.closed = nil
		if len(f.fds) == 0 {
			f.fds = nil
		}
	}
	if !reflect.DeepEqual(in, &out) {
		t.Errorf("got  %+v\nwant %+v", out, *in)
	}

	// What nobody takes is left over.
	p.FDs = append(p.FDs, 77)
	if left, err := Unmarshal(p, new(withHandles), Limits{}); err != nil || !slices.Equal(left, []int{77}) {
		t.Errorf("left %v, %v", left, err)
	}
	var raw Raw
	if left, err := Unmarshal(p, &raw, Limits{}); err != nil || !slices.Equal(left, p.FDs) {
		t.Errorf("into a Raw: left %v, %v", left, err)
	}
	if left, _ := Unmarshal(Payload{Bytes: []byte{0xc1}, FDs: []int{5}}, &raw, Limits{}); !slices.Equal(left, []int{5}) {
		t.Errorf("after a bad scan: left %v", left)
	}
}

// Whatever goes wrong, each descriptor is either left over or closed by its owner:
// none is lost, none is both.
func TestHandlesNotLost(t *testing.T) {
	for name, spoil := range map[string]func(m map[string]any){
		"last field":    func(m map[string]any) { m["last"] = "no integer" },
		"unknown field": func(m map[string]any) { m["zzz"] = 1 },
		"wrong kind": func(m map[string]any) {
			m["deep"] = []any{map[string]any{"a": 5}}
		},
	} {
		closedFakes = nil
		in := handles()
		m := map[string]any{"lock": in.Lock, "any": in.Any, "closer": in.Closer, "by_value": &in.ByValue, "last": 1}
		spoil(m)
		p, err := Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var out withHandles
		left, err := Unmarshal(p, &out, Limits{})
		if err == nil {
			t.Fatal(name, "no error")
		}
		all := append(slices.Clone(left), closedFakes...)
		slices.Sort(all)
		if want := []int{11, 12, 13, 15}; !slices.Equal(all, want) {
			t.Errorf("%s: left %v, closed %v", name, left, closedFakes)
		}
	}
}

func TestHandleErrors(t *testing.T) {
	// Descriptors attached before an error are the caller's; those beside it are not.
	p, err := Marshal([]any{&FakeHandle{fds: []int{1}}, &FakeHandle{meta: "broken"}, &FakeHandle{fds: []int{3}}})
	if err == nil || !slices.Equal(p.FDs, []int{1}) {
		t.Errorf("got %v, %v", p, err)
	}
	many := make([]*FakeHandle, 65)
	for i := range many {
		many[i] = &FakeHandle{fds: []int{i}}
	}
	if p, err := Marshal(many); !errors.Is(err, ErrTooLarge) || len(p.FDs) != 65 {
		t.Errorf("65 descriptors: %d, %v", len(p.FDs), err)
	}
	if _, err := Marshal(FakeHandle{}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("by value: %v", err)
	}
	if p, err := Marshal((*FakeHandle)(nil)); err != nil || string(p.Bytes) != "\xc0" {
		t.Errorf("nil: %x, %v", p.Bytes, err)
	}

	handle := func(first, count byte) []byte { return []byte{0xc7, 3, 1, 200, first, count} }
	twice := append(append([]byte{0x92}, handle(0, 1)...), handle(0, 1)...)
	for _, c := range []struct {
		name string
		b    []byte
		into any
		err  error
		left int
	}{
		{"beyond", handle(0, 3), new(*FakeHandle), ErrProtocol, 2},
		{"far beyond", handle(255, 255), new(*FakeHandle), ErrProtocol, 2},
		{"beyond, any", handle(2, 1), new(any), ErrProtocol, 2},
		{"twice", twice, new([]*FakeHandle), ErrProtocol, 1},
		{"short", []byte{0xd5, 1, 200, 0}, new(any), ErrProtocol, 2},
		{"short, typed", []byte{0xd5, 1, 200, 0}, new(*FakeHandle), ErrProtocol, 2},
		{"unknown kind", []byte{0xc7, 3, 1, 201, 0, 1}, new(any), ErrMismatch, 2},
		{"no handle", []byte{7}, new(*FakeHandle), ErrMismatch, 2},
		{"handle for an int", handle(0, 1), new(int), ErrMismatch, 2},
		{"handle for an Ext", handle(0, 1), new(Ext), ErrMismatch, 2},
	} {
		closedFakes = nil
		left, err := Unmarshal(Payload{Bytes: c.b, FDs: []int{5, 6}}, c.into, Limits{})
		if !errors.Is(err, c.err) || len(left) != c.left || len(left)+len(closedFakes) != 2 {
			t.Errorf("%s: left %v, closed %v, %v", c.name, left, closedFakes, err)
		}
	}
}

// A type with the library's own methods reaches the descriptors through writer and
// reader.
type customHandle struct {
	note string
	fd   int
}

func (c *customHandle) EncodeMsgpack(enc *msgpack.Encoder) error {
	if err := enc.EncodeArrayLen(2); err != nil {
		return err
	}
	w := enc.Writer().(*Writer)
	EncodeHandle(w, Handle{Kind: 200}, c.fd)
	return enc.EncodeString(c.note)
}

func (c *customHandle) DecodeMsgpack(dec *msgpack.Decoder) error {
	if n, err := dec.DecodeArrayLen(); err != nil || n != 2 {
		return errors.New("not two")
	}
	code, n, err := dec.DecodeExtHeader()
	if err != nil || code != ExtHandle {
		return errors.New("no handle")
	}
	content := make([]byte, n)
	if err := dec.ReadFull(content); err != nil {
		return err
	}
	if c.fd, err = dec.Buffered().(*Reader).Take(int(content[1])); err != nil {
		return err
	}
	c.note, err = dec.DecodeString()
	return err
}

func (c *customHandle) Close() error { closedFakes = append(closedFakes, c.fd); return nil }

func TestCustomHandle(t *testing.T) {
	in := []*customHandle{{note: "a", fd: 30}, nil, {note: "b", fd: 31}}
	p, err := Marshal(in)
	if err != nil || !slices.Equal(p.FDs, []int{30, 31}) {
		t.Fatal(p, err)
	}
	var out []*customHandle
	left, err := Unmarshal(p, &out, Limits{})
	if err != nil || len(left) != 0 || !reflect.DeepEqual(in, out) {
		t.Errorf("got %+v, left %v, %v", out, left, err)
	}
	closedFakes = nil
	p.FDs = p.FDs[:1]
	left, err = Unmarshal(p, &out, Limits{})
	if !errors.Is(err, ErrProtocol) || len(left) != 0 || !slices.Equal(closedFakes, []int{30}) {
		t.Errorf("one missing: left %v, closed %v, %v", left, closedFakes, err)
	}
}

// What such a type writes is checked, and it reads only what is its own.
type rude struct{ write []byte }

func (r rude) EncodeMsgpack(enc *msgpack.Encoder) error {
	_, err := enc.Writer().Write(r.write)
	return err
}
func (r *rude) DecodeMsgpack(dec *msgpack.Decoder) error {
	_, err := dec.DecodeInt()
	if string(r.write) == "twice" {
		_, err = dec.DecodeInt()
	}
	return err
}

type byBytes struct{ B []byte }

func (b byBytes) MarshalMsgpack() ([]byte, error)   { return b.B, nil }
func (b *byBytes) UnmarshalMsgpack(in []byte) error { b.B = in; return nil }

func TestCustomBounds(t *testing.T) {
	for _, b := range []string{"", "\x01\x01", "\xc1", "\x92\x01", strings.Repeat("\x91", 128) + "\xc0"} {
		if _, err := Marshal([]any{rude{[]byte(b)}}); !errors.Is(err, ErrProtocol) && !errors.Is(err, ErrTooLarge) {
			t.Errorf("wrote %q: %v", b, err)
		}
	}
	if p, err := Marshal([]any{rude{[]byte("\x01")}, byBytes{[]byte{0x91, 2}}}); err != nil || string(p.Bytes) != "\x92\x01\x91\x02" {
		t.Errorf("got %q, %v", p.Bytes, err)
	}
	out := []rude{}
	if _, err := Unmarshal(Payload{Bytes: []byte{0x92, 1, 2}}, &out, Limits{}); err != nil {
		t.Error(err)
	}
	one := rude{write: []byte("twice")}
	if _, err := Unmarshal(Payload{Bytes: []byte{1}}, &one, Limits{}); err == nil {
		t.Error("read beyond its value")
	}
	if _, err := Unmarshal(Payload{Bytes: []byte{0x91, 1}}, new(rude), Limits{}); err == nil {
		t.Error("a list for an integer")
	}
	var m struct{ A, B byBytes }
	if _, err := Unmarshal(Payload{Bytes: []byte("\x82\xa1a\x91\x01\xa1b\xc0")}, &m, Limits{}); err != nil || string(m.A.B) != "\x91\x01" || string(m.B.B) != "\xc0" {
		t.Errorf("got %q, %v", m, err)
	}
}

func TestReader(t *testing.T) {
	r := NewReader(Payload{Bytes: []byte{1, 2}, FDs: []int{7, 8}})
	if fd, err := r.Take(1); fd != 8 || err != nil {
		t.Error(fd, err)
	}
	for _, i := range []int{1, 2, -1} {
		if _, err := r.Take(i); !errors.Is(err, ErrProtocol) {
			t.Errorf("Take(%d): %v", i, err)
		}
	}
	if left := r.Left(); !slices.Equal(left, []int{7}) {
		t.Errorf("left %v", left)
	}
	if r.UnreadByte() == nil {
		t.Error("UnreadByte at the start")
	}
	if _, err := (HandleRef{First: 1, Count: 2}).Pick([]int{1, 2}); !errors.Is(err, ErrProtocol) {
		t.Errorf("Pick: %v", err)
	}
	if fds, err := (HandleRef{First: 1, Count: 1}).Pick([]int{1, 2}); err != nil || !slices.Equal(fds, []int{2}) {
		t.Errorf("Pick: %v, %v", fds, err)
	}
}

func TestRegisterHandleTwice(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	RegisterHandle(200, nil)
}

// A FakeKind is a handle that is built on another one.
type FakeKind struct {
	FakeHandle `msgpack:"-"`
}

func TestHandleBuiltOnAnother(t *testing.T) {
	p, err := Marshal(&FakeKind{FakeHandle{meta: "kind", fds: []int{20}}})
	if err != nil || !slices.Equal(p.FDs, []int{20}) {
		t.Fatalf("descriptors %v, %v", p.FDs, err)
	}
	var kind FakeKind
	var plain FakeHandle
	for _, into := range []any{&kind, &plain} {
		if left, err := Unmarshal(p, into, Limits{}); err != nil || len(left) > 0 {
			t.Fatalf("into %T: left %v, %v", into, left, err)
		}
	}
	if kind.meta != "kind" || plain.meta != "kind" {
		t.Errorf("arrived as %q and %q", kind.meta, plain.meta)
	}
}
