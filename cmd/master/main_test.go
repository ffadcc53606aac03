package main

import (
	"bytes"
	"strings"
	"testing"
)

// Bad usage and bad job files end with 2 and say one thing, on standard error.
func TestCommandRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"":                     "master: no job: expected -job FILE, or -job - for standard input (-h shows more)\n",
		"-job testdata/nope":   "master: testdata/nope: no such file\n",
		"-job -":               "<stdin>:1:2: unknown key \"tikets\" in the job; did you mean \"tickets\"?\n",
		"-job testdata -nodes": "master: unknown flag -nodes\n",
	} {
		var out, errs bytes.Buffer
		status := command(t.Context(), strings.Fields(args), strings.NewReader(`{"tikets": []}`), &out, &errs)
		if status != exitUsage || errs.String() != want || out.Len() > 0 {
			t.Errorf("master %s: status %d, stderr %q, stdout %q; want stderr %q", args, status, &errs, &out, want)
		}
	}
}

// What is asked for goes to standard output.
func TestCommandTells(t *testing.T) {
	for args, want := range map[string]string{"-h": "master runs the processes", "-version": "master "} {
		var out, errs bytes.Buffer
		status := command(t.Context(), []string{args}, nil, &out, &errs)
		if status != exitOK || !strings.HasPrefix(out.String(), want) || errs.Len() > 0 {
			t.Errorf("master %s: status %d, stderr %q, stdout %q", args, status, &errs, &out)
		}
	}
}
