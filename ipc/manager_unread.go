package ipc

import (
	"fmt"
	"sync/atomic"
	"time"
)

// An unreadCount counts the bytes of answers that clients have not read, of all connections.
type unreadCount struct {
	bytes  atomic.Int64
	most   int
	looked time.Time // for the deaf; guarded by the Manager's mutex
}

const (
	allUnread   = 1 << 30         // bytes, or what two connections may have
	deafAfter   = 2 * time.Second // that somebody reads nothing, and may have to go
	leastResult = 64 << 10        // what a result may have in any case
)

// add tells whether there is so much that the deaf must go.
func (u *unreadCount) add(n int) (much bool) {
	return n != 0 && u.bytes.Add(int64(n)) > int64(u.most/2) && n > 0
}

// left is how much one answer may have now.
func (u *unreadCount) left() int { return max(u.most-int(u.bytes.Load()), leastResult) }

// expelDeaf ends connections that have answers to read and have read nothing for a while. The
// mutex is held.
func (m *Manager) expelDeaf() {
	now := time.Now()
	if now.Sub(m.unread.looked) < deafAfter/8 {
		return
	}
	m.unread.looked = now
	for s := range m.sessions {
		if s.sending.Load() == sendIdle || now.Sub(time.Unix(0, s.moved.Load())) < deafAfter {
			continue
		}
		s.cause = fmt.Errorf("it reads nothing, and there is no more place for answers")
		s.conn.hangUp()
		s.dropOut()
	}
}
