package ipc

import (
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// A stranger is given this much time and this many bytes for hello and auth.
const (
	helloTime  = 10 * time.Second
	helloFrame = 4 << 10
)

// minKey is how long a key must be; shorter ones are words, which can be guessed.
const minKey = 16 // bytes

// greet reads hello, and the proof if there is a key, and answers. Before it has returned nil
// nothing else is read.
func (s *session) greet() error {
	s.conn.SetReadDeadline(time.Now().Add(helloTime))
	s.conn.limits = proto.Limits{Frame: helloFrame, Descriptors: s.conn.limits.Descriptors}
	id, g, err := s.hello()
	if err != nil {
		return err
	}
	if g.Auth == "" {
		err = s.admitted(id, proto.AppendGreeting(nil, g))
	} else if err = s.answer(id, nil, proto.AppendGreeting(nil, g)); err == nil {
		err = s.auth(g.Nonce)
	}
	if err != nil {
		return err
	}
	s.conn.limits = s.m.frameLimits()
	return s.conn.SetReadDeadline(time.Time{})
}

// hello reads hello, and returns what is to be answered.
func (s *session) hello() (id uint64, g proto.Greeting, err error) {
	msg, err := s.request(proto.MethodHello)
	if err != nil {
		return 0, g, err
	}
	h, err := proto.ParseHello(msg.Params)
	if err != nil {
		return 0, g, err
	}
	version, f, err := proto.Agree(h.Min, h.Max)
	if err != nil {
		s.answer(msg.ID, f, nil)
		return 0, g, err
	}
	g = proto.Greeting{Version: version, Instance: s.m.instance, Program: program, Limits: s.m.limits.told()}
	if s.m.key != nil && !s.trusted {
		g.Auth, g.Nonce = proto.AuthHMAC, make([]byte, 32)
		rand.Read(g.Nonce) // never fails
	}
	return msg.ID, g, nil
}

// auth reads the client's proof for the nonce ours, and answers with the manager's.
func (s *session) auth(ours []byte) error {
	msg, err := s.request(proto.MethodAuth)
	if err != nil {
		return err
	}
	a, err := proto.ParseAuth(msg.Params)
	if err == nil && len(a.Nonce) != len(ours) {
		err = fmt.Errorf("auth: a nonce of %d bytes", len(a.Nonce))
	}
	if err == nil && !hmac.Equal(a.Proof, keyProof(s.m.key, proofOfClient, ours, a.Nonce)) {
		err = errWrongKey
	}
	if err != nil {
		s.answer(msg.ID, faultf(proto.KindDenied, "no proof of the key"), nil)
		return err
	}
	return s.admitted(msg.ID, proto.AppendAuthAnswer(nil, keyProof(s.m.key, proofOfServer, ours, a.Nonce)))
}

var errWrongKey = errors.New("auth: a wrong key")

// admitted answers a client that is a stranger no more, if there is room for it.
func (s *session) admitted(id uint64, result []byte) error {
	if f := s.m.promote(s); f != nil {
		s.answer(id, f, nil)
		return f
	}
	return s.answer(id, nil, result)
}

const program = "multiproc/go 1.0"

func (l ManagerLimits) told() map[string]uint64 {
	return map[string]uint64{
		"frame": uint64(l.Frame), "pending": uint64(l.Pending), "objects": uint64(l.Objects),
		"memory": uint64(l.Memory), "unread": uint64(l.Unread), "descriptors": uint64(l.Descriptors),
	}
}

// request reads the request that must come now.
func (s *session) request(method string) (proto.Message, error) {
	f, err := s.conn.ReadFrame()
	if err != nil {
		return proto.Message{}, err
	}
	defer f.Close()
	msg, err := proto.ParseMessage(f.Body, s.conn.limits)
	if err == nil && msg.Kind == proto.Request && msg.Method != method {
		err = fmt.Errorf("%q before %s", msg.Method, method)
		s.answer(msg.ID, faultf(proto.KindDenied, "%s comes first", method), nil)
	}
	if err == nil && msg.Kind != proto.Request {
		err = fmt.Errorf("no request before %s", method)
	}
	return msg, err
}

// answer sends one response at once; nobody else sends yet.
func (s *session) answer(id uint64, f *proto.Fault, result []byte) error {
	b := proto.AppendResponse(make([]byte, proto.HeaderSize), id, f, result)
	binary.BigEndian.PutUint32(b, uint32(len(b)-proto.HeaderSize))
	s.conn.SetWriteDeadline(time.Now().Add(helloTime))
	defer s.conn.SetWriteDeadline(time.Time{})
	return s.conn.WriteFrames(b)
}
