package ipc

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// A stranger is given this much time and this many bytes for hello.
const (
	helloTime  = 10 * time.Second
	helloFrame = 4 << 10
)

// greet reads hello, and answers it.
func (s *session) greet() error {
	s.conn.SetReadDeadline(time.Now().Add(helloTime))
	s.conn.limits = proto.Limits{Frame: helloFrame, Descriptors: s.conn.limits.Descriptors}
	if err := s.hello(); err != nil {
		return err
	}
	s.conn.limits = s.m.frameLimits()
	return s.conn.SetReadDeadline(time.Time{})
}

func (s *session) hello() error {
	msg, err := s.request(proto.MethodHello)
	if err != nil {
		return err
	}
	h, err := proto.ParseHello(msg.Params)
	if err != nil {
		return err
	}
	version, f, err := proto.Agree(h.Min, h.Max)
	if err != nil {
		s.answer(msg.ID, f, nil)
		return err
	}
	if n := s.m.connections(); n > s.m.limits.Connections {
		s.answer(msg.ID, faultf(proto.KindBusy, "%d connections, the most is %d", n, s.m.limits.Connections), nil)
		return fmt.Errorf("one connection too many")
	}
	return s.answer(msg.ID, nil, proto.AppendGreeting(nil, proto.Greeting{
		Version: version, Instance: s.m.instance, Program: program, Limits: s.m.limits.told(),
	}))
}

const program = "multiproc/go 1.0"

func (l ManagerLimits) told() map[string]uint64 {
	return map[string]uint64{
		"frame": uint64(l.Frame), "pending": uint64(l.Pending), "objects": uint64(l.Objects),
		"memory": uint64(l.Memory), "unread": uint64(l.Unread),
	}
}

func (m *Manager) connections() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.sessions)
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
