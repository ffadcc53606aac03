package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What the worker does not know is refused after its hello, before any ticket.
func TestUnknownTask(t *testing.T) {
	job := `{"tickets": [
	{"task": "exec", "args": {"command": ["sh", "-c", "echo began"]}},
	{"task": "slep", "args": {"for": "1s"}},
	{"task": "knit"}
]}`
	for _, args := range [][]string{nil, {"-worker", builtProgram(t, "worker")}} {
		p := start(t, setup{stdin: job}, append([]string{"-workers", "2", "-job", "-"}, args...)...)
		p.exits(exitUsage)
		const tasks = `"array.add", "array.get", "array.set", "barrier.wait", "condition.wait", "dict.add", "dict.get", "dict.set", "event.clear", "event.set", "event.wait", "exec", "list.append", "list.get", "lock.exec", "memory.read", "memory.write", "print", "queue.close", "queue.exec", "queue.get", "queue.join", "queue.put" or one of 6 more`
		want := `<stdin>:3:11: unknown task "slep"; expected ` + tasks + `; did you mean "sleep"?
<stdin>:4:11: unknown task "knit"; expected ` + tasks + "\n"
		if got := p.stderr.String(); got != want || p.stdout.String() != "" {
			t.Errorf("standard error:\n%swant:\n%sstandard output: %q", got, want, &p.stdout)
		}
	}
}

func TestNoTickets(t *testing.T) {
	p := start(t, setup{stdin: `{"name": "none", "tickets": []}`}, "-workers", "2", "-job", "-")
	p.exits(exitOK)
	if !strings.HasPrefix(p.stdout.String(), "\nnone: 0 tickets in ") || p.stderr.String() != "" {
		t.Error(p.output())
	}
}

// What is no worker program is found out at once, and said in one line.
func TestNoWorkerProgram(t *testing.T) {
	dir := t.TempDir()
	script := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct{ program, want string }{
		{"/bin/true", `worker ended before it said hello: EOF \(pid \d+, exit status 0\)`},
		{"/bin/false", `worker ended before it said hello: EOF \(pid \d+, exit status 1\)`},
		{script("garbage", "#!/bin/sh\necho this is no frame at all >&3\nexec sleep 300\n"), `protocol violation: .*`},
		{script("talkative", "#!/bin/sh\necho cannot open the model >&2\nexit 100\n"), `.*exit status 100; .*cannot open the model\)`},
		{script("interpreter", "#!/no/such/interpreter\n"), `.*no such file or directory.*`},
		{script("hole", "#!/bin/sh\nexec 3>&-\nexec sleep 300\n"), `worker ended before it said hello: EOF \(pid \d+, signal: killed\)`},
	} {
		p := start(t, setup{}, "-workers", "1", "-worker", c.program, "-job", jobFile(t, "x", nap("a", "1ms")))
		p.exits(exitFailed)
		want := fmt.Sprintf(`(\[WARN\] .*\n)?master: -worker %s: worker does not start: place 1, failure \d: .*%s\n`, regexp.QuoteMeta(c.program), c.want)
		if !regexp.MustCompile("^" + want + "$").MatchString(p.stderr.String()) {
			t.Errorf("standard error:\n%swant:\n%s", &p.stderr, want)
		}
		if p.stdout.String() != "" {
			t.Errorf("standard output: %q", &p.stdout)
		}
	}
}

// A worker program that nobody has started as one says so.
func TestWorkerAlone(t *testing.T) {
	p := start(t, setup{program: builtProgram(t, "worker")})
	p.exits(100)
	if !strings.HasPrefix(p.stderr.String(), "worker: not started by a master; run: master -worker ") {
		t.Error(p.output())
	}
}

// PROTOCOL.md promises descriptor 3 in blocking mode. A worker in another language that finds it otherwise fails where the
// answer to its hello is not there yet.
func TestDescriptorOfWorkerBlocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "worker")
	if err := os.WriteFile(path, []byte("#!/bin/sh\ngrep flags: /proc/self/fdinfo/3 >&2\nexit 100\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	p := start(t, setup{}, "-workers", "1", "-worker", path, "-job", jobFile(t, "x", nap("a", "1ms")))
	p.exits(exitFailed)
	flags := regexp.MustCompile(`flags:\s*0(\d+)`).FindStringSubmatch(p.stderr.String())
	if flags == nil {
		t.Fatal(p.output())
	}
	if mode, err := strconv.ParseUint(flags[1], 8, 64); err != nil || mode&unix.O_NONBLOCK != 0 {
		t.Errorf("descriptor 3 has flags %#o: it does not block (%v)", mode, err)
	}
}
