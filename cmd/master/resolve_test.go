package main

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestResolve(t *testing.T) {
	tree := map[string]any{"n": int64(1), "deep": []any{Ref{"m"}, map[string]any{"p": Scratch{"a/db.json"}}}, "dir": Scratch{"."}}
	object := &struct{ name string }{"the lock"}
	shared := func(name string) (any, bool) { return object, name == "m" }
	want := map[string]any{"n": int64(1), "deep": []any{object, map[string]any{"p": "/tmp/j/a/db.json"}}, "dir": "/tmp/j"}
	for range 2 { // the tree serves every ticket of an entry
		got, err := resolve(tree, shared, "/tmp/j")
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, %v; want %v", got, err, want)
		}
	}
	if got, err := resolve(Ref{"m"}, shared, ""); err != nil || got != object {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := resolve([]any{map[string]any{"a": Ref{"x"}}}, shared, ""); err == nil || err.Error() != `nothing shared is called "x"` {
		t.Errorf("got %v", err)
	}
}

func TestScratch(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	job := mustRead(t, `{"tickets": [{"task": "x", "args": {"l": [{"$scratch": "a/b/db.json"}]}}]}`)
	s, err := newScratch(job, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", "a", "a/b"} {
		if st, err := os.Stat(filepath.Join(s.path, dir)); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("%q: %v, %v", dir, st, err)
		}
	}
	if err := s.remove(); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestNoScratchWhereNoneIsNamed(t *testing.T) {
	s, err := newScratch(mustRead(t, `{"tickets": []}`), false)
	if err != nil || s.path != "" || s.remove() != nil {
		t.Errorf("got %+v, %v", s, err)
	}
}
