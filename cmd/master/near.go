package main

import (
	"fmt"
	"slices"
	"strings"
)

// near returns the name that is most like a misspelt one, or "". A third of the letters may be wrong; more is no slip.
func near(wrong string, names []string) string {
	if len(wrong) > 100 {
		return "" // no name is that long, and the distance costs the product of the lengths
	}
	best, least := "", 1+max(1, len(wrong)/3)
	for _, name := range names {
		if d := distance(strings.ToLower(wrong), strings.ToLower(name)); d < least {
			best, least = name, d
		}
	}
	return best
}

// didYouMean is the end of a message: `; did you mean "x"?`, or nothing.
func didYouMean(wrong string, names []string) string {
	if name := near(wrong, names); name != "" {
		return fmt.Sprintf("; did you mean %q?", name)
	}
	return ""
}

// distance counts the letters to insert, remove, change or swap with their neighbour to make b of a. This is the restricted
// Damerau-Levenshtein distance, where no letter is edited twice.
func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	var before, last []int // the rows for the first i-2 and i-1 letters of s
	row := make([]int, len(t)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(s); i++ {
		before, last, row = last, row, make([]int, len(t)+1)
		row[0] = i
		for j := 1; j <= len(t); j++ {
			change := 1
			if s[i-1] == t[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && s[i-1] == t[j-2] && s[i-2] == t[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(t)]
}

// oneOf lists names for a message: `"a", "b" or "c"`, the first few when there are many.
func oneOf(names []string) string {
	const most = 24 // all the stock tasks
	quoted := make([]string, 0, most)
	for i, name := range names {
		if i == most-1 && len(names) > most {
			quoted = append(quoted, fmt.Sprintf("one of %d more", len(names)-i))
			break
		}
		quoted = append(quoted, fmt.Sprintf("%q", name))
	}
	if len(quoted) < 2 {
		return strings.Join(quoted, "")
	}
	last := len(quoted) - 1
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}

// sortedKeys returns the keys of a map in order, for messages that must not change from run to run.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
