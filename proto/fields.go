package proto

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// fields are those of one struct type that travel.
type fields struct {
	list   []field
	byName map[string]int // index in list
	omits  bool           // some field may be left out
}

type field struct {
	name  string
	key   []byte // the name, encoded
	index []int  // as for reflect.Value.FieldByIndex
	plan  *plan
	empty bool // left out when its length is 0
	zero  bool // left out when it is the zero value
	depth int
}

// fieldsOf lists the fields of t in order of declaration, those of embedded structs
// in their struct's place. As in Go, a name further out hides one further in.
func (m planner) fieldsOf(t reflect.Type) (*fields, error) {
	var all []field
	if err := m.collect(t, nil, nil, &all); err != nil {
		return nil, err
	}
	fs := &fields{byName: map[string]int{}}
	depth := map[string]int{}
	for _, f := range all {
		if d, ok := depth[f.name]; !ok || f.depth < d {
			depth[f.name] = f.depth
		}
	}
	for _, f := range all {
		if f.depth != depth[f.name] {
			continue
		}
		if _, twice := fs.byName[f.name]; twice {
			return nil, fmt.Errorf("two fields of %s are called %q", t, f.name)
		}
		fs.byName[f.name] = len(fs.list)
		fs.list = append(fs.list, f)
		fs.omits = fs.omits || f.empty || f.zero || len(f.index) > 1
	}
	return fs, nil
}

func (m planner) collect(t reflect.Type, index []int, within []reflect.Type, all *[]field) error {
	for i := range t.NumField() {
		sf := t.Field(i)
		tag, ok := sf.Tag.Lookup("msgpack")
		if !ok {
			tag = sf.Tag.Get("json")
		}
		if tag == "-" { // "-," is a field called "-", as in encoding/json
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		has := func(option string) bool { return slices.Contains(strings.Split(options, ","), option) }
		here := append(slices.Clone(index), i)
		if sf.Anonymous && name == "" && !has("noinline") || has("inline") {
			inner := sf.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct && m.inlined(inner) {
				if sf.Type.Kind() == reflect.Pointer && !sf.IsExported() {
					return fmt.Errorf("%s embeds a pointer to %s, which cannot be set from outside", t, inner)
				}
				if slices.Contains(within, inner) || inner == t {
					return fmt.Errorf("%s embeds itself", inner)
				}
				if err := m.collect(inner, here, append(within, t), all); err != nil {
					return err
				}
				continue
			}
		}
		if !sf.IsExported() {
			continue
		}
		if name == "" {
			name = snake(sf.Name)
		}
		*all = append(*all, field{
			name: name, key: AppendString(nil, name), index: here, plan: m.plan(sf.Type),
			empty: has("omitempty"), zero: has("omitempty") || has("omitzero"), depth: len(here),
		})
	}
	return nil
}

// inlined reports whether an embedded struct is one of fields: not one that has a
// form of its own.
func (m planner) inlined(t reflect.Type) bool {
	if _, ok := extForms[t]; ok || t == timeType || t == extType {
		return false
	}
	p := reflect.PointerTo(t)
	for _, i := range []reflect.Type{handleEncoderType, handleDecoderType, customEncoderType, customDecoderType,
		marshalerType, unmarshalerType, textEncoderType, textDecoderType, binEncoderType, binDecoderType} {
		if p.Implements(i) {
			return false
		}
	}
	return true
}

// snake writes a Go name as other languages write names of fields: MaxRetries is
// max_retries, UserID is user_id, HTTPServer is http_server.
func snake(name string) string {
	r := []rune(name)
	var b strings.Builder
	for i, c := range r {
		if unicode.IsUpper(c) && i > 0 && r[i-1] != '_' {
			// A new word begins after a small letter or digit, and at the last capital
			// of a row of them if a small letter follows.
			if !unicode.IsUpper(r[i-1]) || i+1 < len(r) && unicode.IsLower(r[i+1]) {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}
