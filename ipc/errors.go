package ipc

import (
	"errors"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
)

var (
	// ErrClosed: the object was closed in this process, before or during the call.
	ErrClosed = errors.New("ipc: closed")

	// ErrNotHeld: what should be released is not held: it was released before, or
	// passed on when its segment was closed here.
	ErrNotHeld = errors.New("ipc: not held")

	// ErrForeign: a handle that arrived is not what its type says, or comes from a
	// program whose format is not known here. The text says what was found.
	ErrForeign = errors.New("ipc: foreign handle")

	// ErrBroken: a frame could not be written whole, so nothing can follow it. The
	// Conn is of no more use.
	ErrBroken = errors.New("ipc: connection broken")
)

// named turns the errors of shm into those of this package.
func named(err error) error {
	switch {
	case errors.Is(err, shm.ErrClosed):
		return ErrClosed
	case errors.Is(err, shm.ErrNotHeld):
		return ErrNotHeld
	}
	return err
}
