package ipc

import (
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// sender returns the session that somebody is sending to.
func (m *Manager) sender(t *testing.T) (found *session) {
	t.Helper()
	eventually(t, "a client does not read", m.look(func() bool {
		for s := range m.sessions {
			if s.sending.Load() != sendIdle {
				found = s
			}
		}
		return found != nil
	}))
	return found
}

// What was to be sent to a client that had to go, for it read nothing, is not counted any more.
func TestManagerDeafForgotten(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a, b := dialManager(t, path), dialManager(t, path)
	id, blob := b.create("dict"), make([]byte, 60<<10)
	b.call(id, "set", "full", blob)
	a.start(id, "wait", []any{"later", "present"}, none)
	for range 32 {
		a.start(id, "get", []any{"full"}, none)
	}
	s := m.sender(t)
	m.lock()
	s.moved.Store(0)
	m.unread.most = 2
	m.unread.looked = time.Time{}
	m.unlock()
	b.call(id, "set", "later", blob)
	eventually(t, "the deaf one is gone", m.look(func() bool { return len(m.sessions) == 1 }))
	eventually(t, "nothing is unread", func() bool { return m.unread.bytes.Load() == 0 })
	b.must(proto.MethodPing, none)
}

// Close waits for whoever sends, also for timers.
func TestManagerCloseWhileTimersSend(t *testing.T) {
	checkLeaks(t)
	for range 20 {
		m, path := newTestManager(t, ManagerOptions{})
		a := dialManager(t, path)
		id, blob := a.create("value", nil, make([]byte, 60<<10)), a.create("event")
		for i := range 64 {
			a.start(blob, "wait", nil, map[string]any{"timeout_ms": 1 + i/16})
		}
		for range 8 {
			a.start(id, "get", nil, none)
		}
		s := m.sender(t)
		m.Close()
		if now := s.sending.Load(); now != sendIdle {
			t.Fatalf("somebody sends after Close: state %d", now)
		}
	}
}
