package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

var isSubreaper atomic.Bool

// SetSubreaper makes this process the one that inherits the orphans among its descendants, instead of init
// (prctl(2), PR_SET_CHILD_SUBREAPER). Only so can it find and end what double-forked away from it. The
// attribute is not inherited by children. Worker processes, those of entries and the master command call it; in a program that merely imports
// this package it is that program's decision: it will then find processes among its children that it never started. What the process
// of an entry leaves behind is killed, and orphans are reaped when they end; whoever starts processes by other means (os/exec) then
// leaves them in this process's own group.
func SetSubreaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("supervisor: become subreaper: %w", err)
	}
	isSubreaper.Store(true)
	startReaper()
	return nil
}

// startReaper starts the goroutine that reaps what a subreaper inherits.
var startReaper = sync.OnceFunc(func() {
	died := make(chan os.Signal, 1)
	signal.Notify(died, unix.SIGCHLD)
	go reapInherited(died)
})

// reapEvery is how long an orphan that has fallen to this process may be a zombie.
const reapEvery = time.Second

// reapInherited reaps the orphans that have fallen to this process and have ended by themselves. Whoever runs for weeks, as
// process 1 of a container perhaps, would fill the table of processes with them. It lives as long as the process.
//
// What other code has started (os/exec) is not to be reaped by us, and looks the same; it is spared while it is in our own group.
func reapInherited(died <-chan os.Signal) {
	for range died {
		time.Sleep(reapEvery) // most have a waiter, who comes at once; and of many deaths we hear once
		if own := unix.Getpgrp(); isSubreaper.Load() {
			sweep(time.Now().Add(orphanTimeout), func(s procStat) bool { return s.state == 'Z' && s.pgrp != own })
		}
	}
}

// orphanTimeout bounds killOrphans and what a death costs: who sleeps in the kernel longer stays a child, and
// is found by the next call.
const orphanTimeout = 2 * time.Second

// sweeping serializes those who reap unrecorded children: a pid is waited for by one only.
var sweeping sync.Mutex

// killOrphans kills and reaps the children of this process that this package has not started, and what they
// leave behind, until there are none, or for two seconds. known, if not nil, says whom to spare: a program
// that starts children by other means (os/exec) must spare them. It returns how many it reaped.
func killOrphans(known func(pid int) bool) int {
	return sweep(time.Now().Add(orphanTimeout), func(s procStat) bool {
		return known == nil || !known(s.pid)
	})
}

// reapGroup reaps the members of a dead child's group that fell to us as their subreaper; they have been
// sent SIGKILL already. Those that we never inherit are init's.
func reapGroup(pgid int) {
	if !isSubreaper.Load() {
		return
	}
	// One cheap question first: this runs after every death.
	err := retryEINTR(func() error {
		return unix.Waitid(unix.P_PGID, pgid, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	})
	if err == nil {
		sweep(time.Now().Add(orphanTimeout), func(s procStat) bool { return s.pgrp == pgid })
	}
}

// sweep kills and reaps unrecorded children that match, and looks again: a dead child may have left us its own.
func sweep(deadline time.Time, match func(procStat) bool) (reaped int) {
	sweeping.Lock()
	defer sweeping.Unlock()
	for {
		victims := unrecorded(deadline, match)
		if len(victims) == 0 {
			return reaped
		}
		n := 0
		for _, v := range victims {
			v.kill()
		}
		for _, v := range victims {
			if v.reap(deadline) {
				n++
			}
		}
		reaped += n
		if n == 0 {
			if !time.Now().Before(deadline) {
				return reaped
			}
			unix.Poll(nil, 1) // a zombie that is traced: dead, and not ours to reap yet
		}
	}
}

// unrecorded lists the children that were not started by this package. No start and no reaping happens
// while it looks, so that nobody is taken for an orphan who has just been born or just been buried. It finds
// nobody when a start takes longer than the deadline (exec from a file system that hangs).
func unrecorded(deadline time.Time, match func(procStat) bool) []procStat {
	if !lockStarts(time.Until(deadline)) {
		return nil
	}
	defer unlockStarts()
	children.mu.Lock()
	defer children.mu.Unlock()
	var list []procStat
	for _, s := range ownChildren() {
		if _, ok := children.live[s.pid]; !ok && match(s) {
			list = append(list, s)
		}
	}
	return list
}

// killDescendants sends SIGKILL to everybody below this process, again and again, because new ones are born
// and orphans fall to us, until nobody is left; this package starts nobody meanwhile. It is for a
// process about to end: it also reaps children that were started by other means. The process must be a
// subreaper, else who has left the tree is not found. It returns an error when limit has passed: who sleeps in the kernel cannot be waited for.
func killDescendants(limit time.Duration) error {
	deadline := time.Now().Add(limit)
	if lockStarts(limit / 2) { // else a start hangs in exec: kill the others at least
		defer unlockStarts()
	}
	for {
		// "No children" from the kernel is the only proof, because it is atomic: every descendant hangs on a
		// child of ours, and becomes one itself when those above it die. A walk through /proc is not.
		if !hasChildren() {
			return nil
		}
		list := descendants()
		for _, s := range list {
			s.kill()
		}
		reapUnrecorded(list)
		if time.Now().After(deadline) {
			return fmt.Errorf("supervisor: descendants left after %v: %s", limit, describe(list))
		}
		// Until somebody has died, but not long: somebody else may be born. Who is a zombie already is ready
		// at once, so leave those out.
		awaitAny(list, min(time.Until(deadline), 5*time.Millisecond))
	}
}

// reapUnrecorded reaps the dead among our children who have no waiter of their own.
func reapUnrecorded(list []procStat) {
	children.mu.Lock()
	defer children.mu.Unlock()
	for _, s := range list {
		if _, ok := children.live[s.pid]; !ok && s.ppid == os.Getpid() {
			unix.Wait4(s.pid, nil, unix.WNOHANG, nil)
		}
	}
}

func describe(list []procStat) string {
	var b strings.Builder
	for i, s := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d (%s, state %c)", s.pid, s.comm, s.state)
	}
	return b.String()
}

// awaitAny returns when one of the living has died, or after d.
func awaitAny(list []procStat, d time.Duration) {
	var fds []unix.PollFd
	for _, s := range list {
		if s.state == 'Z' || len(fds) == 256 {
			continue
		}
		if fd := s.open(); fd >= 0 {
			defer unix.Close(fd)
			fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		}
	}
	unix.Poll(fds, max(1, int(d/time.Millisecond)))
}

// hasChildren asks the kernel: any child, alive or dead, recorded or not. Nobody is reaped.
func hasChildren() bool {
	err := retryEINTR(func() error {
		return unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT|unix.WALL, nil)
	})
	return err != unix.ECHILD
}

// procStat is what /proc/PID/stat says of a process. pid and start together name it for ever.
type procStat struct {
	pid, ppid, pgrp, session int
	state                    byte
	comm                     string
	start                    uint64 // clock ticks since boot
}

func readStat(pid int) (s procStat, ok bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return s, false
	}
	return parseStat(b)
}

// parseStat reads "pid (comm) state ppid pgrp session …"; comm may hold anything, parentheses too.
func parseStat(b []byte) (s procStat, ok bool) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 1 || end < open {
		return s, false
	}
	f := strings.Fields(string(b[end+1:]))
	if len(f) < 20 {
		return s, false
	}
	s.comm, s.state = string(b[open+1:end]), f[0][0]
	s.pid, _ = strconv.Atoi(string(bytes.TrimSpace(b[:open])))
	s.ppid, _ = strconv.Atoi(f[1])
	s.pgrp, _ = strconv.Atoi(f[2])
	s.session, _ = strconv.Atoi(f[3])
	s.start, _ = strconv.ParseUint(f[19], 10, 64)
	return s, s.pid > 0
}

// open returns a pidfd of exactly this process, or -1.
func (s procStat) open() int {
	fd, err := unix.PidfdOpen(s.pid, 0)
	if err != nil {
		return -1
	}
	// The number may have gone to somebody else before it was opened; it cannot any more.
	if now, ok := readStat(s.pid); !ok || now.start != s.start {
		unix.Close(fd)
		return -1
	}
	return fd
}

// kill sends SIGKILL, by pidfd: a number read from /proc may be anybody's by now.
func (s procStat) kill() {
	if fd := s.open(); fd >= 0 {
		unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		unix.Close(fd)
	}
}

// reap waits for a child of ours until deadline and reaps it.
func (s procStat) reap(deadline time.Time) bool {
	fd := s.open()
	if fd < 0 {
		return false
	}
	defer unix.Close(fd)
	pollIn(fd, max(0, time.Until(deadline)))
	pid, err := unix.Wait4(s.pid, nil, unix.WNOHANG, nil)
	return err == nil && pid == s.pid
}

// ownChildren lists the direct children of this process. It may miss some while others end: the kernel says
// so of /proc/PID/task/TID/children. Who must be sure asks hasChildren.
func ownChildren() []procStat {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil
	}
	var list []procStat
	for _, t := range tasks {
		b, err := os.ReadFile("/proc/self/task/" + t.Name() + "/children")
		if os.IsNotExist(err) && t.Name() == strconv.Itoa(os.Getpid()) {
			return allProcesses()[os.Getpid()] // a kernel without CONFIG_PROC_CHILDREN
		}
		for _, field := range strings.Fields(string(b)) {
			pid, _ := strconv.Atoi(field)
			if s, ok := readStat(pid); ok && s.ppid == os.Getpid() {
				list = append(list, s)
			}
		}
	}
	return list
}

// descendants lists everybody below this process, as far as one walk through /proc can tell.
func descendants() []procStat {
	all := allProcesses()
	list := slices.Clone(all[os.Getpid()])
	for i := 0; i < len(list); i++ {
		list = append(list, all[list[i].pid]...)
	}
	return list
}

// allProcesses reads /proc, by parent.
func allProcesses() map[int][]procStat {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	byParent := map[int][]procStat{}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if s, ok := readStat(pid); ok {
			byParent[s.ppid] = append(byParent[s.ppid], s)
		}
	}
	return byParent
}
