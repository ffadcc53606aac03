package supervisor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

// numbered returns n lines of a trace.
func numbered(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint("goroutine ", i)
	}
	return list
}

func TestCrashIsKept(t *testing.T) {
	trace := numbered(500)
	for _, c := range []struct {
		name  string
		lines []string
		why   string
		first string // of what is kept
		kept  int
	}{
		{"nothing", nil, "", "", 0},
		{"no crash", numbered(30), "goroutine 29", "goroutine 10", 20},
		{"short", []string{"begin", "panic: one", "goroutine 1"}, "panic: one", "begin", 3},
		{"long", slices.Concat([]string{"begin", "panic: one"}, trace), "panic: one", "panic: one", crashCount + 1 + tailCount},
		{"the latest counts", slices.Concat([]string{"panic: one", "log", "panic: two"}, trace), "panic: two", "panic: two", crashCount + 1 + tailCount},
		{"overlap", slices.Concat([]string{"fatal error: x"}, trace[:22]), "fatal error: x", "fatal error: x", 23},
		{"no gap", slices.Concat([]string{"fatal error: x"}, trace[:9+tailCount]), "fatal error: x", "fatal error: x", 10 + tailCount},
		{"gap of one", slices.Concat([]string{"fatal error: x"}, trace[:10+tailCount]), "fatal error: x", "fatal error: x", 11 + tailCount},
		{"runtime before", slices.Concat([]string{"runtime: out of memory", "fatal error: out of memory"}, trace), "runtime: out of memory", "runtime: out of memory", crashCount + 1 + tailCount},
		{"runtime within", slices.Concat([]string{"fatal error: x"}, trace, []string{"runtime: g 7: odd"}, trace), "fatal error: x", "fatal error: x", crashCount + 1 + tailCount},
		{"runtime long before", slices.Concat([]string{"runtime: note"}, trace, []string{"panic: x"}, trace), "panic: x", "panic: x", crashCount + 1 + tailCount},
		{"signal", slices.Concat([]string{"SIGSEGV: segmentation violation", "PC=0x4336fd"}, trace, []string{"runtime: g 0: odd"}, trace), "SIGSEGV: segmentation violation",
			"SIGSEGV: segmentation violation", crashCount + 1 + tailCount},
		{"signal of C", slices.Concat([]string{"runtime/cgo: pthread_create failed", "SIGABRT: abort"}, trace), "runtime/cgo: pthread_create failed",
			"runtime/cgo: pthread_create failed", crashCount + 1 + tailCount},
		{"no signal", append([]string{"SIG-1: x"}, trace[:3]...), "goroutine 2", "SIG-1: x", 4},
		{"not at the beginning", append([]string{"my panic: x", "a fatal error: y"}, trace[:3]...), "goroutine 2", "my panic: x", 5},
	} {
		var tl tail
		for _, line := range c.lines {
			tl.add([]byte(line), true)
		}
		kept := tl.lines()
		if len(kept) != c.kept || c.kept > 0 && kept[0] != c.first {
			t.Errorf("%s: %d lines kept, want %d from %q:\n%s", c.name, len(kept), c.kept, c.first, strings.Join(kept, "\n"))
		}
		if got := lastWord(kept); got != c.why {
			t.Errorf("%s: says %q, want %q", c.name, got, c.why)
		}
	}
}

var taskCrowd = NewTask("test.crowd", func(_ context.Context, n int) (int, error) {
	for range n {
		go func() { select {} }()
	}
	debug.SetTraceback("all")
	go panic("in the crowd")
	select {}
})

// The runtime prints every goroutine, and the panic first of all.
func TestCrashOfManyGoroutines(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	r := result(t, submit(t, taskCrowd, p, 200))
	died, ok := errors.AsType[*WorkerDiedError](r.Err)
	if !ok || died.Exit.Status() != 2 || !strings.Contains(r.Err.Error(), "on stderr: panic: in the crowd") {
		t.Fatalf("%v", r.Err)
	}
	if n := len(died.Stderr); n != crashCount+1+tailCount {
		t.Errorf("%d lines of stderr kept:\n%s", n, strings.Join(died.Stderr, "\n"))
	}
}
