package supervisor

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func cmdline() string {
	b, _ := os.ReadFile("/proc/self/cmdline")
	return strings.ReplaceAll(strings.TrimRight(string(b), "\x00"), "\x00", "|")
}

func comm() string {
	b, _ := os.ReadFile("/proc/self/comm")
	return strings.TrimSuffix(string(b), "\n")
}

var titleHelper = helper("title", func(args []string) {
	want := slices.Clone(os.Args)
	for i := range want {
		want[i] = strings.Clone(want[i])
	}
	environ, _ := os.ReadFile("/proc/self/environ")
	room := len(strings.Join(want, " "))

	check(setTitle("worker-3 of tickets: idle") == nil, "setTitle")
	check(cmdline() == "worker-3 of tickets: idle", "cmdline %q", cmdline())
	check(comm() == "worker-3 of", "comm %q", comm())
	check(slices.Equal(os.Args, want), "os.Args %q, were %q", os.Args, want)
	check(flag.CommandLine.Name() == want[0], "flag name %q", flag.CommandLine.Name())

	check(setTitle("x") == nil, "shorter")
	check(cmdline() == "x" && comm() == "x", "shorter: %q %q", cmdline(), comm())

	long := strings.Repeat("é", room)
	check(setTitle(long) == nil, "longer")
	check(strings.HasPrefix(long, cmdline()) && len(cmdline()) >= room-1, "longer: %d bytes of %d", len(cmdline()), room)
	check(comm() == "ééééééé", "longer: comm %q", comm())

	after, _ := os.ReadFile("/proc/self/environ")
	check(string(after) == string(environ), "the environment has changed")
	check(os.Getenv("TITLE_TEST") == "here", "environment variable %q", os.Getenv("TITLE_TEST"))
	check(slices.Equal(os.Args, want), "os.Args %q, were %q", os.Args, want)
})

func TestTitle(t *testing.T) {
	checkLeaks(t)
	t.Setenv("TITLE_TEST", "here")
	runHelper(t, titleHelper, "some", "", "arguments", "to make a little room")
}

// Arguments that the program has replaced are not overwritten.
var ownArgsHelper = helper("own-args", func([]string) {
	os.Args = []string{"constant"}
	before := cmdline()
	check(setTitle("title") == nil, "setTitle")
	check(cmdline() == before && os.Args[0] == "constant", "%q %q", cmdline(), os.Args)
	check(comm() == "title", "comm %q", comm())
	os.Args = nil
	check(setTitle("title") == nil, "setTitle without arguments")
})

func TestTitleOfChangedArgs(t *testing.T) {
	checkLeaks(t)
	runHelper(t, ownArgsHelper)
}

// Seen from outside, as `ps` does.
var titledHelper = helper("titled", func([]string) {
	check(setTitle("worker-1 of demo") == nil, "setTitle")
	fmt.Println("ready")
	select {}
})

func TestTitleFromOutside(t *testing.T) {
	checkLeaks(t)
	line, lines := lineChan()
	s := titledHelper.spec("some room for the title")
	s.Stdout = Output{Lines: line}
	p := begin(t, s)
	receive(t, lines, "ready")
	dir := filepath.Join("/proc", fmt.Sprint(p.PID()))
	args, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if got := strings.TrimRight(string(args), "\x00"); got != "worker-1 of demo" {
		t.Errorf("cmdline %q, %v", got, err)
	}
	if s := mustStat(t, p.PID()); s.comm != "worker-1 of" {
		t.Errorf("comm %q", s.comm)
	}
}
