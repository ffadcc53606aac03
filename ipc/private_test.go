package ipc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A socket that only its user shall reach lies in a directory of his, which is made if need be.
func TestListenPrivate(t *testing.T) {
	checkLeaks(t)
	// Not t.TempDir(), which lies in a private one.
	root, err := os.MkdirTemp("", "open")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	for name, mode := range map[string]os.FileMode{
		"open": 0o755, "shared": 0o777 | os.ModeSticky, "group": 0o710, "private": 0o700, "private/open": 0o755,
	} {
		dir := filepath.Join(root, name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(root, "open"), filepath.Join(root, "private", "elsewhere")); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("a-long-name/", 20)
	for name, want := range map[string]string{
		"open":              "others may enter",
		"shared":            "others may enter",
		"group":             "others may enter",
		"private/elsewhere": "others may enter",
		"private":           "",
		"private/open":      "",
		"open/new/newer":    "",
		"open/" + long:      "",
	} {
		path := filepath.Join(root, name, "socket")
		l, err := ListenPrivate(path, ConnOptions{})
		if err == nil {
			if c, err := Dial(within(t), path, ConnOptions{}); err != nil {
				t.Errorf("%s: %v", name, err)
			} else {
				c.Close()
			}
			l.Close()
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v; want %q", name, err, want)
		}
	}
	info, err := os.Stat(filepath.Join(root, "open/new"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("a directory was made with mode %v, %v", info.Mode(), err)
	}
}
