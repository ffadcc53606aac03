package proto

import (
	"errors"
	"reflect"
	"testing"
)

// A door is a handle that can also travel as a reference.
type door struct {
	ref    Ref
	from   any
	closed bool
}

func (d *door) EncodeHandle() (Handle, []int, error) { return Handle{Kind: 200}, []int{7}, nil }
func (d *door) DecodeHandle(Handle, []int) error     { return errors.New("a handle") }
func (d *door) EncodeRef(to any) (Ref, error) {
	if to == "nobody" {
		return Ref{}, errors.New("not to nobody")
	}
	return d.ref, nil
}
func (d *door) DecodeRef(r Ref, from any) error { d.ref, d.from = r, from; return nil }
func (d *door) Close() error                    { d.closed = true; return nil }

type doors struct{ made []*door }

func (o *doors) OpenRef(r Ref) any {
	o.made = append(o.made, &door{ref: r, from: o})
	return o.made[len(o.made)-1]
}

func TestReferencesForHandles(t *testing.T) {
	ref := Ref{Instance: 1, ID: 2, Address: "there"}
	value := map[string]any{"doors": []*door{{ref: ref}}}
	p, err := MarshalRefs(value, "somebody")
	if err != nil || len(p.FDs) > 0 {
		t.Fatalf("%v, descriptors %v", err, p.FDs)
	}
	if p, err := Marshal(value); err != nil || len(p.FDs) != 1 {
		t.Errorf("as a handle: %v, descriptors %v", err, p.FDs)
	}
	if _, err := MarshalRefs(value, "nobody"); err == nil {
		t.Error("a reference to nobody was encoded")
	}

	var typed map[string][]*door
	if _, err := UnmarshalFrom(p, &typed, Limits{}, "me"); err != nil {
		t.Fatal(err)
	}
	if got := typed["doors"][0]; got.ref != ref || got.from != "me" {
		t.Errorf("decoded %+v", got)
	}

	var open any
	o := &doors{}
	if _, err := UnmarshalFrom(p, &open, Limits{}, o); err != nil {
		t.Fatal(err)
	}
	if got := open.(map[string]any)["doors"].([]any)[0]; got != any(o.made[0]) {
		t.Errorf("decoded %+v", got)
	}
	var plain any
	if _, err := UnmarshalFrom(p, &plain, Limits{}, nil); err != nil {
		t.Fatal(err)
	}
	if got := plain.(map[string]any)["doors"].([]any)[0]; !reflect.DeepEqual(got, ref) {
		t.Errorf("decoded from nobody %+v", got)
	}

	// What was opened is let go when the rest is bad.
	bad := AppendArrayHeader(nil, 2)
	bad = AppendInt(AppendRef(bad, ref), 1)
	var list []*door
	if _, err := UnmarshalFrom(Payload{Bytes: bad}, &list, Limits{}, nil); !errors.Is(err, ErrMismatch) {
		t.Errorf("an integer as a door: %v", err)
	}
	var pair struct {
		A any
		B []any
	}
	b := AppendMapHeader(nil, 2)
	b = AppendRef(AppendString(b, "a"), ref)
	b = AppendInt(AppendString(b, "b"), 1)
	o = &doors{}
	if _, err := UnmarshalFrom(Payload{Bytes: b}, &pair, Limits{}, o); !errors.Is(err, ErrMismatch) {
		t.Errorf("an integer as a list: %v", err)
	}
	if len(o.made) != 1 || !o.made[0].closed {
		t.Errorf("opened and not let go: %v", o.made)
	}
}
