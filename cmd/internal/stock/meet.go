package stock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/seed-185a7250/multiproc/ipc"
)

// EventArgs are the arguments of the tasks event.set, event.clear and event.wait.
type EventArgs struct{ Event any }

// BarrierArgs are the arguments of the task barrier.wait.
type BarrierArgs struct{ Barrier any }

// A BarrierResult tells a party which one it was.
type BarrierResult struct {
	Place   int // one that no other has, from 0
	Parties int
	PID     int `msgpack:"pid"`
}

// An EventResult is what an event task leaves behind.
type EventResult struct {
	PID int `msgpack:"pid"`
}

// eventTask makes a task of something to do with an event; done says what it was, in the past.
func eventTask(name, done string, do func(context.Context, *ipc.Event) error) func(context.Context, call, EventArgs, io.Writer) (EventResult, error) {
	return func(ctx context.Context, c call, in EventArgs, out io.Writer) (EventResult, error) {
		e, err := need[*ipc.Event](name, "event", in.Event)
		if err != nil {
			return EventResult{}, err
		}
		if err := do(ctx, e); err != nil {
			return EventResult{}, fmt.Errorf("%s: %s: %w", name, e.Name(), err)
		}
		fmt.Fprintln(out, c.line(os.Getpid(), "%s %s", done, e.Name()))
		return EventResult{PID: os.Getpid()}, nil
	}
}

func setEvent(_ context.Context, e *ipc.Event) error    { return e.Set() }
func clearEvent(_ context.Context, e *ipc.Event) error  { return e.Clear() }
func waitEvent(ctx context.Context, e *ipc.Event) error { return e.Wait(ctx) }

// barrierWait waits for the other parties.
func barrierWait(ctx context.Context, c call, in BarrierArgs, out io.Writer) (BarrierResult, error) {
	b, err := need[*ipc.Barrier]("barrier.wait", "barrier", in.Barrier)
	if err != nil {
		return BarrierResult{}, err
	}
	place, err := pass(ctx, "barrier.wait", b)
	if err != nil {
		return BarrierResult{}, err
	}
	fmt.Fprintln(out, c.line(os.Getpid(), "passed %s, place %d of %d", b.Name(), place+1, b.Parties()))
	return BarrierResult{Place: place, Parties: b.Parties(), PID: os.Getpid()}, nil
}

func pass(ctx context.Context, task string, b *ipc.Barrier) (place int, err error) {
	place, err = b.Wait(ctx)
	switch {
	case err == nil:
		return place, nil
	case errors.Is(err, ipc.ErrBarrier):
		return 0, fmt.Errorf("%s: %s: %w: another party died, gave up or was told to end", task, b.Name(), err)
	}
	return 0, fmt.Errorf("%s: %s: not all %d parties came: %w", task, b.Name(), b.Parties(), err)
}

// after waits for what stands as "after" in the arguments of a task: an event that is set, or a barrier with all its parties.
func after(ctx context.Context, task string, v any) error { return await(ctx, task, "after", v) }

// await is after for what stands under another key.
func await(ctx context.Context, task, key string, v any) error {
	switch m := v.(type) {
	case nil:
		return nil
	case *ipc.Event:
		if err := m.Wait(ctx); err != nil {
			return fmt.Errorf("%s: %s: %s: %w", task, key, m.Name(), err)
		}
		return nil
	case *ipc.Barrier:
		_, err := pass(ctx, task+": "+key, m)
		return err
	}
	return badArgs(`%s: %s: found %s; expected an event or a barrier`, task, key, kindOf(v))
}

// then does what stands as "then": it sets an event, or comes to a barrier.
func then(ctx context.Context, task string, v any) error {
	switch m := v.(type) {
	case nil:
		return nil
	case *ipc.Event:
		return m.Set()
	case *ipc.Barrier:
		_, err := pass(ctx, task+": then", m)
		return err
	}
	return badArgs(`%s: then: found %s; expected an event or a barrier`, task, kindOf(v))
}
