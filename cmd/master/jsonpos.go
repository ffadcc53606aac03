package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a job file. The wire allows 128 levels, and args sit a few levels down in a message.
const maxDepth = 100

// A node is one JSON value with the place where it starts. encoding/json decodes values well but forgets where
// they stood, and a person who wrote a wrong job file needs exactly that.
type node struct {
	kind    nodeKind
	off     int      // byte offset of the first character
	text    string   // a string's value; a number as it is written; "true" or "false"
	items   []*node  // of an array
	members []member // of an object, in file order, duplicates left out
}

type nodeKind uint8

const (
	nullNode nodeKind = iota
	boolNode
	numberNode
	stringNode
	arrayNode
	objectNode
)

// A member is one key of an object, with the place of the key.
type member struct {
	key   string
	off   int
	value *node
}

// what names a value as messages do: `string "30"`, `number 3`, `an object`.
func (n *node) what() string {
	switch n.kind {
	case nullNode:
		return "null"
	case boolNode:
		return n.text
	case numberNode:
		return "number " + shorten(n.text)
	case stringNode:
		return "string " + quote(n.text)
	case arrayNode:
		return "a list"
	default:
		return "an object"
	}
}

// find returns the member with that key, or nil.
func (n *node) find(key string) *node {
	for _, m := range n.members {
		if m.key == key {
			return m.value
		}
	}
	return nil
}

// A treeReader turns a text into nodes. encoding/json does the lexing; what it does not tell, where a token begins, follows
// from where the one before ended.
type treeReader struct {
	src  *source
	dec  *json.Decoder
	end  int    // where the last token ended
	what string // what is read, for messages: "job"
	file string // what it stands in: "the file"
	want string // what may stand next, for messages
	sep  string // the separators that may stand before it
}

// readTree reads a text that is exactly one JSON value. Broken JSON is one problem, since what follows it is guesswork;
// duplicate keys are noted one by one. It returns nil after broken JSON.
func readTree(src *source) *node {
	r := &treeReader{src: src, what: "job", file: "the file", want: `a job in JSON, which begins with "{"`}
	return r.read(`empty file; expected a job such as {"tickets": [{"task": "sleep", "args": {"for": "1s"}}]}`)
}

// read reads the whole text; empty is said of one that is.
func (r *treeReader) read(empty string) *node {
	if !checkText(r.src, empty) {
		return nil
	}
	r.dec = json.NewDecoder(bytes.NewReader(r.src.text))
	r.dec.UseNumber()
	root, ok := r.value(0)
	if !ok || !r.atEnd() {
		return nil
	}
	return root
}

// checkText refuses what the decoder would pass over: bytes that are not UTF-8, which it replaces, and an empty text.
func checkText(src *source, empty string) bool {
	if len(bytes.TrimSpace(src.text)) == 0 {
		src.problem(0, "%s", empty)
		return false
	}
	for i := 0; i < len(src.text); {
		c, n := utf8.DecodeRune(src.text[i:])
		if c == utf8.RuneError && n == 1 {
			src.problem(i, "byte 0x%02x is not UTF-8; expected JSON text in UTF-8", src.text[i])
			return false
		}
		i += n
	}
	return true
}

// next returns the next token and where it starts, or notes a problem.
func (r *treeReader) next() (tok json.Token, off int, ok bool) {
	off = r.start()
	tok, err := r.dec.Token()
	if err != nil {
		r.broken(off)
		return nil, off, false
	}
	r.end = int(r.dec.InputOffset())
	r.sep = ""
	return tok, off, true
}

// start is where the next token begins: after space and at most one separator that may stand there.
func (r *treeReader) start() int {
	i := r.skipSpace(r.end)
	if i < len(r.src.text) && strings.IndexByte(r.sep, r.src.text[i]) >= 0 {
		i = r.skipSpace(i + 1)
	}
	return i
}

func (r *treeReader) skipSpace(i int) int {
	for i < len(r.src.text) && strings.IndexByte(" \t\r\n", r.src.text[i]) >= 0 {
		i++
	}
	return i
}

// value reads one value of any kind.
func (r *treeReader) value(depth int) (*node, bool) {
	tok, off, ok := r.next()
	if !ok {
		return nil, false
	}
	n := &node{off: off}
	switch v := tok.(type) {
	case json.Delim:
		return n, r.container(n, v, depth)
	case string:
		n.kind, n.text = stringNode, v
		return n, r.checkString(off, v)
	case json.Number:
		n.kind, n.text = numberNode, v.String()
	case bool:
		n.kind, n.text = boolNode, fmt.Sprint(v)
	}
	return n, true
}

func (r *treeReader) container(n *node, open json.Delim, depth int) bool {
	if depth == maxDepth {
		r.src.problem(n.off, "nested deeper than %d levels", maxDepth)
		return false
	}
	if open == '[' {
		n.kind = arrayNode
		return r.array(n, depth+1)
	}
	n.kind = objectNode
	return r.object(n, depth+1)
}

func (r *treeReader) array(n *node, depth int) bool {
	for r.want = `a value or "]"`; r.more(']'); r.want, r.sep = `"," or "]"`, "," {
		item, ok := r.value(depth)
		if !ok {
			return false
		}
		n.items = append(n.items, item)
	}
	return r.close()
}

func (r *treeReader) object(n *node, depth int) bool {
	seen := map[string]int{}
	for r.want = `a key in double quotes or "}"`; r.more('}'); r.want, r.sep = `"," or "}"`, "," {
		m, ok := r.member(depth)
		if !ok {
			return false
		}
		if first, twice := seen[m.key]; twice {
			r.src.problem(m.off, "key %s again; the first is at %s", quote(m.key), place(first))
			continue
		}
		seen[m.key] = m.off
		n.members = append(n.members, m)
	}
	return r.close()
}

func (r *treeReader) member(depth int) (m member, ok bool) {
	tok, off, ok := r.next()
	if !ok {
		return m, false
	}
	m.key, m.off = tok.(string), off // in this place the decoder lets nothing but a string pass
	if !r.checkString(off, m.key) {
		return m, false
	}
	r.want, r.sep = `":" after the key`, ":"
	m.value, ok = r.value(depth)
	return m, ok
}

// more reports whether a container goes on. At the end of the file it says yes, and the next token says what is missing.
func (r *treeReader) more(end byte) bool {
	i := r.skipSpace(r.end)
	return i == len(r.src.text) || r.src.text[i] != end
}

func (r *treeReader) close() bool {
	r.sep = ""
	_, _, ok := r.next()
	return ok
}

// atEnd notes what stands after the value, such as a second one.
func (r *treeReader) atEnd() bool {
	i := r.skipSpace(r.end)
	if i < len(r.src.text) {
		r.src.problem(i, "found %s after the %s; expected the end of %s", r.src.word(i), r.what, r.file)
		return false
	}
	return true
}

// checkString refuses half a surrogate pair, which the decoder replaces: two different ids would become one.
func (r *treeReader) checkString(off int, s string) bool {
	raw := string(r.src.text[off:r.end])
	if strings.Count(s, "\uFFFD") <= strings.Count(raw, "\uFFFD")+strings.Count(strings.ToLower(raw), `\ufffd`) {
		return true
	}
	r.src.problem(off, `string %s has half of a surrogate pair; expected both, such as "\ud83d\ude00"`, shorten(raw))
	return false
}

// broken notes why no token could be read at off. The decoder's own words name a character; ours name what may stand there.
func (r *treeReader) broken(off int) {
	separated := off > r.skipSpace(r.end)
	switch text := r.src.text; {
	case off == len(text):
		r.src.problem(off, "%s ends too early; expected %s", r.file, r.wanted(separated))
	case text[off] == '"' && (r.sep == "" || separated):
		r.brokenString(off)
	case separated && (text[off] == ']' || text[off] == '}'):
		r.src.problem(off, "found %s after a comma; expected a further value, or no comma", r.src.word(off))
	case bytes.HasPrefix(text[off:], []byte("//")) || bytes.HasPrefix(text[off:], []byte("/*")) || text[off] == '#':
		r.src.problem(off, "found a comment; expected %s; JSON has no comments", r.wanted(separated))
	case text[off] == '\'':
		r.src.problem(off, "found a single quote; expected %s; strings stand in double quotes", r.wanted(separated))
	default:
		r.src.problem(off, "found %s; expected %s", r.src.word(off), r.wanted(separated))
	}
}

func (r *treeReader) wanted(separated bool) string {
	switch {
	case separated && r.sep == ":":
		return "a value"
	case separated && strings.HasSuffix(r.want, `"}"`):
		return "a key in double quotes"
	case separated:
		return "a value"
	}
	return r.want
}

// brokenString says what is wrong inside the string that begins at off.
func (r *treeReader) brokenString(off int) {
	text := r.src.text
	for i := off + 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\n' || c == '\r':
			r.src.problem(off, `string without end; expected a closing " on the same line`)
			return
		case c < ' ':
			r.src.problem(i, `control character 0x%02x in a string; expected it as \u%04x`, c, c)
			return
		case c == '\\' && !goodEscape(text[i+1:]):
			r.src.problem(i, `bad escape in a string; expected one of \" \\ \/ \b \f \n \r \t \uXXXX`)
			return
		case c == '\\':
			i++
		}
	}
	r.src.problem(off, `string without end; expected a closing " on the same line`)
}

func goodEscape(b []byte) bool {
	if len(b) == 0 || b[0] != 'u' {
		return len(b) > 0 && strings.IndexByte(`"\/bfnrt`, b[0]) >= 0
	}
	if len(b) < 5 {
		return false
	}
	for _, c := range b[1:5] {
		if !unicode.Is(unicode.ASCII_Hex_Digit, rune(c)) {
			return false
		}
	}
	return true
}
