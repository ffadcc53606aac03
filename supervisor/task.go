package supervisor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// A Task is a function with a name, by which a worker process finds it. A is the
// type of its argument and R that of its result; both travel as MessagePack, and
// locks, files and Conns may stand anywhere in them.
type Task[A, R any] struct{ name string }

// NewTask registers f under a name. Do that in a package variable, so that every
// process of the program knows the same tasks before Main runs. A name that is
// empty, longer than 255 bytes, or registered twice panics.
//
// ctx ends when the ticket is cancelled or its time is over; f should return soon
// after. TicketFrom(ctx) tells what runs. An error that f returns is the result of
// the ticket; a panic too, and then the process ends and is replaced, because nobody
// knows what the panic left behind.
func NewTask[A, R any](name string, f func(ctx context.Context, arg A) (R, error)) *Task[A, R] {
	register(name, chunkOf(name, f), func(ctx context.Context, args proto.Payload) (proto.Payload, error) {
		var arg A
		left, err := proto.Unmarshal(args, &arg, proto.Limits{})
		ipc.CloseFDs(left)
		if err != nil {
			return proto.Payload{}, &proto.Fault{Kind: proto.KindArguments, Text: fmt.Sprintf("%s: arguments: %v", name, err)}
		}
		result, err := f(ctx, arg)
		if err != nil {
			return proto.Payload{}, err
		}
		p, err := proto.Marshal(result)
		if err != nil {
			ipc.CloseFDs(p.FDs)
			return proto.Payload{}, &proto.Fault{Kind: proto.KindResult, Text: fmt.Sprintf("%s: result: %v", name, err)}
		}
		return p, nil
	})
	return &Task[A, R]{name: name}
}

// A chunkFunc runs a task with each of n elements; at is told which one begins, from 1.
type chunkFunc func(ctx context.Context, args proto.Raw, n int, at func(int)) (proto.Payload, error)

// chunkOf makes the chunk form of a task.
func chunkOf[A, R any](name string, f func(ctx context.Context, arg A) (R, error)) chunkFunc {
	return func(ctx context.Context, raw proto.Raw, n int, at func(int)) (proto.Payload, error) {
		args := make([]A, min(n, len(raw))) // each has a byte at least
		if err := proto.ParseArray(raw, args); err != nil {
			return proto.Payload{}, &proto.Fault{Kind: proto.KindArguments, Text: fmt.Sprintf("%s: arguments: %v", name, err)}
		}
		results := make([]R, n)
		var faults map[int]*proto.Fault
		for i := range args {
			at(i + 1)
			var err error
			if results[i], err = f(ctx, args[i]); err != nil {
				if faults == nil {
					faults = map[int]*proto.Fault{}
				}
				faults[i] = faultOf(err)
			}
		}
		at(0)
		b, err := proto.AppendChunk(make([]byte, 0, 16+4*n), results, faults)
		if held, ok := errors.AsType[*proto.ItemHandleError](err); ok {
			ipc.CloseFDs(held.FDs)
		}
		return proto.Payload{Bytes: b}, err
	}
}

// Name returns the name.
func (t *Task[A, R]) Name() string { return t.name }

// handler runs one ticket in a worker. It owns the descriptors of args.
type handler func(ctx context.Context, args proto.Payload) (proto.Payload, error)

var tasks struct {
	sync.Mutex
	byName map[string]registered
}

type registered struct {
	run   handler
	chunk chunkFunc
}

func register(name string, chunk chunkFunc, h handler) {
	tasks.Lock()
	defer tasks.Unlock()
	if name == "" || len(name) > 255 {
		panic(fmt.Sprintf("supervisor: a task's name has 1 to 255 bytes, found %q", name))
	}
	if tasks.byName[name].run != nil {
		panic(fmt.Sprintf("supervisor: task %q is registered twice", name))
	}
	if tasks.byName == nil {
		tasks.byName = make(map[string]registered)
	}
	tasks.byName[name] = registered{h, chunk}
}

func taskNames() []string {
	tasks.Lock()
	defer tasks.Unlock()
	return slices.Sorted(maps.Keys(tasks.byName))
}

func taskNamed(name string) registered {
	tasks.Lock()
	defer tasks.Unlock()
	return tasks.byName[name]
}

// Submit has pool run the task with arg and returns at once, or waits while the
// pool's backlog is full, until ctx ends. When ctx ends later, the ticket is
// cancelled: at once if it is waiting, else by its own context and then by signal.
// A zero Ticket is good: its Task and Args are set here.
func (t *Task[A, R]) Submit(ctx context.Context, pool *Pool, arg A, with ...Ticket) (*Future[R], error) {
	ticket, err := t.Ticket(arg, with...)
	if err != nil {
		return nil, err
	}
	f := new(Future[R])
	if err := pool.submit(ctx, &f.p, ticket, mayWait); err != nil {
		return nil, err
	}
	return f, nil
}

// TrySubmit is Submit, but does not wait: while the backlog is full it returns ErrFull.
func (t *Task[A, R]) TrySubmit(ctx context.Context, pool *Pool, arg A, with ...Ticket) (*Future[R], error) {
	ticket, err := t.Ticket(arg, with...)
	if err != nil {
		return nil, err
	}
	f := new(Future[R])
	if err := pool.submit(ctx, &f.p, ticket, orFull); err != nil {
		return nil, err
	}
	return f, nil
}

// Ticket returns a ticket that runs the task with arg; the rest of it is as given. It owns the descriptors of arg.
func (t *Task[A, R]) Ticket(arg A, with ...Ticket) (Ticket, error) {
	var ticket Ticket
	if len(with) > 0 {
		ticket = with[0]
	}
	args, err := proto.Marshal(arg)
	if err != nil {
		ipc.CloseFDs(args.FDs)
		return Ticket{}, fmt.Errorf("supervisor: arguments of %s: %w", t.name, err)
	}
	ticket.Task, ticket.Args = t.name, args
	return ticket, nil
}

// Call is Submit, and waits for the result. The error is that of [Result.Err].
func (t *Task[A, R]) Call(ctx context.Context, pool *Pool, arg A, with ...Ticket) (R, error) {
	f, err := t.Submit(ctx, pool, arg, with...)
	if err != nil {
		var zero R
		return zero, err
	}
	// The ticket is cancelled with ctx, and what became of it is told then.
	return f.Get(context.WithoutCancel(ctx))
}

// A TicketInfo tells a running task what it is part of.
type TicketInfo struct {
	ID       string        // of the ticket
	Attempt  int           // from 1
	Attempts int           // how many there may be
	Place    int           // number of the worker place, from 1
	Pool     string        // its name
	Grace    time.Duration // that the task has once its context has ended

	number uint64 // of a ticket without an id
}

type ticketKey struct{}

// TicketFrom returns what a worker runs under ctx; the zero TicketInfo anywhere
// else.
func TicketFrom(ctx context.Context) TicketInfo {
	info, _ := ctx.Value(ticketKey{}).(TicketInfo)
	if info.ID == "" && info.number > 0 {
		info.ID = strconv.FormatUint(info.number, 10)
	}
	return info
}

// faultOf makes of a task's error what travels.
func faultOf(err error) *proto.Fault {
	if f, ok := errors.AsType[*proto.Fault](err); ok {
		return f
	}
	kind := proto.KindError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		kind = proto.KindTimeout
	case errors.Is(err, context.Canceled):
		kind = proto.KindCancelled
	}
	return &proto.Fault{Kind: kind, Text: err.Error()}
}
