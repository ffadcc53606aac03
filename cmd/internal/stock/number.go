package stock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/seed-185a7250/multiproc/ipc"
)

// ValueArgs are the arguments of the tasks value.get, value.set and value.add, each of which takes some of them.
type ValueArgs struct {
	Value any // a value of either type
}

// SetArgs are the arguments of the task value.set.
type SetArgs struct {
	Value any
	To    any // a number
}

// AddArgs are the arguments of the task value.add.
//
// An addition is one atomic step. With a lock it is two steps, reading and writing back, under that lock; and unlocked it is two
// steps with nothing to hold them together, as in a program that has forgotten its lock: additions get lost.
type AddArgs struct {
	Value    any
	By       any  // a number; nil: 1
	Times    int  // how often; 0: once
	Lock     any  // as in LockExecArgs
	Unlocked bool //
	After    any  // an event or a barrier to wait for first
	Notify   any  // a condition: the addition is made under its lock, and all who wait for it look again
}

// ConditionArgs are the arguments of the task condition.wait, which waits until a value is at least so much.
type ConditionArgs struct {
	Condition any
	Value     any
	AtLeast   any // a number
}

// A ValueResult is a value as the task left or found it.
type ValueResult struct {
	Value any // int64 or float64
	PID   int `msgpack:"pid"`
}

// A cell is a shared number of either type. What goes in is any number of a job file; what comes out is of the value's own type.
type cell interface {
	get() any
	set(task string, to any) error
	adder(task string, by any, unlocked bool) (func() error, error)
	atLeast(task string, least any) (func() bool, error)
	name() string
}

func cellOf(task string, v any) (cell, error) {
	switch v := v.(type) {
	case *ipc.Value[int64]:
		return numbers[int64]{v}, nil
	case *ipc.Value[float64]:
		return numbers[float64]{v}, nil
	}
	_, err := need[*ipc.Value[int64]](task, "value", v)
	return nil, err
}

type numbers[T int64 | float64] struct{ v *ipc.Value[T] }

func (n numbers[T]) name() string { return n.v.Lock().Name() }
func (n numbers[T]) get() any     { return n.v.Get() }

func (n numbers[T]) set(task string, to any) error {
	x, err := numberOf[T](task, "to", to)
	if err != nil {
		return err
	}
	return n.v.Set(x)
}

// adder returns what makes one addition.
func (n numbers[T]) adder(task string, by any, twoSteps bool) (func() error, error) {
	if by == nil {
		by = int64(1)
	}
	delta, err := numberOf[T](task, "by", by)
	if err != nil {
		return nil, err
	}
	if twoSteps {
		return func() error {
			sum, ok := plus(n.v.Get(), delta)
			if !ok {
				return tooMuch(task, n.v.Get(), delta)
			}
			return n.v.Set(sum)
		}, nil
	}
	return func() error {
		fits := true
		sum, err := n.v.Update(func(x T) T {
			var sum T
			if sum, fits = plus(x, delta); !fits {
				return x
			}
			return sum
		})
		if err == nil && !fits {
			err = tooMuch(task, sum, delta)
		}
		return err
	}, nil
}

func (n numbers[T]) atLeast(task string, least any) (func() bool, error) {
	x, err := numberOf[T](task, "at_least", least)
	return func() bool { return n.v.Get() >= x }, err
}

// plus adds, if the sum is a number of that type. A small float64 may change a large one by
// nothing.
func plus[T int64 | float64](a, b T) (T, bool) {
	sum := a + b
	if math.IsInf(float64(sum), 0) {
		return sum, false
	}
	return sum, b >= 0 && sum >= a || b < 0 && sum <= a
}

func tooMuch[T any](task string, a, b T) error {
	return fmt.Errorf("%s: %v and %v are more than 64 bits can hold", task, a, b)
}

// numberOf reads a number of a job file.
func numberOf[T int64 | float64](task, key string, v any) (T, error) {
	var n T
	_, whole := any(n).(int64)
	switch v := v.(type) {
	case int64:
		return T(v), nil
	case uint64:
		if !whole {
			return T(v), nil
		}
	case float64:
		if !whole {
			return T(v), nil
		}
	case nil:
		return n, badArgs("%s: no %q; expected a number", task, key)
	}
	if whole {
		return n, badArgs("%s: %s: found %s; expected a whole number of 64 bits", task, key, kindOf(v))
	}
	return n, badArgs("%s: %s: found %s; expected a number", task, key, kindOf(v))
}

func valueGet(_ context.Context, c call, in ValueArgs, out io.Writer) (ValueResult, error) {
	v, err := cellOf("value.get", in.Value)
	if err != nil {
		return ValueResult{}, err
	}
	r := ValueResult{Value: v.get(), PID: os.Getpid()}
	fmt.Fprintln(out, c.line(r.PID, "found %v in %s", r.Value, v.name()))
	return r, nil
}

func valueSet(_ context.Context, c call, in SetArgs, out io.Writer) (ValueResult, error) {
	v, err := cellOf("value.set", in.Value)
	if err != nil {
		return ValueResult{}, err
	}
	if err := v.set("value.set", in.To); err != nil {
		return ValueResult{}, err
	}
	r := ValueResult{Value: in.To, PID: os.Getpid()}
	fmt.Fprintln(out, c.line(r.PID, "set %s to %v", v.name(), r.Value))
	return r, nil
}

// valueAdd adds, as often as it is told to.
func valueAdd(ctx context.Context, c call, in AddArgs, out io.Writer) (ValueResult, error) {
	v, one, err := in.prepare()
	if err != nil {
		return ValueResult{}, err
	}
	if err := after(ctx, "value.add", in.After); err != nil {
		return ValueResult{}, err
	}
	times := max(in.Times, 1)
	for i := range times {
		if i%1024 == 0 && ctx.Err() != nil {
			return ValueResult{}, fmt.Errorf("value.add: after %d of %d additions: %w", i, times, context.Cause(ctx))
		}
		if err := one(ctx); err != nil {
			return ValueResult{}, err
		}
	}
	r := ValueResult{Value: v.get(), PID: os.Getpid()}
	fmt.Fprintln(out, c.line(r.PID, "added to %s %s, which is %v now", v.name(), timesText(times), r.Value))
	return r, nil
}

func timesText(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// prepare checks the arguments and returns what makes one addition.
func (in AddArgs) prepare() (cell, func(context.Context) error, error) {
	const task = "value.add"
	v, err := cellOf(task, in.Value)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case in.Times < 0:
		return nil, nil, badArgs("value.add: times: found %d; expected 1 or more", in.Times)
	case in.Lock != nil && in.Unlocked:
		return nil, nil, badArgs(`value.add: found "lock" and "unlocked"; expected one of them`)
	}
	add, err := v.adder(task, in.By, in.Unlocked || in.Lock != nil)
	if err != nil {
		return nil, nil, err
	}
	one := func(context.Context) error { return add() }
	if in.Lock != nil {
		one = underLock(in.Lock, one)
	}
	if in.Notify != nil {
		cond, err := need[*ipc.Condition](task, "notify", in.Notify)
		if err != nil {
			return nil, nil, err
		}
		one = notifying(cond, one)
	}
	return v, one, nil
}

func underLock(lock any, do func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		held, err := acquire(ctx, "value.add", lock)
		if err != nil {
			return err
		}
		return errors.Join(do(ctx), held.Release())
	}
}

func notifying(cond *ipc.Condition, do func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		held, err := cond.Lock().Acquire(ctx)
		if err != nil {
			return fmt.Errorf("value.add: %s: %w", cond.Name(), err)
		}
		err = do(ctx)
		if err == nil {
			_, err = cond.NotifyAll(ctx)
		}
		return errors.Join(err, held.Release())
	}
}

// conditionWait waits until a value has grown enough. Whoever adds to it with "notify" makes this one look.
func conditionWait(ctx context.Context, c call, in ConditionArgs, out io.Writer) (ValueResult, error) {
	const task = "condition.wait"
	cond, err := need[*ipc.Condition](task, "condition", in.Condition)
	if err != nil {
		return ValueResult{}, err
	}
	v, err := cellOf(task, in.Value)
	if err != nil {
		return ValueResult{}, err
	}
	enough, err := v.atLeast(task, in.AtLeast)
	if err != nil {
		return ValueResult{}, err
	}
	held, err := cond.Lock().Acquire(ctx)
	if err != nil {
		return ValueResult{}, fmt.Errorf("%s: %s: %w", task, cond.Name(), err)
	}
	_, err = cond.WaitFor(ctx, enough)
	r := ValueResult{Value: v.get(), PID: os.Getpid()}
	if err != nil {
		err = fmt.Errorf("%s: %s is %v, waiting for %v: %w", task, v.name(), r.Value, in.AtLeast, err)
	}
	if err := errors.Join(err, held.Release()); err != nil {
		return r, err
	}
	fmt.Fprintln(out, c.line(r.PID, "waited until %s was %v", v.name(), r.Value))
	return r, nil
}
