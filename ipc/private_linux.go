package ipc

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
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
	var mode uint32 // of the directory itself
	for at := path; ; at = filepath.Dir(at) {
		var st unix.Stat_t
		if err := unix.Stat(at, &st); err != nil {
			return &os.PathError{Op: "stat", Path: at, Err: err}
		}
		switch {
		case int(st.Uid) == os.Geteuid() && st.Mode&0o077 == 0:
			return nil
		case at == path:
			mode = st.Mode & 0o7777
		}
		if at == filepath.Dir(at) {
			return fmt.Errorf("others may enter %s (mode %04o); a directory below it of mode 0700, such as %s, would be private",
				dir, mode, filepath.Join(dir, "private"))
		}
	}
}
