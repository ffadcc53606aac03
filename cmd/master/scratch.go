package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A scratchDir is the job's own directory: 0700, made when the job starts, removed with all that is in it at the end.
//
// A master that is killed cannot remove it; the next one does. To tell the two apart the directory is locked (flock(2)) while
// its master lives: the kernel gives the lock up with the process, and no child has the descriptor.
type scratchDir struct {
	path string
	lock *os.File
}

const scratchPrefix = "multiproc-"

// newScratch makes the directory, and in it those that the paths of the job need, so that {"$scratch": "a/db.json"} can be
// written to at once. A job without scratch paths gets none, unless it
// needs one always: for its manager.
func newScratch(job *Job, always bool) (scratchDir, error) {
	sweepScratch(os.TempDir(), time.Now())
	paths := job.scratchPaths()
	if len(paths) == 0 && !always {
		return scratchDir{}, nil
	}
	dir, err := os.MkdirTemp("", scratchPrefix) // 0700 whatever the umask
	if err != nil {
		return scratchDir{}, fmt.Errorf("directory of the job: %w", err)
	}
	s := scratchDir{path: dir}
	if s.lock, err = os.Open(dir); err == nil {
		unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) // where there are no locks, nobody sweeps
	}
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
	err := os.RemoveAll(s.path)
	s.lock.Close()
	return err
}

// sweepAge is how old a directory must be to be swept: a younger one may be about to be locked.
const sweepAge = time.Minute

// sweepScratch removes what masters of ours that were killed have left in the directory for temporary files. What cannot be
// removed is somebody else's affair.
func sweepScratch(tmp string, now time.Time) {
	entries, _ := os.ReadDir(tmp)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), scratchPrefix) && e.IsDir() {
			sweepDir(filepath.Join(tmp, e.Name()), now)
		}
	}
}

func sweepDir(path string, now time.Time) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	st, err := f.Stat()
	if err != nil || st.Mode() != os.ModeDir|0o700 || now.Sub(st.ModTime()) < sweepAge {
		return
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); !ok || int(sys.Uid) != os.Geteuid() {
		return
	}
	if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil {
		os.RemoveAll(path)
	}
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
	for _, p := range j.Processes {
		walk(p.Args)
		walk(p.Command)
		walk(p.Env)
	}
	for _, e := range j.Entries {
		walk(e.Args)
	}
	return paths
}
