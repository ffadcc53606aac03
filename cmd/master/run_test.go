package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// These tests run the program as a person does. It is this test binary, or the really built one.

// patience is the deadline of every wait: generous, since it only has to end a hang.
const patience = 30 * time.Second

// asMaster in the environment makes this binary the program master.
const asMaster = "MULTIPROC_TEST_MASTER"

func TestMain(m *testing.M) {
	_, master := os.LookupEnv(asMaster)
	_, worker := os.LookupEnv("MULTIPROC_WORKER") // a master is /proc/self/exe to its workers
	if master || worker {
		os.Unsetenv(asMaster) // or the commands of tickets would inherit it
		main()
	}
	// The race detector makes every process sleep a second before it exits.
	os.Setenv("GORACE", strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=0"))
	code := m.Run()
	os.RemoveAll(built.dir)
	os.Exit(code)
}

// built are the programs as `go build` makes them, once for all tests.
var built struct {
	once sync.Once
	dir  string
	err  error
}

// builtProgram returns the path of cmd/master or cmd/worker.
func builtProgram(t *testing.T, name string) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "master-test-"); built.err != nil {
			return
		}
		text, err := exec.Command("go", "build", "-o", built.dir, ".", "../worker").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("go build: %w\n%s", err, text)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, name)
}

// Setup says how to run master; the zero value is fine.
type setup struct {
	program string   // "": this test binary
	stdin   string   // what it reads
	env     []string // added
	dir     string   // "": a new one, where nothing is
	before  func(*exec.Cmd)
}

// A program is a master that runs. Everything below it carries its mark in the environment.
type program struct {
	t              *testing.T
	cmd            *exec.Cmd
	mark           string
	tmp            string // its TMPDIR
	stdout, stderr stream
	ended          chan struct{} // closed when it has ended and its output has been read
	killed         time.Time     // by kill
}

// start runs master. When the test ends, it must have ended and left no process behind.
func start(t *testing.T, s setup, args ...string) *program {
	t.Helper()
	p := &program{t: t, mark: "MULTIPROC_TEST_MARK=" + rand.Text(), tmp: t.TempDir(), ended: make(chan struct{})}
	path := s.program
	if path == "" {
		path = testBinary(t)
		s.env = append(s.env, asMaster+"=1")
	}
	p.cmd = exec.Command(path, args...)
	p.cmd.Dir = s.dir
	if s.dir == "" {
		p.cmd.Dir = t.TempDir()
	}
	p.cmd.Env = append(append(os.Environ(), "TMPDIR="+p.tmp, p.mark), s.env...)
	p.cmd.Stdin = strings.NewReader(s.stdin)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.WaitDelay = 5 * time.Second // for the output, should somebody hold it
	if s.before != nil {
		s.before(p.cmd)
	}
	t.Cleanup(p.cleanUp)
	if err := p.cmd.Start(); err != nil {
		close(p.ended)
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		if err := p.cmd.Wait(); errors.Is(err, exec.ErrWaitDelay) {
			t.Errorf("master has ended, but its output has not: %v", marked(p.mark))
		}
	}()
	return p
}

func testBinary(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func (p *program) cleanUp() {
	select {
	case <-p.ended:
	default:
		p.t.Errorf("master still runs at the end of the test\n%s", p.output())
		p.cmd.Process.Kill()
		<-p.ended
	}
	p.leavesNothing()
}

// leavesNothing waits until no process carries the mark, and returns how long after kill that was.
func (p *program) leavesNothing() time.Duration {
	p.t.Helper()
	var left []process
	if !poll(func() bool { left = marked(p.mark); return len(left) == 0 }) {
		for _, l := range left {
			syscall.Kill(l.pid, syscall.SIGKILL)
		}
		p.t.Fatalf("%v after the end of master there are still: %v\n%s", patience, left, p.output())
	}
	return time.Since(p.killed)
}

// kill sends SIGKILL to master alone, and returns when it is dead.
func (p *program) kill() {
	p.t.Helper()
	p.killed = time.Now()
	p.cmd.Process.Kill()
	p.waits()
}

func (p *program) signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatalf("%v to master: %v\n%s", sig, err, p.output())
	}
}

func (p *program) waits() {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("master has not ended after %v; running: %v\n%s", patience, marked(p.mark), p.output())
	}
}

// exits waits for the end, with a status, and with no directory left behind.
func (p *program) exits(status int) {
	p.t.Helper()
	p.waits()
	if got := p.cmd.ProcessState; got.ExitCode() != status {
		p.t.Fatalf("master ended with %v, want %d\n%s", got, status, p.output())
	}
	if left := dirNames(p.t, p.tmp); len(left) > 0 {
		p.t.Errorf("master left in its TMPDIR: %v", left)
	}
}

// prints waits until standard output has a text n times.
func (p *program) prints(text string, n int) { p.t.Helper(); p.shows(&p.stdout, text, n) }

// says waits until standard error has a text.
func (p *program) says(text string) { p.t.Helper(); p.shows(&p.stderr, text, 1) }

func (p *program) shows(s *stream, text string, n int) {
	p.t.Helper()
	ended := false
	ok := poll(func() bool {
		select {
		case <-p.ended:
			ended = true
		default:
		}
		return strings.Count(s.String(), text) >= n || ended
	})
	if got := strings.Count(s.String(), text); !ok || got < n {
		p.t.Fatalf("waited for %q %d times, found it %d times (has master ended? %v)\n%s", text, n, got, ended, p.output())
	}
}

func (p *program) output() string {
	return fmt.Sprintf("its stdout:\n%s\nits stderr:\n%s", &p.stdout, &p.stderr)
}

func (p *program) pid() int { return p.cmd.Process.Pid }

// A stream collects what a program writes.
type stream struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *stream) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *stream) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// poll looks until it is true, or patience is at its end. It is for what nobody announces to a test.
func poll(cond func() bool) bool {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-end:
			return cond()
		}
	}
	return true
}

func dirNames(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
