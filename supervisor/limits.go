package supervisor

import (
	"errors"
	"fmt"
)

// Limits bound what a process may use. They hold from its first instruction on, and are inherited by what it starts, each process
// counting for itself. A zero field changes nothing: then it has what this process has.
//
// The program begins under ptrace(2), for the moment in which the limits are set. So a set-user-ID program does not get the
// other user's rights, and a system that forbids ptrace gives an error from Start.
type Limits struct {
	// Memory is how many bytes of data it may have: heap, stacks and what else it maps for itself alone (RLIMIT_DATA). What goes
	// beyond is refused by the kernel; most programs end then, a Go program with status 2. In the process of an entry or a worker the
	// garbage collector is told to stay below it, unless GOMEMLIMIT is set. At least 1 MiB. It counts what is mapped, so a Go program
	// does not start with less than 80 MiB, and one with cgo, whose threads have 8 MiB each, needs 150.
	Memory uint64

	// AddressSpace is how many bytes of addresses it may have (RLIMIT_AS): memory that is shared, and that is only reserved,
	// counts too. For commands: a Go program, which reserves much and uses little, does not start under it. At least 1 MiB.
	AddressSpace uint64

	// OpenFiles is how many descriptors it may have (RLIMIT_NOFILE). At least 8.
	OpenFiles int

	// Nice is added to the niceness, which is from -20 (first) to 19 (last).
	Nice int
}

// Least limits with which a program can begin at all.
const (
	leastMemory    = 1 << 20
	leastOpenFiles = 8
)

func (l Limits) check() error {
	return errors.Join(
		checkMemory("memory", l.Memory),
		checkMemory("address space", l.AddressSpace),
		l.checkOpenFiles(),
		l.checkNice(),
	)
}

func checkMemory(what string, n uint64) error {
	if n != 0 && n < leastMemory {
		return fmt.Errorf("limit of %s: %d bytes, at least %d (1 MiB) are needed", what, n, leastMemory)
	}
	return nil
}

func (l Limits) checkOpenFiles() error {
	if l.OpenFiles < 0 || l.OpenFiles != 0 && l.OpenFiles < leastOpenFiles {
		return fmt.Errorf("limit of open files: %d, at least %d are needed", l.OpenFiles, leastOpenFiles)
	}
	return nil
}

func (l Limits) checkNice() error {
	if l.Nice < -39 || l.Nice > 39 {
		return fmt.Errorf("niceness: %+d, the most is 39 up or down", l.Nice)
	}
	return nil
}
