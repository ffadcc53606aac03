package proto

import (
	"fmt"
	"unicode/utf8"
)

// Kinds of faults. They are part of the wire: what a peer does not know it treats
// like KindError.
const (
	KindError         = "error"          // the task returned an error
	KindPanic         = "panic"          // the task panicked; Stack has the trace. The worker exits after this answer
	KindGoexit        = "goexit"         // the task ended its goroutine (runtime.Goexit) without an answer
	KindExitStatus    = "exit_status"    // a command that the task ran ended with a status other than 0
	KindCancelled     = "cancelled"      // the task ended because it was cancelled
	KindTimeout       = "timeout"        // the task ended because its time was over
	KindUnknownTask   = "unknown_task"   // the worker has no task of that name; nothing ran
	KindUnknownMethod = "unknown_method" // the peer has no method of that name; nothing ran
	KindArguments     = "arguments"      // the arguments do not fit the task; nothing ran
	KindResult        = "result"         // the task succeeded, but its result cannot be sent
	KindTooLarge      = "too_large"      // a limit was passed; nothing ran, or the result was dropped
	KindBusy          = "busy"           // the worker has a task already; nothing ran
	KindStopping      = "stopping"       // the worker was told to stop; nothing ran
	KindVersion       = "version"        // no common version; the connection is closed after this answer
	KindInternal      = "internal"       // the peer itself failed
)

// What a fault may carry at most, so that it always fits beside its envelope.
// AppendFault cuts the middle out of what is longer.
const (
	MaxFaultText  = 16 << 10 // bytes
	MaxFaultStack = 32 << 10 // bytes
)

// A Fault is an error that travels. It is what a peer answers instead of a result;
// here it is an error whose text is that of the error over there, and which keeps
// the stack of where it happened.
type Fault struct {
	// Kind is one of the Kind constants, or a name of the caller's own.
	Kind string
	// Text is the message of the error, without newline at the end.
	Text string
	// Stack is where it happened on the far side, in that side's own format; empty when
	// that is not known.
	Stack string
	// Value has facts for programs, one encoded value; nil for none. Its meaning is the
	// kind's.
	Value Raw
}

// Error returns the text of the error on the far side, or the kind if it has none.
func (f *Fault) Error() string {
	if f.Text == "" {
		return f.Kind
	}
	return f.Text
}

// AppendFault appends f as it stands in a response: [kind, text, {stack, value}].
// f is not nil. Value is appended unchecked.
func AppendFault(b []byte, f *Fault) []byte {
	b = AppendArrayHeader(b, 3)
	b = AppendString(b, f.Kind)
	b = AppendString(b, clip(f.Text, MaxFaultText))
	n := 0
	if f.Stack != "" {
		n++
	}
	if len(f.Value) > 0 {
		n++
	}
	b = AppendMapHeader(b, n)
	if f.Stack != "" {
		b = AppendString(b, "stack")
		b = AppendString(b, clip(f.Stack, MaxFaultStack))
	}
	if len(f.Value) > 0 {
		b = AppendString(b, "value")
		b = append(b, f.Value...)
	}
	return b
}

// ParseFault reads what AppendFault wrote. Value aliases b.
func ParseFault(b Raw) (*Fault, error) {
	c := cursor{b: b}
	f, err := c.fault()
	if err != nil {
		return nil, err
	}
	return f, c.end("the fault")
}

func (c *cursor) fault() (*Fault, error) {
	if err := c.tuple(3, "a fault"); err != nil {
		return nil, err
	}
	kind, err := c.str("the kind of a fault")
	if err != nil {
		return nil, err
	}
	text, err := c.str("the text of a fault")
	if err != nil {
		return nil, err
	}
	f := &Fault{Kind: name(kind), Text: string(text)}
	err = c.options("the options of fault", func(key []byte) (known bool, err error) {
		switch string(key) {
		case "stack":
			var s []byte
			s, err = c.str("stack")
			f.Stack = string(s)
		case "value":
			f.Value, err = c.raw("value")
		default:
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// clip returns s, or its start and its end with a note between when it has more
// than limit bytes: of a stack the first lines tell the place and the last ones
// the origin.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	note := fmt.Sprintf("\n… %d bytes in all, the middle is left out …\n", len(s))
	half := (limit - len(note)) / 2
	head, tail := s[:half], s[len(s)-half:]
	for len(head) > 0 && !utf8.RuneStart(s[len(head)]) {
		head = head[:len(head)-1]
	}
	for len(tail) > 0 && !utf8.RuneStart(tail[0]) {
		tail = tail[1:]
	}
	return head + note + tail
}
