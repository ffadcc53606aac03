package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// Exit statuses of master ipc. Interrupted by signal n it is 128 + n.
const (
	exitNegative   = 1 // no such key, nothing there, time over, not acquired, false
	exitNoManager  = 3 // it cannot be reached, or is gone
	exitNoObject   = 4 // there is none of this name, or one of another kind
	exitRefused    = 5 // the manager will not do that, or the result could not be written
	exitCannotRun  = 126
	exitNoProgram  = 127
	exitSignalBase = 128
)

// socketEnv tells where the manager is.
const socketEnv = "MULTIPROC_SOCKET"

// reachTime is how long a manager may take to greet, and to answer when the time of a call is over; a variable for the test.
var reachTime = 10 * time.Second

// An ipcShell is one run of `master ipc`.
type ipcShell struct {
	call           *ipcCall
	ctx            context.Context // ends with the first signal
	signals        *endSignals
	client         *ipc.Client
	stdin          io.Reader
	stdout, stderr io.Writer
}

// ipcMain is the command `master ipc`.
func ipcMain(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	s := &ipcShell{stdin: stdin, stdout: stdout, stderr: stderr}
	s.ctx, s.signals = listenForEnd(ctx)
	defer s.signals.stop()
	var err error
	if s.call, err = parseIPC(args, s.wholeStdin); err == nil {
		if s.call.Help {
			printIPCUsage(stdout)
			return exitOK
		}
		if err = s.connect(); err == nil {
			defer s.client.Close()
			err = s.run()
		}
	}
	return s.status(err)
}

// connect connects to the manager.
func (s *ipcShell) connect() error {
	o := &s.call.IPCOptions
	if o.Socket == "" {
		if o.Socket = os.Getenv(socketEnv); o.Socket == "" {
			return usageError("%s: where is the manager? Expected -socket PATH, or its path in the environment variable %s", s.call.name(), socketEnv)
		}
	}
	key, err := o.Access.key()
	if err != nil {
		return err
	}
	config, err := o.Access.config()
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(s.ctx, reachTime)
	defer stop()
	s.client, err = ipc.Connect(ctx, o.Socket, ipc.ConnectOptions{Key: key, TLS: config, Patience: reachTime / 2})
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return ending{exitNoManager, fmt.Sprintf("the manager at %s has not answered within %v", o.Socket, reachTime)}
	case err != nil && s.ctx.Err() == nil:
		return ending{exitNoManager, fmt.Sprintf("cannot reach a manager: %v", spoken(err))}
	}
	return err
}

func (s *ipcShell) run() error {
	if err := s.makeObject(); err != nil {
		return err
	}
	if run := s.call.op.run; run != nil {
		return run(s)
	}
	args, err := s.encodeArgs(nil, s.call.args)
	if err != nil {
		return err
	}
	p, err := s.ask(s.call.op.wire(), args)
	if err != nil {
		return err
	}
	return s.show(s.call.op.show, p.Bytes)
}

// ask calls an operation of the object that the command is about. The lease on what is in the result ends with the connection.
//
// The manager looks after the time; should it not answer at all, the command does not hang either.
func (s *ipcShell) ask(op string, args proto.Raw) (proto.Payload, error) {
	ctx, stop := s.ctx, func() {}
	if wait := s.call.Wait; wait < proto.Forever-reachTime {
		ctx, stop = context.WithTimeout(s.ctx, wait+reachTime)
	}
	defer stop()
	p, err := s.client.CallRaw(ctx, s.object(), op, args, ipc.CallOptions{Wait: s.call.Wait})
	ipc.CloseFDs(p.FDs)
	if err != nil && ctx.Err() != nil && s.ctx.Err() == nil {
		err = ending{exitNoManager, "the manager does not answer"}
	}
	return p, err
}

// object is what the command is about; its name was checked.
func (s *ipcShell) object() ipc.Target {
	t, _ := s.call.target(s.call.words[0])
	return t
}

// makeObject creates the object that the command is about, if it is to and there is none.
func (s *ipcShell) makeObject() error {
	if !s.call.Create {
		return nil
	}
	kind, args := s.creation()
	_, err := s.client.Create(s.ctx, kind, args, ipc.ManagedOptions{Name: s.call.words[0], Keep: true, Existing: true})
	return err
}

// creation is what -create creates.
func (s *ipcShell) creation() (kind string, args proto.Raw) {
	kind = s.call.kind
	switch s.call.op.name {
	case "lock":
		kind = "lock"
	case "sem":
		kind = "semaphore"
	}
	switch {
	case s.call.Size != nil:
		v, _ := readValue("", *s.call.Size) // a number
		args, _ = v.encode(proto.AppendArrayHeader(nil, 1), s.refer)
	case s.call.begin != nil:
		args, _ = s.call.begin.encode(proto.AppendNil(proto.AppendArrayHeader(nil, 2)), s.refer)
	}
	return kind, args
}

// wholeStdin is a value that is given as "-".
func (s *ipcShell) wholeStdin() (string, error) {
	type result struct {
		text []byte
		err  error
	}
	read := make(chan result, 1)
	go func() { // until the end of the program, should it be told to end before
		text, err := io.ReadAll(s.stdin)
		read <- result{text, err}
	}()
	select {
	case r := <-read:
		return string(r.text), r.err
	case <-s.ctx.Done():
		return "", s.ctx.Err()
	}
}

// An ending ends the command with a status, and a line on standard error unless text is empty.
type ending struct {
	status int
	text   string
}

func (e ending) Error() string { return e.text }

// negative is a negative answer of which nothing need be said.
var negative = ending{exitNegative, ""}

// status says what err means, in one line, and returns the exit status for it.
func (s *ipcShell) status(err error) int {
	if err == nil {
		return exitOK
	}
	after := ""
	if part, ok := errors.AsType[partError](err); ok {
		after = fmt.Sprintf("; %d went in before", part.done)
		err = part.error
	}
	status, text := s.verdict(err)
	if text != "" {
		fmt.Fprintf(s.stderr, "master: %s%s\n", text, after)
	}
	return status
}

// verdict is the exit status for an error, and what is said about it.
func (s *ipcShell) verdict(err error) (status int, text string) {
	if end, ok := errors.AsType[ending](err); ok {
		return end.status, s.about(end.text)
	}
	if sig := s.signals.signal(); sig != 0 {
		return exitSignalBase + int(sig), ""
	}
	if _, ok := errors.AsType[*UsageError](err); ok {
		return exitUsage, err.Error()
	}
	if f, ok := errors.AsType[*proto.Fault](err); ok {
		return s.faultStatus(f), s.about(s.faultText(f))
	}
	if errors.Is(err, ipc.ErrGone) {
		return exitNoManager, s.about(spoken(err))
	}
	return exitRefused, s.about(spoken(err))
}

// about says of which command a text is.
func (s *ipcShell) about(text string) string {
	if text == "" || s.call == nil || s.call.op == nil {
		return text
	}
	return s.call.name() + ": " + text
}

var faultStatuses = map[string]int{
	proto.KindKeyError: exitNegative, proto.KindIndexError: exitNegative, proto.KindAttributeError: exitNegative,
	proto.KindEmpty: exitNegative, proto.KindFull: exitNegative, proto.KindClosed: exitNegative,
	proto.KindTimeout: exitNegative, proto.KindBrokenBarrier: exitNegative,
	proto.KindArguments: exitUsage, proto.KindUnknownMethod: exitUsage, proto.KindUnknownKind: exitUsage,
	proto.KindUnknownObject: exitNoObject, proto.KindGone: exitNoObject, proto.KindExists: exitNoObject,
}

func (s *ipcShell) faultStatus(f *proto.Fault) int {
	if status, ok := faultStatuses[f.Kind]; ok {
		return status
	}
	if f.Kind == proto.KindValueError && s.call.op.none {
		return exitNegative
	}
	return exitRefused
}

// faultWords stand before the texts of faults that name no more than what is concerned; "" is nothing. Before all others stands the kind.
var faultWords = map[string]string{
	proto.KindKeyError: "no such key: ", proto.KindAttributeError: "no such name: ", proto.KindIndexError: "",
	proto.KindEmpty: "", proto.KindFull: "", proto.KindClosed: "", proto.KindTimeout: "", proto.KindBrokenBarrier: "",
	proto.KindUnknownObject: "", proto.KindGone: "", proto.KindExists: "",
	proto.KindArguments: "", proto.KindUnknownKind: "", proto.KindUnknownMethod: "",
}

func (s *ipcShell) faultText(f *proto.Fault) string {
	words, ok := faultWords[f.Kind]
	if !ok {
		words = strings.ReplaceAll(f.Kind, "_", " ") + ": "
	}
	text := words + firstLine(spoken(f))
	if f.Kind != proto.KindUnknownObject || len(s.call.words) == 0 || !strings.Contains(text, fmt.Sprintf("%q", s.call.words[0])) {
		return text
	}
	if kind, _ := s.creation(); kind != "" {
		text += fmt.Sprintf("; create it with: master ipc create %s %s", kind, s.call.words[0])
		if s.call.accepts("create") {
			text += ", or with -create"
		}
	}
	return text
}
