package shm

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"
	"weak"

	"golang.org/x/sys/unix"
)

// Errors of segments.
var (
	// ErrClosed: the segment was closed in this process.
	ErrClosed = errors.New("shm: closed")
	// ErrFormat: a descriptor is not a segment of a format known here. It comes
	// wrapped in the particulars.
	ErrFormat = errors.New("shm: not a segment")
	// ErrFull: as many processes use the segment as it has slots.
	ErrFull = errors.New("shm: too many processes")
	// ErrNamespace: the segment belongs to another pid namespace, where the pids in
	// its table mean other processes.
	ErrNamespace = errors.New("shm: made in another pid namespace")
)

// FlagHandoff in Config.Flags of a lock: what it holds belongs to no process.
const FlagHandoff = 1

// A Config says what segment to create.
type Config struct {
	Kind  Kind
	Name  string // for people; cut at NameSize bytes
	Slots int    // how many processes may use it at a time, MaxSlots at the most
	Bytes int    // of state behind the table, all 0
	Flags uint64 // as the kind defines them
}

// A Segment is a mapped memfd. A process maps each segment once, however often
// its descriptor arrives. All methods may be called by any goroutine.
type Segment struct {
	m     *mapping
	obj   any    // what Open's caller built on it
	mutex *Mutex // the one in the header, if there is one
}

// A mapping is what has to be cleaned up after a Segment; it must not refer to it.
type mapping struct {
	mem       []byte
	kind      Kind
	slots     int // capacity of the table, as checked when it was mapped
	closed    atomic.Bool
	own       atomic.Uint32 // number of the own slot; 0: none yet, or closed
	attach    sync.Mutex    // held while the own slot is taken, or own changes
	taken     int           // number of the own slot, also when closed
	as        ident         // under which it was taken
	inherited atomic.Bool   // the slot was that of a dead process, with what it had taken; see Queue
	id        [16]byte

	fd descriptor

	watches [numLines]watchSet
	asked   watchSet // see dead
}

// mapped holds every segment of the process that is still in use.
var mapped struct {
	sync.Mutex
	byID map[[16]byte]weak.Pointer[Segment]
}

// Create makes a segment and maps it. build is called once, to make the object
// that stands on it.
func Create(c Config, build func(*Segment) any) (*Segment, error) {
	me, err := self()
	if err != nil {
		return nil, err
	}
	fd, mem, err := allocate(c.Kind.String(), offTable+c.Slots*slotSize+c.Bytes)
	if err != nil {
		return nil, err
	}
	m := &mapping{mem: mem, kind: c.Kind, fd: descriptor{fd: fd}}
	rand.Read(m.id[:])
	copy(mem[offID:], m.id[:])
	copy(mem[offName:offName+NameSize], c.Name)
	m.u32(offVersion).Store(formatVersion)
	m.u32(offKind).Store(uint32(c.Kind))
	m.u64(offSize).Store(uint64(len(mem)))
	m.u64(offFlags).Store(c.Flags)
	m.u64(offPidns).Store(me.pidns)
	m.slots = c.Slots
	m.u32(offSlots).Store(uint32(c.Slots))
	m.u64(offMagic).Store(magic)
	mapped.Lock()
	defer mapped.Unlock()
	return m.adopt(build), nil
}

// Open maps the segment behind fd, which it owns from here on, and checks that
// it is of the given kind. A segment that the process has mapped already comes
// back as it is, and fd is closed.
func Open(fd int, kind Kind, build func(*Segment) any) (*Segment, error) {
	m, err := open(fd, kind)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	mapped.Lock()
	defer mapped.Unlock()
	if s := mapped.byID[m.id].Value(); s != nil && !s.m.closed.Load() {
		unix.Munmap(m.mem)
		unix.Close(fd)
		return s, nil
	}
	return m.adopt(build), nil
}

func open(fd int, kind Kind) (*mapping, error) {
	me, err := self()
	if err != nil {
		return nil, err
	}
	mem, err := mapSealed(fd, offTable)
	if err != nil {
		return nil, err
	}
	m := &mapping{mem: mem, kind: kind, fd: descriptor{fd: fd}}
	copy(m.id[:], mem[offID:])
	if err := m.check(kind, me); err != nil {
		unix.Munmap(mem)
		return nil, err
	}
	return m, nil
}

// check believes nothing that a foreign process may have written: every number
// that is later used to compute an address is compared with the size.
func (m *mapping) check(kind Kind, me identity) error {
	size := uint64(len(m.mem))
	slots := m.u32(offSlots).Load()
	m.slots = int(slots)
	switch {
	case m.u64(offMagic).Load() != magic:
		return fmt.Errorf("%w: no magic number", ErrFormat)
	case m.u32(offVersion).Load() != formatVersion:
		return fmt.Errorf("%w: format version %d, this program knows %d",
			ErrFormat, m.u32(offVersion).Load(), formatVersion)
	case m.u64(offSize).Load() != size:
		return fmt.Errorf("%w: header says %d bytes, descriptor has %d", ErrFormat, m.u64(offSize).Load(), size)
	case slots > MaxSlots || offTable+uint64(slots)*slotSize > size:
		return fmt.Errorf("%w: table of %d slots in %d bytes", ErrFormat, slots, size)
	case Kind(m.u32(offKind).Load()) != kind:
		return fmt.Errorf("%w: a %s, not a %s", ErrFormat, Kind(m.u32(offKind).Load()), kind)
	case offTable+uint64(slots)*slotSize+kind.state() > size:
		return fmt.Errorf("%w: a %s of %d bytes, which is too small", ErrFormat, kind, size)
	case m.u64(offPidns).Load() != me.pidns:
		return ErrNamespace
	}
	return nil
}

// adopt makes the Segment of m and enters it; mapped is locked.
func (m *mapping) adopt(build func(*Segment) any) *Segment {
	s := &Segment{m: m}
	s.obj = build(s)
	if mapped.byID == nil {
		mapped.byID = make(map[[16]byte]weak.Pointer[Segment])
	}
	mapped.byID[m.id] = weak.Make(s)
	runtime.AddCleanup(s, (*mapping).unmap, m)
	return s
}

// Object returns what build made for this segment.
func (s *Segment) Object() any { return s.obj }

// Name returns the name given at creation.
func (s *Segment) Name() string {
	name := string(s.m.mem[offName : offName+NameSize])
	runtime.KeepAlive(s)
	return strings.TrimRight(name, "\x00")
}

// ID returns the random id that names the segment in every process.
func (s *Segment) ID() [16]byte { return s.m.id }

// Key is half of the ID: enough to tell apart the locks that one looks at together.
func (s *Segment) Key() uint64 { return binary.LittleEndian.Uint64(s.m.id[:]) }

// Flags returns the flags given at creation.
func (s *Segment) Flags() uint64 {
	defer runtime.KeepAlive(s)
	return s.m.u64(offFlags).Load()
}

// State returns the bytes behind the table, as many as were asked for and up to the
// end of the page. They are good as long as s is reachable.
func (s *Segment) State() []byte { return s.m.mem[offTable+s.m.slots*slotSize:] }

// Word returns the i-th 64-bit word of the state, likewise.
func (s *Segment) Word(i int) *atomic.Uint64 {
	return s.m.u64(offTable + s.m.slots*slotSize + 8*i)
}

// Dup returns a new descriptor of the segment, to be sent to another process.
func (s *Segment) Dup() (int, error) {
	defer runtime.KeepAlive(s)
	return s.m.fd.dup()
}

// Close gives up what this process holds, the watches and the descriptor, and
// wakes its own waiters. What it held counts as the holding of a dead process.
// Closing twice is fine.
func (s *Segment) Close() { s.m.close() }

// Closed tells whether Close was called.
func (s *Segment) Closed() bool { return s.m.closed.Load() }

func (m *mapping) close() {
	if m.closed.Swap(true) {
		return
	}
	mapped.Lock()
	if s := mapped.byID[m.id].Value(); s == nil || s.m == m {
		delete(mapped.byID, m.id)
	}
	mapped.Unlock()
	m.leave()
	for i := range m.watches {
		m.watches[i].close()
	}
	m.asked.close()
	m.fd.close()
}

// unmap runs when no goroutine can reach the Segment.
func (m *mapping) unmap() {
	m.close()
	m.detach()
	unix.Munmap(m.mem)
}

func (m *mapping) u32(off int) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&m.mem[off]))
}

func (m *mapping) u64(off int) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&m.mem[off]))
}
