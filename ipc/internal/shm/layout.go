package shm

import "fmt"

// The layout is that of the bytes in the memfd, so it is a wire format between
// processes of different builds: changing anything here means a new
// formatVersion. All words are in the byte order of the machine, which is
// little-endian on both platforms that are supported.
const (
	magic         = 0x3130304d4853504d // "MPSHM001"
	formatVersion = 2

	offMagic   = 0   // u64, stored last by the creator
	offVersion = 8   // u32
	offKind    = 12  // u32, a Kind
	offID      = 16  // 16 random bytes
	offSize    = 32  // u64, the whole segment
	offFlags   = 40  // u64, as the kind defines them
	offPidns   = 48  // u64, inode of the pid namespace that the slots' pids belong to
	offSlots   = 56  // u32, capacity of the table
	offUsed    = 60  // u32, slots from here on were never taken
	offOrder   = 64  // u64, the last order number drawn
	offWord    = 128 // u64, the state word of a Mutex, in a cache line of its own
	offName    = 192 // NameSize bytes, padded with zeros
	offLines   = 256 // two u64 for each line: the highest order number announced in it, and up to which nobody is left
	offWord2   = 512 // u64, the state word of a second Mutex, for a Queue
	offTable   = 1024

	// NameSize bounds the name of a segment, in bytes.
	NameSize = 64

	// A slot has cache lines of its own, so that two processes never write to one line.
	slotSize  = 128
	slotIdent = 0  // u64, 0: free
	slotOrder = 8  // u64 for each line, 0: not waiting
	slotHeld  = 48 // u64, what the process holds, as the kind defines it
	slotGrave = 56 // u64, not 0: a Queue may have to take back what the process held
	slotWake  = 64 // u32 for each line, the futex that the slot's process sleeps on
	slotWant  = 88 // four u64: what the holder of a lock waits for, see want.go

	// A process may wait in several lines of a segment at a time, for different things.
	lineMutex = 0 // for the mutex in the header
	lineA     = 1 // what for, the kind defines
	lineB     = 2
	lineC     = 3
	lineWord2 = 4 // for the second mutex
	numLines  = 5

	// MaxSlots is what fits in the owner field of the state word.
	MaxSlots = 1<<ownerBits - 1
)

// Kind tells what a segment holds.
type Kind uint32

// The kinds of segments. The numbers are part of the format.
const (
	KindLock      Kind = 1
	KindRLock     Kind = 2
	KindSemaphore Kind = 3
	KindEvent     Kind = 4
	KindCondition Kind = 5
	KindBarrier   Kind = 6
	KindArray     Kind = 7
	KindMemory    Kind = 8
	KindQueue     Kind = 9
)

var kindNames = map[Kind]string{
	KindLock: "lock", KindRLock: "rlock", KindSemaphore: "semaphore", KindEvent: "event",
	KindCondition: "condition", KindBarrier: "barrier", KindArray: "array", KindMemory: "memory", KindQueue: "queue",
}

func (k Kind) String() string {
	if name := kindNames[k]; name != "" {
		return name
	}
	return fmt.Sprintf("segment of kind %d", uint32(k))
}

// changes returns from which bit on the word of a slot counts how often it has changed;
// 64: it does not.
func (k Kind) changes() uint {
	switch k {
	case KindSemaphore:
		return semChange
	case KindBarrier:
		return barrierChange
	case KindCondition:
		return condChange
	}
	return 64
}

// state returns how many bytes of state the kind needs at least. Those of an array or a
// value depend on their types, and are checked by who knows them.
func (k Kind) state() uint64 {
	switch k {
	case KindSemaphore:
		return 8 * semWords
	case KindEvent:
		return eventBytes
	case KindBarrier:
		return barrierBytes
	case KindQueue:
		return queueBytes + MaxItem
	}
	return 0
}
