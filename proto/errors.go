package proto

import (
	"errors"
	"fmt"
)

// The errors of this package. Every error it returns wraps one of them, so a
// caller decides with errors.Is and shows the text to people.
var (
	// ErrTooLarge is returned when a limit of [Limits] would be passed: bytes of a
	// frame, descriptors of a frame, levels of nesting, or elements. The text says
	// which, how much was asked, and what is allowed. On the sending side (Marshal)
	// nothing was sent, and the connection stays good. On the receiving side the
	// frame was not read: the connection must be closed.
	ErrTooLarge = errors.New("proto: too large")

	// ErrProtocol is returned for bytes that are not what PROTOCOL.md says: not
	// MessagePack, cut short, with something left over, or of another shape. The
	// peer is broken or is not a peer: close the connection.
	ErrProtocol = errors.New("proto: protocol violation")

	// ErrVersion is returned by [Agree] when two peers have no version in common. The
	// text names both ranges. Start the same release on both sides.
	ErrVersion = errors.New("proto: no common version")

	// ErrMismatch is returned by [Unmarshal] when a value is good MessagePack, but is
	// not what the Go type asks for. It is always a [*MismatchError]. Whoever wrote
	// the value has to change it; the connection stays good.
	ErrMismatch = errors.New("proto: value does not fit")

	// ErrUnsupported is returned for a Go value that has no form on the wire (a
	// channel, a function), or for a destination that nothing can be stored in. It
	// is a mistake in the program.
	ErrUnsupported = errors.New("proto: unsupported type")

	// ErrKey is returned by [AppendKey] for a value that cannot be a key: an array, a map,
	// a set, a slice, an error, a handle, or a tuple with one of these in it.
	ErrKey = errors.New("proto: not a key")

	// ErrOrder is returned by [Compare] for two values of which neither comes first: a str
	// and an integer, two maps.
	ErrOrder = errors.New("proto: no order")

	// ErrOperands is returned by [Add] for two values that cannot be added.
	ErrOperands = errors.New("proto: cannot be added")
)

// A MismatchError tells where in a value, and how, it differs from the Go type it
// was to be stored in. It wraps [ErrMismatch].
type MismatchError struct {
	// Path leads to the place: `stock`, `items[3].name`, `env["PATH"]`; empty for the
	// value itself.
	Path string
	// Text is the complaint without the path: `expected an integer, found "ten"`.
	Text string
}

func (e *MismatchError) Error() string {
	if e.Path == "" {
		return "proto: " + e.Text
	}
	return "proto: " + e.Path + ": " + e.Text
}

func (e *MismatchError) Unwrap() error { return ErrMismatch }

// An unsupportedError is an ErrUnsupported that knows where in a value it is.
type unsupportedError struct{ path, text string }

func (e *unsupportedError) Error() string {
	if e.path == "" {
		return ErrUnsupported.Error() + ": " + e.text
	}
	return ErrUnsupported.Error() + ": " + e.path + ": " + e.text
}

func (e *unsupportedError) Unwrap() error { return ErrUnsupported }

// at puts the way to a part before the path of an error on its way up; errors
// without a path pass unchanged. So nothing is paid for paths while all is well.
func at(err error, step string) error {
	switch e := err.(type) {
	case *MismatchError:
		e.Path = join(step, e.Path)
	case *unsupportedError:
		e.path = join(step, e.path)
	}
	return err
}

func join(step, path string) string {
	if path != "" && path[0] != '[' {
		step += "."
	}
	return step + path
}

func protocolf(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrProtocol}, args...)...)
}

func tooLarge(what string, got, limit uint64, unit string) error {
	return fmt.Errorf("%w: %s: %d > %d %s", ErrTooLarge, what, got, limit, unit)
}
