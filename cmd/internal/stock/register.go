package stock

import (
	"context"
	"io"
	"os"

	"github.com/seed-185a7250/multiproc/supervisor"
)

// The tasks register themselves: a command serves them by importing this package.
func init() {
	register("exec", showing(run))
	register("print", printLines)
	supervisor.NewTask("sleep", sleep)
	register("tickets.buy", buy)

	register("lock.exec", showing(lockExec))
	register("semaphore.exec", showing(semaphoreExec))
	register("event.set", eventTask("event.set", "set", setEvent))
	register("event.clear", eventTask("event.clear", "cleared", clearEvent))
	register("event.wait", eventTask("event.wait", "saw", waitEvent))
	register("barrier.wait", barrierWait)
	register("condition.wait", conditionWait)

	register("value.get", valueGet)
	register("value.set", valueSet)
	register("value.add", valueAdd)
	register("array.get", arrayGet)
	register("array.set", arraySet)
	register("array.add", arrayAdd)
	register("memory.read", memoryRead)
	register("memory.write", memoryWrite)

	register("queue.put", queuePut)
	register("queue.get", queueGet)
	register("queue.exec", showing(queueExec))
	register("queue.close", queueClose)
	register("queue.join", queueJoin)

	register("dict.set", dictSet)
	register("dict.add", dictAdd)
	register("dict.get", dictGet)
	register("list.append", listAppend)
	register("list.get", listGet)
}

// register makes a task of f, which prints what a person wants to read to out.
func register[A, R any](name string, f func(ctx context.Context, c call, in A, out io.Writer) (R, error)) {
	supervisor.NewTask(name, func(ctx context.Context, in A) (R, error) {
		return f(ctx, callOf(ctx), in, os.Stdout)
	})
}

// showing is for tasks that run commands, which have a second stream to show.
func showing[A, R any](f func(context.Context, call, A, io.Writer, io.Writer) (R, error)) func(context.Context, call, A, io.Writer) (R, error) {
	return func(ctx context.Context, c call, in A, out io.Writer) (R, error) {
		return f(ctx, c, in, out, os.Stderr)
	}
}

func callOf(ctx context.Context) call {
	t := supervisor.TicketFrom(ctx)
	return call{id: t.ID, attempt: t.Attempt, grace: t.Grace}
}
