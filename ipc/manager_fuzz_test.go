package ipc

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// What a session reads is given as bodies, each behind two bytes that say how long it is; so that
// a change of one does not break all frames after it. What is left at the end is sent as it is.
func asFrames(data []byte) (out []byte) {
	for len(data) >= 2 {
		n := int(binary.BigEndian.Uint16(data))
		if n > len(data)-2 {
			break
		}
		out = append(out, framed(data[2:2+n])...)
		data = data[2+n:]
	}
	return append(out, data...)
}

// A fuzzSeed collects requests as fuzzing takes them.
type fuzzSeed struct {
	f  *testing.F
	id uint64
	b  []byte
}

func (s *fuzzSeed) ask(method string, params ...any) {
	p, err := proto.Marshal(params)
	if err != nil {
		s.f.Fatal(err)
	}
	s.id++
	body := proto.AppendRequest(nil, s.id+1, method, p.Bytes)
	s.b = append(binary.BigEndian.AppendUint16(s.b, uint16(len(body))), body...)
}

func (s *fuzzSeed) call(object any, op string, args ...any) {
	s.ask(proto.MethodCall, object, op, list(args), map[string]any{"timeout_ms": 0})
}

// FuzzManager sends a manager whatever there is, behind hello. It must neither fall over nor stand
// still, and when the connection has ended nothing of it may be left.
func FuzzManager(f *testing.F) {
	objects := map[string][]any{
		"dict": {[]any{[]any{1, 2}, []any{"k", "v"}}}, "list": {[]any{3, 1, 2}}, "namespace": {map[string]any{"x": 1}},
		"value": {"i", 7}, "array": {"i", []any{1, 2, 3}}, "event": {}, "lock": {}, "rlock": {}, "semaphore": {1}, "bounded_semaphore": {2},
		"condition": {}, "barrier": {2}, "queue": {2}, "joinable_queue": {}, "lifo_queue": {}, "priority_queue": {},
	}
	ops := [][]any{
		{"get", "k"}, {"get", 0}, {"get"}, {"get", slice(0, nil, 2)}, {"set", 1, 2}, {"set", 5}, {"set", slice(nil, nil, -1), []any{1, 2, 3}},
		{"set"}, {"delete", 1}, {"delete", slice(1, 2, nil)}, {"contains", 1}, {"len"}, {"pop"}, {"pop", 1, 2}, {"popitem"}, {"setdefault", "a", []any{}},
		{"insert", 1, 9}, {"update", []any{[]any{1, 1}}}, {"clear"}, {"keys"}, {"items"}, {"copy"}, {"scan", 0, 1}, {"get_many", []any{1, "k"}, nil},
		{"get_many", 3}, {"add", 1, 1, 1}, {"add", "x", 1.5}, {"add", 3}, {"cas", 1, 2, 3}, {"cas", 1, 2}, {"delete_if", 1, 2}, {"get_version", 1}, {"cas_version", 1, 0, 1},
		{"get_or_create", "new", "list", []any{}}, {"wait", 1, "==", 2}, {"wait", ">=", 1}, {"wait"}, {"watch", nil}, {"watch", 0, []any{1}}, {"append", 4},
		{"extend", []any{1, "a", nil}}, {"remove", 1}, {"index", 1, 0, 5}, {"count", 1}, {"reverse"}, {"sort"}, {"sort", true}, {"concat", []any{1}},
		{"repeat", 2}, {"imul", 2}, {"push_trim", 1, 2}, {"move", 2, 0, -1}, {"names"}, {"type"}, {"acquire"}, {"acquire"}, {"release"}, {"locked"},
		{"owned"}, {"count"}, {"lock"}, {"notify", 1}, {"notify_all"}, {"waiting"}, {"is_set"}, {"done"}, {"failed"}, {"abort"}, {"reset"}, {"parties"}, {"broken"},
		{"put", 1}, {"put", "x"}, {"put_many", []any{1, 2, 3}}, {"empty"}, {"full"}, {"maxsize", 3}, {"task_done", 1}, {"join"}, {"unfinished"}, {"close", true},
		{"closed"}, {"getting"}, {"open"}, {"version"}, {"restore", []any{}},
	}
	for kind, args := range objects {
		s := &fuzzSeed{f: f}
		s.ask(proto.MethodCreate, kind, args, map[string]any{"name": kind})
		for _, op := range ops {
			s.call(1, op[0].(string), op[1:]...)
		}
		f.Add(s.b)
	}
	s := &fuzzSeed{f: f}
	s.ask(proto.MethodCreate, "list", []any{}, none)
	s.ask(proto.MethodCreate, "dict", []any{}, map[string]any{"keep": true, "name": "d"})
	s.ask(proto.MethodAttach, "d", none)
	s.ask(proto.MethodIncref, 1, 3, none)
	s.ask(proto.MethodDecref, 1, 2, none)
	s.ask(proto.MethodKeep, 2, false, none)
	s.ask(proto.MethodList, map[string]any{"kind": "list", "prefix": ""})
	s.ask(proto.MethodDescribe, 1, none)
	s.ask(proto.MethodBatch, []any{[]any{1, "append", []any{1}}, []any{"d", "set", []any{1, 2}}}, map[string]any{"owner": 3})
	s.ask(proto.MethodCall, "d", "wait", []any{5, "present"}, none)
	s.ask(proto.MethodCancel, s.id+1, none)
	s.ask(proto.MethodStats, none)
	s.ask(proto.MethodPing, none)
	s.ask(proto.MethodShutdown, none)
	f.Add(s.b)
	f.Fuzz(func(t *testing.T, data []byte) { fuzzManager(t, asFrames(data)) })
}

func fuzzManager(t *testing.T, input []byte) {
	m, err := NewManager(ManagerOptions{Limits: ManagerLimits{Frame: 1 << 20, Memory: 1 << 20, Pending: 20, Unread: 1 << 20, Objects: 50}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	ours, theirs, err := Socketpair()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := NewConn(theirs, ConnOptions{})
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	m.ServeConn(conn)
	client.SetDeadline(time.Now().Add(20 * time.Second))
	hello := framed(proto.AppendRequest(nil, 1, proto.MethodHello, proto.AppendHelloParams(nil, proto.Hello{Min: 1, Max: 1})))
	go func() {
		client.Write(append(hello, input...))
		client.(*net.UnixConn).CloseWrite()
	}()
	if _, err := io.Copy(io.Discard, client); err != nil && !gone(err) {
		t.Fatalf("the manager does not end the connection: %v", err)
	}
	var left string
	poll := m.look(func() bool {
		left = fmt.Sprintf("%d sessions, %d leases, %d calls that wait, %d bytes unread", len(m.sessions), m.stats.leases, m.stats.waiting, m.unread.bytes.Load())
		return left == "0 sessions, 0 leases, 0 calls that wait, 0 bytes unread"
	})
	for end := time.Now().Add(10 * time.Second); !poll(); {
		if time.Now().After(end) {
			t.Fatalf("left: %s", left)
		}
	}
	m.lock()
	defer m.unlock()
	if len(m.objects) == 0 && m.stats.bytes != 0 {
		t.Fatalf("%d bytes, and no object", m.stats.bytes)
	}
}
