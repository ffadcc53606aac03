// Worker serves the stock tasks to a master that starts it:
//
//	master -worker ./worker -job tickets.json
//
// It is what master does itself when no -worker is named, as a program of its own:
// smaller, and a pattern for workers with other tasks.
package main

import (
	"context"
	"fmt"
	"os"

	_ "github.com/seed-185a7250/multiproc/cmd/internal/stock"
	"github.com/seed-185a7250/multiproc/supervisor"
)

func main() {
	supervisor.Main(func(context.Context) error {
		fmt.Fprintln(os.Stderr, "worker: not started by a master; run: master -worker", os.Args[0], "-job FILE")
		return supervisor.ExitCode(100)
	})
}
