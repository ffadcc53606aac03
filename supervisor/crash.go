package supervisor

import (
	"fmt"
	"slices"
	"strings"
)

// crashCount is how many lines are kept from the one on that says why a program crashed. A Go program with many
// goroutines prints hundreds of lines after it.
const crashCount = 10

// crash finds in a stream of lines how a Go program says that it crashes: the latest line that begins with
// "panic:" or "fatal error:", and those behind it. "runtime:" begins one too, and is often the better half:
//
//	runtime: goroutine stack exceeds 1000000000-byte limit
//	fatal error: stack overflow
//
// but such lines also stand inside a trace, where they start nothing. A fault in C, or in the runtime itself, says neither:
//
//	runtime/cgo: pthread_create failed: Resource temporarily unavailable
//	SIGABRT: abort
type crash struct {
	lines []string
	first int  // number of lines[0] in the stream
	last  int  // number of the last line looked at
	sure  bool // it is more than a "runtime:"
}

func (c *crash) add(number int, line string) {
	fits := len(c.lines) > 0 && len(c.lines) < crashCount && number == c.last+1
	switch sure := strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:"); {
	case sure && (c.sure || !fits):
		*c = crash{first: number, sure: true}
		fits = true
	case sure:
		c.sure = true
	case fatalSignal(line) && fits:
		c.sure = true
	case fatalSignal(line):
		*c = crash{first: number, sure: true}
		fits = true
	case !c.sure && !fits && strings.HasPrefix(line, "runtime:"):
		*c = crash{first: number}
		fits = true
	}
	if fits {
		c.lines, c.last = append(c.lines, line), number
	}
}

// fatalSignal tells whether a line is how the runtime begins to report a signal that is no panic, or says why C raises one.
func fatalSignal(line string) bool {
	name, _, found := strings.Cut(line, ": ")
	if !found || !strings.HasPrefix(name, "SIG") {
		return strings.HasPrefix(line, "runtime/cgo: ")
	}
	return strings.TrimFunc(name, func(r rune) bool { return r >= 'A' && r <= 'Z' }) == ""
}

// lastWord returns the line that tells best why a program ended that wrote these to stderr: where its crash begins, or
// the last one.
func lastWord(stderr []string) string {
	var c crash
	for i, line := range stderr {
		c.add(i, line)
	}
	switch {
	case len(c.lines) > 0:
		return c.lines[0]
	case len(stderr) > 0:
		return stderr[len(stderr)-1]
	}
	return ""
}

// before puts the lines of a crash in front of the last lines of the stream, the first of which has number from,
// as far as they are not among them.
func (c *crash) before(last []string, from int) []string {
	n := min(len(c.lines), from-c.first)
	if n <= 0 {
		return last
	}
	head := slices.Clone(c.lines[:n])
	if gap := from - c.first - n; gap > 0 {
		head = append(head, fmt.Sprintf("… %d lines left out", gap))
	}
	return append(head, last...)
}
