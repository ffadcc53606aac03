package shm

import (
	"errors"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

var errDead = errors.New("shm: process is dead")

// A watch is the pidfd of one process, shared by every segment of this process
// that depends on it: one descriptor and one parked goroutine, no thread.
type watch struct {
	id   ident
	file *os.File
	dead atomic.Bool
	done chan struct{} // closed when the goroutine has ended

	nudges map[*watchSet]func(ident) // who wants to know, and how; guarded by registry.mu
}

// death is the registry of this process.
var death = registry{watched: make(map[ident]*watch)}

type registry struct {
	mu      sync.Mutex
	watched map[ident]*watch // the living only
}

// alive tells whether the process still has a thread that can do anything. A
// zombie is dead. When the kernel lets nobody look (no descriptor is left), the
// process counts as alive: to wait too long is better than to take a lock from
// the living.
func alive(id ident) bool {
	death.mu.Lock()
	w := death.watched[id]
	death.mu.Unlock()
	if w != nil && w.isDead() {
		return false
	}
	// Not by the watch alone: if it was given up just now, it says nothing.
	file, err := openPidfd(id)
	if err != nil {
		return !errors.Is(err, errDead)
	}
	defer file.Close()
	return !poll(file)
}

// isDead asks the kernel, for the goroutine may not have been told yet.
func (w *watch) isDead() bool { return w.dead.Load() || poll(w.file) || w.dead.Load() }

// poll tells whether the pidfd is readable; false if it is closed.
func poll(pidfd *os.File) (yes bool) {
	if conn, err := pidfd.SyscallConn(); err == nil {
		conn.Control(func(fd uintptr) { yes = readable(fd) })
	}
	return yes
}

func readable(fd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 1
}

// watch makes sure that died is called when id dies, until set is removed from
// the watch. It fails with errDead, or with what keeps id from being watched.
func (r *registry) watch(id ident, set *watchSet, died func(ident)) (*watch, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.watched[id]
	if w == nil {
		file, err := openPidfd(id)
		if err != nil {
			return nil, err
		}
		w = &watch{id: id, file: file, done: make(chan struct{}), nudges: make(map[*watchSet]func(ident))}
		r.watched[id] = w
		go r.wait(w)
	}
	w.nudges[set] = died
	return w, nil
}

// unwatch removes set from w; its died is not running and will not run when it
// returns.
func (r *registry) unwatch(w *watch, set *watchSet) {
	r.mu.Lock()
	delete(w.nudges, set)
	last := len(w.nudges) == 0 && r.watched[w.id] == w
	if last {
		delete(r.watched, w.id)
	}
	r.mu.Unlock()
	if last {
		w.file.Close()
		<-w.done
	}
}

// wait parks in the netpoller until the pidfd is readable or closed.
func (r *registry) wait(w *watch) {
	defer close(w.done)
	conn, err := w.file.SyscallConn()
	if err != nil || conn.Read(readable) != nil {
		return
	}
	w.dead.Store(true)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watched[w.id] == w {
		delete(r.watched, w.id)
	}
	w.file.Close()
	for _, died := range w.nudges {
		died(w.id)
	}
}

// openPidfd opens the process id itself, not another one that got its pid.
func openPidfd(id ident) (*os.File, error) {
	fd, err := unix.PidfdOpen(id.pid(), 0)
	if err == unix.ESRCH || err == unix.EINVAL || err == unix.ENOENT {
		// EINVAL, and ENOENT since Linux 6.16: the pid is that of a thread now, so the
		// process is no more.
		return nil, errDead
	}
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	// Read after the open: if the start time is still the right one, so is the pidfd.
	start, err := startTime(id.pid())
	if err != nil && !readable(uintptr(fd)) {
		// It lives, whoever it is; only its start time cannot be read (no descriptor is
		// left, /proc hides it).
		unix.Close(fd)
		return nil, err
	}
	if err != nil || makeIdent(id.pid(), start) != id {
		unix.Close(fd)
		return nil, errDead
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// A watchSet is what one line of a mapping watches: those its sleeper depends on,
// and the last few it depended on, for those who contend for one thing meet again
// and again.
type watchSet struct {
	mu     sync.Mutex
	closed bool
	kept   []*watch // the latest at the end
}

// maxKept bounds the descriptors that one line costs a process, unless its sleeper needs
// or needed more at once. One process costs one descriptor, in however many lines.
const maxKept = 16

// ensure makes sure that died is called when one of ids dies. If one is dead
// already it returns that. An error means that a death will not be told.
func (s *watchSet) ensure(ids []ident, died func(ident)) (dead ident, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, ErrClosed
	}
	for i, id := range ids {
		w, err := s.add(id, died, ids[:i])
		if errors.Is(err, errDead) || err == nil && w.isDead() {
			return id, nil
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// add watches id, and makes room for it by what is not in needed.
func (s *watchSet) add(id ident, died func(ident), needed []ident) (*watch, error) {
	if i := slices.IndexFunc(s.kept, func(w *watch) bool { return w.id == id }); i >= 0 {
		w := s.kept[i]
		s.kept = append(slices.Delete(s.kept, i, i+1), w)
		return w, nil
	}
	s.forget(needed)
	w, err := death.watch(id, s, died)
	if err == nil {
		s.kept = append(s.kept, w)
	}
	return w, err
}

// forget makes room: the dead go first, then the one not looked at for longest.
func (s *watchSet) forget(needed []ident) {
	s.kept = slices.DeleteFunc(s.kept, func(w *watch) bool {
		dead := w.dead.Load()
		if dead {
			death.unwatch(w, s)
		}
		return dead
	})
	for len(s.kept) >= maxKept && !slices.Contains(needed, s.kept[0].id) {
		death.unwatch(s.kept[0], s)
		s.kept = slices.Delete(s.kept, 0, 1)
	}
}

// close ends all watches; no died is running or will run when it returns.
func (s *watchSet) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, w := range s.kept {
		death.unwatch(w, s)
	}
	s.kept = nil
}
