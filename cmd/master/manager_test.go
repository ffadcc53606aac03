package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

func TestBadManagerFlags(t *testing.T) {
	for args, want := range map[string]string{
		"":                          `no address: expected -listen PATH (-h shows more)`,
		"m.sock":                    `master manager takes no arguments: found "m.sock"; did you mean -listen m.sock?`,
		"-listen a/b c":             `master manager takes no arguments: found "c"`,
		"-lisen a":                  `unknown flag -lisen; did you mean -listen?`,
		"-listen":                   `-listen: found nothing; expected an address`,
		"-listen=":                  `-listen: found ""; expected an address`,
		"-listen a -limit memory":   `-limit: found "memory"; expected NAME=NUMBER`,
		"-listen a -limit memoy=1":  `-limit: unknown limit "memoy"; expected "connections", "frame", "memory", "objects", "pending" or "unread"; did you mean "memory"?`,
		"-listen a -limit frame=0":  `-limit frame: found "0"; expected a whole number from 1 on, such as 500, 64K, 16M or 1G`,
		"-listen a -limit frame=K":  `-limit frame: found "K"; expected a whole number from 1 on, such as 500, 64K, 16M or 1G`,
		"-listen a -log-level wran": `-log-level: found "wran"; expected "trace", "debug", "info", "warn", "error" or "off"; did you mean "warn"?`,
	} {
		_, err := parseManagerFlags(strings.Fields(args))
		if ue, ok := err.(*UsageError); !ok || ue.Text != want {
			t.Errorf("master manager %s\n got: %v\nwant: %s", args, err, want)
		}
	}
	o, err := parseManagerFlags(strings.Fields("-listen a/b -listen c -limit memory=64M -limit connections=2K -limit objects=7 -refuse-shutdown"))
	want := ipc.ManagerLimits{Memory: 64 << 20, Connections: 2048, Objects: 7}
	if err != nil || o.Limits != want || strings.Join(o.Listen, " ") != "a/b c" || !o.RefuseShutdown {
		t.Errorf("got %+v, %v", o, err)
	}
}

func TestManagerUsage(t *testing.T) {
	for name := range newManagerFlags(new(ManagerOptions), new(string)).wants {
		if !strings.Contains(managerUsage, "\n    -"+name+" ") {
			t.Errorf("-h does not tell of -%s", name)
		}
	}
	for name := range limitFields(new(ipc.ManagerLimits)) {
		if !strings.Contains(managerUsage, name) {
			t.Errorf("-h does not tell of the limit %s", name)
		}
	}
}

// A talker is a client of a manager, which asks one thing at a time.
type talker struct {
	t    *testing.T
	conn *ipc.Conn
	last uint64
}

// talkTo connects to the manager at path, and says hello.
func talkTo(t *testing.T, path string) *talker {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := ipc.Dial(ctx, path, ipc.ConnOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &talker{t: t, conn: conn}
	c.ask(proto.MethodHello, 1, []any{}, map[string]any{})
	return c
}

func (c *talker) ask(method string, params ...any) any {
	c.t.Helper()
	p, err := proto.Marshal(params)
	if err != nil {
		c.t.Fatal(err)
	}
	c.last++
	if err := c.conn.WriteFrame(nil, proto.AppendRequest(nil, c.last, method, p.Bytes)); err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
	f, err := c.conn.ReadFrame()
	if err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
	msg, err := proto.ParseMessage(f.Body, proto.Limits{})
	if err != nil || msg.Fault != nil {
		c.t.Fatalf("%s: %v, %v", method, err, msg.Fault)
	}
	var v any
	if _, err := proto.Unmarshal(proto.Payload{Bytes: msg.Result}, &v, proto.Limits{}); err != nil {
		c.t.Fatal(err)
	}
	return v
}

// ends waits until the manager has ended the connection.
func (c *talker) ends() {
	c.t.Helper()
	if _, err := c.conn.ReadFrame(); !errors.Is(err, io.EOF) {
		c.t.Errorf("the connection did not end: %v", err)
	}
}

// A manager serves at several paths, of any length, until it is told to end, and leaves nothing.
func TestManagerServes(t *testing.T) {
	for name, end := range map[string]func(p *program, c *talker){
		"SIGINT":   func(p *program, _ *talker) { p.signal(syscall.SIGINT) },
		"SIGTERM":  func(p *program, _ *talker) { p.signal(syscall.SIGTERM) },
		"SIGHUP":   func(p *program, _ *talker) { p.signal(syscall.SIGHUP) },
		"shutdown": func(_ *program, c *talker) { c.ask(proto.MethodShutdown, map[string]any{}) },
	} {
		t.Run(name, func(t *testing.T) {
			short := filepath.Join(t.TempDir(), "m.sock")
			long := filepath.Join(t.TempDir(), strings.Repeat("d", 100), strings.Repeat("e", 100), "m.sock")
			p := start(t, setup{program: builtProgram(t, "master")}, "manager", "-listen", short, "-listen", long)
			p.prints("listening on "+long+"\n", 1)
			p.prints("listening on "+short+"\n", 1)
			a, b := talkTo(t, short), talkTo(t, long)
			a.ask(proto.MethodCreate, "value", []any{nil, 7}, map[string]any{"name": "n"})
			if got := b.ask(proto.MethodCall, "n", "get", []any{}, map[string]any{}); got != int64(7) {
				t.Errorf("got %v", got)
			}
			end(p, a)
			a.ends()
			b.ends()
			p.exits(exitOK)
			for _, path := range []string{short, long} {
				if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("the manager has left its socket: %v", err)
				}
			}
			if p.stderr.String() != "" {
				t.Error(p.output())
			}
		})
	}
}

// What a killed manager left is replaced; the place of one that lives is not taken.
func TestManagerTakesPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.sock")
	first := start(t, setup{}, "manager", "-listen", path)
	first.prints("listening", 1)
	second := start(t, setup{}, "manager", "-listen", path)
	second.exits(exitUsage)
	if want := "master: listen on " + path + ": address already in use\n"; second.stderr.String() != want {
		t.Errorf("got %q, want %q", &second.stderr, want)
	}
	first.kill()
	third := start(t, setup{}, "manager", "-listen", path, "-refuse-shutdown")
	third.prints("listening", 1)
	talkTo(t, path)
	third.signal(syscall.SIGTERM)
	third.exits(exitOK)
}

// A manager that was started with a pipe ends when nobody holds the other end any more.
func TestManagerUntilEOF(t *testing.T) {
	var theirs *os.File
	path := filepath.Join(t.TempDir(), "m.sock")
	p := start(t, setup{before: func(cmd *exec.Cmd) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdin, theirs = r, w
		t.Cleanup(func() { r.Close() })
	}}, "manager", "-listen", path, "-until-eof")
	p.prints("listening", 1)
	c := talkTo(t, path)
	c.ask(proto.MethodPing, map[string]any{})
	theirs.Close()
	c.ends()
	p.exits(exitOK)
}

// What a manager keeps in a directory is there again after a kill, but for what nobody refers to any more.
func TestManagerPersists(t *testing.T) {
	dir := t.TempDir()
	args := []string{"manager", "-listen", filepath.Join(dir, "m.sock"), "-persist", filepath.Join(dir, "store")}
	first := start(t, setup{}, args...)
	first.prints("listening", 1)
	c := talkTo(t, args[2])
	c.ask(proto.MethodCreate, "value", []any{nil, 7}, map[string]any{"name": "kept", "keep": true})
	c.ask(proto.MethodCreate, "value", []any{nil, 7}, map[string]any{"name": "dropped"})
	c.ask(proto.MethodCall, "kept", "add", []any{1}, map[string]any{})
	first.kill()
	again := start(t, setup{}, args...)
	again.prints("listening", 1)
	c = talkTo(t, args[2])
	if got := c.ask(proto.MethodCall, "kept", "get", []any{}, map[string]any{}); got != int64(8) {
		t.Errorf("got %v, want 8", got)
	}
	if all := c.ask(proto.MethodList, map[string]any{}).([]any); len(all) != 1 {
		t.Errorf("these came back: %v", all)
	}
	other := start(t, setup{}, "manager", "-listen", filepath.Join(dir, "n.sock"), "-persist", filepath.Join(dir, "store"))
	other.exits(exitUsage)
	if !strings.Contains(other.stderr.String(), "another manager has it") {
		t.Errorf("a second manager with the same store: %s", other.output())
	}
	again.signal(syscall.SIGTERM)
	again.exits(exitOK)
}

func TestManagerRefusesOpenDirectory(t *testing.T) {
	p := start(t, setup{}, "manager", "-listen", filepath.Join(t.TempDir(), "m.sock"), "-listen", "/tmp/m.sock")
	p.exits(exitUsage)
	want := "master: listen on /tmp/m.sock: others may enter /tmp (mode 1777); a directory below it of mode 0700, such as /tmp/private, would be private\n"
	if p.stderr.String() != want || p.stdout.String() != "" {
		t.Errorf("want %q\n%s", want, p.output())
	}
}
