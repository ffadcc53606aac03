package ipc

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

var (
	testKey  = []byte("0123456789abcdef0123456789abcdef")
	otherKey = []byte("0123456789abcdef0123456789abcdeF")
)

// serveTCP serves m at a port of this machine.
func serveTCP(t testing.TB, m *Manager) (address string) {
	t.Helper()
	l := listenTCP(t)
	served := make(chan error, 1)
	ctx := within(t)
	go func() { served <- m.ServeTCP(ctx, l, nil) }()
	t.Cleanup(func() {
		l.Close()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return "tcp:" + l.Addr().String()
}

func listenTCP(t testing.TB) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

// Who has the key comes in, over a Unix socket and over TCP; a wrong key, and none, is refused.
func TestManagerKey(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{Key: testKey})
	for _, address := range []string{path, serveTCP(t, m)} {
		c := connect(t, address, ConnectOptions{Key: testKey})
		id := mustCreate(t, c, "value", ManagedOptions{}, nil, 7)
		want(t, callValue(t, c, id, "get"), int64(7))
		for name, key := range map[string][]byte{"a wrong key": otherKey, "a longer key": append(testKey, 1), "no key": nil} {
			if c, err := Connect(within(t), address, ConnectOptions{Key: key}); !errors.Is(err, ErrDenied) {
				t.Errorf("%s at %s: got %v, %v", name, address, c, err)
			}
		}
	}
	for _, key := range [][]byte{{}, testKey[:15]} {
		if _, err := NewManager(ManagerOptions{Key: key}); err == nil {
			t.Errorf("a key of %d bytes was taken", len(key))
		}
	}
}

// callValue calls an operation and returns its result.
func callValue(t testing.TB, c *Client, o Target, op string, args ...any) (v any) {
	t.Helper()
	r, err := c.Call(within(t), o, op, args...)
	if err != nil {
		t.Fatalf("%s%v: %v", op, args, err)
	}
	if _, err := proto.Unmarshal(r, &v, proto.Limits{}); err != nil {
		t.Fatal(err)
	}
	return v
}

// A manager's own process is not asked for the key.
func TestManagerPairKey(t *testing.T) {
	checkLeaks(t)
	m, _ := newTestManager(t, ManagerOptions{Key: testKey})
	conn, err := m.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	f := &foreign{t: t, conn: conn, got: map[uint64]proto.Message{}}
	want(t, len(f.must(proto.MethodHello, 1, []any{}, none).([]any)), 2)
	f.create("event")
}

// strange dials without saying hello.
func strange(t testing.TB, path string) *foreign {
	t.Helper()
	conn, err := Dial(within(t), path, ConnOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &foreign{t: t, conn: conn, got: map[uint64]proto.Message{}}
}

// ended waits for the end of the connection.
func (f *foreign) ended() {
	f.t.Helper()
	if fr, err := f.conn.recv(within(f.t)); !errors.Is(err, io.EOF) && !errors.Is(err, ErrBroken) {
		f.t.Fatalf("the connection did not end: %q, %v", fr.Body, err)
	}
}

// Before it is proved nothing is answered but hello, whatever is asked, and however.
func TestManagerNothingBeforeProof(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{Key: testKey})
	owner := connect(t, path, ConnectOptions{Key: testKey})
	mustCreate(t, owner, "value", ManagedOptions{Name: "secret"}, nil, "s3cr3t")
	hello := func(f *foreign) []byte {
		greeting := f.must(proto.MethodHello, 1, []any{}, none).([]any)[1].(map[string]any)
		want(t, greeting["auth"], "hmac-sha256")
		return greeting["nonce"].([]byte)
	}
	for method, params := range map[string][]any{
		proto.MethodCall:     {"secret", "get", []any{}, none},
		proto.MethodList:     {none},
		proto.MethodShutdown: {none},
		proto.MethodPing:     {none},
		proto.MethodHello:    {1, []any{}, none},
		"frobnicate":         {},
	} {
		f := strange(t, path)
		hello(f)
		v, err := f.do(method, params...)
		wantFault(t, proto.KindDenied, v, err)
		f.ended()
		if method == proto.MethodHello {
			continue
		}
		f = strange(t, path)
		v, err = f.do(method, params...)
		wantFault(t, proto.KindDenied, v, err)
		f.ended()
	}
	nonce := bytes.Repeat([]byte{7}, 32)
	for name, auth := range map[string]func(ours []byte) []any{
		"the server's proof":  func(ours []byte) []any { return []any{nonce, keyProof(testKey, proofOfServer, ours, nonce), none} },
		"the other order":     func(ours []byte) []any { return []any{nonce, keyProof(testKey, proofOfClient, nonce, ours), none} },
		"a part of the proof": func(ours []byte) []any { return []any{nonce, keyProof(testKey, proofOfClient, ours, nonce)[:31], none} },
		"no proof":            func(ours []byte) []any { return []any{nonce, []byte{}, none} },
		"a short nonce": func(ours []byte) []any {
			return []any{nonce[:31], keyProof(testKey, proofOfClient, ours, nonce[:31]), none}
		},
		"a long nonce": func(ours []byte) []any {
			long := append(nonce, 1)
			return []any{long, keyProof(testKey, proofOfClient, ours, long), none}
		},
		"text":      func(ours []byte) []any { return []any{"nonce", "proof", none} },
		"nothing":   func(ours []byte) []any { return []any{} },
		"an array ": func(ours []byte) []any { return []any{[]any{}, []any{}, none} },
	} {
		f := strange(t, path)
		v, err := f.do(proto.MethodAuth, auth(hello(f))...)
		if err == nil {
			t.Errorf("%s: got %v", name, v)
		}
		wantFault(t, proto.KindDenied, v, err)
		f.ended()
	}
	// What was sent behind a wrong proof is not executed.
	f := strange(t, path)
	auth := []any{nonce, make([]byte, 32), none}
	hello(f)
	var frames []byte
	for i, c := range []struct {
		method string
		params []any
	}{{proto.MethodAuth, auth}, {proto.MethodCall, []any{"secret", "set", []any{0}, none}}, {proto.MethodCall, []any{"secret", "get", []any{}, none}}} {
		p, err := proto.Marshal(c.params)
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, framed(proto.AppendRequest(nil, uint64(i+2), c.method, p.Bytes))...)
	}
	if err := f.conn.WriteFrames(frames); err != nil {
		t.Fatal(err)
	}
	v, err := f.answer(2)
	wantFault(t, proto.KindDenied, v, err)
	f.ended()
	want(t, callValue(t, owner, Named("secret"), "get"), "s3cr3t")
}

// Until the proof, frames are small, and there is little time.
func TestManagerStrangerFrames(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{Key: testKey})
	for name, frame := range map[string][]byte{
		"a large frame":    proto.AppendHeader(nil, proto.Header{Length: helloFrame + 1}),
		"a larger frame":   proto.AppendHeader(nil, proto.Header{Length: 64 << 20}),
		"no frame":         []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		"no message":       append(proto.AppendHeader(nil, proto.Header{Length: 1}), 0xc1),
		"a notification":   framed(proto.AppendNotify(nil, proto.MethodCancel, []byte{0x90})),
		"a response":       framed(proto.AppendResponse(nil, 1, nil, nil)),
		"hello of nothing": framed(proto.AppendRequest(nil, 1, proto.MethodHello, []byte{0x90})),
	} {
		f := strange(t, path)
		if err := f.conn.WriteFrames(frame); err != nil {
			t.Fatal(err)
		}
		if fr, err := f.conn.recv(within(t)); !errors.Is(err, io.EOF) {
			t.Errorf("%s: got %q, %v", name, fr.Body, err)
		}
	}
	eventually(t, "all are gone", m.look(func() bool { return len(m.sessions) == 0 }))
}

func framed(body []byte) []byte {
	return append(proto.AppendHeader(nil, proto.Header{Length: len(body)}), body...)
}

// A client notices who is not the manager, and asks him nothing.
func TestClientFalseManager(t *testing.T) {
	checkLeaks(t)
	ours := bytes.Repeat([]byte{9}, 32)
	for name, greeting := range map[string]proto.Greeting{
		"asks for nothing":     {Version: 1, Instance: 1},
		"asks for another":     {Version: 1, Instance: 1, Auth: "none", Nonce: ours},
		"has no nonce":         {Version: 1, Instance: 1, Auth: proto.AuthHMAC},
		"has a short nonce":    {Version: 1, Instance: 1, Auth: proto.AuthHMAC, Nonce: ours[:31]},
		"does not have a key":  {Version: 1, Instance: 1, Auth: proto.AuthHMAC, Nonce: ours},
		"sends our proof back": {Version: 1, Instance: 1, Auth: proto.AuthHMAC, Nonce: ours},
	} {
		path := filepath.Join(t.TempDir(), "s")
		l, err := Listen(path, ConnOptions{})
		if err != nil {
			t.Fatal(err)
		}
		asked := make(chan error, 1)
		go func() { asked <- falseManager(t, l, greeting, name == "sends our proof back") }()
		if _, err := Connect(within(t), path, ConnectOptions{Key: testKey}); !errors.Is(err, ErrDenied) && !errors.Is(err, proto.ErrProtocol) {
			t.Errorf("a manager that %s: got %v", name, err)
		}
		if err := <-asked; !errors.Is(err, io.EOF) {
			t.Errorf("a manager that %s is told more: %v", name, err)
		}
		l.Close()
	}
}

// falseManager answers hello and auth, and returns what comes then.
func falseManager(t *testing.T, l *Listener, g proto.Greeting, mirror bool) error {
	conn, err := l.Accept(within(t))
	if err != nil {
		return err
	}
	defer conn.Close()
	for {
		f, err := conn.recv(within(t))
		if err != nil {
			return err
		}
		msg, err := proto.ParseMessage(f.Body, proto.Limits{})
		if err != nil {
			return err
		}
		var result []byte
		switch msg.Method {
		case proto.MethodHello:
			result = proto.AppendGreeting(nil, g)
		case proto.MethodAuth:
			a, err := proto.ParseAuth(msg.Params)
			if err != nil {
				return err
			}
			proof := make([]byte, 32)
			if rand.Read(proof); mirror {
				proof = a.Proof
			}
			result = proto.AppendAuthAnswer(nil, proof)
		default:
			return errors.New(msg.Method)
		}
		if err := conn.WriteFrame(nil, proto.AppendResponse(nil, msg.ID, nil, result)); err != nil {
			return err
		}
	}
}

// bare is a handle without descriptors.
type bare struct{}

func (bare) EncodeHandle() (proto.Handle, []int, error) { return proto.Handle{Kind: 200}, nil, nil }

// Over TCP there is no manager without a key, nor shutdown, nor descriptors.
func TestManagerTCP(t *testing.T) {
	checkLeaks(t)
	open, _ := newTestManager(t, ManagerOptions{})
	if err := open.ServeTCP(within(t), listenTCP(t), nil); err == nil {
		t.Error("a manager without a key serves over TCP")
	}
	m, path := newTestManager(t, ManagerOptions{Key: testKey})
	near, far := connect(t, path, ConnectOptions{Key: testKey}), connect(t, serveTCP(t, m), ConnectOptions{Key: testKey})
	lock, err := NewLock(LockOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if _, err := near.Deposit(within(t), lock, ManagedOptions{Name: "mutex"}); err != nil {
		t.Fatal(err)
	}
	if _, err := far.Call(within(t), Named("mutex"), "open"); !errors.Is(err, ErrDenied) {
		t.Errorf("descriptors over TCP: %v", err)
	}
	if _, err := far.Deposit(within(t), bare{}, ManagedOptions{}); !errors.Is(err, ErrDenied) {
		t.Errorf("a deposit over TCP: %v", err)
	}
	if err := far.Shutdown(within(t)); !errors.Is(err, ErrDenied) {
		t.Errorf("shutdown over TCP: %v", err)
	}
	big := bytes.Repeat([]byte{1, 2, 3, 4}, 2<<20)
	id := mustCreate(t, far, "value", ManagedOptions{}, nil, big)
	if got := callValue(t, far, id, "get").([]byte); !bytes.Equal(got, big) {
		t.Errorf("got %d bytes", len(got))
	}
	m.lock()
	for s := range m.sessions {
		if s.remote && !s.stands() {
			t.Error("a client that is connected does not stand")
		}
	}
	m.unlock()
	far.Close()
	eventually(t, "the connection ended", m.look(func() bool { return len(m.sessions) == 1 }))
}
