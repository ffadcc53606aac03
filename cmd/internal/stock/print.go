package stock

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"
)

// PrintArgs are the arguments of the task print.
type PrintArgs struct {
	Lines   []string // printed one after the other, after the name of the ticket and the pid
	Times   int      // all of them so often; 0: once
	Endless bool     // … or until it is told to end
	Every   Duration // between two lines; 0: none
	After   any      // as for queue.put
	Then    any      //
}

// A PrintResult counts the lines.
type PrintResult struct {
	Lines int
	PID   int `msgpack:"pid"`
}

// printLines stands in for work that can be seen.
func printLines(ctx context.Context, c call, in PrintArgs, out io.Writer) (PrintResult, error) {
	r := PrintResult{PID: os.Getpid()}
	if err := in.check(); err != nil {
		return r, err
	}
	if err := after(ctx, "print", in.After); err != nil {
		return r, err
	}
	for in.Endless || r.Lines < max(in.Times, 1)*len(in.Lines) {
		if r.Lines > 0 {
			if err := pause(ctx, time.Duration(in.Every)); err != nil {
				return r, failed(ctx, "print", err, r)
			}
		}
		fmt.Fprintln(out, c.line(r.PID, "%s", in.Lines[r.Lines%len(in.Lines)]))
		r.Lines++
	}
	return r, then(ctx, "print", in.Then)
}

func (in PrintArgs) check() error {
	switch {
	case len(in.Lines) == 0:
		return badArgs(`print: no "lines"; expected a list such as ["one", "two"]`)
	case in.Times < 0:
		return badArgs("print: times: found %d; expected 1 or more", in.Times)
	case in.Endless && in.Times > 0:
		return badArgs(`print: "endless" and "times" exclude each other`)
	}
	return nil
}
