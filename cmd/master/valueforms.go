package main

import (
	"encoding/base64"
	"encoding/hex"
	"math"
	"strconv"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// This file reads what stands behind the keys of valueForms.

func (e *valueEncoder) bytes(n *node) { e.b = proto.AppendBin(e.b, e.base64(n)) }

func (e *valueEncoder) base64(n *node) []byte {
	b, err := base64.StdEncoding.DecodeString(n.text)
	if n.kind != stringNode || err != nil {
		e.wrong(n, "a string of base64")
	}
	return b
}

func (e *valueEncoder) hexBytes(n *node) {
	b, err := hex.DecodeString(n.text)
	if n.kind != stringNode || err != nil {
		e.wrong(n, "a string of hex")
	}
	e.b = proto.AppendBin(e.b, b)
}

// content reads {"$base64": "…"} inside another form.
func (e *valueEncoder) content(n *node) []byte {
	if n.kind != objectNode || len(n.members) != 1 || n.members[0].key != "$base64" {
		e.wrong(n, `bytes, {"$base64": "…"}`)
		return nil
	}
	return e.base64(n.members[0].value)
}

func (e *valueEncoder) text(n *node) { e.b = proto.AppendString(e.b, string(e.content(n))) }

var floatWords = map[string]float64{"nan": math.NaN(), "inf": math.Inf(1), "-inf": math.Inf(-1)}

func (e *valueEncoder) float(n *node) { e.b = proto.AppendFloat(e.b, e.readFloat(n)) }

func (e *valueEncoder) readFloat(n *node) float64 {
	f, ok := floatWords[n.text]
	if n.kind != stringNode || !ok {
		e.wrong(n, `"nan", "inf" or "-inf"`)
	}
	return f
}

// array returns the elements of an array; with size ≥ 0 it must have so many.
func (e *valueEncoder) array(n *node, size int, expected string) []*node {
	if n.kind != arrayNode || size >= 0 && len(n.items) != size {
		e.wrong(n, expected)
		return nil
	}
	return n.items
}

func (e *valueEncoder) tuple(n *node) { e.holder(proto.ExtTuple, n) }

func (e *valueEncoder) set(n *node) { e.distinct(n); e.holder(proto.ExtSet, n) }

func (e *valueEncoder) frozenSet(n *node) { e.distinct(n); e.holder(proto.ExtFrozenSet, n) }

// holder appends an extension whose content is an array.
func (e *valueEncoder) holder(code int8, n *node) {
	items := e.array(n, -1, "a list of its elements")
	outer := e.b
	e.b = nil
	e.list(items)
	e.b = append(proto.AppendExtHeader(outer, code, len(e.b)), e.b...)
}

// distinct refuses what cannot be in a set, and what is in it twice.
func (e *valueEncoder) distinct(n *node) {
	outer := e.b
	seen := map[string]bool{}
	for _, item := range e.array(n, -1, "a list of its elements") {
		e.b = nil
		e.value(item)
		key, err := proto.AppendKey(nil, e.b)
		switch {
		case len(e.src.problems) > 0 || e.err != nil:
		case err != nil:
			e.wrong(item, "what can be an element of a set: a scalar, or a tuple or frozen set of scalars")
		case seen[string(key)]:
			e.src.problem(item.off, "%s is in the set twice", item.what())
		}
		seen[string(key)] = true
	}
	e.b = outer
}

func (e *valueEncoder) pairs(n *node) {
	pairs := e.array(n, -1, "a list of pairs [key, value]")
	e.b = proto.AppendMapHeader(e.b, len(pairs))
	for _, pair := range pairs {
		for _, part := range e.array(pair, 2, "a pair [key, value]") {
			e.value(part)
		}
	}
}

func (e *valueEncoder) time(n *node) {
	t, err := time.Parse(time.RFC3339Nano, n.text)
	if n.kind != stringNode || err != nil {
		e.wrong(n, `a time such as "2006-01-02T15:04:05Z"`)
	}
	e.marshal(n, t)
}

func (e *valueEncoder) complex(n *node) {
	var parts [2]float64
	for i, part := range e.array(n, 2, "[real, imaginary]") {
		f, err := strconv.ParseFloat(part.text, 64)
		switch {
		case part.kind == objectNode && len(part.members) == 1 && part.members[0].key == "$float":
			f = e.readFloat(part.members[0].value)
		case part.kind != numberNode || err != nil:
			e.wrong(part, "a number")
		}
		parts[i] = f
	}
	e.marshal(n, complex(parts[0], parts[1]))
}

func (e *valueEncoder) slice(n *node) {
	var parts [3]*int64
	for i, part := range e.array(n, 3, "[start, stop, step]") {
		v, err := strconv.ParseInt(part.text, 10, 64)
		switch {
		case part.kind == nullNode:
			continue
		case part.kind != numberNode || err != nil:
			e.wrong(part, "an integer or null")
		}
		parts[i] = &v
	}
	e.marshal(n, proto.Slice{Start: parts[0], Stop: parts[1], Step: parts[2]})
}

func (e *valueEncoder) ref(n *node) {
	var r proto.Ref
	switch n.kind {
	case arrayNode:
		r.Instance, r.ID = e.pairOfUint(n)
	case numberNode, stringNode:
		var err error
		if r, err = e.refs(n); err != nil && e.err == nil {
			e.err = err
		}
	default:
		e.wrong(n, "the name or the id of an object, or [instance, id]")
	}
	e.b = proto.AppendRef(e.b, r)
}

func (e *valueEncoder) pairOfUint(n *node) (a, b uint64) {
	into := []*uint64{&a, &b}
	for i, part := range e.array(n, 2, "[instance, id]") {
		v, err := strconv.ParseUint(part.text, 10, 64)
		if part.kind != numberNode || err != nil {
			e.wrong(part, "an integer ≥ 0")
		}
		*into[i] = v
	}
	return a, b
}

func (e *valueEncoder) ext(n *node) {
	parts := e.array(n, 2, `[code, {"$base64": "…"}]`)
	if parts == nil {
		return
	}
	code, err := strconv.ParseInt(parts[0].text, 10, 8)
	if parts[0].kind != numberNode || err != nil || int8(code) == proto.ExtHandle {
		e.wrong(parts[0], "the code of an extension other than a handle, from -128 to 127")
	}
	content := e.content(parts[1])
	e.b = append(proto.AppendExtHeader(e.b, int8(code), len(content)), content...)
}

func (e *valueEncoder) marshal(n *node, v any) {
	p, err := proto.Marshal(v)
	if err != nil {
		e.src.problem(n.off, "%v", err)
	}
	e.b = append(e.b, p.Bytes...)
}
