package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What ps shows tells the story, with either worker program.
func TestProcesses(t *testing.T) {
	// A short name too: a title has only the room of the original arguments.
	short := filepath.Join(t.TempDir(), "w")
	if err := os.Symlink(builtProgram(t, "worker"), short); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexec "+short+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		program string
		args    []string
		cwd     string
	}{
		{"the test binary", "", nil, ""},
		{"the built master", builtProgram(t, "master"), nil, ""},
		{"a worker program", builtProgram(t, "master"), []string{"-worker", builtProgram(t, "worker")}, ""},
		{"a worker program with a short name", "", []string{"-worker", "./w"}, filepath.Dir(short)},
	} {
		t.Run(c.name, func(t *testing.T) { checkProcesses(t, setup{program: c.program, dir: c.cwd}, c.args...) })
	}
	// A script that starts the worker in its place: who it is must survive the second exec.
	p := start(t, setup{}, "-workers", "2", "-worker", script, "-job", jobFile(t, "scripted", nap("a", "1ms")))
	p.exits(exitOK)
}

func checkProcesses(t *testing.T, s setup, args ...string) {
	g := newGate(t)
	job := jobFile(t, "a rather long name", g.ticket("a"), g.ticket("b"), g.ticket("c"), g.ticket("d"))
	p := start(t, s, append([]string{"-workers", "4", "-job", job}, args...)...)
	at := p.ups(4)
	master := mustProcess(t, p.pid())
	var names []string
	for _, u := range at {
		w := mustProcess(t, u.worker)
		if w.ppid != p.pid() || w.pgrp != w.pid || w.session != master.session {
			t.Errorf("worker %d has parent %d, group %d, session %d; master is %d in session %d",
				w.pid, w.ppid, w.pgrp, w.session, p.pid(), master.session)
		}
		if !strings.HasPrefix(w.args, w.comm) || strings.Contains(w.args+w.comm, "master") {
			t.Errorf("worker %d is called %q, with arguments %q", w.pid, w.comm, w.args)
		}
		if command := mustProcess(t, u.command); command.ppid != w.pid || command.pgrp != command.pid {
			t.Errorf("command %v of worker %d has group %d", command, w.pid, command.pgrp)
		}
		names = append(names, w.args)
	}
	slices.Sort(names)
	for i, name := range names {
		if want := fmt.Sprintf("worker-%d: a rather long name", i+1); name != want {
			t.Errorf("worker %d of 4 is called %q, want %q", i+1, name, want)
		}
	}
	if n := len(p.children()); n != 4 {
		t.Errorf("master has the children %v, want 4", p.children())
	}
	g.open(t, 4)
	p.exits(exitOK)
}
