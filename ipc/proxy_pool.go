package ipc

import (
	"context"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

const kindPool = "pool"

// A ManagedPool is the pool of a master, as its manager offers it to anybody: named tasks, with arguments and results that the manager does not look into. A ticket is
// the connection's: when that ends, its tickets are cancelled.
type ManagedPool struct {
	Proxy `msgpack:"-"`
}

// OpenManagedPool returns the pool of the manager. It returns ErrUnknown if it offers none.
func OpenManagedPool(ctx context.Context, c *Client) (*ManagedPool, error) {
	p, err := c.openProxy(ctx, kindPool, kindPool)
	if err != nil {
		return nil, err
	}
	return &ManagedPool{p}, nil
}

// DecodeHandle implements proto.HandleDecoder.
func (p *ManagedPool) DecodeHandle(h proto.Handle, fds []int) error {
	return p.decode(h, fds, kindPool)
}

// TicketOptions of what is submitted; the zero value is good.
type TicketOptions struct {
	Attempts int           // how often it may be tried; 0 is 1
	Timeout  time.Duration // of one attempt; 0: none
	Delay    time.Duration // before it may begin
	Priority int           // a higher one is first
}

func (o TicketOptions) encode() map[string]int64 {
	m := map[string]int64{}
	set := func(name string, v int64) {
		if v != 0 {
			m[name] = v
		}
	}
	set("attempts", int64(o.Attempts))
	set("timeout_ms", (o.Timeout + time.Millisecond - 1).Milliseconds())
	set("delay_ms", (o.Delay + time.Millisecond - 1).Milliseconds())
	set("priority", int64(o.Priority))
	return m
}

// Submit hands in a task and returns the number of its ticket.
func (p *ManagedPool) Submit(ctx context.Context, task string, args any, o TicketOptions) (ticket uint64, err error) {
	return ask[uint64](ctx, &p.Proxy, "submit", task, args, o.encode())
}

// SubmitAll hands in a task for each element of a list, and returns the numbers of the tickets in its order.
func SubmitAll[T any](ctx context.Context, p *ManagedPool, task string, list []T, o TicketOptions) (tickets []uint64, err error) {
	return ask[[]uint64](ctx, &p.Proxy, "submit_many", task, some(list), o.encode())
}

// TicketResult waits for the result of a ticket, until ctx ends: then the task runs on, and the result can be asked for again. A failed task's error is a *proto.Fault. It
// returns ErrKey for a ticket of another connection, and for one whose result was returned before.
func TicketResult[T any](ctx context.Context, p *ManagedPool, ticket uint64) (T, error) {
	return ask[T](ctx, &p.Proxy, "result", ticket)
}

// RunTask runs a task and waits for its result; when ctx ends first, the task is cancelled.
func RunTask[T any](ctx context.Context, p *ManagedPool, task string, args any, o TicketOptions) (T, error) {
	return ask[T](ctx, &p.Proxy, "run", task, args, o.encode())
}

// Cancel cancels a ticket, and tells whether it had not ended.
func (p *ManagedPool) Cancel(ctx context.Context, ticket uint64) (bool, error) {
	return ask[bool](ctx, &p.Proxy, "cancel", ticket)
}

// Tasks returns the names of the tasks.
func (p *ManagedPool) Tasks(ctx context.Context) ([]string, error) {
	return ask[[]string](ctx, &p.Proxy, "tasks")
}

// ManagedPoolStatus is how busy a pool is.
type ManagedPoolStatus struct{ Workers, Idle, Busy, Waiting int }

// Status returns how busy the pool is.
func (p *ManagedPool) Status(ctx context.Context) (ManagedPoolStatus, error) {
	m, err := ask[map[string]any](ctx, &p.Proxy, "status")
	if err != nil {
		return ManagedPoolStatus{}, err
	}
	number := func(name string) int {
		n, _ := m[name].(int64)
		return int(n)
	}
	return ManagedPoolStatus{number("workers"), number("idle"), number("busy"), number("waiting")}, nil
}
