package supervisor

import (
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// imposeAtBirth sets the limits of a child that was started with SysProcAttr.Ptrace by this very thread. It stands before
// the first instruction of its program, and goes on when we have let go of it.
func imposeAtBirth(pid int, l Limits) error {
	var info unix.Siginfo
	err := retryEINTR(func() error {
		return unix.Waitid(unix.P_PID, pid, &info, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
	})
	if err != nil {
		return fmt.Errorf("limits: wait for the program to begin: %w", err)
	}
	if info.Code != cldTrapped && info.Code != cldStopped {
		return nil // killed already: it needs no limit
	}
	if err := l.impose(pid); err != nil {
		return err
	}
	if err := unix.PtraceDetach(pid); err != nil && err != unix.ESRCH {
		return fmt.Errorf("limits: let go of the program: %w", err)
	}
	return nil
}

// What waitid says of a child that has stopped (sigaction(2)); x/sys/unix has no names for it.
const (
	cldTrapped = 4
	cldStopped = 5
)

// impose sets the limits of a process that has one thread: niceness is a thread's.
func (l Limits) impose(pid int) error {
	for _, r := range []struct {
		what     string
		resource int
		n        uint64
	}{
		{"memory", unix.RLIMIT_DATA, l.Memory},
		{"address space", unix.RLIMIT_AS, l.AddressSpace},
		{"open files", unix.RLIMIT_NOFILE, uint64(l.OpenFiles)},
	} {
		if r.n == 0 {
			continue
		}
		if err := unix.Prlimit(pid, r.resource, &unix.Rlimit{Cur: r.n, Max: r.n}, nil); err != nil {
			var ours unix.Rlimit
			unix.Getrlimit(r.resource, &ours)
			return fmt.Errorf("limit of %s: %d, this process may set %d at most: %w", r.what, r.n, ours.Max, err)
		}
	}
	if l.Nice == 0 {
		return nil
	}
	// The system call itself answers 20 minus the niceness, so that no answer is negative.
	now, err := unix.Getpriority(unix.PRIO_PROCESS, pid)
	if err == nil {
		err = unix.Setpriority(unix.PRIO_PROCESS, pid, min(max(20-now+l.Nice, -20), 19))
	}
	if err != nil {
		return fmt.Errorf("niceness %+d: %w", l.Nice, err)
	}
	return nil
}

// heedMemoryLimit tells the garbage collector of a limit that the process was born with, as far as nobody has set GOMEMLIMIT:
// so it collects harder before the limit ends the process. It is told less, because the limit counts more than the heap: above
// all, where C is linked in, 8 MiB for the stack of each thread.
func heedMemoryLimit() {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_DATA, &r) != nil || r.Cur >= math.MaxInt64 || debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return
	}
	limit := int64(r.Cur)
	debug.SetMemoryLimit(max((limit-dataSize())/4*3, limit/4))
}

// dataSize is what of this process counts now: the sixth number of /proc/PID/statm, in pages (proc_pid_statm(5)), stack included.
func dataSize() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	f := strings.Fields(string(b))
	if err != nil || len(f) < 6 {
		return 0
	}
	pages, _ := strconv.ParseInt(f[5], 10, 64)
	return pages * int64(os.Getpagesize())
}
