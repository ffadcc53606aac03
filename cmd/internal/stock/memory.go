package stock

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/seed-185a7250/multiproc/ipc"
)

// WriteArgs are the arguments of the task memory.write.
type WriteArgs struct {
	Memory any
	At     int // where to begin, in bytes
	Text   any // a string, or bytes
}

// ReadArgs are the arguments of the task memory.read.
type ReadArgs struct {
	Memory any
	At     int
	Bytes  int // how many, mostRead at the most; 0: up to the end
}

// mostRead is what a result can hold beside its other fields.
const mostRead = 64<<20 - 4<<10

// A MemoryResult is what was written or read.
type MemoryResult struct {
	Text  any `msgpack:",omitempty"` // string or []byte, of memory.read
	Bytes int
	PID   int `msgpack:"pid"`
}

// part returns a part of shared memory. m must stay reachable while it is used.
func part(task string, v any, at, n int) (m *ipc.SharedMemory, b []byte, err error) {
	if m, err = need[*ipc.SharedMemory](task, "memory", v); err != nil {
		return nil, nil, err
	}
	b = m.Bytes()
	if at < 0 || n < 0 || at > len(b) || n > len(b)-at {
		return nil, nil, badArgs("%s: found %d bytes at %d; expected a part of the %d bytes that there are", task, n, at, len(b))
	}
	return m, b[at : at+n], nil
}

func memoryWrite(_ context.Context, c call, in WriteArgs, out io.Writer) (MemoryResult, error) {
	var text []byte
	switch t := in.Text.(type) {
	case string:
		text = []byte(t)
	case []byte:
		text = t
	default:
		return MemoryResult{}, badArgs("memory.write: text: found %s; expected a string", kindOf(t))
	}
	m, b, err := part("memory.write", in.Memory, in.At, len(text))
	if err != nil {
		return MemoryResult{}, err
	}
	copy(b, text)
	m.Close()
	r := MemoryResult{Bytes: len(text), PID: os.Getpid()}
	fmt.Fprintln(out, c.line(r.PID, "wrote %d bytes at %d", r.Bytes, in.At))
	return r, nil
}

func memoryRead(_ context.Context, c call, in ReadArgs, out io.Writer) (MemoryResult, error) {
	n := in.Bytes
	if n == 0 {
		if m, ok := in.Memory.(*ipc.SharedMemory); ok {
			n = max(0, len(m.Bytes())-in.At)
		}
	}
	m, b, err := part("memory.read", in.Memory, in.At, n)
	if err != nil {
		return MemoryResult{}, err
	}
	if n > mostRead {
		return MemoryResult{}, badArgs("memory.read: found %d bytes; expected at most %d, which is what a result can hold", n, mostRead)
	}
	r := MemoryResult{Text: textOrBytes(append([]byte(nil), b...)), Bytes: n, PID: os.Getpid()}
	m.Close()
	fmt.Fprintln(out, c.line(r.PID, "read %d bytes at %d", r.Bytes, in.At))
	return r, nil
}
