package proto

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"
)

// managedFrames are the messages of a manager and its clients. The one who asks is the client.
func managedFrames() []frameCase {
	hello := Hello{Min: 1, Max: 1, PID: 4711, Program: "multiproc/go 1.0"}
	nonce, proof := bytes.Repeat([]byte{0xa5}, 32), bytes.Repeat([]byte{0x5a}, 32)
	greeting := Greeting{Version: 1, Instance: 1<<63 + 5, Auth: AuthHMAC, Nonce: nonce, Program: "multiproc/go 1.0",
		Limits: map[string]uint64{"frame": 67174400, "pending": 16384}}
	open := Greeting{Version: 1, Instance: 7}
	auth := Auth{Nonce: nonce, Proof: proof}
	made := Attached{ID: 3, Kind: "dict", Name: "db", Created: true}
	there := Attached{ID: 4, Kind: "event"}
	db := ObjectName{Name: "db"}
	get := Call{Object: ObjectName{ID: 3}, Op: []byte("get"), Args: Raw{0x91, 0xa1, 'k'}, Wait: Forever}
	acquire := Call{Object: db, Op: []byte("acquire"), Args: Raw{0x90}, Owner: 2, Wait: 1500 * time.Millisecond}
	poll := Call{Object: ObjectName{ID: 5}, Op: []byte("get"), Args: Raw{0x90}, Wait: 0}
	missing := &Fault{Kind: KindKeyError, Text: `no key "k"`, Value: Raw{0xa1, 'k'}}
	about := Description{ID: 3, Kind: "dict", Name: "db", Text: "{'k': 1}", Leases: 2, Stored: 1, Kept: true, Refs: 4, Waiting: 1, Length: 1}
	lock := HandleRef{Handle: Handle{Kind: 1}, Count: 1}.append(nil)
	ref := AppendRef(nil, Ref{Instance: 7, ID: 9})

	batch := AppendArrayHeader(AppendArrayHeader(nil, 2), 2)
	batch = append(AppendOperationHead(batch, ObjectName{ID: 3}, "set"), 0x92, 0xa1, 'k', 1)
	batch = append(AppendOperationHead(batch, db, "get"), 0x91, 0xa1, 'x')
	batch = AppendBatchTail(batch, 6)
	answers := AppendNil(AppendNil(append(AppendArrayHeader(nil, 2), 0x92)))
	answers = AppendNil(AppendFault(append(answers, 0x92), missing))
	described := d{"id": 3, "kind": "dict", "name": "db", "text": "{'k': 1}", "leases": 2, "stored": 1, "kept": true, "refs": 4, "waiting": 1, "length": 1}
	return []frameCase{
		request("hello of a client", 1, MethodHello, AppendHelloParams(nil, hello), 0, hello,
			d{"min": 1, "max": 1, "tasks": []any{}, "pid": 4711, "program": "multiproc/go 1.0"}),
		response("answer of a manager, every option", 1, nil, AppendGreeting(nil, greeting), 0, greeting,
			d{"version": 1, "instance": uint64(1<<63 + 5), "auth": AuthHMAC, "nonce": bin(nonce), "program": "multiproc/go 1.0",
				"limits": d{"frame": 67174400, "pending": 16384}}),
		response("answer of a manager, no option", 1, nil, AppendGreeting(nil, open), 0, open, d{"version": 1, "instance": 7}),
		request("auth", 2, MethodAuth, AppendAuthParams(nil, auth), 0, auth, d{"nonce": bin(nonce), "proof": bin(proof)}),
		response("answer to auth", 2, nil, AppendAuthAnswer(nil, proof), 0, proof, d{"proof": bin(proof)}),
		request("create", 3, MethodCreate, AppendCreateParams(nil, Create{Kind: "dict", Args: Raw{0x91, 0x81, 0xa1, 'k', 1}, Name: "db", Keep: true, Existing: true}), 0, nil,
			d{"kind": "dict", "args": []any{d{"k": 1}}, "name": "db", "keep": true, "existing": true}),
		request("create, no arguments, no option", 4, MethodCreate, AppendCreateParams(nil, Create{Kind: "event"}), 0, nil,
			d{"kind": "event", "args": []any{}}),
		response("created", 3, nil, attachedResult(made), 0, made, d{"id": 3, "kind": "dict", "name": "db", "created": true}),
		request("attach by name", 5, MethodAttach, AppendObjectParams(nil, db), 0, nil, d{"object": "db"}),
		response("attached", 5, nil, attachedResult(there), 0, there, d{"id": 4, "kind": "event", "created": false}),
		request("incref", 6, MethodIncref, AppendLeaseParams(nil, 3, 1), 0, nil, d{"object": 3, "n": 1}),
		notify("decref", MethodDecref, AppendLeaseParams(nil, 3, 2), nil, d{"object": 3, "n": 2}),
		request("keep", 7, MethodKeep, AppendKeepParams(nil, db, true), 0, nil, d{"object": "db", "on": true}),
		request("list", 8, MethodList, AppendListParams(nil, "dict", "d"), 0, nil, d{"kind": "dict", "prefix": "d"}),
		request("list of all", 9, MethodList, AppendListParams(nil, "", ""), 0, nil, d{}),
		response("list of one", 8, nil, append([]byte{0x91}, describedResult(about)...), 0, nil, d{"result": []any{described}}),
		request("describe", 10, MethodDescribe, AppendObjectParams(nil, ObjectName{ID: 3}), 0, nil, d{"object": 3}),
		response("described", 10, nil, describedResult(about), 0, about, described),
		request("call", 11, MethodCall, AppendCallParams(nil, get), 0, get, d{"object": 3, "op": "get", "args": []any{"k"}}),
		request("call by name, with owner and remaining time", 12, MethodCall, AppendCallParams(nil, acquire), 0, acquire,
			d{"object": "db", "op": "acquire", "args": []any{}, "owner": 2, "timeout_ms": 1500}),
		request("call that does not wait", 13, MethodCall, AppendCallParams(nil, poll), 0, poll,
			d{"object": 5, "op": "get", "args": []any{}, "timeout_ms": 0}),
		response("result with a reference", 13, nil, ref, 0, nil, d{"result": d{"$ext": []any{7, "00000000000000070000000000000009"}}}),
		response("fault with the key", 11, missing, nil, 0, nil, d{"fault": d{"kind": "key_error", "text": missing.Text, "value": "k"}}),
		request("batch", 14, MethodBatch, batch, 0, nil,
			d{"calls": []any{[]any{3, "set", []any{"k", 1}}, []any{"db", "get", []any{"x"}}}, "owner": 6}),
		response("answers of a batch", 14, nil, answers, 0, nil,
			d{"result": []any{[]any{nil, nil}, []any{[]any{"key_error", missing.Text, d{"value": "k"}}, nil}}}),
		request("cancel of a call", 15, MethodCancel, AppendCancelParams(nil, Cancel{ID: 12}), 0, Cancel{ID: 12}, d{"id": 12}),
		request("deposit of a lock", 16, MethodDeposit, AppendDepositParams(nil, lock, "mutex", true), 1, nil,
			d{"handle": d{"$ext": []any{1, "010001"}}, "name": "mutex", "keep": true}),
		request("ping", 17, MethodPing, AppendNoParams(nil), 0, nil, d{}),
	}
}

func bin(b []byte) d { return d{"$bin": hex.EncodeToString(b)} }

// attachedResult and describedResult are as a manager writes them.
func attachedResult(v Attached) []byte {
	n := 2
	if v.Name != "" {
		n++
	}
	b := AppendMapHeader(AppendUint(AppendArrayHeader(nil, 2), v.ID), n)
	b = AppendString(AppendString(b, "kind"), v.Kind)
	if v.Name != "" {
		b = AppendString(AppendString(b, "name"), v.Name)
	}
	return AppendBool(AppendString(b, "created"), v.Created)
}

func describedResult(v Description) []byte {
	b := AppendMapHeader(nil, 10)
	b = AppendUint(AppendString(b, "id"), v.ID)
	b = AppendString(AppendString(b, "kind"), v.Kind)
	b = AppendString(AppendString(b, "name"), v.Name)
	b = AppendString(AppendString(b, "text"), v.Text)
	b = AppendInt(AppendString(b, "length"), int64(v.Length))
	b = AppendInt(AppendString(b, "leases"), int64(v.Leases))
	b = AppendInt(AppendString(b, "stored"), int64(v.Stored))
	b = AppendBool(AppendString(b, "kept"), v.Kept)
	b = AppendInt(AppendString(b, "refs"), int64(v.Refs))
	return AppendInt(AppendString(b, "waiting"), int64(v.Waiting))
}

// parseResult parses the result of a response as what it is like.
func parseResult(r Raw, like any) (any, error) {
	switch like.(type) {
	case Greeting:
		return ParseGreeting(r)
	case Attached:
		return ParseAttached(r)
	case Description:
		return ParseDescription(r)
	case []byte:
		return ParseAuthAnswer(r)
	}
	return ParseWelcome(r)
}

// What a client reads of a manager's answers is refused when it is not what the page says.
func TestManagedResultsRefused(t *testing.T) {
	results := map[string]any{"greeting": Greeting{}, "attached": Attached{}, "description": Description{}, "auth": []byte{}}
	good := map[string][]byte{
		"greeting": AppendGreeting(nil, Greeting{Version: 1, Instance: 1}), "attached": attachedResult(Attached{ID: 1, Kind: "k"}),
		"description": describedResult(Description{ID: 1}), "auth": AppendAuthAnswer(nil, []byte{1}),
	}
	for name, like := range results {
		b := good[name]
		if _, err := parseResult(b, like); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for i := range b {
			if _, err := parseResult(b[:i], like); err == nil {
				t.Errorf("%s: the first %d of %d bytes were taken", name, i, len(b))
			}
		}
		if _, err := parseResult(append(bytes.Clone(b), 0xc0), like); err == nil {
			t.Errorf("%s: a byte too many was taken", name)
		}
	}
	for _, b := range [][]byte{nil, {0xc0}, {0x92, 0, 0x80}, {0x92, 1, 0x81, 0xa4, 'k', 'i', 'n', 'd', 1}} {
		if v, err := ParseAttached(b); err == nil {
			t.Errorf("%x was taken as %+v", b, v)
		}
	}
}
