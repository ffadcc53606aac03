package stock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/seed-185a7250/multiproc/proto"
)

// QueueExecArgs are the arguments of the task queue.exec: those of exec, and where the items come from for each of which the
// command is run.
type QueueExecArgs struct {
	Queue     any
	UntilNull bool // as for queue.get
	ExecArgs       // the item is added as the last argument: a string as it is, anything else as JSON
}

// A QueueExecResult counts the commands. It is the value of the error, too, when some failed.
type QueueExecResult struct {
	Done   int // commands that succeeded
	Failed int
	PID    int `msgpack:"pid"`
}

// queueExec runs a command for each item of a queue, until the queue is closed and empty. A command that fails does not keep the
// others from being run. An item of a joinable queue is finished when its command has ended: when this process dies before,
// another one gets the item, if the queue redelivers.
func queueExec(ctx context.Context, c call, in QueueExecArgs, out, errs io.Writer) (QueueExecResult, error) {
	r := QueueExecResult{PID: os.Getpid()}
	if err := in.check(); err != nil {
		return r, err
	}
	q, err := queueOf("queue.exec", in.Queue)
	if err != nil {
		return r, err
	}
	var first error
	err = q.each(ctx, 0, in.UntilNull, nil, func(item any) error {
		one := in.ExecArgs
		one.Command = append(slices.Clone(one.Command), argument(item))
		if _, err := run(ctx, c, one, out, errs); err != nil {
			r.Failed++
			if first == nil {
				first = fmt.Errorf("item %s: %w", itemText(item), err)
			}
			return context.Cause(ctx)
		}
		r.Done++
		return nil
	})
	switch {
	case err != nil:
		return r, failed(ctx, fmt.Sprintf("queue.exec: %s: after %s", q.Name(), itemsText(r.Done+r.Failed)), err, r)
	case r.Failed > 0:
		err := failed(ctx, fmt.Sprintf("queue.exec: %d of %s failed, the first was", r.Failed, itemsText(r.Done+r.Failed)), first, r)
		if fault, ok := errors.AsType[*proto.Fault](err); ok {
			fault.Kind = proto.KindExitStatus
		}
		return r, err
	}
	fmt.Fprintln(out, c.line(r.PID, "ran %s for %s", in.Command[0], itemsText(r.Done)))
	return r, nil
}

func argument(item any) string {
	if s, ok := item.(string); ok {
		return s
	}
	return itemText(item)
}
