package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
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
	if o.UntilEOF {
		ctx = untilEOF(ctx, os.Stdin)
	}
	m, doors, err := openManager(o, stderr)
	if err != nil {
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

// openManager makes a manager that listens, and does not serve yet.
func openManager(o ManagerOptions, stderr io.Writer) (*ipc.Manager, []door, error) {
	key, err := o.Access.key()
	if err != nil {
		return nil, nil, err
	}
	config, err := o.Access.config()
	if err != nil {
		return nil, nil, err
	}
	m, err := ipc.NewManager(ipc.ManagerOptions{
		Key: key, Limits: o.Limits, Persist: o.Persist, RefuseShutdown: o.RefuseShutdown,
		Logger: hclog.New(&hclog.LoggerOptions{Name: "manager", Level: o.LogLevel, Output: stderr, DisableTime: true}),
	})
	if err != nil {
		return nil, nil, err
	}
	doors, err := openDoors(o.Listen, config)
	if err != nil {
		m.Close()
		return nil, nil, err
	}
	return m, doors, nil
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

// untilEOF returns a context that ends when r does, which is read from then on.
func untilEOF(ctx context.Context, r io.Reader) context.Context {
	ctx, end := context.WithCancel(ctx)
	go func() {
		defer end()
		io.Copy(io.Discard, r)
	}()
	return ctx
}

// A door is where a manager listens.
type door struct {
	address string
	serve   func(ctx context.Context, m *ipc.Manager) error
	close   func() error
}

// openDoors listens on all addresses, or on none. The config is nil without TLS.
func openDoors(addresses []string, config *tls.Config) ([]door, error) {
	var doors []door
	for _, address := range addresses {
		open := openPath
		if strings.HasPrefix(address, tcp) {
			open = func(address string) (door, error) { return openTCP(address, config) }
		}
		d, err := open(address)
		if err != nil {
			closeDoors(doors)
			return nil, err
		}
		doors = append(doors, d)
	}
	return doors, nil
}

func openPath(path string) (door, error) {
	l, err := ipc.ListenPrivate(path, ipc.ConnOptions{})
	if err != nil {
		return door{}, err
	}
	serve := func(ctx context.Context, m *ipc.Manager) error { return m.Serve(ctx, l) }
	return door{address: path, serve: serve, close: l.Close}, nil
}

func openTCP(address string, config *tls.Config) (door, error) {
	at, err := net.Listen("tcp", strings.TrimPrefix(address, tcp))
	if err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok {
			err = op.Err
		}
		return door{}, fmt.Errorf("listen on %s: %w", address, err)
	}
	l := at.(*net.TCPListener)
	serve := func(ctx context.Context, m *ipc.Manager) error { return m.ServeTCP(ctx, l, config) }
	return door{address: tcp + l.Addr().String(), serve: serve, close: l.Close}, nil
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
