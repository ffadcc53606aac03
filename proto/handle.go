package proto

import (
	"fmt"
	"math"
	"sync/atomic"
)

// Extension codes. PROTOCOL.md has the table and what is in each; a value of another code is
// kept as [Ext].
const (
	ExtTime      int8 = -1 // MessagePack's own timestamp: time.Time
	ExtHandle    int8 = 1  // something that lives in descriptors of the frame
	ExtTuple     int8 = 2  // immutable sequence: Tuple
	ExtSet       int8 = 3  // unordered, each value once: Set
	ExtFrozenSet int8 = 4  // immutable set: FrozenSet
	ExtBigInt    int8 = 5  // integer beyond 64 bits: *big.Int
	ExtSlice     int8 = 6  // start, stop, step: Slice
	ExtObject    int8 = 7  // reference to an object of a Manager: Ref
	ExtError     int8 = 8  // a fault as a value: *Fault
	ExtBlob      int8 = 9  // bytes in the private format of one language: Opaque
	ExtComplex   int8 = 10 // complex number: complex128
)

// HandleScoreboard is the kind of the handle in a Welcome: a block of words in
// shared memory, one descriptor, a memfd. Package ipc has the other kinds.
const HandleScoreboard uint8 = 16

// An Ext is an extension value of a code that this package does not open, or of one that it
// opens with content that is malformed. Decoded
// into an interface it keeps its bytes as they came; encoded it becomes the same
// bytes again. Handles (ExtHandle) have no Ext: they are nothing without their
// descriptors.
type Ext struct {
	Code int8
	Data []byte
}

// A Handle says what stands behind descriptors in a value. Kind is the receiver's
// key to what it is; Meta is for that kind alone, in no format known here.
type Handle struct {
	Kind uint8
	Meta []byte
}

// A HandleEncoder is a value that travels as descriptors. fds are fresh duplicates:
// they are the payload's from the return on, also when Marshal fails later; beside
// an error they are not looked at. A nil pointer travels as nil and is not asked.
type HandleEncoder interface {
	EncodeHandle() (h Handle, fds []int, err error)
}

// A HandleDecoder is the zero value of something that arrives as descriptors. It
// owns fds from the call on, also when it returns an error; h.Meta is only valid
// during the call. If it has a method Discard(), or else Close() error, Unmarshal calls
// that when the rest of the value turns out bad, so that nothing is left open. Discard
// is for a handle whose Close is more than letting go.
type HandleDecoder interface {
	DecodeHandle(h Handle, fds []int) error
}

// A RefEncoder is a HandleEncoder that can also travel as a reference, which needs no descriptors: see MarshalRefs, whose to it is
// given.
type RefEncoder interface {
	EncodeRef(to any) (Ref, error)
}

// A RefDecoder is a HandleDecoder that can also arrive as a reference. from is what UnmarshalFrom was given, nil from anybody else. If
// the rest of the value turns out bad, it is let go as a HandleDecoder is.
type RefDecoder interface {
	DecodeRef(r Ref, from any) error
}

// A RefOpener, as the from of UnmarshalFrom, makes something of references that are decoded into an interface, where they are a plain
// Ref otherwise.
type RefOpener interface {
	OpenRef(r Ref) any
}

// EncodeHandle writes h and attaches fds, which become the payload's. It is for
// types with their own EncodeMsgpack; others implement HandleEncoder. The frame's
// limit on descriptors is checked by Marshal at its end.
func EncodeHandle(w *Writer, h Handle, fds ...int) {
	ref := HandleRef{Handle: h, First: len(w.fds), Count: len(fds)}
	w.fds = append(w.fds, fds...)
	if ref.First+ref.Count <= math.MaxUint8 { // beyond, Marshal refuses anyhow
		w.b = ref.append(w.b)
	}
}

// A HandleRef is a Handle as it stands in a value: with the place of its descriptors
// in the frame.
type HandleRef struct {
	Handle
	First, Count int
}

// Pick returns the descriptors of r among those of its frame, or ErrProtocol when
// the frame has fewer. It does not change who owns them.
func (r HandleRef) Pick(fds []int) ([]int, error) {
	if r.First < 0 || r.Count < 0 || r.First > len(fds) || r.Count > len(fds)-r.First {
		return nil, protocolf("descriptors %d to %d of a frame with %d", r.First, r.First+r.Count-1, len(fds))
	}
	return fds[r.First : r.First+r.Count], nil
}

// append appends r as an extension: kind u8, first u8, count u8, meta.
func (r HandleRef) append(b []byte) []byte {
	b = AppendExtHeader(b, ExtHandle, 3+len(r.Meta))
	return append(append(b, r.Kind, byte(r.First), byte(r.Count)), r.Meta...)
}

// parseHandle reads the content of an ExtHandle. Meta aliases b.
func parseHandle(b []byte) (HandleRef, error) {
	if len(b) < 3 {
		return HandleRef{}, protocolf("a handle of %d bytes, at least 3 are needed", len(b))
	}
	r := HandleRef{Handle: Handle{Kind: b[0]}, First: int(b[1]), Count: int(b[2])}
	if len(b) > 3 {
		r.Meta = b[3:len(b):len(b)]
	}
	return r, nil
}

var openers [256]atomic.Pointer[func(h Handle, fds []int) (any, error)]

// RegisterHandle names the function that opens handles of this kind where they are
// decoded into an interface, so that no Go type says what they are. open owns fds,
// also when it fails; h.Meta is only valid during the call. Call it from an init
// function; a second call for a kind panics.
func RegisterHandle(kind uint8, open func(h Handle, fds []int) (any, error)) {
	if !openers[kind].CompareAndSwap(nil, &open) {
		panic(fmt.Sprintf("proto: handle kind %d registered twice", kind))
	}
}

// ParseHandleRef reads r as a handle; Meta aliases r.
func ParseHandleRef(r Raw) (HandleRef, error) {
	b, ok := IsExt(r, ExtHandle)
	if !ok {
		return HandleRef{}, protocolf("expected a handle")
	}
	return parseHandle(b)
}

// AppendHandle appends r.
func AppendHandle(b []byte, r HandleRef) []byte { return r.append(b) }
