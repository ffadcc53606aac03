package ipc

import (
	linked "container/list"
	"math"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/proto"
)

// maxStrangers bounds the connections that have not said hello yet.
const maxStrangers = 1 << 10

// Strangers are connections that have not said hello, in the order in which they came. Of too
// many the first is turned out: so whoever says hello at once comes in, however many others
// connect and say nothing, or are busy with saying it.
type strangers struct {
	linked.List
	most int
}

// take notes that s has come, and returns who must go for it, if anybody.
func (l *strangers) take(s *session) (out *session) {
	if l.Len() >= l.most {
		out = l.Front().Value.(*session)
		l.drop(out)
		out.turnedOut = true
	}
	s.strange = l.PushBack(s)
	return out
}

func (l *strangers) drop(s *session) {
	if s.strange != nil {
		l.Remove(s.strange)
		s.strange = nil
	}
}

// serveSession serves a connection in a goroutine of its own. It returns false, and closes it,
// if the Manager is closed.
func (m *Manager) serveSession(s *session) bool {
	m.mu.Lock()
	if m.closed || m.journal != nil && m.journal.err != nil {
		m.mu.Unlock()
		s.conn.Close()
		return false
	}
	m.sessions[s] = struct{}{}
	var out *session
	if !s.trusted {
		out = m.strangers.take(s)
	}
	m.serving.Go(s.serve)
	m.mu.Unlock()
	if out != nil {
		out.conn.hangUp()
		<-out.over // or the descriptors of those turned out could become many
	}
	return true
}

// promote makes a client of a stranger.
func (m *Manager) promote(s *session) *proto.Fault {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.strange == nil && !s.trusted {
		return faultf(proto.KindBusy, "others have come since, and have said hello earlier")
	}
	if n := m.clients(); n >= m.limits.Connections && !s.trusted {
		return faultf(proto.KindBusy, "%d connections, the most is %d", n, m.limits.Connections)
	}
	m.strangers.drop(s)
	return nil
}

// clients counts the connections that have said hello; the mutex is held.
func (m *Manager) clients() int { return len(m.sessions) - m.strangers.Len() }

// share bounds what takes descriptors by what this process may have, so that none are missing
// for other things: a client may have three (by TLS).
func (m *Manager) share() {
	m.strangers.most, m.mostDescriptors = maxStrangers, math.MaxInt
	var most unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &most) != nil {
		return
	}
	if n := int(min(most.Cur/4, 1<<30)); n < m.limits.Connections {
		m.log.Warn("fewer connections than the limit: this process may have few descriptors",
			"limit", m.limits.Connections, "possible", n, "descriptors", most.Cur)
		m.limits.Connections = max(n, 1)
	}
	m.strangers.most = int(min(uint64(maxStrangers), max(most.Cur/24, 8)))
	m.mostDescriptors = int(min(most.Cur/8, 1<<30))
}
