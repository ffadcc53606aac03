package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/seed-185a7250/multiproc/ipc"
)

// ManagerOptions are what the command line of `master manager` says, checked.
type ManagerOptions struct {
	Listen         []string // addresses, at least one
	Limits         ipc.ManagerLimits
	Persist        string // a directory; empty: nothing is kept
	UntilEOF       bool   // end with standard input
	RefuseShutdown bool
	Access         Access
	LogLevel       hclog.Level
	Help           bool // print usage and do nothing
}

var managerUsage = `master manager serves dicts, lists, locks, queues … that any number of processes, in any language, share by reference.

    master manager -listen /run/user/1000/app/manager.sock

It prints "listening on ADDRESS" for each address when clients can connect, and serves until it is told to end: by SIGINT, SIGTERM
or SIGHUP, or by a client. Then its objects are gone, unless they persist. proto/PROTOCOL.md says how clients talk to it.

Flags:
    -listen PATH        a Unix socket; other users cannot connect. It must lie in a directory (or below one) that only you may enter,
                        which is made if it is missing. A socket that nobody listens on any more is replaced. May be given several times
    -listen tcp:HOST:PORT
                        TCP; port 0 is any that is free. It needs a key, which does not hide what is sent, or TLS
` + accessUsage + `    -limit NAME=NUMBER  a limit of each connection: frame (bytes, default 67174400), pending (calls that wait, 16384), objects (65536),
                        memory (bytes of stored values, 1073741824), unread (bytes of answers, 67108864); or of the manager:
                        connections (4096). NUMBER may end with K, M or G. May be given several times
    -persist DIR        a directory, made if it is missing, in which what is kept outlives the manager, however that ends: every change
                        that a client was told of is there when a manager is started with it again. One manager at a time has it
    -refuse-shutdown    clients may not end it
    -until-eof          end when standard input does, that is, when whoever started it with a pipe is gone, however that ended
    -log-level LEVEL    trace, debug, info, warn, error or off, written to standard error; default warn
    -h                  print this

Exit status: 0 told to end, 1 failed, 2 bad usage, or it cannot listen.
`

// limitFields are the limits by the names of the protocol.
func limitFields(l *ipc.ManagerLimits) map[string]*int {
	return map[string]*int{
		"frame": &l.Frame, "pending": &l.Pending, "objects": &l.Objects, "memory": &l.Memory, "unread": &l.Unread,
		"connections": &l.Connections,
	}
}

func newManagerFlags(o *ManagerOptions, level *string) *flagReader {
	r := &flagReader{set: flag.NewFlagSet("master manager", flag.ContinueOnError), wants: map[string]string{}}
	r.set.SetOutput(io.Discard)
	r.add("listen", "an address", func(s string) error { return o.addListen(s) })
	r.add("limit", "NAME=NUMBER", func(s string) error { return o.setLimit(s) })
	r.add("log-level", "a level", func(s string) error { *level = s; return nil })
	o.Access.declare(r)
	r.add("persist", "DIR", func(s string) error { o.Persist = s; return nil })
	r.set.BoolVar(&o.UntilEOF, "until-eof", false, "")
	r.set.BoolVar(&o.RefuseShutdown, "refuse-shutdown", false, "")
	return r
}

// parseManagerFlags reads what follows `master manager`. Every error is a *UsageError.
func parseManagerFlags(args []string) (ManagerOptions, error) {
	var o ManagerOptions
	level := "warn"
	r := newManagerFlags(&o, &level)
	err := r.set.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return ManagerOptions{Help: true}, nil
	case err != nil:
		return o, r.explain(err)
	case r.set.NArg() > 0 && len(o.Listen) == 0:
		return o, usageError("master manager takes no arguments: found %q; did you mean -listen %s?", r.set.Arg(0), r.set.Arg(0))
	case r.set.NArg() > 0:
		return o, usageError("master manager takes no arguments: found %q", r.set.Arg(0))
	case len(o.Listen) == 0:
		return o, usageError("no address: expected -listen PATH (-h shows more)")
	}
	if o.LogLevel, err = parseLevel(level); err == nil {
		err = o.Access.check()
	}
	for _, address := range o.Listen {
		if err == nil && strings.HasPrefix(address, tcp) && !o.Access.hasKey() && !o.Access.hasTLS() {
			err = usageError("-listen %s: over TCP there must be a key (-key-file or -key-fd), or TLS (-tls-cert, -tls-key and -tls-ca)", address)
		}
	}
	return o, err
}

// tcp is what addresses of TCP begin with.
const tcp = "tcp:"

func (o *ManagerOptions) addListen(address string) error {
	if address == "" {
		return errors.New("empty")
	}
	o.Listen = append(o.Listen, address)
	return nil
}

// setLimit sets one limit. What is a *UsageError is said as it is.
func (o *ManagerOptions) setLimit(s string) error {
	name, number, ok := strings.Cut(s, "=")
	if !ok {
		return errors.New("no =")
	}
	fields := limitFields(&o.Limits)
	field := fields[name]
	if field == nil {
		names := slices.Sorted(maps.Keys(fields))
		return usageError("-limit: unknown limit %q; expected %s%s", name, oneOf(names), didYouMean(name, names))
	}
	n, err := parseCount(number)
	if err != nil {
		return usageError("-limit %s: found %q; expected a whole number from 1 on, such as 500, 64K, 16M or 1G", name, number)
	}
	*field = n
	return nil
}

// parseCount reads a positive number, in units of 2^10, 2^20 or 2^30 if it ends with K, M or G.
func parseCount(s string) (int, error) {
	unit := 1
	if i := len(s) - 1; i > 0 {
		if shift := strings.IndexByte("KMG", s[i]); shift >= 0 {
			s, unit = s[:i], 1<<(10*(shift+1))
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err == nil && (n < 1 || n > 1<<50/int64(unit)) {
		err = fmt.Errorf("%d is out of range", n)
	}
	return int(n) * unit, err
}
