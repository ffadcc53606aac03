package stock

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
	"github.com/seed-185a7250/multiproc/supervisor"
)

// ExecArgs are the arguments of the task exec.
type ExecArgs struct {
	Command []string          // program and arguments, required; there is no shell unless it is named
	Env     map[string]string // added to the worker's environment
	Dir     string            // working directory; "": the master's
	Stdin   string            // what the command reads; "": /dev/null
	Stdout  any               // a shared file that the command writes to itself; nil: what it writes is shown and returned
	Quiet   bool              // do not show its output, only return it
}

// An ExecResult is what a command leaves behind. Of each stream the first MiB is kept.
//
// Output is a string, or bytes where it is not UTF-8.
type ExecResult struct {
	Exit          int   // exit status; −N when signal N killed it
	Stdout        any   // string or []byte
	Stderr        any   //
	StdoutDropped int64 `msgpack:",omitempty"` // bytes that came after the first MiB
	StderrDropped int64 `msgpack:",omitempty"`
	PID           int   // of the command
}

// A command that was told to end has this long where the ticket does not say.
const defaultExecGrace = 2 * time.Second

// run executes a command and waits for it. When ctx ends, the command's group gets SIGTERM, and SIGKILL when the grace is over. If
// this process dies, the kernel kills the command.
//
// A status other than 0 is an error of kind exit_status, whose value is the ExecResult all the same. Its output also goes, line
// by line, to out and errs, as it comes.
func run(ctx context.Context, c call, in ExecArgs, out, errs io.Writer) (ExecResult, error) {
	if err := in.check(); err != nil {
		return ExecResult{}, err
	}
	if in.Quiet {
		out, errs = io.Discard, io.Discard
	}
	var stdout, stderr supervisor.Capture
	spec := supervisor.Spec{
		Name:    filepath.Base(in.Command[0]),
		Path:    in.Command[0],
		Args:    in.Command,
		Env:     in.environment(),
		Dir:     in.Dir,
		Stdout:  supervisor.Output{Capture: &stdout, Lines: lineWriter(out)},
		Stderr:  supervisor.Output{Capture: &stderr, Lines: lineWriter(errs)},
		Command: true,
	}
	if in.Stdout != nil {
		file, err := need[*ipc.File]("exec", "stdout", in.Stdout)
		if err != nil {
			return ExecResult{}, err
		}
		spec.Stdout = supervisor.Output{File: file.File}
	}
	end, err := execute(ctx, spec, in.Stdin, cmp.Or(c.grace, defaultExecGrace))
	if err != nil {
		return ExecResult{}, err
	}
	result := ExecResult{
		Exit:          end.exit.Status(),
		Stdout:        textOrBytes(stdout.Bytes()),
		Stderr:        textOrBytes(stderr.Bytes()),
		StdoutDropped: stdout.Total() - int64(len(stdout.Bytes())),
		StderrDropped: stderr.Total() - int64(len(stderr.Bytes())),
		PID:           end.pid,
	}
	return result, end.verdict(spec.Name, result)
}

func (in ExecArgs) check() error {
	if len(in.Command) == 0 || in.Command[0] == "" {
		return badArgs(`exec: no "command"; expected a list such as ["echo", "hello"]`)
	}
	for key, value := range in.Env {
		if key == "" || strings.ContainsAny(key, "=\x00") || strings.Contains(value, "\x00") {
			return badArgs("exec: environment %q=%q; expected a name without = and no zero bytes", key, value)
		}
	}
	return nil
}

// environment is ours with the ticket's on top, in an order that does not change.
func (in ExecArgs) environment() []string {
	env := os.Environ()
	added := len(env)
	for key, value := range in.Env {
		env = append(env, key+"="+value)
	}
	slices.Sort(env[added:])
	return env
}

// An end is how an execution ended.
type end struct {
	pid  int
	exit supervisor.Exit
	told error // why the command was told to end, or nil
}

// execute runs a process from its start to the end of its output.
func execute(ctx context.Context, spec supervisor.Spec, input string, grace time.Duration) (end, error) {
	if err := context.Cause(ctx); err != nil {
		return end{}, err
	}
	finish, err := feed(&spec, input)
	if err != nil {
		return end{}, err
	}
	defer finish()
	p, err := supervisor.Start(spec)
	if err != nil {
		return end{}, err
	}
	defer p.Close()
	e := end{pid: p.PID()}
	select {
	case <-p.Done():
	case <-ctx.Done():
		e.told = context.Cause(ctx)
		if _, err := p.Stop(context.Background(), grace); err != nil {
			return e, err
		}
	}
	e.exit, err = p.Join(context.Background())
	return e, err
}

// feed gives a process its standard input through a pipe. finish ends the writing and waits for it: a process in a session of
// its own may hold the other end for ever.
func feed(spec *supervisor.Spec, input string) (finish func(), err error) {
	if input == "" {
		return func() {}, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("exec: pipe for standard input: %w", err)
	}
	spec.Stdin = r
	written := make(chan struct{})
	go func() {
		defer close(written)
		defer w.Close()
		io.WriteString(w, input) // a command need not read all of its input
	}()
	return func() {
		r.Close()
		w.Close() // a pipe is in the netpoller: this ends a write under way
		<-written
	}, nil
}

// verdict tells whether the command did what the ticket wanted. One that was told to end did not, whatever its status: its
// status may only say that it ended in good order.
func (e end) verdict(name string, result ExecResult) error {
	if e.told == nil && e.exit.Success() {
		return nil
	}
	payload, err := proto.Marshal(result)
	if err != nil {
		return err
	}
	fault := &proto.Fault{Kind: proto.KindExitStatus, Text: fmt.Sprintf("%s: %v", name, e.exit), Value: payload.Bytes}
	switch {
	case e.told == nil:
		return fault
	case errors.Is(e.told, context.DeadlineExceeded):
		fault.Kind = proto.KindTimeout
	default:
		fault.Kind = proto.KindCancelled
	}
	fault.Text = fmt.Sprintf("%s was told to end: %v", name, e.exit)
	return fmt.Errorf("%w: %w", fault, e.told)
}

// lineWriter writes each line with its newline at once. Pieces of a line too long for that are written as they come.
func lineWriter(w io.Writer) supervisor.LineFunc {
	return func(line []byte, final bool) {
		if final {
			line = append(bytes.Clone(line), '\n')
		}
		w.Write(line) // who watches may go away; the command goes on
	}
}

func textOrBytes(b []byte) any {
	if utf8.Valid(b) {
		return string(b)
	}
	return b
}
