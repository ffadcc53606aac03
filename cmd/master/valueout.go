package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seed-185a7250/multiproc/proto"
)

// appendJSON appends a value of a manager as JSON on one line, in the forms of valueForms where JSON has no word for it; what it
// writes encodes to an equal value again. References to objects of this manager, instance, are written as their ids. v was scanned.
func appendJSON(b []byte, v proto.Raw, instance uint64) []byte {
	w := &jsonWriter{b: b, instance: instance}
	w.value(v)
	return w.b
}

type jsonWriter struct {
	b        []byte
	instance uint64
}

func (w *jsonWriter) put(s string) { w.b = append(w.b, s...) }

func (w *jsonWriter) value(v proto.Raw) {
	switch {
	case proto.IsArray(v):
		w.list(v)
	case proto.IsMap(v):
		w.object(v)
	case w.holder("$tuple", proto.ExtTuple, v), w.holder("$set", proto.ExtSet, v), w.holder("$frozenset", proto.ExtFrozenSet, v):
	default:
		w.scalar(v)
	}
}

func (w *jsonWriter) list(v proto.Raw) {
	items, _ := proto.Elements(v, nil)
	w.put("[")
	for i, item := range items {
		if i > 0 {
			w.put(",")
		}
		w.value(item)
	}
	w.put("]")
}

// holder writes an extension whose content is an array.
func (w *jsonWriter) holder(form string, code int8, v proto.Raw) bool {
	content, ok := proto.IsExt(v, code)
	if !ok || !proto.IsArray(content) {
		return false
	}
	w.form(form, func() { w.list(content) })
	return true
}

func (w *jsonWriter) form(name string, inside func()) {
	w.put(`{"` + name + `":`)
	inside()
	w.put("}")
}

// object writes a map, as pairs where its keys are not distinct strings, or look like a form.
func (w *jsonWriter) object(v proto.Raw) {
	parts, _ := proto.Entries(v, nil)
	if !plainKeys(parts) {
		w.form("$map", func() { w.pairs(parts) })
		return
	}
	w.put("{")
	for i := 0; i < len(parts); i += 2 {
		if i > 0 {
			w.put(",")
		}
		w.value(parts[i])
		w.put(":")
		w.value(parts[i+1])
	}
	w.put("}")
}

// pairs writes keys and values in turn as [[key, value], …].
func (w *jsonWriter) pairs(parts []proto.Raw) {
	w.put("[")
	for i := 0; i < len(parts); i += 2 {
		if i > 0 {
			w.put(",")
		}
		w.put("[")
		w.value(parts[i])
		w.put(",")
		w.value(parts[i+1])
		w.put("]")
	}
	w.put("]")
}

func plainKeys(parts []proto.Raw) bool {
	seen := make(map[string]bool, len(parts)/2)
	for i := 0; i < len(parts); i += 2 {
		key, err := proto.ParseString(parts[i])
		if err != nil || !utf8.ValidString(key) || seen[key] || len(parts) == 2 && strings.HasPrefix(key, "$") {
			return false
		}
		seen[key] = true
	}
	return true
}

// scalar writes what has no parts.
func (w *jsonWriter) scalar(r proto.Raw) {
	var v any
	if _, err := proto.Unmarshal(proto.Payload{Bytes: r}, &v, proto.Limits{}); err != nil { // a handle
		w.form("$type", func() { w.text(err.Error()) })
		return
	}
	switch v := v.(type) {
	case nil:
		w.put("null")
	case bool:
		w.put(strconv.FormatBool(v))
	case int64:
		w.put(strconv.FormatInt(v, 10))
	case uint64:
		w.put(strconv.FormatUint(v, 10))
	case float64:
		w.float(v)
	case string:
		w.str(v)
	case []byte:
		w.bytes(v)
	default:
		w.ext(r, v)
	}
}

// ext writes an extension, decoded as v: in a form of its own, or as its code and bytes.
func (w *jsonWriter) ext(r proto.Raw, v any) {
	switch v := v.(type) {
	case *big.Int:
		w.put(v.String())
		return
	case time.Time:
		if y := v.Year(); 0 <= y && y <= 9999 { // RFC 3339 has no other years
			w.form("$time", func() { w.text(v.Format(time.RFC3339Nano)) })
			return
		}
	case complex128:
		w.form("$complex", func() { w.complex(v) })
		return
	case proto.Slice:
		w.form("$slice", func() { w.slice(v) })
		return
	case proto.Ref:
		w.form("$ref", func() { w.ref(v) })
		return
	}
	var x proto.Ext
	proto.Unmarshal(proto.Payload{Bytes: r}, &x, proto.Limits{})
	w.form("$ext", func() {
		w.put("[" + strconv.Itoa(int(x.Code)) + ",")
		w.bytes(x.Data)
		w.put("]")
	})
}

func (w *jsonWriter) slice(s proto.Slice) {
	w.put("[")
	for i, part := range []*int64{s.Start, s.Stop, s.Step} {
		if i > 0 {
			w.put(",")
		}
		if part == nil {
			w.put("null")
		} else {
			w.put(strconv.FormatInt(*part, 10))
		}
	}
	w.put("]")
}

func (w *jsonWriter) ref(r proto.Ref) {
	if r.Instance == w.instance {
		w.put(strconv.FormatUint(r.ID, 10))
		return
	}
	w.put("[" + strconv.FormatUint(r.Instance, 10) + "," + strconv.FormatUint(r.ID, 10) + "]")
}

// float writes a point or an exponent always: 1.0 is no integer.
func (w *jsonWriter) float(f float64) {
	switch {
	case math.IsNaN(f):
		w.put(`{"$float":"nan"}`)
	case math.IsInf(f, 1):
		w.put(`{"$float":"inf"}`)
	case math.IsInf(f, -1):
		w.put(`{"$float":"-inf"}`)
	default:
		w.put(floatJSON(f))
	}
}

func floatJSON(f float64) string {
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

func (w *jsonWriter) bytes(b []byte) {
	w.form("$base64", func() { w.text(base64.StdEncoding.EncodeToString(b)) })
}

func (w *jsonWriter) str(s string) {
	if !utf8.ValidString(s) {
		w.form("$str", func() { w.bytes([]byte(s)) })
		return
	}
	w.text(s)
}

// text writes a string, and leaves <, > and & as they are.
func (w *jsonWriter) text(s string) {
	var line bytes.Buffer
	e := json.NewEncoder(&line)
	e.SetEscapeHTML(false)
	e.Encode(s) // a string cannot fail
	w.b = append(w.b, bytes.TrimSuffix(line.Bytes(), []byte("\n"))...)
}

func (w *jsonWriter) complex(c complex128) {
	w.put("[")
	w.float(real(c))
	w.put(",")
	w.float(imag(c))
	w.put("]")
}
