package supervisor

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// ErrNoMain: an entry was started in a program that has not passed through Main. Its process would be this program again and
// would not either: it would run the whole program instead of the entry. Call supervisor.Main first thing in main (in tests: in TestMain).
var ErrNoMain = errors.New("supervisor: supervisor.Main was not reached in this program, so no process of its would run an entry")

// An Entry is a function with a name, that is run in a process of its own: what Python's Process calls its target. A is the
// type of its argument; it travels as MessagePack, and locks, queues, files and Conns may stand anywhere in it.
type Entry[A any] struct{ name string }

// NewEntry registers f under a name. Do that in a package variable, so that every process of the program knows the same
// entries before Main runs. A name that is empty, longer than 255 bytes, or registered twice panics.
//
// The process of an entry ends as Main does: when f has returned, and the goroutines of Go have, its daemons are
// terminated, its other children joined, its finalizers run. The exit status is 0 when f returns nil; that of an ExitCode; else 1, with the error,
// or the panic and its stack, on stderr. When the process is sent SIGTERM or SIGINT, ctx ends; f has half of Spec.Grace to
// return, its children then get a part of the rest, and the process ends by the signal: exit status -15. When
// the parent dies, the process dies, and everybody below it.
//
// A process that is no daemon may start entries, commands and pools of its own.
func NewEntry[A any](name string, f func(ctx context.Context, arg A) error) *Entry[A] {
	registerEntry(name, func(ctx context.Context, args proto.Payload) error {
		var arg A
		left, err := proto.Unmarshal(args, &arg, proto.Limits{})
		ipc.CloseFDs(left)
		if err != nil {
			return fmt.Errorf("arguments: %w", err)
		}
		return f(ctx, arg)
	})
	return &Entry[A]{name: name}
}

// RemoteEntry names an entry of another program: that of Spec.Path registers it. If it does not, the process says so on stderr
// and ends with status 100.
//
// A task of that program, or of this one, will do too: it runs once, and what it returns is dropped.
func RemoteEntry[A any](name string) *Entry[A] { return &Entry[A]{name: name} }

// Name returns the name.
func (e *Entry[A]) Name() string { return e.name }

// Start starts a process that runs the entry with arg. A Spec says how: its zero value is good. Its Name is the entry's by default,
// its Path this program, and Inherit must be nil. Start does not wait for the process to have read its argument. Errors are those of
// the function Start, ErrNoMain, and what keeps arg from being encoded.
func (e *Entry[A]) Start(arg A, with ...Spec) (*Process, error) { return Start(e.With(arg, with...)) }

// With returns the entry with its argument, to be started any number of times. arg is encoded at every start: the locks
// and files in it must be open until the last one, and each process gets descriptors of its own.
func (e *Entry[A]) With(arg A, with ...Spec) Program {
	c := entryCall{entry: e.name, encode: func() (proto.Payload, error) { return proto.Marshal(arg) }}
	if len(with) > 0 {
		c.how = with[0]
	}
	return c
}

// An entryCall is an entry with its argument.
type entryCall struct {
	entry  string
	how    Spec
	encode func() (proto.Payload, error)
}

func (c entryCall) spec() Spec {
	s := c.how
	if s.Name == "" {
		s.Name = c.entry
	}
	return s
}

func (c entryCall) start(s Spec) (*Process, error) {
	if err := startAllowed(s); err != nil {
		return nil, err
	}
	w, err := newWire(c, &s)
	if err != nil {
		return nil, startFailed(s.Name, err)
	}
	return start(s, w)
}

// entryHandler runs an entry in its process. It owns the descriptors of args.
type entryHandler func(ctx context.Context, args proto.Payload) error

var entries struct {
	sync.Mutex
	byName map[string]entryHandler
}

func registerEntry(name string, h entryHandler) {
	entries.Lock()
	defer entries.Unlock()
	if name == "" || len(name) > 255 {
		panic(fmt.Sprintf("supervisor: an entry's name has 1 to 255 bytes, found %q", name))
	}
	if entries.byName[name] != nil {
		panic(fmt.Sprintf("supervisor: entry %q is registered twice", name))
	}
	if entries.byName == nil {
		entries.byName = make(map[string]entryHandler)
	}
	entries.byName[name] = h
}

func entryNamed(name string) entryHandler {
	entries.Lock()
	defer entries.Unlock()
	return entries.byName[name]
}
