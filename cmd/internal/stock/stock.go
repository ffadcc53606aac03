// Package stock has the tasks that every job file can name without writing Go. The commands master and worker both serve them, so
// that a job means the same under either.
//
//	exec                                  run a command
//	print                                 lines, with pauses
//	sleep, tickets.buy                    for examples
//	lock.exec, semaphore.exec             run a command while a lock or a permit is held
//	queue.put, queue.get                  items in and out
//	queue.exec                            run a command for each item
//	queue.close, queue.join               no more items; wait until all are finished
//	event.set, event.clear, event.wait
//	barrier.wait
//	condition.wait                        wait until a value is large enough; value.add notifies
//	value.get, value.set, value.add       a number
//	array.get, array.set, array.add       several, under their lock
//	memory.read, memory.write
//
// Arguments are structs whose field names, in snake case, are the keys of "args" in a job file; keys that are not there are
// refused by the decoder.
package stock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// A call is what a task knows of the ticket that it runs for.
type call struct {
	id      string
	attempt int           // from 1
	grace   time.Duration // from the end of the context until the worker is killed; 0: not known
}

// A Duration is a time.Duration that is written "200ms". time.Duration itself would take the number 30 as well,
// and mean nanoseconds.
type Duration time.Duration

// UnmarshalText reads a duration that is not negative.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v < 0 {
		return errors.New(`expected a duration such as "30s" or "200ms"`) // the decoder says what was found
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes a duration as time.Duration prints it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// badArgs is an error of the job file, not of the task: trying again does not help.
func badArgs(format string, args ...any) error {
	return &proto.Fault{Kind: proto.KindArguments, Text: fmt.Sprintf(format, args...)}
}

// pause waits for d, or until ctx ends: then it returns the cause.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
