package proto

import (
	"errors"
	"io"
	"slices"
)

// A Payload is one encoded MessagePack value and the file descriptors that the
// handles in it name by index. Whoever holds a Payload owns its descriptors: to
// send it, to decode it or to close them is that holder's job. This package never
// makes a system call, so it closes none.
type Payload struct {
	Bytes []byte
	FDs   []int
}

// A Writer collects one value and its descriptors. It is what Marshal encodes to;
// a type with its own EncodeMsgpack reaches the descriptors of its frame with
// enc.Writer().(*proto.Writer). It is for one goroutine.
type Writer struct {
	b   []byte
	fds []int
}

// Write appends p. It never fails.
func (w *Writer) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}

// WriteByte appends c. It never fails.
func (w *Writer) WriteByte(c byte) error {
	w.b = append(w.b, c)
	return nil
}

// Attach makes fd the payload's and returns the index by which the value names it.
// More than the limit can be attached; Marshal then fails and hands them all back.
func (w *Writer) Attach(fd int) (index int) {
	w.fds = append(w.fds, fd)
	return len(w.fds) - 1
}

// Payload returns what was written. The Writer must not be used afterwards.
func (w *Writer) Payload() Payload { return Payload{Bytes: w.b, FDs: w.fds} }

// A Reader holds an encoded value and the descriptors of its payload. It is what
// Unmarshal decodes from; a type with its own DecodeMsgpack reaches the descriptors
// with dec.Buffered().(*proto.Reader). It is for one goroutine.
type Reader struct {
	b   []byte
	i   int
	fds *descriptors
}

// descriptors is shared by all Readers on parts of the same payload.
type descriptors struct {
	fds   []int
	taken []bool
}

// NewReader returns a Reader of p. It does not copy: p is the Reader's until the
// descriptors are taken or [Reader.Left] gives back the rest.
func NewReader(p Payload) *Reader {
	return &Reader{b: p.Bytes, fds: &descriptors{fds: p.FDs}}
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if r.i == len(r.b) && len(p) > 0 {
		return 0, io.EOF
	}
	n := copy(p, r.b[r.i:])
	r.i += n
	return n, nil
}

// ReadByte implements io.ByteReader.
func (r *Reader) ReadByte() (byte, error) {
	if r.i == len(r.b) {
		return 0, io.EOF
	}
	r.i++
	return r.b[r.i-1], nil
}

// UnreadByte implements io.ByteScanner.
func (r *Reader) UnreadByte() error {
	if r.i == 0 {
		return errors.New("proto: UnreadByte at the start")
	}
	r.i--
	return nil
}

// Take hands over the descriptor with this index. From then on it is the caller's
// to close. An index that is not there, or that was taken before, is ErrProtocol.
func (r *Reader) Take(index int) (fd int, err error) { return r.fds.take(index) }

// Left returns the descriptors that nobody took; they are the caller's to close.
func (r *Reader) Left() []int { return r.fds.left() }

func (d *descriptors) take(index int) (int, error) {
	if index < 0 || index >= len(d.fds) {
		return -1, protocolf("descriptor %d of a frame with %d", index, len(d.fds))
	}
	if d.taken == nil {
		d.taken = make([]bool, len(d.fds))
	}
	if d.taken[index] {
		return -1, protocolf("descriptor %d is named twice", index)
	}
	d.taken[index] = true
	return d.fds[index], nil
}

// takeAll takes count descriptors from first, all or none.
func (d *descriptors) takeAll(first, count int) ([]int, error) {
	if first+count > len(d.fds) {
		return nil, protocolf("descriptors %d to %d of a frame with %d", first, first+count-1, len(d.fds))
	}
	if d.taken != nil && slices.Contains(d.taken[first:first+count], true) {
		return nil, protocolf("descriptors %d to %d are named twice", first, first+count-1)
	}
	fds := make([]int, count)
	for i := range fds {
		fds[i], _ = d.take(first + i)
	}
	return fds, nil
}

func (d *descriptors) left() []int {
	if d.taken == nil {
		return d.fds
	}
	var left []int
	for i, fd := range d.fds {
		if !d.taken[i] {
			left = append(left, fd)
		}
	}
	return left
}
