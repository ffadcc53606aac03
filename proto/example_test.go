package proto_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

type buy struct {
	Stock int
	Wait  time.Duration `json:"wait,omitempty"`
}

func Example() {
	// The master's side: one ticket becomes one frame.
	args, err := proto.Marshal(buy{Stock: 10})
	if err != nil {
		fmt.Println(err)
		return
	}
	run := proto.Run{Task: "tickets.buy", Args: args.Bytes, Ticket: "buy-1", Attempt: 1}
	body := proto.AppendRequest(nil, 1, proto.MethodRun, proto.AppendRunParams(nil, run))
	frame := proto.AppendHeader(nil, proto.Header{Length: len(body), Descriptors: len(args.FDs)})
	frame = append(frame, body...)

	// The worker's side.
	h, err := proto.ParseHeader(frame, proto.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := proto.ParseMessage(frame[proto.HeaderSize:][:h.Length], proto.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	got, err := proto.ParseRun(m.Params)
	if err != nil {
		fmt.Println(err)
		return
	}
	var in buy
	if _, err := proto.Unmarshal(proto.Payload{Bytes: got.Args}, &in, proto.Limits{}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.ID, got.Task, got.Ticket, in.Stock)
	// Output: 1 tickets.buy buy-1 10
}

func ExampleUnmarshal() {
	p, _ := proto.Marshal(map[string]any{"stok": 10})
	_, err := proto.Unmarshal(p, new(buy), proto.Limits{})
	fmt.Println(err)

	p, _ = proto.Marshal(map[string]any{"stock": "ten"})
	_, err = proto.Unmarshal(p, new(buy), proto.Limits{})
	fmt.Println(err)
	var m *proto.MismatchError
	fmt.Println(errors.As(err, &m), m.Path)

	p, _ = proto.Marshal(map[string]any{"stock": 3, "wait": "1m30s"})
	var in buy
	_, err = proto.Unmarshal(p, &in, proto.Limits{})
	fmt.Println(in.Stock, in.Wait, err)
	// Output:
	// proto: unknown field "stok"; did you mean "stock"?
	// proto: stock: expected an integer, found the string "ten"
	// true stock
	// 3 1m30s <nil>
}

func ExampleScan() {
	// Five bytes that ask for room for four billion elements.
	err := proto.Scan([]byte{0xdd, 0xff, 0xff, 0xff, 0xff}, proto.Limits{})
	fmt.Println(err, errors.Is(err, proto.ErrTooLarge))
	// Output: proto: too large: value: 4294967295 > 4194304 elements true
}

func ExampleAgree() {
	_, fault, err := proto.Agree(2, 3)
	fmt.Println(err)
	fmt.Println(fault.Kind)
	// Output:
	// proto: no common version: this side speaks 1 to 1, the peer 2 to 3
	// version
}

func ExampleAppendResponse() {
	body := proto.AppendResponse(nil, 7, &proto.Fault{Kind: proto.KindError, Text: "sold out"}, nil)
	m, err := proto.ParseMessage(body, proto.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.ID, m.Fault.Kind, m.Fault)
	// Output: 7 error sold out
}
