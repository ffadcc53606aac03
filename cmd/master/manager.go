package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/hashicorp/go-hclog"

	"github.com/seed-185a7250/multiproc/ipc"
)

// manage is the command `master manager`.
func manage(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseManagerFlags(args)
	if err != nil {
		return complain(stderr, err)
	}
	if o.Help {
		io.WriteString(stdout, managerUsage)
		return exitOK
	}
	ctx, stop := untilTold(ctx)
	defer stop()
	m, err := ipc.NewManager(ipc.ManagerOptions{
		Limits: o.Limits, RefuseShutdown: o.RefuseShutdown,
		Logger: hclog.New(&hclog.LoggerOptions{Name: "manager", Level: o.LogLevel, Output: stderr, DisableTime: true}),
	})
	if err != nil {
		return complain(stderr, err)
	}
	doors, err := openDoors(o)
	if err != nil {
		m.Close()
		return complain(stderr, err)
	}
	for _, d := range doors {
		fmt.Fprintln(stdout, "listening on", d.address)
	}
	if err := serveManager(ctx, m, doors); err != nil {
		complain(stderr, err)
		return exitFailed
	}
	return exitOK
}

// untilTold returns a context that ends with the first signal to end. What was ignored when the program started stays so, as
// SIGHUP under nohup. A write to a pipe without a reader is an error and not the end: who reads the addresses may then go.
func untilTold(ctx context.Context) (context.Context, func()) {
	var signals []os.Signal
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signals = append(signals, s)
		}
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	if len(signals) == 0 { // NotifyContext takes none for all
		return context.WithCancel(ctx)
	}
	return signal.NotifyContext(ctx, signals...)
}

// A door is where a manager listens.
type door struct {
	address string
	serve   func(ctx context.Context, m *ipc.Manager) error
	close   func() error
}

// openDoors listens on all addresses, or on none.
func openDoors(o ManagerOptions) ([]door, error) {
	var doors []door
	for _, address := range o.Listen {
		d, err := openDoor(address)
		if err != nil {
			closeDoors(doors)
			return nil, err
		}
		doors = append(doors, d)
	}
	return doors, nil
}

func openDoor(path string) (door, error) {
	l, err := ipc.ListenPrivate(path, ipc.ConnOptions{})
	if err != nil {
		return door{}, err
	}
	serve := func(ctx context.Context, m *ipc.Manager) error { return m.Serve(ctx, l) }
	return door{address: path, serve: serve, close: l.Close}, nil
}

func closeDoors(doors []door) error {
	var errs []error
	for _, d := range doors {
		errs = append(errs, d.close())
	}
	return errors.Join(errs...)
}

// serveManager serves until ctx ends, or a client calls shutdown, or a door fails; then all doors and connections are closed.
func serveManager(ctx context.Context, m *ipc.Manager, doors []door) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	var serving sync.WaitGroup
	failures := make(chan error, len(doors))
	for _, d := range doors {
		serving.Go(func() {
			defer end()
			failures <- d.serve(ctx, m)
		})
	}
	select {
	case <-ctx.Done():
	case <-m.ShutDown():
	}
	err := closeDoors(doors)
	serving.Wait()
	close(failures)
	for e := range failures {
		err = errors.Join(err, e)
	}
	return errors.Join(err, m.Close())
}
