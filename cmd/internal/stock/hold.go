package stock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
)

// LockExecArgs are the arguments of the task lock.exec: those of exec, and what is held while the command runs.
type LockExecArgs struct {
	Lock    any // a lock or an rlock; or a condition, a value or an array, whose own lock is meant; or a list of them, taken in that order
	Between any // what to wait for after each lock but the last: a duration, an event or a barrier
	ExecArgs
}

// A LockExecResult is that of exec, and what was held; of several locks, the last.
type LockExecResult struct {
	ExecResult
	Token     uint64 // a later holder's is higher
	OwnerDied bool   // whoever held the lock before died holding it
}

// SemaphoreExecArgs are the arguments of the task semaphore.exec: those of exec, and that of which a permit is held meanwhile.
type SemaphoreExecArgs struct {
	Semaphore any
	ExecArgs
}

// A holding is what Acquire returns, of a lock of either kind.
type holding interface {
	Token() uint64
	OwnerDied() bool
	Release() error
}

// lockExec runs a command while it holds a lock. The command finds LOCK_TOKEN in its environment, and LOCK_OWNER_DIED=1 if the
// holder before it died.
//
// The locks are released when the command has ended, however it ended and whatever it was told. A panic releases
// nothing: the process ends by it, and the next holder is told that the owner died, as if it had been killed.
func lockExec(ctx context.Context, c call, in LockExecArgs, out, errs io.Writer) (result LockExecResult, err error) {
	if err := in.check(); err != nil {
		return result, err
	}
	all, err := acquireAll(ctx, "lock.exec", in.Lock, in.Between)
	if err != nil {
		return result, release(all, err)
	}
	held := all[len(all)-1]
	result.Token, result.OwnerDied = held.Token(), held.OwnerDied()
	if result.OwnerDied {
		fmt.Fprintln(out, c.line(os.Getpid(), "holds the lock of one who died holding it"))
	}
	in.Env = withLock(in.Env, held)
	result.ExecResult, err = run(ctx, c, in.ExecArgs, out, errs)
	return result, release(all, err)
}

// release releases the last lock first. It is not deferred, because of panics.
func release(all []holding, err error) error {
	for _, held := range slices.Backward(all) {
		err = errors.Join(err, held.Release())
	}
	return err
}

func withLock(env map[string]string, held holding) map[string]string {
	env = maps.Clone(env)
	if env == nil {
		env = map[string]string{}
	}
	env["LOCK_TOKEN"] = strconv.FormatUint(held.Token(), 10)
	env["LOCK_OWNER_DIED"] = "0"
	if held.OwnerDied() {
		env["LOCK_OWNER_DIED"] = "1"
	}
	return env
}

// acquireAll acquires one lock, or a list of them one after the other, and returns those that it got.
func acquireAll(ctx context.Context, task string, v, between any) (all []holding, err error) {
	list, many := v.([]any)
	if !many {
		list = []any{v}
	}
	if len(list) == 0 {
		return nil, badArgs("%s: lock: found an empty list; expected one lock or more", task)
	}
	for i, lock := range list {
		if i > 0 {
			if err := meanwhile(ctx, task, between); err != nil {
				return all, err
			}
		}
		held, err := acquire(ctx, task, lock)
		if err != nil {
			return all, err
		}
		all = append(all, held)
	}
	return all, nil
}

// meanwhile waits for what stands as "between" in the arguments.
func meanwhile(ctx context.Context, task string, v any) error {
	switch v := v.(type) {
	case nil, *ipc.Event, *ipc.Barrier:
		return await(ctx, task, "between", v)
	case string:
		var d Duration
		if d.UnmarshalText([]byte(v)) == nil {
			return pause(ctx, time.Duration(d))
		}
	}
	return badArgs(`%s: between: found %s; expected a duration such as "30s", an event or a barrier`, task, kindOf(v))
}

// acquire acquires what stands as "lock" in the arguments.
func acquire(ctx context.Context, task string, v any) (holding, error) {
	var held holding
	var err error
	switch l := v.(type) {
	case *ipc.Lock:
		held, err = l.Acquire(ctx)
	case *ipc.RLock:
		held, err = l.Acquire(ctx)
	case *ipc.Condition:
		held, err = l.Lock().Acquire(ctx)
	case interface{ Lock() *ipc.Lock }: // a value, an array
		held, err = l.Lock().Acquire(ctx)
	case *ipc.Proxy:
		return acquireManaged(ctx, task, l)
	default:
		_, err := need[*ipc.Lock](task, "lock", v)
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%s: lock: %w", task, err)
	}
	return held, nil
}

// semaphoreExec runs a command while it holds a permit.
func semaphoreExec(ctx context.Context, c call, in SemaphoreExecArgs, out, errs io.Writer) (ExecResult, error) {
	if err := in.check(); err != nil {
		return ExecResult{}, err
	}
	s, err := need[*ipc.Semaphore]("semaphore.exec", "semaphore", in.Semaphore)
	if err != nil {
		return ExecResult{}, err
	}
	if err := s.Acquire(ctx); err != nil {
		return ExecResult{}, fmt.Errorf("semaphore.exec: semaphore: %w", err)
	}
	result, err := run(ctx, c, in.ExecArgs, out, errs) // as for a lock, a panic releases nothing
	return result, errors.Join(err, s.Release())
}
