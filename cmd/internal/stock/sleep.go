package stock

import (
	"context"
	"time"
)

// SleepArgs are the arguments of the task sleep.
type SleepArgs struct {
	For Duration // required
}

// sleep waits. It stands in for work in examples and tests.
func sleep(ctx context.Context, in SleepArgs) (struct{}, error) {
	if in.For == 0 {
		return struct{}{}, badArgs(`sleep: no "for"; expected a duration such as "200ms"`)
	}
	return struct{}{}, pause(ctx, time.Duration(in.For))
}
