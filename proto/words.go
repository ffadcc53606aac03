package proto

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// This file has what errors say about values, for people who never saw MessagePack.

// mismatch is the error for a value whose token was read just now.
func (d *decoder) mismatch(want string, t token) error {
	return &MismatchError{Text: "expected " + want + ", found " + describe(t, d.b[d.i:])}
}

// describe says in words what a value is; rest begins with its content.
func describe(t token, rest []byte) string {
	switch t.class {
	case classNil:
		return "nothing (nil)"
	case classBool:
		return strconv.FormatBool(t.bits != 0)
	case classUint:
		return strconv.FormatUint(t.bits, 10)
	case classInt:
		return strconv.FormatInt(int64(t.bits), 10)
	case classFloat32:
		return "the floating-point number " + strconv.FormatFloat(float64(math.Float32frombits(uint32(t.bits))), 'g', -1, 32)
	case classFloat64:
		return "the floating-point number " + strconv.FormatFloat(math.Float64frombits(t.bits), 'g', -1, 64)
	case classStr:
		return "the string " + strconv.Quote(clipWord(string(rest[:min(t.n(), 4*maxQuote+4)])))
	case classBin:
		return count(t.n())
	case classArray:
		return fmt.Sprintf("a list of %d", t.n())
	case classMap:
		return fmt.Sprintf("a map of %d", t.n())
	}
	_, _, holds := elements(rest[:t.n()])
	switch {
	case t.ext == ExtBigInt && t.n() == 0, holdsValues(t.ext) && !holds: // malformed
		return fmt.Sprintf("an extension of code %d", t.ext)
	case t.ext == ExtBigInt && t.n() <= maxQuote/2:
		return parseBigInt(rest[:t.n()]).String()
	case t.ext == ExtBigInt:
		return "an integer of " + count(t.n())
	}
	return extName(t.ext)
}

// maxQuote is how many letters of a value are quoted in an error.
const maxQuote = 40

// clipWord shortens what is quoted in an error.
func clipWord(s string) string {
	if r := []rune(s[:min(len(s), 4*maxQuote+4)]); len(r) > maxQuote {
		return string(r[:maxQuote]) + "…"
	}
	return s
}

// maxReason bounds what a type's own method may say in an error, in bytes.
const maxReason = 500

func count(bytes int) string {
	if bytes == 1 {
		return "1 byte"
	}
	return strconv.Itoa(bytes) + " bytes"
}

// unknown says what is wrong with a name that no field has, and which field was
// probably meant.
func (fs *fields) unknown(name string) string {
	text := fmt.Sprintf("unknown field %q", clipWord(name))
	best, least := "", len(name)
	if len(name) <= maxWord {
		given := fold(name)
		for _, f := range fs.list {
			if d := distance(given, fold(f.name)); d < least && d <= max(1, len(f.name)/3) {
				best, least = f.name, d
			}
		}
	}
	switch n := len(fs.list); {
	case best != "":
		text += fmt.Sprintf("; did you mean %q?", best)
	case n == 0:
		text += "; there are no fields"
	case n <= 8:
		text += "; there are"
		for i, f := range fs.list {
			text += [...]string{" ", ", "}[min(i, 1)] + f.name
		}
	}
	return text
}

// fold drops what people mix up in names: case, and what joins words.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '_', '-', ' ', '.':
			return -1
		}
		return unicode.ToLower(r)
	}, name)
}

// maxWord is up to how many bytes a name is looked at as a slip of another.
const maxWord = 64

// distance is the number of letters to insert, drop, change, or swap with their
// neighbour to get from a to b. Words beyond maxWord are not compared.
func distance(a, b string) int {
	if len(a) > maxWord || len(b) > maxWord {
		return maxWord
	}
	var d [3][maxWord + 1]int
	for j := range len(b) + 1 {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		prev2, prev, row := &d[(i+1)%3], &d[(i-1)%3], &d[i%3]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], prev2[j-2]+1)
			}
		}
	}
	return d[len(a)%3][len(b)]
}
