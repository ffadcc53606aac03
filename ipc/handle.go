package ipc

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/proto"
)

// The kinds of handles, as PROTOCOL.md lists them.
const (
	handleLock  = 1
	handleFile  = 2
	handleConn  = 3
	handleBlock = proto.HandleScoreboard

	handleRLock     = 4
	handleSemaphore = 5
	handleEvent     = 6
	handleCondition = 7
	handleBarrier   = 8
	handleValue     = 9
	handleArray     = 10
	handleMemory    = 11
	handleQueue     = 12
)

// opener makes a decoder of handles for values that are decoded into an interface.
func opener[T any, P interface {
	*T
	proto.HandleDecoder
}](h proto.Handle, fds []int) (any, error) {
	v := P(new(T))
	if err := v.DecodeHandle(h, fds); err != nil {
		return nil, err
	}
	return v, nil
}

func init() {
	proto.RegisterHandle(handleLock, opener[Lock])
	proto.RegisterHandle(handleFile, opener[File])
	proto.RegisterHandle(handleConn, opener[Conn])
	proto.RegisterHandle(handleBlock, opener[Block])
	proto.RegisterHandle(handleRLock, opener[RLock])
	proto.RegisterHandle(handleSemaphore, opener[Semaphore])
	proto.RegisterHandle(handleEvent, opener[Event])
	proto.RegisterHandle(handleCondition, opener[Condition])
	proto.RegisterHandle(handleBarrier, opener[Barrier])
	proto.RegisterHandle(handleMemory, opener[SharedMemory])
}

// single checks that a handle is of the given kind and has one descriptor, and
// returns that. Otherwise it closes what there is.
func single(h proto.Handle, fds []int, kind uint8, what string) (int, error) {
	if h.Kind != kind || len(fds) != 1 {
		CloseFDs(fds)
		return -1, fmt.Errorf("%w: expected a %s (kind %d, 1 descriptor), found kind %d with %d",
			ErrForeign, what, kind, h.Kind, len(fds))
	}
	return fds[0], nil
}

// CloseFDs closes descriptors that came with a frame and are not wanted.
func CloseFDs(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// A File is an open file as a value in a message: the receiver gets a descriptor
// of the same open file, position and flags included.
type File struct{ *os.File }

// EncodeHandle implements proto.HandleEncoder.
func (f *File) EncodeHandle() (proto.Handle, []int, error) {
	if f.File == nil {
		return proto.Handle{}, nil, ErrClosed
	}
	rc, err := f.SyscallConn()
	if err != nil {
		return proto.Handle{}, nil, err
	}
	fd, err := dup(rc)
	return proto.Handle{Kind: handleFile, Meta: []byte(f.Name())}, []int{fd}, err
}

// DecodeHandle implements proto.HandleDecoder.
func (f *File) DecodeHandle(h proto.Handle, fds []int) error {
	fd, err := single(h, fds, handleFile, "file")
	if err != nil {
		return err
	}
	f.File = os.NewFile(uintptr(fd), string(h.Meta))
	return nil
}
