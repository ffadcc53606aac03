package shm

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// An ident names one process for all time: a pid alone is used again. The upper
// 22 bits are the pid (the kernel's limit is 2²²), the lower 42 the start time in
// clock ticks since boot. In one word, so that a slot is taken by a single
// compare-and-swap.
type ident uint64

const startBits = 42

func makeIdent(pid int, start uint64) ident {
	return ident(uint64(pid)<<startBits | start&(1<<startBits-1))
}

func (id ident) pid() int { return int(id >> startBits) }

// self is the identity of this process, and the inode of its pid namespace.
var self = sync.OnceValues(func() (identity, error) {
	pid := os.Getpid()
	start, err := startTime(pid)
	if err != nil {
		return identity{}, fmt.Errorf("shm: read own start time: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &st); err != nil {
		return identity{}, fmt.Errorf("shm: read own pid namespace: %w", err)
	}
	return identity{makeIdent(pid, start), st.Ino}, nil
})

type identity struct {
	ident ident
	pidns uint64
}

// startTime reads field 22 of /proc/PID/stat. The second field is the command
// name in parentheses, which may itself hold blanks and parentheses.
func startTime(pid int) (uint64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	end := bytes.LastIndexByte(b, ')')
	fields := bytes.Fields(b[end+1:])
	if end < 0 || len(fields) < 20 {
		return 0, fmt.Errorf("shm: /proc/%d/stat has no start time: %q", pid, b)
	}
	return strconv.ParseUint(string(fields[19]), 10, 64)
}
