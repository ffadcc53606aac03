package ipc

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"

	"github.com/seed-185a7250/multiproc/proto"
)

// greet says hello, and proves to the manager and has it proved that both have the key.
func (l *link) greet(ctx context.Context, key []byte) error {
	hello := proto.Hello{Min: proto.MinVersion, Max: proto.MaxVersion, PID: os.Getpid(), Program: program}
	q := l.query(proto.MethodHello)
	defer q.free()
	q.out = proto.AppendHelloParams(q.out, hello)
	if err := l.do(ctx, q); err != nil {
		return err
	}
	g, err := proto.ParseGreeting(q.result)
	if err != nil {
		return err
	}
	if g.Version < proto.MinVersion || g.Version > proto.MaxVersion {
		return fmt.Errorf("%w: the manager has chosen %d", proto.ErrVersion, g.Version)
	}
	l.instance, l.most = g.Instance, g.Limits["frame"]
	switch {
	case g.Auth == "" && len(key) > 0:
		return fmt.Errorf("%w: the manager does not ask for the key, and so need not have it", ErrDenied)
	case g.Auth == "":
		return nil
	case g.Auth != proto.AuthHMAC:
		return fmt.Errorf("%w: the manager asks for a proof of the unknown kind %q", ErrDenied, g.Auth)
	case len(key) == 0:
		return fmt.Errorf("%w: the manager asks for a key", ErrDenied)
	case len(g.Nonce) != 32:
		return fmt.Errorf("%w: a nonce of %d bytes", proto.ErrProtocol, len(g.Nonce))
	}
	return l.prove(ctx, key, g.Nonce)
}

func (l *link) prove(ctx context.Context, key, theirs []byte) error {
	ours := make([]byte, 32)
	rand.Read(ours) // never fails
	q := l.query(proto.MethodAuth)
	defer q.free()
	q.out = proto.AppendAuthParams(q.out, proto.Auth{Nonce: ours, Proof: keyProof(key, proofOfClient, theirs, ours)})
	if err := l.do(ctx, q); err != nil {
		return err
	}
	proof, err := proto.ParseAuthAnswer(q.result)
	if err != nil {
		return err
	}
	if !hmac.Equal(proof, keyProof(key, proofOfServer, theirs, ours)) {
		return fmt.Errorf("%w: the manager does not have the key", ErrDenied)
	}
	return nil
}

const (
	proofOfClient = "multiproc manager 1 client"
	proofOfServer = "multiproc manager 1 server"
)

// keyProof is what PROTOCOL.md says under "auth".
func keyProof(key []byte, who string, manager, client []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(who))
	h.Write(manager)
	h.Write(client)
	return h.Sum(nil)
}
