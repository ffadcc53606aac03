package stock

import (
	"context"
	"os"

	"github.com/seed-185a7250/multiproc/supervisor"
)

// The tasks register themselves: a command serves them by importing this package.
var (
	_ = supervisor.NewTask("exec", func(ctx context.Context, in ExecArgs) (ExecResult, error) {
		return run(ctx, callOf(ctx), in, os.Stdout, os.Stderr)
	})
	_ = supervisor.NewTask("sleep", sleep)
	_ = supervisor.NewTask("tickets.buy", func(ctx context.Context, in BuyArgs) (BuyResult, error) {
		return buy(ctx, callOf(ctx), in, os.Stdout)
	})
)

func callOf(ctx context.Context) call {
	t := supervisor.TicketFrom(ctx)
	return call{id: t.ID, attempt: t.Attempt, grace: t.Grace}
}
