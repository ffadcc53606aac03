package shm

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// A memfd whose size cannot be changed any more: else a peer could shrink it, and
// every access would be a SIGBUS.
const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

// allocate makes a sealed memfd of whole pages and maps it.
func allocate(name string, size int) (fd int, mem []byte, err error) {
	page := unix.Getpagesize()
	size = (size + page - 1) / page * page
	fd, err = unix.MemfdCreate("multiproc-"+name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, nil, fmt.Errorf("shm: memfd_create: %w", err)
	}
	if err = unix.Ftruncate(fd, int64(size)); err != nil {
		err = fmt.Errorf("shm: set size to %d bytes: %w", size, err)
	} else if _, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		err = fmt.Errorf("shm: seal: %w", err)
	} else {
		mem, err = mapSealed(fd, 0)
	}
	if err != nil {
		unix.Close(fd)
		return -1, nil, err
	}
	return fd, mem, nil
}

// mapSealed maps the whole of a memfd that allocate made, here or in another
// process, and that has at least so many bytes.
func mapSealed(fd, least int) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if got, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0); err != nil || got&seals != seals {
		return nil, fmt.Errorf("%w: no memfd with a fixed size", ErrFormat)
	}
	if st.Size < int64(max(least, 1)) || st.Size > 1<<40 {
		return nil, fmt.Errorf("%w: size of %d bytes", ErrFormat, st.Size)
	}
	mem, err := unix.Mmap(fd, 0, int(st.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("shm: map %d bytes: %w", st.Size, err)
	}
	return mem, nil
}

// A descriptor that may be duplicated while another goroutine closes it.
type descriptor struct {
	mu sync.Mutex
	fd int // −1 when closed
}

func (d *descriptor) dup() (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd < 0 {
		return -1, ErrClosed
	}
	fd, err := unix.FcntlInt(uintptr(d.fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return -1, fmt.Errorf("shm: duplicate descriptor: %w", err)
	}
	return fd, nil
}

func (d *descriptor) open() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fd >= 0
}

// punch gives the memory of whole pages back to the system; they read as 0 then.
func (d *descriptor) punch(from, bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd >= 0 {
		unix.Fallocate(d.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, from, bytes)
	}
}

func (d *descriptor) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd >= 0 {
		unix.Close(d.fd)
		d.fd = -1
	}
}
