package ipc

import (
	"math"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// intArg reads an argument that must be an integer.
func intArg(r proto.Raw) (int, error) {
	n, err := proto.ParseInt(r)
	switch {
	case err == nil:
		return int(n), nil
	case proto.TypeName(r) == "an integer":
		return 0, faultf(proto.KindValueError, "expected an integer from %d to %d, found one beyond", math.MinInt, math.MaxInt)
	}
	return 0, faultf(proto.KindTypeError, "expected an integer, found %s", proto.TypeName(r))
}

// boolArg reads an argument that must be a bool.
func boolArg(r proto.Raw) (bool, error) {
	v, err := proto.ParseBool(r)
	if err != nil {
		return false, faultf(proto.KindTypeError, "expected a bool, found %s", proto.TypeName(r))
	}
	return v, nil
}

// limitArg reads an argument that must be a time limit in milliseconds.
func limitArg(r proto.Raw) (time.Duration, error) {
	ms, err := intArg(r)
	if err == nil && ms < 0 {
		err = faultf(proto.KindValueError, "a time limit of %d ms", ms)
	}
	if ms > int(proto.Forever/time.Millisecond) {
		return proto.Forever, err
	}
	return time.Duration(ms) * time.Millisecond, err
}

// createArgs checks the number of the args of create. The last one, at index most-1, may be
// options: f is called for each that is there.
func (c *call) createArgs(least, most int, f func(name string, v proto.Raw) error) error {
	if err := c.number(least, most); err != nil {
		return err
	}
	if len(c.args) < most || f == nil {
		return nil
	}
	options := c.args[most-1]
	if !proto.IsMap(options) {
		return faultf(proto.KindTypeError, "expected a map of options, found %s", proto.TypeName(options))
	}
	return proto.ParseOptions(options, f)
}

// handoffArgs is createArgs for a kind that has the option handoff alone.
func (c *call) handoffArgs(most int) (on bool, err error) {
	err = c.createArgs(0, most, func(name string, v proto.Raw) (err error) {
		if name == "handoff" {
			on, err = boolArg(v)
		}
		return err
	})
	return on, err
}
