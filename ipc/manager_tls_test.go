package ipc

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// An authority signs certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t, pool: x509.NewCertPool()}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true}
	der, key := a.sign(template)
	a.key = key
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

// sign makes a key and a certificate, by itself if there is no other.
func (a *authority) sign(template *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, by := template, key
	if a.cert != nil {
		parent, by = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	return der, key
}

// config is for either side, with a certificate signed by a, which believes those signed by by.
func (a *authority) config(by *authority) *tls.Config {
	der, key := a.sign(&x509.Certificate{SerialNumber: big.NewInt(2), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		RootCAs:      by.pool, ClientCAs: by.pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	}
}

func serveTLS(t testing.TB, m *Manager, c *tls.Config) (address string) {
	t.Helper()
	l := listenTCP(t)
	served := make(chan error, 1)
	ctx := within(t)
	go func() { served <- m.ServeTCP(ctx, l, c) }()
	t.Cleanup(func() {
		l.Close()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return "tcp:" + l.Addr().String()
}

// With TLS both sides must have a certificate that the other believes.
func TestManagerTLS(t *testing.T) {
	checkLeaks(t)
	ours, theirs := newAuthority(t), newAuthority(t)
	m, _ := newTestManager(t, ManagerOptions{})
	address := serveTLS(t, m, ours.config(ours))
	c := connect(t, address, ConnectOptions{TLS: ours.config(ours)})
	big := bytes.Repeat([]byte{1, 2, 3, 4}, 2<<20)
	id := mustCreate(t, c, "value", ManagedOptions{}, nil, big)
	if got := callValue(t, c, id, "get").([]byte); !bytes.Equal(got, big) {
		t.Errorf("got %d bytes", len(got))
	}
	bare := ours.config(ours)
	bare.Certificates = nil
	for name, config := range map[string]*tls.Config{
		"no certificate": bare, "another's certificate": theirs.config(ours), "believes another": ours.config(theirs),
	} {
		if _, err := Connect(within(t), address, ConnectOptions{TLS: config}); !errors.Is(err, ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Connect(within(t), address, ConnectOptions{}); err == nil {
		t.Error("connected without TLS")
	}
	eventually(t, "only one is connected", m.look(func() bool { return len(m.sessions) == 1 }))
	mustNot := ours.config(ours)
	mustNot.ClientAuth = tls.RequestClientCert
	if err := m.ServeTCP(within(t), listenTCP(t), mustNot); err == nil {
		t.Error("a manager without a key serves clients without certificates")
	}
}

// With a key too both are needed.
func TestManagerTLSAndKey(t *testing.T) {
	checkLeaks(t)
	ours := newAuthority(t)
	m, _ := newTestManager(t, ManagerOptions{Key: testKey})
	address := serveTLS(t, m, ours.config(ours))
	connect(t, address, ConnectOptions{TLS: ours.config(ours), Key: testKey})
	if _, err := Connect(within(t), address, ConnectOptions{TLS: ours.config(ours), Key: otherKey}); !errors.Is(err, ErrDenied) {
		t.Errorf("another key: %v", err)
	}
}

// Calls wait, are pipelined and cancelled over TLS as over any other connection, and what a client
// held is given back when it goes.
func TestManagerTLSWaits(t *testing.T) {
	checkLeaks(t)
	ours := newAuthority(t)
	m, path := newTestManager(t, ManagerOptions{})
	address := serveTLS(t, m, ours.config(ours))
	far := connect(t, address, ConnectOptions{TLS: ours.config(ours)})
	near := dialManager(t, path)
	e := near.create("event")
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(within(t))
			defer cancel()
			if v, err := Ask[bool](ctx, far, Numbered(uint64(e)), "wait"); !v || err != nil {
				t.Errorf("wait: %v, %v", v, err)
			}
		})
	}
	eventually(t, "ten wait", m.look(func() bool { return m.stats.waiting == 10 }))
	near.call(e, "set")
	wg.Wait()
	near.call(e, "clear")
	lost := make(chan error, 1)
	go func() {
		_, err := far.Call(within(t), Numbered(uint64(e)), "wait")
		lost <- err
	}()
	eventually(t, "one waits", m.look(func() bool { return m.stats.waiting == 1 }))
	far.Close()
	if err := <-lost; !errors.Is(err, ErrClosed) {
		t.Errorf("after close: %v", err)
	}
	eventually(t, "nobody waits", m.look(func() bool { return m.stats.waiting == 0 }))
}

// A client that has gone does not stand, also before its session knows.
func TestManagerTLSStands(t *testing.T) {
	checkLeaks(t)
	ours := newAuthority(t)
	m, _ := newTestManager(t, ManagerOptions{})
	conn, err := tls.Dial("tcp", serveTLS(t, m, ours.config(ours))[len("tcp:"):], ours.config(ours))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Write(framed(proto.AppendRequest(nil, 1, proto.MethodHello, proto.AppendHelloParams(nil, proto.Hello{Min: 1, Max: 1}))))
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	m.lock()
	var s *session
	for s = range m.sessions {
	}
	if !s.stands() {
		t.Error("a client that is connected does not stand")
	}
	conn.NetConn().Close()
	eventually(t, "it does not stand", func() bool { return !s.stands() }) // the session cannot end meanwhile
	m.unlock()
}

// A handshake that stands still is ended, and so is a peer that does not read when the manager ends.
func TestManagerTLSStuck(t *testing.T) {
	checkLeaks(t)
	ours := newAuthority(t)
	m, _ := newTestManager(t, ManagerOptions{})
	address := serveTLS(t, m, ours.config(ours))[len("tcp:"):]
	before := runtime.NumGoroutine()
	silent, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	deaf, err := tls.Dial("tcp", address, ours.config(ours))
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	f := proto.AppendRequest(nil, 1, proto.MethodHello, proto.AppendHelloParams(nil, proto.Hello{Min: 1, Max: 1}))
	deaf.Write(framed(f))
	args, _ := proto.Marshal([]any{"value", []any{nil, make([]byte, 16<<20)}, none})
	deaf.Write(framed(proto.AppendRequest(nil, 2, proto.MethodCreate, args.Bytes)))
	get, _ := proto.Marshal([]any{1, "get", []any{}, none})
	deaf.Write(framed(proto.AppendRequest(nil, 3, proto.MethodCall, get.Bytes)))
	eventually(t, "the large answer is under way", m.look(func() bool { return m.stats.calls == 1 }))
	m.Close()
	eventually(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
	if n, err := io.Copy(io.Discard, silent); n > 0 || err != nil && !gone(err) {
		t.Errorf("who said nothing got %d bytes, %v", n, err)
	}
}
