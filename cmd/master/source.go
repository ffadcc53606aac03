package main

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxProblems is how many problems of a job file are shown at once; the rest are counted.
const maxProblems = 10

// A source is the text of a job file, with what was found wrong in it.
type source struct {
	file     string // as the person named it; "<stdin>" for standard input
	text     []byte
	problems []problem
}

// A problem is put into words only when it is shown: finding line and column costs a walk through the file, and a generated file
// may have a hundred thousand problems of one kind.
type problem struct {
	off    int
	format string
	args   []any
}

// A place is an offset that a message shows as file:line:column.
type place int

// problem notes something wrong at an offset. Reading goes on where it can: a person wants all that is wrong, not
// one mistake per run.
func (s *source) problem(off int, format string, args ...any) {
	s.problems = append(s.problems, problem{off, format, args})
}

func (s *source) words(p problem) string {
	args := slices.Clone(p.args)
	for i, arg := range args {
		if at, ok := arg.(place); ok {
			args[i] = s.where(int(at))
		}
	}
	return s.where(p.off) + ": " + fmt.Sprintf(p.format, args...)
}

// err returns all problems in file order, or nil.
func (s *source) err() error {
	if len(s.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(s.problems, func(a, b problem) int { return cmp.Compare(a.off, b.off) })
	e := &JobError{}
	for _, p := range s.problems[:min(len(s.problems), maxProblems)] {
		e.Problems = append(e.Problems, s.words(p))
	}
	e.More = len(s.problems) - len(e.Problems)
	return e
}

// A JobError says all that is wrong with a job file, a line each in the form `file:line:column: found; expected`.
type JobError struct {
	Problems []string // the first ten, in file order
	More     int      // how many there are besides
}

func (e *JobError) Error() string {
	text := strings.Join(e.Problems, "\n")
	if e.More > 0 {
		text += fmt.Sprintf("\nand %d more", e.More)
	}
	return text
}

// where gives an offset as file:line:column. Columns count characters, as editors do.
func (s *source) where(off int) string {
	before := s.text[:off]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := 1 + utf8.RuneCount(before[1+bytes.LastIndexByte(before, '\n'):])
	return s.file + ":" + strconv.Itoa(line) + ":" + strconv.Itoa(column)
}

// word quotes what a person sees at an offset: a whole word, or one sign.
func (s *source) word(off int) string {
	rest := s.text[off:]
	if rest[0] == '"' {
		return "a string"
	}
	end := bytes.IndexFunc(rest, func(c rune) bool {
		return !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("_-+.", c)
	})
	switch {
	case end < 0:
		end = len(rest)
	case end == 0:
		_, end = utf8.DecodeRune(rest)
	}
	return quote(string(rest[:end]))
}

// quote shows a text from the file: whole when short, and never with control characters that act on a terminal.
func quote(s string) string { return strconv.Quote(shorten(s)) }

// shorten keeps messages to one line on a screen.
func shorten(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}
