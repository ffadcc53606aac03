package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/supervisor"
)

// pythonPath is a file of the Python client. Without a Python there is nothing to test, and that is said where it is seen.
func pythonPath(t *testing.T, elements ...string) string {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		fmt.Fprintf(os.Stderr, "\n*** %s IS NOT RUN: %v ***\n\n", t.Name(), err)
		t.Skip(err)
	}
	path, err := filepath.Abs(filepath.Join(append([]string{"..", "..", "scripts", "clients", "python"}, elements...)...))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// startPython runs a job with tests/worker.py as the worker.
func startPython(t *testing.T, workers int, job string, args ...string) *program {
	t.Helper()
	worker := pythonPath(t, "tests", "worker.py")
	args = append([]string{"-workers", strconv.Itoa(workers), "-worker", worker, "-job", "-"}, args...)
	return start(t, setup{stdin: job, env: []string{"PYTHONDONTWRITEBYTECODE=1"}}, args...)
}

// A job of tickets is run by workers in Python; one that is killed loses nothing.
func TestPythonWorker(t *testing.T) {
	p := startPython(t, 4, `{"tickets": [
		{"task": "nap", "repeat": 12, "attempts": 3, "args": {"seconds": 0.2}},
		{"task": "echo", "repeat": 40, "args": {"value": [1, -1, 2.5, "é", null, {"a": [true]}]}}
	]}`)
	p.prints(" naps in pid ", 3)
	pid, err := strconv.Atoi(regexp.MustCompile(` naps in pid (\d+)`).FindStringSubmatch(p.stdout.String())[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.exits(exitOK)
	if out := p.stdout.String(); !strings.Contains(out, "52 ok") || !strings.Contains(out, "1 restart") {
		t.Error(p.output())
	}
}

// However a task in Python ends, its ticket has one result, and the next one runs.
func TestPythonWorkerOutcomes(t *testing.T) {
	results := filepath.Join(t.TempDir(), "results")
	p := startPython(t, 2, `{"tickets": [
		{"task": "fail", "args": {}},
		{"task": "exit", "args": {}},
		{"task": "odd", "args": {}},
		{"task": "huge", "args": {}},
		{"task": "die", "args": {}},
		{"task": "nap", "timeout": "100ms", "args": {"seconds": 300}},
		{"task": "swallow", "timeout": "100ms", "args": {}},
		{"task": "deaf", "timeout": "100ms", "args": {}},
		{"task": "echo", "repeat": 5, "args": {"value": 1}}
	]}`, "-grace", "1s", "-results", results)
	p.exits(exitFailed)
	b, err := os.ReadFile(results)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"id":"fail-1".*"outcome":"error".*ValueError: it is said to fail.*Traceback`,
		`"id":"exit-1".*"outcome":"error".*SystemExit: 3`,
		`"id":"odd-1".*"outcome":"error".*cannot send builtins.object`,
		`"id":"huge-1".*"outcome":"error".*73400329 > 67174400 bytes`,
		`"id":"die-1".*exit status 9`,
		`"id":"nap-1".*"kind":"timeout"`,
		`"id":"swallow-1".*"kind":"timeout"`,
		`"id":"deaf-1".*"outcome":"timeout"`,
		`"id":"echo-5".*"outcome":"ok"`,
	} {
		if !regexp.MustCompile(want).Match(b) {
			t.Errorf("nothing like %q", want)
		}
	}
	if t.Failed() {
		t.Logf("%s\nresults:\n%s", p.output(), b)
	}
}

// A worker in Python whose master is killed leaves nobody.
func TestPythonWorkerOutlivesNobody(t *testing.T) {
	p := startPython(t, 2, `{"tickets": [{"task": "parent", "args": {}}, {"task": "deaf", "args": {}}]}`)
	p.prints("is a parent", 1)
	p.prints("hears nothing", 1)
	p.kill()
	p.leavesNothing()
}

// A worker in Python ends like any other when the master is told to: at the second Ctrl-C its task is cancelled, at SIGTERM too.
func TestPythonWorkerInterrupted(t *testing.T) {
	p := startPython(t, 2, `{"tickets": [{"task": "nap", "repeat": 2, "args": {"seconds": 300}}]}`)
	p.prints(" naps in pid ", 2)
	p.signal(syscall.SIGINT)
	p.says("nterrupt")
	p.signal(syscall.SIGINT)
	p.waits()
	if out := p.stdout.String(); !strings.Contains(out, "2 cancelled") {
		t.Error(p.output())
	}
}

// A task in Python is an entry as well.
func TestPythonEntry(t *testing.T) {
	p := startPython(t, 1, `{"processes": [
		{"name": "echo", "entry": "echo", "args": {"value": 1}},
		{"name": "sad", "entry": "fail", "args": {}},
		{"name": "daemon", "entry": "deaf", "args": {}, "daemon": true}
	]}`, "-grace", "500ms")
	p.exits(exitFailed)
	if out := p.output(); !strings.Contains(out, "it is said to fail") {
		t.Error(out)
	}
}

// The Python client against a manager: each file of its tests is a program of its own, which leaves neither process nor file.
func TestPythonClient(t *testing.T) {
	files, err := filepath.Glob(pythonPath(t, "tests", "test_*.py"))
	if err != nil || len(files) < 5 {
		t.Fatalf("found %v (%v); expected the tests of the Python client", files, err)
	}
	cert, key := selfSigned(t)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".py")
		t.Run(strings.TrimPrefix(name, "test_"), func(t *testing.T) {
			p := start(t, setup{program: "python3", dir: pythonPath(t), env: []string{
				"MULTIPROC_MASTER=" + builtProgram(t, "master"), "MULTIPROC_TEST_CERTIFICATE=" + cert + ":" + key,
				"PYTHONDONTWRITEBYTECODE=1",
			}}, "-X", "faulthandler", "-m", "unittest", "tests."+name)
			p.exits(exitOK)
			t.Log(p.output())
		})
	}
}

// Programs in Python take part in a job: they find its manager in the environment, and what it shares by name.
func TestPythonInJob(t *testing.T) {
	const programs = 8
	code := `import os, multiproc
m = multiproc.Manager(os.environ["MULTIPROC_SOCKET"])
with m.attach("mutex"):
    db = m.attach("db")
    db["n"] = db["n"] + 1
    print("it is", db["n"])`
	job := fmt.Sprintf(`{
		"shared": {"db": {"kind": "dict", "items": {"n": 0}}, "mutex": {"kind": "lock", "managed": true}},
		"tickets": [{"repeat": %d, "task": "exec", "args": {"command": ["python3", "-c", %s]}}]
	}`, programs, strconv.Quote(code))
	env := []string{"PYTHONDONTWRITEBYTECODE=1", "PYTHONPATH=" + pythonPath(t)}
	p := start(t, setup{stdin: job, env: env}, "-workers", "3", "-job", "-")
	p.exits(exitOK)
	for n := range programs {
		if line := fmt.Sprintf("it is %d\n", n+1); strings.Count(p.stdout.String(), line) != 1 {
			t.Errorf("not once %q:\n%s", line, p.output())
		}
	}
}

// A program in Python submits tickets to a pool whose workers are in Python, and shares objects with them.
func TestPythonPool(t *testing.T) {
	dir, path := pythonPath(t), filepath.Join(t.TempDir(), "manager")
	t.Setenv("MULTIPROC_SOCKET", path) // the workers inherit it
	pool, err := supervisor.NewPool(t.Context(), supervisor.PoolOptions{
		Workers: 2, Program: pythonPath(t, "tests", "worker.py"), Stdout: io.Discard, StartTimeout: patience,
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := ipc.NewManager(ipc.ManagerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := ipc.ListenPrivate(path, ipc.ConnOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := pool.Offer(m); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- m.Serve(context.Background(), l) }()

	p := start(t, setup{program: "python3", dir: dir, env: []string{"PYTHONDONTWRITEBYTECODE=1"}}, "-m", "unittest", "tests.pool")
	p.exits(exitOK)

	if err := errors.Join(pool.Close(), l.Close(), m.Close(), <-served); err != nil {
		t.Error(err)
	}
}
