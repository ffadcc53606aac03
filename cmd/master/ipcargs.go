package main

import (
	"strconv"
	"strings"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// An argument of an operation: one value, or as many as one array.
type argument struct {
	values []value
	many   bool
	object *ipc.Target // instead: sent as its id
}

// name is how messages call the command.
func (c *ipcCall) name() string {
	if c.kind == "" {
		return "ipc " + c.op.name
	}
	return "ipc " + c.kind + " " + c.op.name
}

// expected are the parameters, with the object in front that an operation is of.
func (c *ipcCall) expected() []param {
	list := c.op.parameters()
	if c.kind != "" {
		list = append([]param{{word: "OBJECT", shape: objectShape}}, list...)
	}
	return list
}

// bind makes arguments of the words and flags.
func (c *ipcCall) bind(stdin func() (string, error)) error {
	if err := c.checkNumber(); err != nil {
		return err
	}
	words := c.words
	if c.linesOfStdin() {
		return nil
	}
	for i, p := range c.expected() {
		if p.shape == restShape {
			return nil
		}
		if i == 0 && p.shape == objectShape { // what it is of
			words = words[1:]
			continue
		}
		n := 1
		if p.many {
			n = len(words)
		}
		if len(words) == 0 && p.optional {
			if p.many && p.shape == jsonShape { // the arguments of something that may take none
				c.args = append(c.args, argument{many: true})
			}
			break
		}
		arg, err := c.argument(p, words[:n], stdin)
		if err != nil {
			return err
		}
		c.args, words = append(c.args, arg), words[n:]
	}
	return c.bindFlags()
}

// linesOfStdin tells whether standard input has a value on each line.
func (c *ipcCall) linesOfStdin() bool {
	return c.op.name == "put" && len(c.words) == 2 && c.words[1] == "-"
}

// checkNumber refuses too few or too many words.
func (c *ipcCall) checkNumber() error {
	params := c.expected()
	least, most := 0, len(params)
	for _, p := range params {
		if !p.optional {
			least++
		}
		if p.many || p.shape == restShape {
			most = len(c.words)
		}
	}
	switch n := len(c.words); {
	case n < least:
		return usageError("%s: no %s; expected %s", c.name(), params[n].word, c.usageLine())
	case n > most:
		return usageError("%s: found %q after the last argument; expected %s", c.name(), c.words[most], c.usageLine())
	}
	return c.checkObject()
}

func (c *ipcCall) checkObject() error {
	params := c.expected()
	if len(params) == 0 || params[0].shape != objectShape {
		return nil
	}
	t, err := c.target(c.words[0])
	if err == nil && t.Name == "" && c.Create {
		err = usageError("%s: found %s; expected a name for what is to be created", c.name(), c.words[0])
	}
	return err
}

// usageLine shows how the command is used.
func (c *ipcCall) usageLine() string {
	words := []string{strings.TrimPrefix(c.name(), "ipc ")}
	for _, p := range c.expected() {
		word := p.word
		if p.many || p.shape == restShape {
			word += "…"
		}
		if p.optional {
			word = "[" + word + "]"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func (c *ipcCall) argument(p param, words []string, stdin func() (string, error)) (argument, error) {
	arg := argument{many: p.many}
	for _, word := range words {
		if p.shape == objectShape {
			t, err := c.target(word)
			return argument{object: &t}, err
		}
		if word == "-" && (p.shape == valueShape || p.shape == jsonShape) {
			var err error
			if word, err = stdin(); err != nil {
				return arg, err
			}
			if c.Text { // echo ends with one
				word = strings.TrimSuffix(word, "\n")
			}
		}
		v, err := c.value(p, word)
		if err != nil {
			return arg, err
		}
		arg.values = append(arg.values, v)
	}
	return arg, nil
}

// value reads a word as what it is to be.
func (c *ipcCall) value(p param, word string) (value, error) {
	what := c.name() + ": " + p.word
	switch p.shape {
	case wordShape:
		return textValue(word), nil
	case keyShape:
		if !c.JSONKeys {
			return textValue(word), nil
		}
	case valueShape:
		if c.Text {
			return textValue(word), nil
		}
	case indexShape:
		if strings.Contains(word, ":") {
			return readSlice(what, word)
		}
		return readNumber(what, word, `an integer, or a slice such as "1:3"`)
	case numberShape:
		return readNumber(what, word, "an integer")
	}
	return readValue(what, word)
}

// target reads the name of an object, or @ and its id.
func (c *ipcCall) target(word string) (ipc.Target, error) {
	if digits, ok := strings.CutPrefix(word, "@"); ok {
		if id, err := strconv.ParseUint(digits, 10, 64); err == nil {
			return ipc.Numbered(id), nil
		}
	}
	if word == "" || len(word) > 255 {
		return ipc.Target{}, usageError("%s: a name of %d bytes; expected 1 to 255", c.name(), len(word))
	}
	return ipc.Named(word), nil
}

func readNumber(what, word, expected string) (value, error) {
	if v, err := readValue(what, word); err == nil && v.root.kind == numberNode && isInteger(v.root.text) {
		return v, nil
	}
	return value{}, usageError("%s: found %s; expected %s", what, quote(word), expected)
}

// readSlice reads start:stop:step as Python has it.
func readSlice(what, word string) (value, error) {
	parts := strings.Split(word, ":")
	if len(parts) == 2 {
		parts = append(parts, "")
	}
	for i, part := range parts {
		if part == "" {
			parts[i] = "null"
		} else if _, err := strconv.ParseInt(part, 10, 64); err != nil {
			parts = nil
			break
		}
	}
	if len(parts) != 3 {
		return value{}, usageError("%s: found %s; expected an integer, or a slice such as %q", what, quote(word), "1:3")
	}
	return readValue(what, `{"$slice": [`+strings.Join(parts, ",")+`]}`)
}

// bindFlags reads the values that are given as flags; most stand for arguments.
func (c *ipcCall) bindFlags() error {
	for _, flag := range []struct {
		name string
		text *string
	}{{"-default", c.Default}, {"-start", c.Start}} {
		if flag.text == nil {
			continue
		}
		v, err := c.value(param{word: flag.name, shape: valueShape}, *flag.text)
		if err != nil {
			return err
		}
		if c.kind == "value" {
			c.begin = &v
		} else {
			c.args = append(c.args, argument{values: []value{v}})
		}
	}
	if c.Reverse || c.Now {
		c.args = append(c.args, argument{values: []value{{src: &source{}, root: &node{kind: boolNode, text: "true"}}}})
	}
	return nil
}

// encodeArgs appends arguments as one array.
func (s *ipcShell) encodeArgs(b []byte, args []argument) ([]byte, error) {
	b = proto.AppendArrayHeader(b, len(args))
	for _, arg := range args {
		var err error
		if arg.object != nil {
			a, err := s.client.Attach(s.ctx, *arg.object)
			if err != nil {
				return b, err
			}
			b = proto.AppendUint(b, a.ID)
			continue
		}
		if arg.many {
			b = proto.AppendArrayHeader(b, len(arg.values))
		}
		for _, v := range arg.values {
			if b, err = v.encode(b, s.refer); err != nil {
				return b, err
			}
		}
	}
	return b, nil
}

// refer finds the object of {"$ref": …}.
func (s *ipcShell) refer(n *node) (proto.Ref, error) {
	t := ipc.Named(n.text)
	if n.kind == numberNode {
		id, err := strconv.ParseUint(n.text, 10, 63)
		if err != nil {
			return proto.Ref{}, usageError("%s: no object has the id %s", s.call.name(), n.text)
		}
		t = ipc.Numbered(id)
	}
	a, err := s.client.Attach(s.ctx, t)
	return proto.Ref{Instance: s.client.Instance(), ID: a.ID}, err
}
