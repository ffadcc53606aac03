package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
)

// dialManager connects to a manager.
func dialManager(t *testing.T, address string) *ipc.Client {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	c, err := ipc.Connect(ctx, address, ipc.ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// waiting waits until so many calls wait on an object.
func waiting(t *testing.T, c *ipc.Client, name string, want int) {
	t.Helper()
	got := -1
	if !poll(func() bool {
		d, err := c.Describe(t.Context(), ipc.Named(name))
		if err != nil {
			t.Fatal(err)
		}
		got = d.Waiting
		return got == want
	}) {
		t.Fatalf("waited for %d calls to wait on %s, there are %d", want, name, got)
	}
}

func isLocked(t *testing.T, c *ipc.Client, name string) bool {
	t.Helper()
	v, err := ipc.Ask[bool](t.Context(), c, ipc.Named(name), "locked")
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// ipcProgram starts `master ipc` itself, so that signals go to it.
func ipcProgram(t *testing.T, address string, s setup, args ...string) *program {
	t.Helper()
	return start(t, s, append([]string{"ipc", "-socket", address}, args...)...)
}

// fed gives a program a pipe to read, whose end the test has.
func fed(t *testing.T) (setup, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return setup{before: func(c *exec.Cmd) { c.Stdin = r }}, w
}

// Commands under one lock, and under a semaphore with one permit, are never two at once; the next goes on when one has ended.
func TestIPCLockExcludes(t *testing.T) {
	address := startManager(t)
	c := dialManager(t, address)
	for name, how := range map[string][]string{"m": {"lock", "-create", "m"}, "s": {"sem", "-value", "1", "s"}} {
		const n = 3
		var ps []*program
		var feeds []*os.File
		command := append(how, "--", "sh", "-c", "echo begin; read line; echo $line")
		for i := range n {
			s, w := fed(t)
			p := ipcProgram(t, address, s, command...)
			ps, feeds = append(ps, p), append(feeds, w)
			if i == 0 {
				p.prints("begin\n", 1)
			} else {
				waiting(t, c, name, i)
			}
		}
		for i, p := range ps {
			p.prints("begin\n", 1)
			for _, later := range ps[i+1:] {
				if later.stdout.String() != "" {
					t.Errorf("two commands at once\n%s", later.output())
				}
			}
			feeds[i].WriteString("end\n")
			p.exits(exitOK)
			if got := p.stdout.String(); got != "begin\nend\n" {
				t.Errorf("got %q", got)
			}
		}
	}
}

// A holder that is killed takes its command with it, and the next gets the lock and is told.
func TestIPCLockOfKilled(t *testing.T) {
	address := startManager(t)
	c := dialManager(t, address)
	first := ipcProgram(t, address, setup{}, "lock", "-create", "m", "--", "sh", "-c", "echo held; exec sleep 1000")
	first.prints("held\n", 1)
	second := ipcProgram(t, address, setup{}, "lock", "m", "sh", "-c", "echo died $MULTIPROC_OWNER_DIED")
	waiting(t, c, "m", 1)
	first.kill()
	second.exits(exitOK)
	if got := second.stdout.String(); got != "died 1\n" {
		t.Errorf("got %q", got)
	}
	first.leavesNothing()
}

// What a killed holder's command has started keeps the lock until it is gone too.
func TestIPCLockOfRest(t *testing.T) {
	address := startManager(t)
	c := dialManager(t, address)
	first := ipcProgram(t, address, setup{}, "lock", "-create", "m", "--", "sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo rest $!; wait")
	first.prints("\n", 1)
	rest, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(first.stdout.String(), "rest ")))
	if err != nil {
		t.Fatal(first.output())
	}
	second := ipcProgram(t, address, setup{}, "lock", "m", "true")
	waiting(t, c, "m", 1)
	first.kill()
	if !poll(func() bool { left := marked(first.mark); return len(left) == 1 && left[0].pid == rest }) {
		t.Fatalf("waited for the command to be dead: %v", marked(first.mark))
	}
	waiting(t, c, "m", 1)
	syscall.Kill(rest, syscall.SIGKILL)
	second.exits(exitOK)
	first.leavesNothing()
}

// When a command has ended the lock is free, whatever it has left in the background, and its connection is gone.
func TestIPCLockAfterEnd(t *testing.T) {
	address := startManager(t)
	c := dialManager(t, address)
	p := ipcProgram(t, address, setup{}, "lock", "-create", "m", "--", "sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!")
	p.exits(exitOK)
	if isLocked(t, c, "m") {
		t.Error("the lock is still held")
	}
	if !poll(func() bool {
		s, err := c.Stats(t.Context())
		return err == nil && s.Connections == 1
	}) {
		t.Error("the connection has not ended")
	}
	rest, _ := strconv.Atoi(strings.TrimSpace(p.stdout.String()))
	syscall.Kill(rest, syscall.SIGKILL)
}

// A signal ends whatever is waited for, with nothing taken and nothing left behind.
func TestIPCInterrupted(t *testing.T) {
	address := startManager(t)
	c := dialManager(t, address)
	for _, object := range [][]any{{"lock", "m"}, {"queue", "q"}, {"event", "e"}, {"semaphore", "s"}} {
		args := []byte{0x90}
		if object[0] == "semaphore" {
			args = []byte{0x91, 0}
		}
		if _, err := c.Create(t.Context(), object[0].(string), args, ipc.ManagedOptions{Name: object[1].(string), Keep: true}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Call(t.Context(), ipc.Named("m"), "acquire"); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string]string{
		"m": "lock m echo run", "s": "sem s echo run", "q": "queue get q", "e": "event wait e",
	} {
		for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
			p := ipcProgram(t, address, setup{}, strings.Fields(args)...)
			waiting(t, c, name, 1)
			p.signal(sig)
			p.exits(128 + int(sig))
			waiting(t, c, name, 0)
			if p.stdout.String() != "" || p.stderr.String() != "" {
				t.Errorf("%s, %v\n%s", args, sig, p.output())
			}
		}
	}
	if _, err := c.Call(t.Context(), ipc.Named("q"), "put", 7); err != nil {
		t.Fatal(err)
	}
	if n, err := ipc.Ask[int](t.Context(), c, ipc.Named("q"), "len"); n != 1 || err != nil {
		t.Errorf("an item was taken by a get that was interrupted: %d, %v", n, err)
	}
	s, w := fed(t) // what is read ends too
	p := ipcProgram(t, address, s, "queue", "put", "q", "-")
	w.WriteString("8\n")
	if !poll(func() bool {
		n, err := ipc.Ask[int](t.Context(), c, ipc.Named("q"), "len")
		return n == 2 && err == nil
	}) {
		t.Fatal("waited for the first line to be put")
	}
	p.signal(syscall.SIGINT)
	p.exits(exitInterrupted)
}

// A signal ends a queue get -all too that never has to wait.
func TestIPCGetAllInterrupted(t *testing.T) {
	address := startManager(t)
	c := dialManager(t, address)
	if _, err := c.Create(t.Context(), "queue", nil, ipc.ManagedOptions{Name: "q", Keep: true}); err != nil {
		t.Fatal(err)
	}
	items := make([]string, 50_000)
	for i := range items {
		items[i] = strings.Repeat("x", 100) // together far more than a pipe takes
	}
	if _, err := c.Call(t.Context(), ipc.Named("q"), "put_many", items); err != nil {
		t.Fatal(err)
	}
	s, r, w := piped(t, func(c *exec.Cmd, f *os.File) { c.Stdout = f })
	p := ipcProgram(t, address, s, "queue", "get", "q", "-all")
	w.Close()
	if _, err := io.ReadFull(r, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGINT)
	n, err := io.Copy(io.Discard, r)
	p.exits(exitInterrupted)
	if left, e := ipc.Ask[int](t.Context(), c, ipc.Named("q"), "len"); left == 0 || err != nil || e != nil {
		t.Errorf("%d items are left, %v, %v; read %d bytes, %v", left, err, e, n, err)
	}
}

// Signals go to the command, whose end is ours. (What it has started it kills with KILL: a shell's child loses a TERM that comes before
// exec.)
func TestIPCSignalsCommand(t *testing.T) {
	address := startManager(t)
	for _, sig := range []string{"INT", "TERM", "HUP", "QUIT", "USR1", "USR2"} {
		p := ipcProgram(t, address, setup{}, "lock", "-create", "m", "--",
			"sh", "-c", `trap 'kill -KILL $p; echo got; exit 7' `+sig+`; sleep 1000 >/dev/null 2>&1 & p=$!; echo held; wait; wait`)
		p.prints("held\n", 1)
		p.signal(map[string]os.Signal{
			"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2,
		}[sig])
		p.exits(7)
		if got := p.stdout.String(); got != "held\ngot\n" {
			t.Errorf("%s: got %q", sig, got)
		}
	}
}

// A command under a lock is in the foreground of the terminal: it reads from it, and Ctrl-C reaches it.
func TestIPCLockOnTerminal(t *testing.T) {
	address := startManager(t)
	p, term := startOnTerminal(t, "ipc", "-socket", address, "lock", "-create", "m", "--",
		"sh", "-c", `trap 'n=$((n+1))' INT; read a; echo "<$a>"; cat; echo "INT $n times"; exit 9`)
	term.WriteString("hello\n")
	p.shows(&term.screen, "<hello>", 1)
	term.WriteString("again\n")
	p.shows(&term.screen, "again", 2) // typed, and by cat
	term.WriteString("\x03")
	p.exits(9)
	<-term.read
	if got := term.screen.String(); !strings.Contains(got, "INT 1 times") {
		t.Errorf("the terminal shows %q", got)
	}
}

// When the manager ends, so does what waits for it; a command under a lock goes on, and its success is none.
func TestIPCManagerGone(t *testing.T) {
	address := filepath.Join(t.TempDir(), "m.sock")
	m := start(t, setup{}, "manager", "-listen", address)
	m.prints("listening", 1)
	c := dialManager(t, address)
	s, w := fed(t)
	held := ipcProgram(t, address, s, "lock", "-create", "m", "--", "sh", "-c", "echo held; read line; echo $line")
	held.prints("held\n", 1)
	waits := ipcProgram(t, address, setup{}, "queue", "get", "-create", "q")
	if !poll(func() bool {
		d, err := c.Describe(t.Context(), ipc.Named("q"))
		return err == nil && d.Waiting == 1
	}) {
		t.Fatal("waited for a get that waits")
	}
	m.kill()
	waits.exits(exitNoManager)
	w.WriteString("went on\n")
	held.exits(exitNoManager)
	if got := held.stdout.String(); got != "held\nwent on\n" || !strings.Contains(held.stderr.String(), "master: ipc lock: the lock was lost while the command ran") {
		t.Error(held.output())
	}
	ipcProgram(t, address, setup{}, "ping").exits(exitNoManager)
}

// A manager that does not answer holds nobody up for longer than the time that was said.
func TestIPCManagerStopped(t *testing.T) {
	defer func(d time.Duration) { reachTime = d }(reachTime)
	reachTime = 200 * time.Millisecond
	address := filepath.Join(t.TempDir(), "m.sock")
	m := start(t, setup{program: builtProgram(t, "master")}, "manager", "-listen", address)
	m.prints("listening", 1)
	r, w := io.Pipe() // a command that is connected already
	defer w.Close()
	var out, errs stream
	put := make(chan int, 1)
	go func() {
		put <- ipcMain(t.Context(), strings.Fields("-socket "+address+" queue put -create q - -timeout 1ms"), r, &out, &errs)
	}()
	io.WriteString(w, "1\n")
	io.WriteString(w, "2\n") // is read when the first line has been taken: it is connected
	m.signal(syscall.SIGSTOP)
	go func() { // until it stands still, and then until w is closed
		for err := error(nil); err == nil; {
			_, err = io.WriteString(w, "3\n")
		}
	}()
	select {
	case status := <-put:
		if want := "master: ipc queue put: the manager does not answer"; status != exitNoManager || !strings.HasPrefix(errs.String(), want) {
			t.Errorf("status %d, stderr %q", status, &errs)
		}
	case <-time.After(patience):
		t.Error("waited for a put to give up")
	}
	var none stream
	if status := ipcMain(t.Context(), []string{"-socket", address, "ping"}, nil, &none, &none); status != exitNoManager {
		t.Errorf("ping: status %d, %s", status, &none)
	}
	m.signal(syscall.SIGCONT)
	m.signal(syscall.SIGTERM)
	m.exits(exitOK)
}
