package main

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// The types of numbers that a job can share. In Go they are int64 and float64.
const (
	intType   = "int"
	floatType = "float"
)

var numberTypes = []string{intType, floatType}

// A number is one of a value or an array: which of the two is said by Shared.Type.
type number struct {
	whole int64
	float float64
}

// number returns the i-th number of a description, or zero: what is left out is 0.
func (s Shared) number(i int) number {
	if i < len(s.Numbers) {
		return s.Numbers[i]
	}
	return number{}
}

// The most that can be asked for: what ipc allows, or what nobody means.
const (
	mostPermits = 1<<31 - 1
	mostParties = 1<<16 - 1
	mostMemory  = 1 << 40
	mostBytes   = 1 << 32
)

// The options of shared objects. They are named for the key, or for what the same key means to one kind.
var (
	handoffField = field[Shared]{"handoff", "", func(r *jobReader, n *node, s *Shared) { s.Handoff = r.flag(n, "handoff") }}
	partiesField = field[Shared]{"parties", "how many must come before any goes on", func(r *jobReader, n *node, s *Shared) {
		s.Parties, _ = r.whole(n, "parties", 1, mostParties, "")
	}}

	// Of numbers. The type stands first in the tables: it is read before the numbers, which depend on it.
	typeField   = field[Shared]{"type", `"int" or "float"`, (*jobReader).numberType}
	valueField  = field[Shared]{"value", "", func(r *jobReader, n *node, s *Shared) { s.Numbers = []number{r.numberOf(s, n, "value")} }}
	valuesField = field[Shared]{"values", "", (*jobReader).numbers}
	lengthField = field[Shared]{"size", "", func(r *jobReader, n *node, s *Shared) {
		s.Size, _ = r.whole(n, "size", 1, mostMemory/8, " elements")
	}}

	// Of bytes and items.
	memoryField = field[Shared]{"size", "how many bytes", func(r *jobReader, n *node, s *Shared) {
		s.Size, _ = r.whole(n, "size", 1, mostMemory, " bytes")
	}}
	itemsField = field[Shared]{"size", "", func(r *jobReader, n *node, s *Shared) {
		s.Size = r.count(n, "size", ` items (a queue without "size" is bounded by its bytes alone)`)
	}}
	bytesField = field[Shared]{"bytes", "", func(r *jobReader, n *node, s *Shared) {
		s.Bytes, _ = r.whole(n, "bytes", 1, mostBytes, "")
	}}
	redeliverField = field[Shared]{"redeliver", "", func(r *jobReader, n *node, s *Shared) { s.Redeliver = r.flag(n, "redeliver") }}

	// Of what a manager keeps.
	managedField  = field[Shared]{"managed", "", func(r *jobReader, n *node, s *Shared) { s.Managed = r.flag(n, "managed") }}
	entriesField  = field[Shared]{"items", "", (*jobReader).entries}
	elementsField = field[Shared]{"items", "", (*jobReader).elements}

	pathField = field[Shared]{"path", `the name of a file, or "-" for the master's standard output`, (*jobReader).path}
)

// permitsField has a lower bound: a bounded semaphore that nobody can acquire is of no use, any other can be released first.
func permitsField(least int) field[Shared] {
	return field[Shared]{"permits", "how many may be held at a time", func(r *jobReader, n *node, s *Shared) {
		s.Permits, _ = r.whole(n, "permits", least, mostPermits, "")
	}}
}

func (r *jobReader) numberType(n *node, s *Shared) {
	switch {
	case !r.text(n, "type"):
	case !slices.Contains(numberTypes, n.text):
		r.src.problem(n.off, "type: found %s; expected %s%s", quote(n.text), oneOf(numberTypes), didYouMean(n.text, numberTypes))
	default:
		s.Type = n.text
	}
}

func (r *jobReader) numbers(n *node, s *Shared) {
	const expected = "a list of one number or more"
	if n.kind != arrayNode {
		r.wrong(n, "values", expected)
		return
	}
	if len(n.items) == 0 {
		r.src.problem(n.off, "values: found an empty list; expected %s", expected)
	}
	for _, item := range n.items {
		s.Numbers = append(s.Numbers, r.numberOf(s, item, "values"))
	}
}

// numberOf reads a number of the type that s has.
func (r *jobReader) numberOf(s *Shared, n *node, what string) (v number) {
	if n.kind != numberNode {
		r.wrong(n, what, "a number")
		return v
	}
	if s.Type != intType { // also where the type itself is wrong, which has been said
		f, err := strconv.ParseFloat(n.text, 64)
		if err != nil {
			r.src.problem(n.off, "%s: found %s; expected at most %g", what, shorten(n.text), math.MaxFloat64)
		}
		return number{float: f}
	}
	whole, err := strconv.ParseInt(n.text, 10, 64)
	if err != nil && isInteger(n.text) {
		r.src.problem(n.off, "%s: found %s; expected a whole number of 64 bits", what, shorten(n.text))
	} else if err != nil {
		r.src.problem(n.off, `%s: found %s; expected a whole number, or "type": "float"`, what, n.what())
	}
	v.whole = whole
	return v
}

// checkArray: the number of elements is said once.
func checkArray(r *jobReader, n *node, what string, s *Shared) {
	size, values := n.find("size"), n.find("values")
	switch {
	case size == nil && values == nil:
		r.src.problem(n.off, `%s has neither "size" nor "values"; expected one of them`, what)
	case size != nil && values != nil && s.Size > 0 && len(values.items) > s.Size:
		r.src.problem(values.off, `values: found %d; expected at most %d, which is "size"`, len(values.items), s.Size)
	}
}

// path reads the name of a file, relative to where the master was started.
func (r *jobReader) path(n *node, s *Shared) {
	if !r.text(n, "path") {
		return
	}
	if n.text == "" || strings.ContainsRune(n.text, 0) {
		r.src.problem(n.off, `path: found %s; expected the name of a file, or "-" for the master's standard output`, quote(n.text))
	}
	s.Path = n.text
}

// checkQueue: what only a queue in shared memory has.
func checkQueue(r *jobReader, n *node, what string, s *Shared) {
	for _, key := range []string{"bytes", "redeliver"} {
		if v := n.find(key); v != nil && s.Managed {
			r.src.problem(v.off, `%s: %s has "managed": true; expected one of the two at most`, key, what)
		}
	}
}

// entries reads what is in a dict or a namespace at first, elements what is in a list.
func (r *jobReader) entries(n *node, s *Shared) {
	if r.object(n, "items") {
		s.Items = r.plainTree(n, "items")
	}
}

func (r *jobReader) elements(n *node, s *Shared) {
	if n.kind != arrayNode {
		r.wrong(n, "items", "a list")
		return
	}
	s.Items = r.plainTree(n, "items")
}

// plainTree is tree without references: objects are made before they could refer to each other.
func (r *jobReader) plainTree(n *node, what string) any {
	if ref := firstReference(n); ref != nil {
		r.src.problem(ref.off, "%s: found %s; expected plain values", what, quote(ref.key))
		return nil
	}
	return r.tree(n)
}

// firstReference returns the first map with a single key that begins with "$".
func firstReference(n *node) *member {
	if len(n.members) == 1 && strings.HasPrefix(n.members[0].key, "$") {
		return &n.members[0]
	}
	for _, m := range n.members {
		if ref := firstReference(m.value); ref != nil {
			return ref
		}
	}
	for _, item := range n.items {
		if ref := firstReference(item); ref != nil {
			return ref
		}
	}
	return nil
}
