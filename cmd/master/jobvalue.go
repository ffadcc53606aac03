package main

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	sharedKey  = "$shared"
	scratchKey = "$scratch"
)

// wrong notes a value of the wrong type.
func (r *jobReader) wrong(n *node, what, expected string) {
	r.src.problem(n.off, "%s: found %s; expected %s", what, n.what(), expected)
}

func (r *jobReader) object(n *node, what string) bool {
	if n.kind != objectNode {
		r.wrong(n, what, "an object")
	}
	return n.kind == objectNode
}

func (r *jobReader) text(n *node, what string) bool {
	if n.kind != stringNode {
		r.wrong(n, what, "a string")
	}
	return n.kind == stringNode
}

// name reads a string that a person will see in ps, in logs and in reports. It is "" after a problem.
func (r *jobReader) name(n *node, what string) string {
	if !r.text(n, what) {
		return ""
	}
	return r.printable(n.text, n.off, what)
}

func (r *jobReader) printable(s string, off int, what string) string {
	const most = 200
	switch {
	case s == "":
		r.src.problem(off, "%s is empty; expected a name", what)
	case len(s) > most:
		r.src.problem(off, "%s has %d bytes; expected at most %d", what, len(s), most)
	case strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }):
		r.src.problem(off, "%s %s has a character that cannot be printed; expected a name", what, quote(s))
	default:
		return s
	}
	return ""
}

// count reads a whole number of at least 1; hint explains why less makes no sense. It is 0 after a problem.
func (r *jobReader) count(n *node, what, hint string) int {
	v, _ := r.whole(n, what, 1, math.MaxInt32, hint)
	return v
}

// whole reads a whole number within bounds; hint explains the lower one. It is 0 after a problem, and tells so.
func (r *jobReader) whole(n *node, what string, least, most int, hint string) (int, bool) {
	v, err := strconv.ParseInt(n.text, 10, 64)
	switch {
	case n.kind != numberNode || !isInteger(n.text):
		r.wrong(n, what, "a whole number")
	case err != nil && n.text[0] != '-' || v > int64(most):
		r.src.problem(n.off, "%s: found %s; expected at most %d", what, shorten(n.text), most)
	case err != nil || v < int64(least):
		r.src.problem(n.off, "%s: found %s; expected %d or more%s", what, shorten(n.text), least, hint)
	default:
		return int(v), true
	}
	return 0, false
}

// flag reads true or false.
func (r *jobReader) flag(n *node, what string) bool {
	if n.kind != boolNode {
		r.wrong(n, what, "true or false")
	}
	return n.text == "true"
}

// duration reads a string such as "1m30s". A bare number is refused: nobody knows whether it means seconds.
func (r *jobReader) duration(n *node, what string) time.Duration {
	const example = `a duration such as "30s", "1m30s" or "200ms"`
	if n.kind == numberNode {
		r.src.problem(n.off, `%s: found %s; expected %s%s`, what, n.what(), example, secondsHint(n.text))
		return 0
	}
	if n.kind != stringNode {
		r.wrong(n, what, example)
		return 0
	}
	d, err := time.ParseDuration(n.text)
	switch {
	case err != nil:
		r.src.problem(n.off, `%s: found %s; expected %s%s`, what, n.what(), example, secondsHint(n.text))
	case d <= 0:
		r.src.problem(n.off, `%s: found %s; expected more than nothing, or no %s at all`, what, n.what(), what)
	}
	return d
}

// secondsHint is for those who meant seconds.
func secondsHint(s string) string {
	if d, err := time.ParseDuration(s + "s"); err != nil || d <= 0 {
		return ""
	}
	return fmt.Sprintf(`; did you mean "%ss"?`, shorten(s))
}

// args reads the arguments of a task: an object, or a reference that stands for all of them.
func (r *jobReader) args(n *node) any {
	if !r.object(n, "args") {
		return nil
	}
	return r.tree(n)
}

// tree makes Go values of nodes; references stay in place as Ref and Scratch.
func (r *jobReader) tree(n *node) any {
	switch n.kind {
	case boolNode:
		return n.text == "true"
	case numberNode:
		return r.number(n)
	case stringNode:
		return n.text
	case arrayNode:
		items := make([]any, len(n.items))
		for i, item := range n.items {
			items[i] = r.tree(item)
		}
		return items
	case objectNode:
		return r.objectTree(n)
	}
	return nil
}

func (r *jobReader) objectTree(n *node) any {
	if len(n.members) == 1 && strings.HasPrefix(n.members[0].key, "$") {
		return r.reference(n.members[0])
	}
	m := make(map[string]any, len(n.members))
	for _, member := range n.members {
		m[member.key] = r.tree(member.value)
	}
	return m
}

// number keeps integers what they are: through a float64, 9007199254740993 would become 9007199254740992.
func (r *jobReader) number(n *node) any {
	if !isInteger(n.text) {
		f, err := strconv.ParseFloat(n.text, 64)
		if err != nil {
			r.src.problem(n.off, "number %s is too large; expected at most %g", shorten(n.text), math.MaxFloat64)
		}
		return f
	}
	if v, err := strconv.ParseInt(n.text, 10, 64); err == nil {
		return v
	}
	v, err := strconv.ParseUint(n.text, 10, 64)
	if err != nil {
		r.src.problem(n.off, "number %s does not fit; expected an integer from %d to %d, or a string", shorten(n.text), math.MinInt64, uint64(math.MaxUint64))
	}
	return v
}

func isInteger(s string) bool { return !strings.ContainsAny(s, ".eE") }

// reference reads a map whose single key begins with "$". All such keys are ours, so that later ones break no job file.
func (r *jobReader) reference(m member) any {
	known := []string{sharedKey, scratchKey}
	if !slices.Contains(known, m.key) {
		r.src.problem(m.off, "unknown reference %s; expected %s%s", quote(m.key), oneOf(known), didYouMean(m.key, known))
		return nil
	}
	if !r.text(m.value, m.key) {
		return nil
	}
	if m.key == sharedKey {
		r.refs = append(r.refs, m.value)
		return Ref{m.value.text}
	}
	return r.scratch(m.value)
}

// scratch reads a path inside the job's own directory.
func (r *jobReader) scratch(n *node) any {
	if !filepath.IsLocal(n.text) || strings.ContainsRune(n.text, 0) {
		r.src.problem(n.off, `%s: found %s; expected a path inside the job's own directory, such as "db.json"`, scratchKey, quote(n.text))
	}
	return Scratch{filepath.Clean(n.text)}
}

// checkRefs refuses references to objects that the job does not share. It is called when all of the file has been read,
// since "shared" may stand after "tickets".
func (r *jobReader) checkRefs() {
	for _, n := range r.refs {
		if slices.Contains(r.sharedNames, n.text) {
			continue
		}
		expected := `a name from "shared", where there is none`
		if len(r.sharedNames) > 0 {
			expected = oneOf(r.sharedNames)
		}
		r.src.problem(n.off, "nothing shared is called %s; expected %s%s", quote(n.text), expected, didYouMean(n.text, r.sharedNames))
	}
}
