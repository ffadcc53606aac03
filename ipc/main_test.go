package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A helper is what the test binary does when it is started as a second process:
// it gets a Conn to the test and returns what goes wrong.
var helpers = map[string]func(c *Conn) error{}

const helperEnv = "IPC_TEST_HELPER"

func TestMain(m *testing.M) {
	if name := os.Getenv(helperEnv); name != "" {
		os.Exit(runHelper(name))
	}
	os.Exit(m.Run())
}

func runHelper(name string) int {
	f := helpers[name]
	if f == nil {
		fmt.Fprintf(os.Stderr, "no helper %q\n", name)
		return 2
	}
	c, err := connToTest()
	if err == nil {
		err = f(c)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintf(os.Stderr, "helper %s: %v\n", name, err)
		return 1
	}
	return 0
}

// connToTest is over the descriptor that the test gave, or a stranger's own.
func connToTest() (*Conn, error) {
	if path := os.Getenv(dialEnv); path != "" {
		return Dial(context.Background(), path, ConnOptions{Name: "test"})
	}
	syscall.CloseOnExec(3)
	return NewConn(os.NewFile(3, "test"), ConnOptions{Name: "test"})
}

// endWith ends this process when the test ends, or closes its end of c. It is for helpers
// that do not receive any more.
func endWith(c *Conn) {
	go func() {
		var never string
		c.Recv(context.Background(), &never)
		os.Exit(0)
	}()
}

// deadline is for everything that must happen at all; nothing is expected to take
// a hundredth of it.
const deadline = 30 * time.Second

// A child is a helper process as the test sees it.
type child struct {
	t testing.TB
	*Conn
	cmd  *exec.Cmd
	nest *nest // whose child it is, if not ours
	dead bool
}

// start starts a helper, which dies with the test at the latest.
func start(t testing.TB, name string) *child {
	t.Helper()
	ours, theirs, err := Socketpair()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperEnv+"="+name)
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := NewConn(ours, ConnOptions{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, Conn: conn, cmd: cmd}
	t.Cleanup(func() {
		conn.Close()
		if !c.dead {
			c.kill()
		}
	})
	return c
}

// kill kills the process and waits for its end.
func (c *child) kill() {
	syscall.Kill(c.cmd.Process.Pid, syscall.SIGKILL)
	c.wait()
}

// wait waits for the end of the process, and returns how it ended.
func (c *child) wait() (err error) {
	c.t.Helper()
	c.dead = true
	if c.nest != nil {
		_, err = c.nest.order(nestOrder{Reap: c.cmd.Process.Pid})
		return err
	}
	return c.cmd.Wait()
}

func (c *child) signal(s syscall.Signal) {
	c.t.Helper()
	if err := syscall.Kill(c.cmd.Process.Pid, s); err != nil {
		c.t.Fatal(err)
	}
}

// stop stops the process and waits until all its threads have stopped.
func (c *child) stop() {
	c.t.Helper()
	err := error(nil)
	if c.nest != nil {
		_, err = c.nest.order(nestOrder{Stop: c.cmd.Process.Pid})
	} else {
		err = stopAndSee(c.cmd.Process.Pid)
	}
	if err != nil {
		c.t.Fatalf("stop a process: %v", err)
	}
}

// send sends values to the helper, recv waits for one of its answers.
func (c *child) send(vs ...any) {
	c.t.Helper()
	for _, v := range vs {
		if err := c.Send(within(c.t), v); err != nil {
			c.t.Fatalf("send %v to helper: %v", v, err)
		}
	}
}

func recv[T any](c *child) T {
	c.t.Helper()
	var v T
	if err := c.Recv(within(c.t), &v); err != nil {
		c.t.Fatalf("waiting for an answer of the helper: %v", err)
	}
	return v
}

// expect waits until the helper says so.
func (c *child) expect(want string) {
	c.t.Helper()
	if got := recv[string](c); got != want {
		c.t.Fatalf("helper says %q, expected %q", got, want)
	}
}

// within bounds a step of the test.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	return ctx
}

// checkLeaks fails the test if, when it has ended and all that it registered is
// cleaned up, there are more descriptors, goroutines or children than now.
func checkLeaks(t *testing.T) {
	t.Helper()
	startPoller(t)
	collect()
	fds, goroutines := openFDs(t), runtime.NumGoroutine()
	t.Cleanup(func() {
		var got []string
		var now int
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); runtime.Gosched() {
			collect()
			got, now = openFDs(t), runtime.NumGoroutine()
			if len(got) <= len(fds) && now <= goroutines {
				return
			}
		}
		if len(got) > len(fds) {
			t.Errorf("descriptors left: %d, were %d:\n%s", len(got), len(fds), strings.Join(got, "\n"))
		}
		if now > goroutines {
			buf := make([]byte, 1<<16)
			t.Errorf("goroutines left: %d, were %d\n%s", now, goroutines, buf[:runtime.Stack(buf, true)])
		}
	})
}

// startPoller has the runtime open what it keeps for ever, which it does with the first
// pipe or socket of the process.
func startPoller(t *testing.T) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	w.Close()
}

func collect() {
	runtime.GC()
	runtime.GC()
}

func openFDs(t *testing.T) []string {
	fds, err := descriptors()
	if err != nil {
		t.Fatal(err)
	}
	return fds
}

func descriptors() (fds []string, err error) {
	dir, err := os.ReadDir("/proc/self/fd")
	for _, e := range dir {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.Contains(to, "/proc/") {
			fds = append(fds, e.Name()+" -> "+to)
		}
	}
	return fds, err
}

// mapsOf counts the mappings of memfds of this name in this process.
func mapsOf(name string) (int, error) {
	b, err := os.ReadFile("/proc/self/maps")
	return strings.Count(string(b), "memfd:"+name), err
}

func mustMaps(t *testing.T) int {
	t.Helper()
	n, err := mapsOf("multiproc-lock")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// threads counts the threads of this process.
func threads(t *testing.T) int {
	dir, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(dir)
}
