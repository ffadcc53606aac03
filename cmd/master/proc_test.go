package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// A process is what /proc tells of one.
type process struct {
	pid, ppid, pgrp, session int
	state                    string
	comm, args               string
}

func (p process) String() string {
	return fmt.Sprintf("%d (%s, parent %d, state %s)", p.pid, p.args, p.ppid, p.state)
}

func readProcess(pid int) (p process, ok bool) {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return p, false
	}
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	p.pid, p.state = pid, f[0]
	p.ppid, _ = strconv.Atoi(f[1])
	p.pgrp, _ = strconv.Atoi(f[2])
	p.session, _ = strconv.Atoi(f[3])
	comm, _ := os.ReadFile(dir + "/comm")
	p.comm = strings.TrimSuffix(string(comm), "\n")
	args, _ := os.ReadFile(dir + "/cmdline")
	p.args = strings.TrimRight(strings.ReplaceAll(string(args), "\x00", " "), " ")
	return p, true
}

func mustProcess(t *testing.T, pid int) process {
	t.Helper()
	p, ok := readProcess(pid)
	if !ok {
		t.Fatalf("there is no process %d", pid)
	}
	return p
}

// marked lists the processes that have the mark in their environment. A zombie has none.
func marked(mark string) (list []process) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		environ, _ := os.ReadFile("/proc/" + e.Name() + "/environ")
		if !bytes.Contains(environ, []byte(mark)) {
			continue
		}
		if p, ok := readProcess(pid); ok {
			list = append(list, p)
		}
	}
	return list
}

// children lists the marked processes whose parent is the master.
func (p *program) children() (list []process) {
	for _, c := range marked(p.mark) {
		if c.ppid == p.pid() {
			list = append(list, c)
		}
	}
	return list
}
