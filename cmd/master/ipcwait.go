package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/seed-185a7250/multiproc/proto"
)

// put puts values into a queue, one after the other; "-" is standard input, with a value on each line.
func (s *ipcShell) put() error {
	if s.call.linesOfStdin() {
		return s.putLines()
	}
	for i, v := range s.call.args[0].values {
		err := s.ctx.Err()
		if err == nil {
			err = s.putOne(v)
		}
		if err != nil {
			return putFailed(err, i)
		}
	}
	return nil
}

func (s *ipcShell) putOne(v value) error {
	args, err := v.encode(proto.AppendArrayHeader(nil, 1), s.refer)
	if err == nil {
		_, err = s.ask("put", args)
	}
	return err
}

// A partError is why the next of several values did not go in.
type partError struct {
	error
	done int
}

func (e partError) Unwrap() error { return e.error }

// putFailed adds how many values went in before.
func putFailed(err error, n int) error {
	if n == 0 {
		return err
	}
	return partError{err, n}
}

func (s *ipcShell) putLines() error {
	lines := s.readLines()
	for n := 0; ; n++ {
		var l line
		select {
		case l = <-lines:
		case <-s.ctx.Done():
		}
		if s.ctx.Err() != nil {
			return s.ctx.Err()
		}
		if l.err == io.EOF {
			return nil
		}
		v, err := textValue(l.text), l.err
		if err == nil && !s.call.Text {
			v, err = readValue(fmt.Sprintf("%s: line %d", s.call.name(), n+1), l.text)
		}
		if err == nil {
			err = s.putOne(v)
		}
		if err != nil {
			return putFailed(err, n)
		}
	}
}

type line struct {
	text string
	err  error
}

// readLines reads standard input, one line ahead, until the end of the program; the last line needs no newline.
func (s *ipcShell) readLines() <-chan line {
	lines := make(chan line)
	go func() {
		r := bufio.NewReader(s.stdin)
		for {
			text, err := r.ReadString('\n')
			if err == io.EOF && text != "" {
				err = nil
			}
			lines <- line{strings.TrimSuffix(text, "\n"), err}
			if err != nil {
				return
			}
		}
	}()
	return lines
}

// get prints an item of a queue; with -n up to so many, what there is when the first has come; with -all all until it is closed.
func (s *ipcShell) get() error {
	for {
		if s.ctx.Err() != nil { // a call that has its answer at once would not notice
			return s.ctx.Err()
		}
		err := s.getSome()
		f, ok := errors.AsType[*proto.Fault](err)
		if s.call.All && ok && f.Kind == proto.KindClosed {
			return nil
		}
		if err != nil || !s.call.All {
			return err
		}
	}
}

func (s *ipcShell) getSome() error {
	if s.call.Many == 0 {
		p, err := s.ask("get", nil)
		if err != nil {
			return err
		}
		return s.print(p.Bytes)
	}
	p, err := s.ask("get_many", proto.AppendUint(proto.AppendArrayHeader(nil, 1), s.call.Many))
	if err != nil {
		return err
	}
	return s.printLines(p.Bytes)
}

// meet waits at a barrier, and prints the place. Of one with an action it says that it has run: there is none here.
func (s *ipcShell) meet() error {
	p, err := s.ask("wait", nil)
	if err != nil {
		return err
	}
	parts, err := proto.Elements(p.Bytes, nil)
	if err != nil || len(parts) != 2 {
		return fmt.Errorf("the answer of a barrier has %d parts, %w", len(parts), proto.ErrProtocol)
	}
	if run, _ := proto.ParseBool(parts[1]); run {
		if _, err := s.ask("done", nil); err != nil {
			return err
		}
	}
	return s.print(parts[0])
}

// condition waits for a notify, or notifies, with the lock of the condition for as long as it takes.
func (s *ipcShell) condition() error {
	if _, err := s.client.Call(s.ctx, s.object(), "acquire"); err != nil {
		return err
	}
	args, err := s.encodeArgs(nil, s.call.args)
	if err != nil {
		return err
	}
	p, err := s.ask(s.call.op.wire(), args)
	if e := s.letGo(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	if s.call.op.name != "wait" {
		return s.print(p.Bytes) // how many were woken
	}
	parts, err := proto.Elements(p.Bytes, nil)
	if err == nil && len(parts) > 0 {
		return s.show(showStatus, parts[0])
	}
	return err
}
