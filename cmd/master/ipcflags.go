package main

import (
	"errors"
	"flag"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// IPCOptions are the flags of `master ipc`, checked.
type IPCOptions struct {
	Socket string
	Access Access
	Help   bool // print usage and do nothing

	Raw, Text, JSONKeys bool
	Create              bool
	Wait                time.Duration // proto.Forever where nothing is said
	Default, Start      *string       // as given
	Size                *string       // of what is created: permits, parties, items
	Many                uint64        // items at most
	All, Now, Reverse   bool
	JSON, Existing      bool
	Kind, Prefix        string
	Conflict            int // exit status where a lock was not got
}

// ipcFlags are those that only some commands take.
var ipcFlags = map[string]func(o *IPCOptions, r *flagReader){
	"timeout": func(o *IPCOptions, r *flagReader) { r.add("timeout", wantsDuration, o.setWait) },
	"n": func(o *IPCOptions, r *flagReader) {
		r.set.BoolFunc("n", "", func(string) error { o.Wait = 0; return nil })
	},
	"E": func(o *IPCOptions, r *flagReader) {
		r.add("E", "an exit status from 0 to 255", func(s string) error {
			n, err := strconv.ParseUint(s, 10, 8)
			o.Conflict = int(n)
			return err
		})
	},
	"create":   func(o *IPCOptions, r *flagReader) { r.set.BoolVar(&o.Create, "create", false, "") },
	"value":    func(o *IPCOptions, r *flagReader) { r.add("value", "a whole number", o.setSize) },
	"parties":  func(o *IPCOptions, r *flagReader) { r.add("parties", "a whole number", o.setSize) },
	"maxsize":  func(o *IPCOptions, r *flagReader) { r.add("maxsize", "a whole number", o.setSize) },
	"existing": func(o *IPCOptions, r *flagReader) { r.set.BoolVar(&o.Existing, "existing", false, "") },
	"json":     func(o *IPCOptions, r *flagReader) { r.set.BoolVar(&o.JSON, "json", false, "") },
	"kind":     func(o *IPCOptions, r *flagReader) { r.text("kind", "a kind of object", &o.Kind) },
	"prefix":   func(o *IPCOptions, r *flagReader) { r.text("prefix", "what names begin with", &o.Prefix) },
	"default":  func(o *IPCOptions, r *flagReader) { r.optional("default", &o.Default) },
	"start":    func(o *IPCOptions, r *flagReader) { r.optional("start", &o.Start) },
	"initial": func(o *IPCOptions, r *flagReader) { // the object itself may be missing
		r.add("start", "a value", func(s string) error { o.Start, o.Create = &s, true; return nil })
	},
	"reverse": func(o *IPCOptions, r *flagReader) { r.set.BoolVar(&o.Reverse, "reverse", false, "") },
	"now":     func(o *IPCOptions, r *flagReader) { r.set.BoolVar(&o.Now, "now", false, "") },
	"all":     func(o *IPCOptions, r *flagReader) { r.set.BoolVar(&o.All, "all", false, "") },
	"many": func(o *IPCOptions, r *flagReader) {
		r.add("n", "a whole number from 1 on", func(s string) (err error) {
			if o.Many, err = strconv.ParseUint(s, 10, 31); err == nil && o.Many == 0 {
				err = errors.New("none")
			}
			return err
		})
	},
}

func (o *IPCOptions) setWait(s string) (err error) {
	if o.Wait, err = time.ParseDuration(s); err == nil && o.Wait < 0 {
		err = errors.New("negative")
	}
	return err
}

// setSize says how large what is created shall be, and so that it may be.
func (o *IPCOptions) setSize(s string) error {
	_, err := strconv.ParseUint(s, 10, 63)
	o.Size, o.Create = &s, true
	return err
}

func (r *flagReader) text(name, wants string, into *string) {
	r.add(name, wants, func(s string) error { *into = s; return nil })
}

func (r *flagReader) optional(name string, into **string) {
	r.add(name, "a value", func(s string) error { *into = &s; return nil })
}

// newIPCFlags declares the flags of a command; without one those that may stand before it.
func newIPCFlags(o *IPCOptions, op *ipcOp, ofKind bool) *flagReader {
	r := &flagReader{set: flag.NewFlagSet("master ipc", flag.ContinueOnError), wants: map[string]string{}}
	r.set.SetOutput(io.Discard)
	r.text("socket", "an address", &o.Socket)
	o.Access.declare(r)
	for name, into := range map[string]*bool{"r": &o.Raw, "s": &o.Text, "k": &o.JSONKeys} {
		r.set.BoolVar(into, name, *into, "")
	}
	if op == nil {
		return r
	}
	flags := strings.Fields(op.flags)
	if ofKind && !slices.Contains(flags, "create") {
		flags = append(flags, "create")
	}
	for _, name := range flags {
		ipcFlags[name](o, r)
	}
	return r
}

// An ipcCall is what the command line says: an operation and its arguments.
type ipcCall struct {
	IPCOptions
	kind  string // of the operation; "" for a command
	op    *ipcOp
	words []string
	args  []argument // of words, and of flags that stand for arguments
	begin *value     // of what is created: -start
}

// parseIPC reads what follows `master ipc`. Every error is a *UsageError, but for those of stdin.
func parseIPC(args []string, stdin func() (string, error)) (*ipcCall, error) {
	c := &ipcCall{IPCOptions: IPCOptions{Wait: proto.Forever, Conflict: exitNegative}}
	args, err := c.find(args)
	if err != nil || c.Help {
		return c, err
	}
	r := newIPCFlags(&c.IPCOptions, c.op, c.kind != "")
	if err := c.sift(r, args); err != nil || c.Help {
		return c, err
	}
	if err := c.Access.check(); err != nil {
		return c, err
	}
	return c, c.bind(stdin)
}

// find reads the flags before the command, and which command it is.
func (c *ipcCall) find(args []string) ([]string, error) {
	r := newIPCFlags(&c.IPCOptions, nil, false)
	if err := r.set.Parse(args); errors.Is(err, flag.ErrHelp) {
		c.Help = true
		return nil, nil
	} else if err != nil {
		return nil, r.explain(err)
	}
	if args = r.set.Args(); len(args) == 0 {
		return nil, usageError("no command after ipc (ipc -h shows them)")
	}
	word, args := args[0], args[1:]
	ops := ipcKinds[word]
	if ops == nil || word == "list" && (len(args) == 0 || isFlag(args[0])) {
		if c.op = findOp(ipcCommands, word); c.op == nil {
			return nil, usageError("unknown command %q after ipc%s (ipc -h shows them)", word, didYouMean(word, ipcNames()))
		}
		return args, nil
	}
	c.kind = word
	if len(args) == 0 || isFlag(args[0]) {
		if len(args) > 0 && slices.Contains([]string{"-h", "-help", "--help"}, args[0]) {
			c.Help = true
			return nil, nil
		}
		return nil, usageError("ipc %s: no operation; expected %s", word, oneOf(opNames(ops)))
	}
	if c.op = findOp(ops, args[0]); c.op == nil {
		return nil, usageError("ipc %s: unknown operation %q; expected %s%s", word, args[0], oneOf(opNames(ops)), didYouMean(args[0], opNames(ops)))
	}
	return args[1:], nil
}

// isFlag tells a flag from an argument, which may be negative or the name of standard input.
func isFlag(s string) bool {
	return len(s) > 1 && s[0] == '-' && !strings.ContainsRune("0123456789.", rune(s[1]))
}

// sift takes the flags out from between the arguments. They end with "--"; and where a command follows, with its name.
func (c *ipcCall) sift(r *flagReader, args []string) error {
	rest := slices.ContainsFunc(c.op.parameters(), func(p param) bool { return p.shape == restShape })
	for len(args) > 0 {
		switch {
		case args[0] == "--", rest && len(c.words) > 0 && !isFlag(args[0]):
			if args[0] == "--" {
				args = args[1:]
			}
			c.words = append(c.words, args...)
			return nil
		case !isFlag(args[0]):
			c.words, args = append(c.words, args[0]), args[1:]
		default:
			n := r.length(args)
			err := r.set.Parse(args[:n])
			if errors.Is(err, flag.ErrHelp) {
				c.Help = true
				return nil
			} else if err != nil {
				return r.explain(err)
			}
			args = args[n:]
		}
	}
	return nil
}

// length is how many arguments the flag at the front takes, itself included.
func (r *flagReader) length(args []string) int {
	f := r.set.Lookup(strings.TrimLeft(args[0], "-"))
	if f == nil || len(args) == 1 {
		return 1 // unknown, or with its value behind "=", or without one
	}
	if b, ok := f.Value.(interface{ IsBoolFlag() bool }); ok && b.IsBoolFlag() {
		return 1
	}
	return 2
}

// accepts tells whether the command takes a flag.
func (c *ipcCall) accepts(flag string) bool {
	return newIPCFlags(new(IPCOptions), c.op, c.kind != "").set.Lookup(flag) != nil
}
