package stock

import (
	"context"
	"fmt"

	"github.com/seed-185a7250/multiproc/ipc"
)

// What a manager keeps arrives as a proxy, which says of what kind it is.

var managedQueueKinds = []string{
	string(ipc.FIFO), string(ipc.Joinable), string(ipc.Simple), string(ipc.LIFO), string(ipc.Priority),
}

// A managedQueue is a queue of a manager, in the words of one in shared memory.
type managedQueue struct{ *ipc.ManagedQueue[any] }

func (q managedQueue) Name() string { return q.ManagedQueue.Name() }
func (q managedQueue) TryPut(item any) error {
	return q.ManagedQueue.TryPut(context.Background(), item)
}
func (q managedQueue) TryGet() (any, error) { return q.ManagedQueue.TryGet(context.Background()) }
func (q managedQueue) Close() error         { return q.ManagedQueue.Close(context.Background()) }
func (q managedQueue) CloseNow() error      { return q.ManagedQueue.CloseNow(context.Background()) }
func (q managedQueue) TaskDone() error      { return q.ManagedQueue.TaskDone(context.Background(), 1) }
func (q managedQueue) Unfinished() (int, error) {
	return q.ManagedQueue.Unfinished(context.Background())
}
func (q managedQueue) Join(ctx context.Context) error { return q.ManagedQueue.Join(ctx) }

func (q managedQueue) Len() int {
	n, _ := q.ManagedQueue.Len(context.Background())
	return n
}

// acquireManaged acquires a lock or an rlock of a manager.
func acquireManaged(ctx context.Context, task string, p *ipc.Proxy) (holding, error) {
	var held ipc.ManagedHeld
	var err error
	switch p.Kind() {
	case "lock":
		held, err = (&ipc.ManagedLock{Proxy: *p}).Acquire(ctx)
	case "rlock":
		held, err = (&ipc.ManagedRLock{Proxy: *p}).Acquire(ctx)
	default:
		_, err = need[*ipc.Lock](task, "lock", p)
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%s: lock: %w", task, err)
	}
	return held, nil
}

// proxyOf returns the object of this kind under a key of a task's arguments.
func proxyOf(task, key, kind string, v any) (ipc.Proxy, error) {
	if p, ok := v.(*ipc.Proxy); ok && p.Kind() == kind {
		return *p, nil
	}
	if v == nil {
		return ipc.Proxy{}, badArgs(`%s: no %q; expected a %s such as {"$shared": "name"}`, task, key, kind)
	}
	return ipc.Proxy{}, badArgs(`%s: %s: found %s; expected a %s such as {"$shared": "name"}`, task, key, kindOf(v), kind)
}
