package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func init() {
	// "listener" listens at a path and greets who dials, until it is killed.
	helpers["listener"] = func(c *Conn) error {
		var path string
		if err := c.Recv(context.Background(), &path); err != nil {
			return err
		}
		l, err := Listen(path, ConnOptions{})
		if err != nil {
			c.Send(context.Background(), err.Error())
			return nil
		}
		c.Send(context.Background(), "listening")
		for {
			x, err := l.Accept(context.Background())
			if err != nil {
				return err
			}
			x.Send(context.Background(), os.Getpid())
			x.Close()
		}
	}
	// "dialler" dials and says what comes of it.
	helpers["dialler"] = func(c *Conn) error {
		var path string
		for {
			if err := c.Recv(context.Background(), &path); err != nil {
				return err
			}
			answer := "connected"
			x, err := Dial(context.Background(), path, ConnOptions{})
			if err == nil {
				var n int
				if err = x.Recv(context.Background(), &n); err == nil {
					err = x.Send(context.Background(), n+1)
				}
				x.Close()
			}
			if err != nil {
				answer = err.Error()
			}
			c.Send(context.Background(), answer)
		}
	}
}

func newTestListener(t testing.TB, path string) *Listener {
	t.Helper()
	l, err := Listen(path, ConnOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// PITFALLS 19, and what else a path may be.
func TestListenerPaths(t *testing.T) {
	dir := t.TempDir()
	long := filepath.Join(dir, strings.Repeat("d", 200))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for name, path := range map[string]string{
		"short":                  filepath.Join(dir, "s"),
		"in a TMPDIR of 200":     filepath.Join(long, "multiproc.sock"),
		"a name of 255 bytes":    filepath.Join(dir, strings.Repeat("n", 255)),
		"both":                   filepath.Join(long, strings.Repeat("n", 255)),
		"relative":               "relative.sock",
		"like an abstract one":   "@socket",
		"with spaces and accent": filepath.Join(dir, "a sockét"),
	} {
		t.Run(name, func(t *testing.T) {
			checkLeaks(t)
			c := start(t, "dialler")
			l := newTestListener(t, path)
			if l.Path() != path {
				t.Errorf("path is %q", l.Path())
			}
			st, err := os.Lstat(path)
			if err != nil || st.Mode() != os.ModeSocket|0o600 {
				t.Fatalf("%v, %v", st.Mode(), err)
			}
			c.send(path)
			x, err := l.Accept(within(t))
			if err != nil {
				t.Fatal(err)
			}
			defer x.Close()
			var n int
			if err := x.Send(within(t), 41); err != nil {
				t.Fatal(err)
			}
			if err := x.Recv(within(t), &n); err != nil || n != 42 {
				t.Fatalf("%d, %v", n, err)
			}
			c.expect("connected")
			l.Close()
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the socket after Close: %v", err)
			}
			if _, err := Dial(within(t), path, ConnOptions{}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
				t.Errorf("dial after Close: %v", err)
			}
		})
	}
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

func TestListenerRefuses(t *testing.T) {
	checkLeaks(t)
	dir := t.TempDir()
	file, fifo, link := filepath.Join(dir, "file"), filepath.Join(dir, "fifo"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", link); err != nil {
		t.Fatal(err)
	}
	live := newTestListener(t, filepath.Join(dir, "live"))
	for path, want := range map[string]error{
		file: syscall.EADDRINUSE, fifo: syscall.EADDRINUSE, link: syscall.EADDRINUSE, live.Path(): syscall.EADDRINUSE,
		dir + "/": syscall.EISDIR, "": syscall.EISDIR, dir + "/..": syscall.EISDIR, dir: syscall.EADDRINUSE,
		dir + "/none/x": fs.ErrNotExist, file + "/x": syscall.ENOTDIR,
	} {
		l, err := Listen(path, ConnOptions{})
		if err == nil {
			l.Close()
		}
		if !errors.Is(err, want) || !strings.HasPrefix(err.Error(), "ipc: listen") {
			t.Errorf("listen on %q: %v, expected %v", path, err, want)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "precious" {
		t.Errorf("the file: %q, %v", b, err)
	}
	for path, want := range map[string]error{file: syscall.ECONNREFUSED, dir + "/none": fs.ErrNotExist, "": fs.ErrNotExist} {
		if _, err := Dial(within(t), path, ConnOptions{}); !errors.Is(err, want) {
			t.Errorf("dial %q: %v, expected %v", path, err, want)
		}
	}
}

// A listener whose process was killed leaves its socket, which the next one replaces,
// whoever else tries at the same time.
func TestListenerKilled(t *testing.T) {
	checkLeaks(t)
	path := filepath.Join(t.TempDir(), "sock")
	for range 5 {
		c := start(t, "listener")
		c.send(path)
		c.expect("listening")
		x, err := Dial(within(t), path, ConnOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var pid int
		if err := x.Recv(within(t), &pid); err != nil || pid != c.cmd.Process.Pid {
			t.Errorf("%d, %v", pid, err)
		}
		x.Close()
		c.kill()
		if _, err := Dial(within(t), path, ConnOptions{}); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial after the listener was killed: %v", err)
		}
	}
	var all sync.WaitGroup
	listeners, failed := make(chan *Listener, 20), make(chan error, 20)
	for range 20 {
		all.Go(func() {
			if l, err := Listen(path, ConnOptions{}); err == nil {
				listeners <- l
			} else {
				failed <- err
			}
		})
	}
	all.Wait()
	if len(listeners) != 1 {
		t.Fatalf("%d listen on one path", len(listeners))
	}
	l := <-listeners
	defer l.Close()
	for range 19 {
		if err := <-failed; !errors.Is(err, syscall.EADDRINUSE) {
			t.Error(err)
		}
	}
	go func() {
		if x, err := Dial(within(t), path, ConnOptions{}); err == nil {
			x.Send(within(t), "hello")
			x.Close()
		}
	}()
	for { // those who tried have knocked, to see whether it is alive
		x, err := l.Accept(within(t))
		if err != nil {
			t.Fatal(err)
		}
		var s string
		err = x.Recv(within(t), &s)
		x.Close()
		if err == nil {
			break
		}
	}
}

// Close removes its own socket only.
func TestListenerReplacedByHand(t *testing.T) {
	checkLeaks(t)
	path := filepath.Join(t.TempDir(), "sock")
	old := newTestListener(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	newTestListener(t, path)
	old.Close()
	x, err := Dial(within(t), path, ConnOptions{})
	if err != nil {
		t.Fatal(err)
	}
	x.Close()
}

func TestListenerAcceptEnds(t *testing.T) {
	checkLeaks(t)
	l := newTestListener(t, filepath.Join(t.TempDir(), "sock"))
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	for range 3 {
		if _, err := l.Accept(ctx); err != context.DeadlineExceeded {
			t.Errorf("nobody dials: %v", err)
		}
	}
	errs := make(chan error, 4)
	for range 4 {
		go func() { errs <- second(l.Accept(within(t))) }()
	}
	for range 2 {
		x, err := Dial(within(t), l.Path(), ConnOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		if err := <-errs; err != nil {
			t.Errorf("after the time-outs of another: %v", err)
		}
	}
	l.Close()
	for range 2 {
		if err := <-errs; err != ErrClosed {
			t.Errorf("during Close: %v", err)
		}
	}
	if _, err := l.Accept(within(t)); err != ErrClosed {
		t.Errorf("after Close: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestListenerManyConns(t *testing.T) {
	checkLeaks(t)
	l := newTestListener(t, filepath.Join(t.TempDir(), "sock"))
	const dialers, each = 20, 50
	var all sync.WaitGroup
	for range dialers {
		all.Go(func() {
			for i := range each {
				x, err := Dial(within(t), l.Path(), ConnOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				var n int
				if err := errors.Join(x.Send(within(t), i), x.Recv(within(t), &n)); err != nil || n != i {
					t.Errorf("%d, %v", n, err)
				}
				x.Close()
			}
		})
	}
	var serving sync.WaitGroup
	for range dialers * each {
		x, err := l.Accept(within(t))
		if err != nil {
			t.Fatal(err)
		}
		serving.Go(func() {
			defer x.Close()
			var n int
			if err := x.Recv(within(t), &n); err == nil {
				x.Send(within(t), n)
			}
		})
	}
	all.Wait()
	serving.Wait()
}

// With a full line Dial waits until there is room, or its context ends.
func TestDialFullLine(t *testing.T) {
	checkLeaks(t)
	path := filepath.Join(t.TempDir(), "sock")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	var conns []*Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		c, err := Dial(ctx, path, ConnOptions{})
		cancel()
		if err == context.DeadlineExceeded {
			break
		}
		if err != nil || len(conns) > 100 {
			t.Fatalf("conn %d: %v", len(conns), err)
		}
		conns = append(conns, c)
	}
	dialed := make(chan error, 1)
	go func() {
		c, err := Dial(within(t), path, ConnOptions{})
		if err == nil {
			c.Close()
		}
		dialed <- err
	}()
	for range len(conns) + 1 {
		nfd, _, err := unix.Accept(fd)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(nfd)
	}
	if err := <-dialed; err != nil {
		t.Errorf("there is room now: %v", err)
	}
	if _, err := Listen(path, ConnOptions{}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("listen where somebody does: %v", err)
	}
}

// Only the same user is let in, and talked to. (Linux checks the mode of the socket
// before, so this test opens it.)
func TestListenerOtherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can start a process of another user")
	}
	checkLeaks(t)
	dir, err := os.MkdirTemp("/tmp", "multiproc-test")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	l := newTestListener(t, filepath.Join(dir, "sock"))
	if err := os.Chmod(l.Path(), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("no python3 to be another user with")
	}
	// In Python, for the test binary lies in a directory that only its user can enter.
	script := `
import socket, sys, os
s = socket.socket(socket.AF_UNIX)
if sys.argv[2] == "dial":
    s.connect(sys.argv[1])
    print(repr(s.recv(1)), flush=True)
else:
    s.bind(sys.argv[1]); os.chmod(sys.argv[1], 0o666); s.listen()
    print("listening", flush=True)
    c, _ = s.accept()
    print(repr(c.recv(1)), flush=True)
`
	other := func(what, path string) (*exec.Cmd, *strings.Builder) {
		cmd := exec.Command("python3", "-c", script, path, what)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, Pdeathsig: syscall.SIGKILL}
		out := new(strings.Builder)
		cmd.Stderr = out
		return cmd, out
	}
	cmd, text := other("dial", l.Path())
	cmd.Stdout = text
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithCancel(within(t))
	over := make(chan error, 1)
	go func() { over <- second(l.Accept(ctx)) }()
	cmd.Wait()
	cancel()
	if err := <-over; err != context.Canceled || strings.TrimSpace(text.String()) != "b''" {
		t.Errorf("another user dials: %v; it reads %s", err, text)
	}

	theirs := filepath.Join(dir, "theirs")
	cmd, text = other("listen", theirs)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("listening\n"))); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if _, err := Dial(within(t), theirs, ConnOptions{}); !errors.Is(err, ErrDenied) || !strings.Contains(fmt.Sprint(err), "65534") {
		t.Errorf("dial another user: %v", err)
	}
	if b, _ := io.ReadAll(out); strings.TrimSpace(string(b)) != "b''" {
		t.Errorf("the other user reads %s", b)
	}
	cmd.Wait()
}

// Without descriptors Accept waits and does not spin; it goes on when there are some.
func TestListenerNoDescriptors(t *testing.T) {
	checkLeaks(t)
	l := newTestListener(t, filepath.Join(t.TempDir(), "sock"))
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		t.Fatal(err)
	}
	x, err := net.Dial("unix", l.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	low := lim
	low.Cur = 3
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	restore := func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
			t.Fatal(err)
		}
	}
	defer restore()
	before := cpu(t)
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err = l.Accept(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, syscall.EMFILE) {
		t.Errorf("without descriptors: %v", err)
	}
	if spent := cpu(t) - before; spent > 100*time.Millisecond {
		t.Errorf("%v of processor time in 200 ms of waiting", spent)
	}
	accepted := make(chan error, 1)
	go func() {
		c, err := l.Accept(within(t))
		if err == nil {
			c.Close()
		}
		accepted <- err
	}()
	restore()
	if err := <-accepted; err != nil {
		t.Errorf("with descriptors again: %v", err)
	}
}

func cpu(t *testing.T) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
