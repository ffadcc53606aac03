package ipc

import (
	"context"
	"errors"

	"github.com/seed-185a7250/multiproc/proto"
)

// The errors of what a manager serves, besides those that the objects in shared memory have too: ErrClosed, ErrFull and ErrEmpty
// of a queue, ErrNotHeld, ErrBarrier, ErrDone, ErrReleased, ErrDenied. What the manager itself has said is kept beside them: a
// *proto.Fault, for errors.As.
var (
	// ErrGone: the manager has ended, or the connection to it has, and whatever the call was to do may have been done or not;
	// or the object has ended, because nobody referred to it any more. Then the connection is good.
	ErrGone = errors.New("ipc: gone")

	// ErrKey: a dict has no such key; or a namespace no such name.
	ErrKey = errors.New("ipc: no such key")

	// ErrIndex: a list or an array has no such index, or a list is empty.
	ErrIndex = errors.New("ipc: no such index")

	// ErrValue: a value makes no sense there: it is not in the list, or a length is wrong.
	ErrValue = errors.New("ipc: bad value")

	// ErrType: a value is of a type with which that cannot be done: not to be ordered, added, or used as a key.
	ErrType = errors.New("ipc: bad type")

	// ErrOverflow: a number does not fit the array.
	ErrOverflow = errors.New("ipc: number out of range")

	// ErrChanged: keys were added to a dict, or removed, while somebody went over it.
	ErrChanged = errors.New("ipc: dict has changed")

	// ErrExists: the name is taken.
	ErrExists = errors.New("ipc: name is taken")

	// ErrUnknown: the manager has no object of that name or number, no kind, or the object no operation of that name.
	ErrUnknown = errors.New("ipc: unknown")

	// ErrTooMany: a limit of the connection was reached: of objects, of calls that wait, or of memory.
	ErrTooMany = errors.New("ipc: too many")
)

// faults maps what a manager says to errors by name.
var faults = map[string]error{
	proto.KindKeyError:       ErrKey,
	proto.KindAttributeError: ErrKey,
	proto.KindIndexError:     ErrIndex,
	proto.KindValueError:     ErrValue,
	proto.KindTypeError:      ErrType,
	proto.KindOverflow:       ErrOverflow,
	proto.KindChanged:        ErrChanged,
	proto.KindEmpty:          ErrEmpty,
	proto.KindFull:           ErrFull,
	proto.KindClosed:         ErrClosed,
	proto.KindNotLocked:      ErrNotHeld,
	proto.KindNotOwner:       ErrNotHeld,
	proto.KindBrokenBarrier:  ErrBarrier,
	proto.KindTimeout:        context.DeadlineExceeded,
	proto.KindCancelled:      context.Canceled,
	proto.KindGone:           ErrGone,
	proto.KindUnknownObject:  ErrUnknown,
	proto.KindUnknownKind:    ErrUnknown,
	proto.KindUnknownMethod:  ErrUnknown,
	proto.KindExists:         ErrExists,
	proto.KindTooMany:        ErrTooMany,
	proto.KindTooLarge:       proto.ErrTooLarge,
	proto.KindDenied:         ErrDenied,
	proto.KindVersion:        proto.ErrVersion,
}

// A managedError is what a manager has answered, with the name that it has here.
type managedError struct {
	name  error // nil for a kind without one
	fault *proto.Fault
}

func (e *managedError) Error() string {
	if e.name == nil {
		return "ipc: " + e.fault.Kind + ": " + e.fault.Error()
	}
	return e.name.Error() + ": " + e.fault.Error()
}

func (e *managedError) Unwrap() []error {
	if e.name == nil {
		return []error{e.fault}
	}
	return []error{e.name, e.fault}
}

func faultError(f *proto.Fault) error { return &managedError{faults[f.Kind], f} }

// isFault tells whether err is the manager's answer of this kind.
func isFault(err error, kind string) bool {
	f, ok := errors.AsType[*proto.Fault](err)
	return ok && f.Kind == kind
}
