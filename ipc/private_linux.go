package ipc

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ListenPrivate is [Listen] where no other user comes: in a directory that only this user may
// enter, or that is below one. If there is none at path it is made with mode 0700, and those
// above it that are missing too. In any other directory it refuses to listen: others could not
// connect (see [Listener]), but put something else in the socket's place.
func ListenPrivate(path string, o ConnOptions) (*Listener, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("ipc: listen on %s: %w", path, err)
	}
	if err := private(dir); err != nil {
		return nil, fmt.Errorf("ipc: listen on %s: %w", path, err)
	}
	return Listen(path, o)
}

// private tells why others may come into dir; nil if they may not.
func private(dir string) error {
	path, err := filepath.Abs(dir)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return err
	}
	var open fs.FileInfo // the directory itself, as others see it
	for at := path; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return err
		}
		if mine(info) {
			return nil
		}
		if open == nil {
			open = info
		}
		if at == filepath.Dir(at) {
			return fmt.Errorf("others may enter %s (%v); a directory below it of mode 0700, such as %s, would be private",
				dir, open.Mode(), filepath.Join(dir, "private"))
		}
	}
}

// mine tells whether a directory is this user's, and nobody else's.
func mine(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid() && info.Mode().Perm()&0o077 == 0
}
