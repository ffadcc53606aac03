package main

import (
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/seed-185a7250/multiproc/proto"
)

// A value is one that a person gave, in JSON, to be sent to a manager. Integers of any size stay what they are, and numbers with a
// point or an exponent are floats. An object with one key that begins with "$" stands for what JSON has no word for; valueForms has
// them. The same forms come out, so that what was got can be set.
type value struct {
	src  *source
	root *node
}

// valueForms are the keys, and who reads what stands behind them.
var valueForms map[string]func(e *valueEncoder, n *node)

func init() { // they contain each other
	valueForms = map[string]func(e *valueEncoder, n *node){
		"$base64":    (*valueEncoder).bytes,     // bytes, in base64
		"$bin":       (*valueEncoder).hexBytes,  // bytes, in hex, as the test vectors of PROTOCOL.md have it
		"$float":     (*valueEncoder).float,     // "nan", "inf" or "-inf"
		"$tuple":     (*valueEncoder).tuple,     // its elements
		"$set":       (*valueEncoder).set,       // its elements
		"$frozenset": (*valueEncoder).frozenSet, // its elements
		"$map":       (*valueEncoder).pairs,     // a map: [[key, value], …]
		"$time":      (*valueEncoder).time,      // as in RFC 3339
		"$complex":   (*valueEncoder).complex,   // [real, imaginary]
		"$slice":     (*valueEncoder).slice,     // [start, stop, step], null for what is not given
		"$ref":       (*valueEncoder).ref,       // an object: its name or id; [instance, id] for one of another manager
		"$str":       (*valueEncoder).text,      // a string that is not UTF-8: {"$base64": "…"}
		"$ext":       (*valueEncoder).ext,       // any other extension: [code, {"$base64": "…"}]
	}
}

// readValue reads JSON that was given as what; it names no file but an argument of the command.
func readValue(what, text string) (value, error) {
	v := value{src: &source{file: what, text: []byte(text)}}
	r := &treeReader{src: v.src, what: "value", file: "it", want: "a value in JSON"}
	v.root = r.read("empty; expected a value in JSON")
	if err := v.src.err(); err != nil {
		return v, usageError("%s%s", firstLine(err.Error()), stringHint(text))
	}
	_, err := v.encode(nil, func(*node) (proto.Ref, error) { return proto.Ref{}, nil })
	return v, err
}

// textValue is the string text, which is not read as JSON.
func textValue(text string) value {
	return value{src: &source{}, root: &node{kind: stringNode, text: text}}
}

// stringHint is for those who meant a string, and gave a word.
func stringHint(text string) string {
	if strings.TrimSpace(text) == "" || strings.ContainsAny(text[:1], `"{[-0123456789`) {
		return ""
	}
	return "; strings stand in double quotes, or use -s"
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// encode appends v; refs finds the objects that it refers to by name. An error is one of usage, or that of refs.
func (v value) encode(b []byte, refs func(n *node) (proto.Ref, error)) ([]byte, error) {
	e := &valueEncoder{src: v.src, b: b, refs: refs}
	e.value(v.root)
	if e.err == nil && len(v.src.problems) > 0 {
		e.err = usageError("%s", firstLine(v.src.err().Error()))
	}
	return e.b, e.err
}

type valueEncoder struct {
	src  *source
	b    []byte
	refs func(n *node) (proto.Ref, error)
	err  error // of refs
}

func (e *valueEncoder) wrong(n *node, expected string) {
	e.src.problem(n.off, "found %s; expected %s", n.what(), expected)
}

func (e *valueEncoder) value(n *node) {
	switch n.kind {
	case nullNode:
		e.b = proto.AppendNil(e.b)
	case boolNode:
		e.b = proto.AppendBool(e.b, n.text == "true")
	case numberNode:
		e.number(n)
	case stringNode:
		e.b = proto.AppendString(e.b, n.text)
	case arrayNode:
		e.list(n.items)
	case objectNode:
		e.object(n)
	}
}

func (e *valueEncoder) number(n *node) {
	if isInteger(n.text) {
		z, _ := new(big.Int).SetString(n.text, 10) // the decoder has seen that it is a number
		e.b = proto.AppendBigInt(e.b, z)
		return
	}
	f, err := strconv.ParseFloat(n.text, 64)
	if err != nil {
		e.src.problem(n.off, `number %s is too large for a float; expected at most %g, or {"$float": "inf"}`, shorten(n.text), math.MaxFloat64)
	}
	e.b = proto.AppendFloat(e.b, f)
}

func (e *valueEncoder) list(items []*node) {
	e.b = proto.AppendArrayHeader(e.b, len(items))
	for _, item := range items {
		e.value(item)
	}
}

func (e *valueEncoder) object(n *node) {
	if len(n.members) == 1 && strings.HasPrefix(n.members[0].key, "$") {
		m := n.members[0]
		if form := valueForms[m.key]; form != nil {
			form(e, m.value)
			return
		}
		names := sortedKeys(valueForms)
		e.src.problem(m.off, `unknown form %s; expected %s%s; a map with such a key is {"$map": [[%s, …]]}`,
			quote(m.key), oneOf(names), didYouMean(m.key, names), quote(m.key))
		return
	}
	e.b = proto.AppendMapHeader(e.b, len(n.members))
	for _, m := range n.members {
		e.b = proto.AppendString(e.b, m.key)
		e.value(m.value)
	}
}
