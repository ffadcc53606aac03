package ipc

import (
	"math"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// machineMemory is how many bytes of memory this process may have: those of the machine, or of
// its control group.
func machineMemory() int {
	most := uint64(math.MaxInt)
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		most = min(most, uint64(info.Totalram)*uint64(info.Unit))
	}
	text, err := os.ReadFile("/sys/fs/cgroup/memory.max")
	if n, e := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil && e == nil {
		most = min(most, n)
	}
	return int(most)
}
