package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What killed masters have left is swept, and nothing else.
func TestSweepScratch(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	job := mustRead(t, `{"tickets": [{"task": "x", "args": {"db": {"$scratch": "a/db.json"}}}]}`)
	living, err := newScratch(job, false)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Add(time.Hour)
	dir := func(name string, mode os.FileMode) string {
		path := filepath.Join(os.TempDir(), name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, "file"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	dead := dir("multiproc-dead", 0o700)
	dir("multiproc-open", 0o755)
	dir("other-dead", 0o700)
	fresh := dir("multiproc-fresh", 0o700)
	if err := os.Chtimes(fresh, now, now.Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	want := "multiproc-file multiproc-fresh multiproc-link multiproc-open other-dead"
	if os.Geteuid() == 0 {
		if err := os.Chown(dir("multiproc-foreign", 0o700), 12345, -1); err != nil {
			t.Fatal(err)
		}
		want = strings.Replace(want, " multiproc-fresh", " multiproc-foreign multiproc-fresh", 1)
	}
	if err := os.WriteFile(filepath.Join(os.TempDir(), "multiproc-file"), nil, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("other-dead", filepath.Join(os.TempDir(), "multiproc-link")); err != nil {
		t.Fatal(err)
	}

	sweepScratch(os.TempDir(), now)
	if _, err := os.Stat(filepath.Join(living.path, "a")); err != nil {
		t.Errorf("the directory of a living master: %v", err)
	}
	if _, err := os.Stat(dead); err == nil {
		t.Error("the directory of a dead master is still there")
	}
	if err := living.remove(); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(os.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if got := strings.Join(left, " "); got != want {
		t.Errorf("left: %s\nwant: %s", got, want)
	}
}
