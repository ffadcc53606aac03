package supervisor

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// Both ends of the handshake, side by side so that they cannot drift apart:
//
//	worker                                master
//	  │  request 1: hello ─────────────────▶ │  version, tasks
//	  │ ◀──────────────── response: welcome  │  place, limits, the scoreboard page
//	  │  (initializer)                       │
//	  │  notify: ready ────────────────────▶ │
//
// The connection has a deadline on the master's side until ready has come.

const helloID = 1

// sayHello is the worker's part, up to the welcome.
func sayHello(c *ipc.Conn, h proto.Hello) (proto.Welcome, *ipc.Block, error) {
	b := proto.AppendRequest(nil, helloID, proto.MethodHello, proto.AppendHelloParams(nil, h))
	if err := c.WriteFrame(nil, b); err != nil {
		return proto.Welcome{}, nil, err
	}
	f, err := c.ReadFrame()
	if err != nil {
		return proto.Welcome{}, nil, err
	}
	w, board, err := readWelcome(f)
	if err != nil {
		f.Close()
		return proto.Welcome{}, nil, fmt.Errorf("supervisor: welcome: %w", err)
	}
	return w, board, nil
}

func readWelcome(f ipc.Frame) (w proto.Welcome, board *ipc.Block, err error) {
	m, err := proto.ParseMessage(f.Body, proto.Limits{})
	if err != nil {
		return w, nil, err
	}
	if m.Kind != proto.Response || m.ID != helloID {
		return w, nil, fmt.Errorf("%w: expected the answer to hello", proto.ErrProtocol)
	}
	if m.Fault != nil {
		return w, nil, m.Fault
	}
	w, err = proto.ParseWelcome(m.Result)
	if err != nil || w.Scoreboard == nil {
		return w, nil, err
	}
	fds, err := w.Scoreboard.Pick(f.FDs)
	if err != nil {
		return w, nil, err
	}
	board = new(ipc.Block)
	if err := board.DecodeHandle(w.Scoreboard.Handle, fds); err != nil {
		return w, nil, err
	}
	if board.Len() < proto.ScoreWords {
		return w, nil, fmt.Errorf("%w: scoreboard of %d words, expected %d", proto.ErrProtocol, board.Len(), proto.ScoreWords)
	}
	return w, board, nil
}

// sayReady tells that the initializer is through, or why not.
func sayReady(c *ipc.Conn, f *proto.Fault) error {
	return c.WriteFrame(nil, proto.AppendNotify(nil, proto.MethodReady, proto.AppendReadyParams(nil, proto.Ready{Fault: f})))
}

// greet is the master's part: it returns when the worker is ready.
func greet(c *ipc.Conn, w proto.Welcome, board *ipc.Block) (proto.Hello, error) {
	h, err := hearHello(c)
	if err != nil {
		return h, err
	}
	version, fault, err := proto.Agree(h.Min, h.Max)
	if err != nil {
		c.WriteFrame(nil, proto.AppendResponse(nil, helloID, fault, nil))
		return h, err
	}
	w.Version = version
	if err := sayWelcome(c, w, board, h.Has(proto.CapScoreboard)); err != nil {
		return h, err
	}
	return h, hearReady(c)
}

func hearHello(c *ipc.Conn) (h proto.Hello, err error) {
	m, err := readMessage(c, "hello")
	if err != nil {
		return h, err
	}
	if m.Kind != proto.Request || m.Method != proto.MethodHello || m.ID != helloID {
		return h, fmt.Errorf("%w: expected hello as the first request, found %q", ErrProtocol, m.Method)
	}
	return proto.ParseHello(m.Params)
}

func sayWelcome(c *ipc.Conn, w proto.Welcome, board *ipc.Block, mapped bool) error {
	var fds []int
	if mapped {
		h, dup, err := board.EncodeHandle()
		if err != nil {
			return err
		}
		defer ipc.CloseFDs(dup)
		fds = dup
		w.Scoreboard = &proto.HandleRef{Handle: h, First: 0, Count: len(dup)}
	}
	return c.WriteFrame(fds, proto.AppendResponse(nil, helloID, nil, proto.AppendWelcome(nil, w)))
}

func hearReady(c *ipc.Conn) error {
	m, err := readMessage(c, "ready")
	if err != nil {
		return err
	}
	if m.Kind != proto.Notify || m.Method != proto.MethodReady {
		return fmt.Errorf("%w: expected ready, found %q", ErrProtocol, m.Method)
	}
	r, err := proto.ParseReady(m.Params)
	if err != nil {
		return err
	}
	if r.Fault != nil {
		return fmt.Errorf("supervisor: worker's initializer failed: %w", r.Fault)
	}
	return nil
}

// readMessage reads a message that brings no descriptors.
func readMessage(c *ipc.Conn, what string) (proto.Message, error) {
	f, err := c.ReadFrame()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return proto.Message{}, fmt.Errorf("supervisor: worker did not say %s in time: %w", what, err)
	case errors.Is(err, io.EOF):
		return proto.Message{}, fmt.Errorf("supervisor: worker ended before it said %s: %w", what, err)
	case err != nil:
		return proto.Message{}, err
	}
	f.Close()
	return proto.ParseMessage(f.Body, proto.Limits{})
}
