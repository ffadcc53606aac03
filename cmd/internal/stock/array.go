package stock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/seed-185a7250/multiproc/ipc"
)

// ArrayArgs are the arguments of the task array.get.
type ArrayArgs struct{ Array any }

// ElementArgs are the arguments of the tasks array.set and array.add. Both hold the array's own lock.
type ElementArgs struct {
	Array any
	Index int // from 0
	To    any // array.set: a number
	By    any // array.add: a number; nil: 1
	Times int // array.add: how often; 0: once
}

// An ArrayResult is the whole array as the task left or found it.
type ArrayResult struct {
	Values any // []int64 or []float64
	PID    int `msgpack:"pid"`
}

// A row is a shared array of either type.
type row interface {
	Lock() *ipc.Lock
	Len() int
}

func rowOf(task string, v any) (row, error) {
	switch v := v.(type) {
	case *ipc.Array[int64]:
		return v, nil
	case *ipc.Array[float64]:
		return v, nil
	}
	_, err := need[*ipc.Array[int64]](task, "array", v)
	return nil, err
}

// values copies the elements. The lock is held.
func values(r row) any {
	if a, ok := r.(*ipc.Array[float64]); ok {
		return append([]float64(nil), a.Slice()...)
	}
	return append([]int64(nil), r.(*ipc.Array[int64]).Slice()...)
}

// withRow does something to an array under its lock, and tells what it is like then.
func withRow(ctx context.Context, c call, task string, v any, out io.Writer, do func(row) (string, error)) (ArrayResult, error) {
	r, err := rowOf(task, v)
	if err != nil {
		return ArrayResult{}, err
	}
	held, err := r.Lock().Acquire(ctx)
	if err != nil {
		return ArrayResult{}, fmt.Errorf("%s: %s: %w", task, r.Lock().Name(), err)
	}
	done, err := do(r)
	result := ArrayResult{Values: values(r), PID: os.Getpid()}
	if err := errors.Join(err, held.Release()); err != nil {
		return ArrayResult{}, err
	}
	fmt.Fprintln(out, c.line(result.PID, "%s %s: %v", done, r.Lock().Name(), result.Values))
	return result, nil
}

func arrayGet(ctx context.Context, c call, in ArrayArgs, out io.Writer) (ArrayResult, error) {
	return withRow(ctx, c, "array.get", in.Array, out, func(row) (string, error) { return "found", nil })
}

func arraySet(ctx context.Context, c call, in ElementArgs, out io.Writer) (ArrayResult, error) {
	const task = "array.set"
	if in.By != nil || in.Times != 0 {
		return ArrayResult{}, badArgs(`array.set: found "by" or "times"; did you mean array.add?`)
	}
	return withRow(ctx, c, task, in.Array, out, func(r row) (string, error) {
		if err := in.check(task, r); err != nil {
			return "", err
		}
		var err error
		switch a := r.(type) {
		case *ipc.Array[int64]:
			err = setElement(task, a, in)
		case *ipc.Array[float64]:
			err = setElement(task, a, in)
		}
		return fmt.Sprintf("set %d of", in.Index), err
	})
}

func arrayAdd(ctx context.Context, c call, in ElementArgs, out io.Writer) (ArrayResult, error) {
	const task = "array.add"
	if in.To != nil {
		return ArrayResult{}, badArgs(`array.add: found "to"; did you mean array.set?`)
	}
	if in.Times < 0 {
		return ArrayResult{}, badArgs("array.add: times: found %d; expected 1 or more", in.Times)
	}
	return withRow(ctx, c, task, in.Array, out, func(r row) (string, error) {
		if err := in.check(task, r); err != nil {
			return "", err
		}
		var err error
		switch a := r.(type) {
		case *ipc.Array[int64]:
			err = addElement(task, a, in)
		case *ipc.Array[float64]:
			err = addElement(task, a, in)
		}
		return fmt.Sprintf("added to %d of", in.Index), err
	})
}

func (in ElementArgs) check(task string, r row) error {
	if in.Index < 0 || in.Index >= r.Len() {
		return badArgs("%s: index: found %d; expected 0 to %d", task, in.Index, r.Len()-1)
	}
	return nil
}

func setElement[T int64 | float64](task string, a *ipc.Array[T], in ElementArgs) error {
	to, err := numberOf[T](task, "to", in.To)
	if err == nil {
		a.Set(in.Index, to)
	}
	return err
}

func addElement[T int64 | float64](task string, a *ipc.Array[T], in ElementArgs) error {
	by := in.By
	if by == nil {
		by = int64(1)
	}
	delta, err := numberOf[T](task, "by", by)
	if err != nil {
		return err
	}
	for range max(in.Times, 1) {
		sum, ok := plus(a.Get(in.Index), delta)
		if !ok {
			return tooMuch(task, a.Get(in.Index), delta)
		}
		a.Set(in.Index, sum)
	}
	return nil
}
