package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// A scratchDir is the job's own directory: 0700, made when the job starts, removed with all that is in it at the end.
type scratchDir struct{ path string }

// newScratch makes the directory, and in it those that the paths of the job need, so that {"$scratch": "a/db.json"} can be
// written to at once. A job without scratch paths gets none.
func newScratch(job *Job) (scratchDir, error) {
	paths := job.scratchPaths()
	if len(paths) == 0 {
		return scratchDir{}, nil
	}
	dir, err := os.MkdirTemp("", "multiproc-") // 0700 whatever the umask
	if err != nil {
		return scratchDir{}, fmt.Errorf("directory of the job: %w", err)
	}
	s := scratchDir{dir}
	for _, p := range paths {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(p)), 0o700); err != nil {
			s.remove()
			return scratchDir{}, fmt.Errorf("directory of the job: %w", err)
		}
	}
	return s, nil
}

func (s scratchDir) remove() error {
	if s.path == "" {
		return nil
	}
	return os.RemoveAll(s.path)
}

// scratchPaths lists all scratch paths of a job's args.
func (j *Job) scratchPaths() []string {
	var paths []string
	var walk func(tree any)
	walk = func(tree any) {
		switch v := tree.(type) {
		case Scratch:
			paths = append(paths, v.Path)
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			for _, item := range v {
				walk(item)
			}
		}
	}
	for _, e := range j.Entries {
		walk(e.Args)
	}
	return paths
}
