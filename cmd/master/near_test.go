package main

import (
	"strings"
	"testing"
)

func TestNear(t *testing.T) {
	names := []string{"id", "task", "args", "repeat", "attempts", "timeout"}
	for wrong, want := range map[string]string{
		"atempts": "attempts", "attempt": "attempts", "Attempts": "attempts", "tsak": "task", "timeuot": "timeout",
		"di": "id", "ids": "id", "x": "", "": "", "retries": "", "priority": "", strings.Repeat("task", 1000): "",
	} {
		if got := near(wrong, names); got != want {
			t.Errorf("near(%q) = %q, want %q", wrong, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "acb", 1}, {"kitten", "sitting", 3}, {"é", "e", 1}, {"ca", "abc", 3}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestOneOf(t *testing.T) {
	many := strings.Split("abcdefghijklmnopqrstuvwxyz", "")[:25]
	for _, c := range []struct {
		names []string
		want  string
	}{{nil, ``}, {many[:1], `"a"`}, {many[:3], `"a", "b" or "c"`},
		{many, `"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u", "v", "w" or one of 2 more`}} {
		if got := oneOf(c.names); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}
