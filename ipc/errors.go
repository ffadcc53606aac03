package ipc

import (
	"errors"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
)

var (
	// ErrClosed: the object was closed in this process, before or during the call; or it
	// is a queue, and was closed by any process (and for a Get, nothing is left).
	ErrClosed = errors.New("ipc: closed")

	// ErrNotHeld: what should be released is not held: it was released before, or
	// passed on when its segment was closed here.
	ErrNotHeld = errors.New("ipc: not held")

	// ErrDeadlock: the wait for a lock was refused, because it could not end: whoever holds the
	// lock waits, directly or by way of others, for one that the caller holds. It is returned
	// only where somebody watches and decides so (see [Lock.Refuse]). What the caller holds it
	// still holds; when it has released that, it may try again.
	ErrDeadlock = errors.New("ipc: deadlock: the wait was refused")

	// ErrForeign: a handle that arrived is not what its type says, or comes from a
	// program whose format is not known here. The text says what was found.
	ErrForeign = errors.New("ipc: foreign handle")

	// ErrReleased: a bounded semaphore was released more often than acquired.
	ErrReleased = errors.New("ipc: released too often")

	// ErrBarrier: the barrier is broken: a party died, gave up or failed, or somebody
	// broke or reset it. Reset makes it usable again.
	ErrBarrier = errors.New("ipc: barrier is broken")

	// ErrFull: there is no room in the queue now.
	ErrFull = errors.New("ipc: queue is full")

	// ErrEmpty: there is nothing in the queue now.
	ErrEmpty = errors.New("ipc: queue is empty")

	// ErrDone: more items were said to be done than were taken.
	ErrDone = errors.New("ipc: more items done than taken")

	// ErrHandle: a value that holds a lock, a file or another handle was put into a
	// queue, or sent over a one-way pipe. Neither carries descriptors: send it over a
	// duplex Conn.
	ErrHandle = errors.New("ipc: no handles can be carried here")

	// ErrDirection: a one-way Conn was used the wrong way round.
	ErrDirection = errors.New("ipc: wrong direction of a one-way conn")

	// ErrDenied: who dialled, or who listens, is another user, or does not prove what it must; or a
	// manager does not allow what was asked.
	ErrDenied = errors.New("ipc: denied")

	// ErrBroken: a frame could not be written whole, so nothing can follow it. The
	// Conn is of no more use.
	ErrBroken = errors.New("ipc: connection broken")
)

// broken keeps what else err tells, such as the error of an action.
func broken(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return errors.Join(append([]error{ErrBarrier}, joined.Unwrap()[1:]...)...)
	}
	return ErrBarrier
}

// named turns the errors of shm into those of this package.
func named(err error) error {
	if err == nil {
		return nil
	}
	switch {
	case errors.Is(err, shm.ErrClosed):
		return ErrClosed
	case errors.Is(err, shm.ErrShut):
		return ErrClosed
	case errors.Is(err, shm.ErrNotHeld):
		return ErrNotHeld
	case errors.Is(err, shm.ErrDeadlock):
		return ErrDeadlock
	case errors.Is(err, shm.ErrOver):
		return ErrReleased
	case errors.Is(err, shm.ErrDone):
		return ErrDone
	case errors.Is(err, shm.ErrBroken):
		return broken(err)
	}
	return err
}
