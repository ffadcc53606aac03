package main

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// startManager starts a manager, which is told to end when the test ends.
func startManager(t *testing.T) (address string) {
	t.Helper()
	address = filepath.Join(t.TempDir(), "m.sock")
	m := start(t, setup{program: builtProgram(t, "master")}, "manager", "-listen", address)
	t.Cleanup(func() {
		m.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		m.exits(exitOK)
	})
	m.prints("listening", 1)
	return address
}

// inShell runs a line of shell, in which ipc is `master ipc` with a manager.
func inShell(t *testing.T, address, line string) *program {
	t.Helper()
	master := builtProgram(t, "master")
	return start(t, setup{
		program: "/bin/sh",
		env:     []string{"MASTER=" + master, socketEnv + "=" + address, "LC_ALL=C"},
	}, "-c", `ipc() { "$MASTER" ipc "$@"; }; `+line)
}

// TestIPC runs the scripts in testdata/ipc. A line that begins with "$ " is one of shell; what follows is its standard output, with
// "! " its standard error, and with "? " its status where that is not 0.
func TestIPC(t *testing.T) {
	files, err := filepath.Glob("testdata/ipc/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScript(t, file) })
	}
}

func runScript(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	address := startManager(t)
	for _, step := range strings.Split("\n"+string(text), "\n$ ")[1:] {
		line, rest, _ := strings.Cut(step, "\n")
		var stdout, stderr bytes.Buffer
		status := 0
		for l := range strings.Lines(rest + "\n") {
			if s, ok := strings.CutPrefix(l, "! "); ok {
				stderr.WriteString(s)
			} else if s, ok := strings.CutPrefix(l, "? "); ok {
				status, _ = strconv.Atoi(strings.TrimSpace(s))
			} else if !strings.HasPrefix(l, "# ") {
				stdout.WriteString(l)
			}
		}
		p := inShell(t, address, line)
		p.waits()
		got := p.cmd.ProcessState.ExitCode()
		want := strings.TrimRight(stdout.String(), "\n") // an empty line may stand before a comment
		if strings.TrimRight(p.stdout.String(), "\n") != want || p.stderr.String() != stderr.String() || got != status {
			t.Errorf("%s: $ %s\nstatus %d, want %d\n%s", file, line, got, status, p.output())
		}
	}
}

// -h tells of every flag and operation, and every operation of the protocol's page can be called by its name.
func TestIPCUsage(t *testing.T) {
	var text bytes.Buffer
	if status := ipcMain(t.Context(), []string{"-h"}, nil, &text, &text); status != exitOK {
		t.Fatalf("status %d\n%s", status, &text)
	}
	for _, ops := range append(slices.Collect(maps.Values(ipcKinds)), ipcCommands) {
		for _, o := range ops {
			c := ipcCall{op: &o}
			if !strings.Contains(text.String(), c.usageLine()) {
				t.Errorf("-h does not tell of %s", c.usageLine())
			}
			newIPCFlags(new(IPCOptions), &o, true).set.VisitAll(func(f *flag.Flag) {
				if !strings.Contains(text.String(), "-"+f.Name) {
					t.Errorf("-h does not tell of -%s", f.Name)
				}
			})
			for _, p := range o.parameters() {
				if _, ok := paramShapes[p.word]; !ok {
					t.Errorf("%s: %s has no shape", o.name, p.word)
				}
			}
		}
	}
	for form := range valueForms {
		if !strings.Contains(text.String(), `"`+form+`"`) {
			t.Errorf("-h does not tell of %s", form)
		}
	}
}

// Over TCP it is the same, for who has the key.
func TestIPCOverTCP(t *testing.T) {
	dir := t.TempDir()
	for name, key := range map[string]string{"key": "sixteen bytes, and more", "other": "sixteen bytes of another"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := start(t, setup{program: builtProgram(t, "master")}, "manager", "-listen", "tcp:127.0.0.1:0", "-key-file", filepath.Join(dir, "key"))
	m.prints("\n", 1)
	address := strings.TrimSpace(strings.TrimPrefix(m.stdout.String(), "listening on "))
	for _, step := range []struct {
		line           string
		status         int
		stdout, stderr string
	}{
		{"ipc dict set -create db a 1 -key-file key && ipc -key-file key dict get db a && ipc -key-fd 5 dict len db 5<key", 0, "1\n1\n", ""},
		{"ipc lock -create m -key-file key -- sh -c 'echo $MULTIPROC_TOKEN'", 0, "1\n", ""},
		{"ipc ping", 3, "", "master: ipc ping: cannot reach a manager: connect to " + address + ": denied: the manager asks for a key\n"},
		{"ipc ping -key-file nope", 2, "", "master: -key-file: nope: no such file or directory\n"},
		{"ipc -key-file key shutdown", 5, "", "master: ipc shutdown: denied: this manager is not shut down by such clients\n"},
	} {
		p := inShell(t, address, "cd "+dir+"; "+step.line)
		p.exits(step.status)
		if p.stdout.String() != step.stdout || p.stderr.String() != step.stderr {
			t.Errorf("$ %s\n%s", step.line, p.output())
		}
	}
	p := inShell(t, address, "cd "+dir+"; ipc ping -key-file other")
	p.exits(exitNoManager)
	if !strings.Contains(p.stderr.String(), "cannot reach a manager") {
		t.Error(p.output())
	}
	m.signal(syscall.SIGTERM)
	m.exits(exitOK)
}
