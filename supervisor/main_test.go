package supervisor

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// beforeMain runs first in TestMain, before helper programs too. A file whose tests start this binary as
// something else than a helper (a worker) appends to it in an init function.
var beforeMain []func()

// helperProgram is a program that tests run as a real process: this test binary under another argv[0]. (As
// in os/exec's tests; argv rather than the environment, because what a helper starts must not inherit it.)
type helperProgram struct {
	name string
	run  func(args []string)
	used atomic.Bool
}

const helperPrefix = "helper:"

var helpers = map[string]*helperProgram{}

// helper registers a program, as the value of a package variable beside the test that uses it. It ends with
// status 0 when f returns. One that no test uses fails the run.
func helper(name string, f func(args []string)) *helperProgram {
	if helpers[name] != nil {
		panic("two helpers are called " + name)
	}
	h := &helperProgram{name: name, run: f}
	helpers[name] = h
	return h
}

// spec says how to run the helper.
func (h *helperProgram) spec(args ...string) Spec {
	h.used.Store(true)
	return Spec{Name: h.name, Args: append([]string{helperPrefix + h.name}, args...)}
}

func TestMain(m *testing.M) {
	for _, f := range beforeMain {
		f()
	}
	if name, ok := strings.CutPrefix(os.Args[0], helperPrefix); ok {
		h := helpers[name]
		if h == nil {
			fmt.Fprintf(os.Stderr, "no helper is called %q\n", name)
			os.Exit(2)
		}
		patience /= 2
		h.run(os.Args[1:])
		os.Exit(0)
	}
	flag.Parse()
	// In a shell's background job SIGINT is ignored, and so it would be in all children; what has a handler is not
	// inherited.
	if signal.Ignored(syscall.SIGINT) {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGINT)
	}
	// The race detector makes every process sleep a second before it exits.
	os.Setenv("GORACE", strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=0"))
	if err := sealDescriptors(); err != nil { // whoever runs the tests may leave us some
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if code == 0 && allTestsRan() {
		for name, h := range helpers {
			if !h.used.Load() {
				fmt.Fprintf(os.Stderr, "helper %q is used by no test\n", name)
				code = 1
			}
		}
	}
	os.Exit(code)
}

// allTestsRan tells whether nothing was left out by a flag.
func allTestsRan() bool {
	for _, name := range []string{"test.run", "test.skip", "test.list"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" {
			return false
		}
	}
	return !testing.Short()
}
