package supervisor

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Limits hold from the first instruction on, and for what the process starts.
func TestLimitsOfCommand(t *testing.T) {
	checkLeaks(t)
	for _, test := range []struct {
		name, script, want string
		limits             Limits
	}{
		{"memory", "ulimit -Sd; ulimit -Hd", "65536\n65536\n", Limits{Memory: 64 << 20}},
		{"address space", "ulimit -v", "262144\n", Limits{AddressSpace: 256 << 20}},
		{"open files", "ulimit -Sn; ulimit -Hn", "50\n50\n", Limits{OpenFiles: 50}},
		{"niceness", "nice; sh -c nice", "5\n5\n", Limits{Nice: 5}},
		{"niceness at its end", "nice", "19\n", Limits{Nice: 39}},
		{"all", "ulimit -d; ulimit -v; ulimit -n; nice", "65536\n262144\n50\n3\n", Limits{64 << 20, 256 << 20, 50, 3}},
		{"no setting of others", "ulimit -v; nice", "unlimited\n0\n", Limits{OpenFiles: 50}},
		{"leads a group", "set -- $(cut -d' ' -f1,5 /proc/$$/stat); [ $1 = $2 ] && echo yes", "yes\n", Limits{OpenFiles: 50}},
		{"nobody traces it", "grep TracerPid /proc/$$/status", "TracerPid:\t0\n", Limits{OpenFiles: 50}},
	} {
		var stdout Capture
		s := sh(test.script)
		s.Stdout, s.Limits = Output{Capture: &stdout}, test.limits
		p := begin(t, s)
		if exit := ended(t, p); !exit.Success() || string(stdout.Bytes()) != test.want {
			t.Errorf("%s: %v, %q %q, want %q", test.name, exit, stdout.Bytes(), p.StderrTail(), test.want)
		}
	}
}

// There is no moment in which a program runs without its limit: this one reads it at once.
func TestLimitsHaveNoWindow(t *testing.T) {
	checkLeaks(t)
	for range 100 {
		var stdout Capture
		s := Spec{Path: "cat", Args: []string{"cat", "/proc/self/limits"}, Stdout: Output{Capture: &stdout}, Limits: Limits{OpenFiles: 77}}
		ended(t, begin(t, s))
		if !strings.Contains(strings.Join(strings.Fields(string(stdout.Bytes())), " "), "Max open files 77 77 files") {
			t.Fatalf("it ran without its limit:\n%s", stdout.Bytes())
		}
	}
}

// A process that is killed while its limits are being set has ended as any other.
func TestLimitsOfKilledProcess(t *testing.T) {
	checkLeaks(t)
	for range 20 {
		s := sh("exec sleep 300")
		s.Limits = Limits{OpenFiles: 50}
		p := begin(t, s)
		p.Kill()
		if exit := ended(t, p); exit.Status() != -9 {
			t.Errorf("%v", exit)
		}
	}
}

func TestWrongLimits(t *testing.T) {
	checkLeaks(t)
	for _, test := range []struct {
		limits Limits
		says   string
	}{
		{Limits{Memory: 1000}, "limit of memory: 1000 bytes, at least 1048576 (1 MiB) are needed"},
		{Limits{AddressSpace: 1}, "limit of address space: 1 bytes"},
		{Limits{OpenFiles: 3}, "limit of open files: 3, at least 8 are needed"},
		{Limits{OpenFiles: -1}, "limit of open files: -1"},
		{Limits{Nice: 40}, "niceness: +40"},
		{Limits{Nice: -40, OpenFiles: 1}, "niceness: -40"},
	} {
		s := sh("exit 0")
		s.Limits = test.limits
		if p, err := Start(s); p != nil || err == nil || !strings.HasPrefix(err.Error(), "supervisor: start sh: ") || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%+v: %v, %v", test.limits, p, err)
		}
	}
	if _, err := entryEnd.Start("well", Spec{Limits: Limits{AddressSpace: 1 << 30}}); err == nil || !strings.Contains(err.Error(), "for commands only") {
		t.Errorf("address space of an entry: %v", err)
	}
}

// What the kernel refuses: nobody may have more than this process may.
var moreHelper = helper("more", func([]string) {
	check(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 100, Max: 100}) == nil, "limit")
	onLaunchThread(func() { // a thread has rights of its own: take them from the one that starts
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		check(unix.Capset(&hdr, &none[0]) == nil, "capabilities")
	})
	for _, test := range []struct {
		limits Limits
		says   string
	}{
		{Limits{OpenFiles: 200}, "limit of open files: 200, this process may set 100 at most: operation not permitted"},
		{Limits{Nice: -1}, "niceness -1: permission denied"},
	} {
		s := sh("exit 0")
		s.Limits = test.limits
		p, err := Start(s)
		check(p == nil && err != nil && strings.Contains(err.Error(), test.says), "%+v: %v", test.limits, err)
		check(!hasChildren() && len(ActiveChildren()) == 0, "%+v: a child is left", test.limits)
	}
})

func TestLimitsBeyondOurs(t *testing.T) {
	checkLeaks(t)
	runHelper(t, moreHelper)
}

var entryAllocates = NewEntry("test.entry.allocates", func(_ context.Context, in struct{ Live, Churn int }) error {
	live := make([]byte, in.Live)
	for i := range live {
		live[i] = 1
	}
	for range in.Churn >> 20 {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = live[i]
		}
	}
	runtime.KeepAlive(live)
	return nil
})

// The collector knows of the limit: without that, 250 MiB of live data would let the heap grow to 500. What cannot be had
// is an end that says so.
func TestMemoryLimitOfEntry(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector maps more than any limit for itself")
	}
	checkLeaks(t)
	s := Spec{Limits: Limits{Memory: 480 << 20}, Stderr: Output{Tail: true}}
	p := startEntry(t, entryAllocates, struct{ Live, Churn int }{250 << 20, 1000 << 20}, s)
	if exit := ended(t, p); !exit.Success() {
		t.Errorf("250 of 480 MiB: %v\n%s", exit, quote(p.StderrTail()))
	}
	p = startEntry(t, entryAllocates, struct{ Live, Churn int }{1000 << 20, 0}, s)
	// What fails first, the heap, the collector's own memory or the stack of a thread, is not the same each time.
	exit, said := ended(t, p), lastWord(p.StderrTail())
	if exit.Status() != 2 || !strings.HasPrefix(said, "fatal error: runtime: ") && !fatalSignal(said) {
		t.Errorf("1000 of 480 MiB: %v, %s", exit, said)
	}
}

var entryLimits = NewEntry("test.entry.limits", func(context.Context, struct{}) error {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return err
	}
	var threads []int
	for _, tid := range taskIDs() {
		n, err := unix.Getpriority(unix.PRIO_PROCESS, tid)
		if err != nil || 20-n != 4 {
			return fmt.Errorf("thread %d: niceness %d, %v", tid, 20-n, err)
		}
		threads = append(threads, tid)
	}
	if r.Cur != 40 || r.Max != 40 || len(threads) < 2 {
		return fmt.Errorf("open files %+v, threads %v", r, threads)
	}
	return nil
})

func taskIDs() (tids []int) {
	entries, _ := os.ReadDir("/proc/self/task")
	for _, e := range entries {
		var tid int
		fmt.Sscan(e.Name(), &tid)
		tids = append(tids, tid)
	}
	return tids
}

// Niceness is a thread's, so it must be there before the second thread is.
func TestLimitsOfEntry(t *testing.T) {
	checkLeaks(t)
	p := startEntry(t, entryLimits, struct{}{}, Spec{Limits: Limits{OpenFiles: 40, Nice: 4}, Stderr: Output{Tail: true}})
	if exit := ended(t, p); !exit.Success() {
		t.Errorf("%v %q", exit, p.StderrTail())
	}
}
