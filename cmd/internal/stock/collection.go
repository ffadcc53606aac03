package stock

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/seed-185a7250/multiproc/ipc"
)

// DictArgs are the arguments of the tasks dict.set, dict.add and dict.get, each of which takes some of them.
type DictArgs struct {
	Dict  any
	Key   any // nil: of dict.set and dict.add the task's own process id, of dict.get all of them
	To    any // of dict.set; nil: the ticket's id
	By    any // of dict.add, what is added in one atomic step; nil: 1. A key that is missing begins at 0
	Times int // how often; 0: once
	After any // an event or a barrier to wait for first
	Then  any // an event to set or a barrier to come to at the end
}

// A DictResult is what is in a dict at a key now; of dict.get without a key, all pairs in the order in which they came.
type DictResult struct {
	Value any
	Items [][2]any `msgpack:",omitempty"`
	PID   int      `msgpack:"pid"`
}

// ListArgs are the arguments of the tasks list.append and list.get.
type ListArgs struct {
	List  any
	Items []any // to be appended together; none: the task's own process id
	After any   // as for a dict
	Then  any   //
}

// A ListResult is a list, or how long it has become.
type ListResult struct {
	Length int
	Items  []any `msgpack:",omitempty"` // of list.get
	PID    int   `msgpack:"pid"`
}

// openDict does what all tasks of a dict begin with.
func openDict(ctx context.Context, task string, in DictArgs) (*ipc.Dict[any, any], error) {
	p, err := proxyOf(task, "dict", "dict", in.Dict)
	if err != nil {
		return nil, err
	}
	return &ipc.Dict[any, any]{Proxy: p}, after(ctx, task, in.After)
}

func (in DictArgs) key() any {
	if in.Key == nil {
		return os.Getpid()
	}
	return in.Key
}

func dictSet(ctx context.Context, c call, in DictArgs, out io.Writer) (DictResult, error) {
	r := DictResult{PID: os.Getpid(), Value: in.To}
	d, err := openDict(ctx, "dict.set", in)
	if err != nil {
		return r, err
	}
	if r.Value == nil {
		r.Value = c.id
	}
	if err := d.Set(ctx, in.key(), r.Value); err != nil {
		return r, fmt.Errorf("dict.set: %s: %w", d.Name(), err)
	}
	fmt.Fprintln(out, c.line(r.PID, "set %s of %s to %s", itemText(in.key()), d.Name(), itemText(r.Value)))
	return r, then(ctx, "dict.set", in.Then)
}

func dictAdd(ctx context.Context, c call, in DictArgs, out io.Writer) (DictResult, error) {
	r := DictResult{PID: os.Getpid()}
	if in.Times < 0 {
		return r, badArgs("dict.add: times: found %d; expected 1 or more, or none at all", in.Times)
	}
	d, err := openDict(ctx, "dict.add", in)
	if err != nil {
		return r, err
	}
	if in.By == nil {
		in.By = int64(1)
	}
	for range max(1, in.Times) {
		if r.Value, err = d.AddFrom(ctx, in.key(), in.By, int64(0)); err != nil {
			return r, fmt.Errorf("dict.add: %s: %w", d.Name(), err)
		}
	}
	fmt.Fprintln(out, c.line(r.PID, "added to %s of %s: %s", itemText(in.key()), d.Name(), itemText(r.Value)))
	return r, then(ctx, "dict.add", in.Then)
}

func dictGet(ctx context.Context, c call, in DictArgs, out io.Writer) (r DictResult, err error) {
	r.PID = os.Getpid()
	d, err := openDict(ctx, "dict.get", in)
	if err != nil {
		return r, err
	}
	if in.Key != nil {
		if r.Value, err = d.Get(ctx, in.Key); err != nil {
			return r, fmt.Errorf("dict.get: %s: %w", d.Name(), err)
		}
		fmt.Fprintln(out, c.line(r.PID, "%s of %s is %s", itemText(in.Key), d.Name(), itemText(r.Value)))
		return r, then(ctx, "dict.get", in.Then)
	}
	pairs, err := d.Items(ctx)
	if err != nil {
		return r, fmt.Errorf("dict.get: %s: %w", d.Name(), err)
	}
	for _, p := range pairs {
		r.Items = append(r.Items, [2]any{p.Key, p.Value})
	}
	fmt.Fprintln(out, c.line(r.PID, "%s has %d keys", d.Name(), len(pairs)))
	return r, then(ctx, "dict.get", in.Then)
}

func openList(ctx context.Context, task string, in ListArgs) (*ipc.List[any], error) {
	p, err := proxyOf(task, "list", "list", in.List)
	if err != nil {
		return nil, err
	}
	return &ipc.List[any]{Proxy: p}, after(ctx, task, in.After)
}

func listAppend(ctx context.Context, c call, in ListArgs, out io.Writer) (ListResult, error) {
	r := ListResult{PID: os.Getpid()}
	l, err := openList(ctx, "list.append", in)
	if err != nil {
		return r, err
	}
	if len(in.Items) == 0 {
		in.Items = []any{r.PID}
	}
	if err = l.Extend(ctx, in.Items); err == nil {
		r.Length, err = l.Len(ctx)
	}
	if err != nil {
		return r, fmt.Errorf("list.append: %s: %w", l.Name(), err)
	}
	fmt.Fprintln(out, c.line(r.PID, "appended %s to %s", itemsText(len(in.Items)), l.Name()))
	return r, then(ctx, "list.append", in.Then)
}

func listGet(ctx context.Context, c call, in ListArgs, out io.Writer) (ListResult, error) {
	r := ListResult{PID: os.Getpid()}
	l, err := openList(ctx, "list.get", in)
	if err != nil {
		return r, err
	}
	if r.Items, err = l.Copy(ctx); err != nil {
		return r, fmt.Errorf("list.get: %s: %w", l.Name(), err)
	}
	r.Length = len(r.Items)
	fmt.Fprintln(out, c.line(r.PID, "%s has %s", l.Name(), itemsText(r.Length)))
	return r, then(ctx, "list.get", in.Then)
}
