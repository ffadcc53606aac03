package ipc

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/seed-185a7250/multiproc/proto"
)

// ManagerOptions of a Manager; the zero value is good.
type ManagerOptions struct {
	// Limits of each connection; zero fields have their defaults.
	Limits ManagerLimits
	// Key is what clients must prove to have, and the Manager proves to them: at least 16 bytes,
	// better 32 random ones. nil: they need none, and only Unix sockets and TLS can be served.
	Key []byte
	// RefuseShutdown answers the method shutdown with ErrDenied.
	RefuseShutdown bool
	// Persist is a directory in which changes are kept, so that a manager that is killed at any moment comes
	// back with all that it has acknowledged: an answer is sent when what came before is on disk. Objects
	// live on if they are kept, or something that lives on refers to them; locks and their like come back
	// free, as they were created, and what lives in descriptors does not come back. One manager at a time
	// has a directory. Empty: nothing is kept.
	Persist string
	// Logger is told of connections that are refused or break the protocol; nil is silence.
	Logger hclog.Logger
}

// ManagerLimits bound what one connection may ask of a manager. PROTOCOL.md says what
// happens beyond each.
type ManagerLimits struct {
	Frame       int // bytes of the body of a frame; default as proto.Limits
	Pending     int // calls that wait; default 16,384
	Objects     int // objects on which it has leases; default 65,536
	Memory      int // bytes of values that it stored and that are still there; default 1 GiB
	Unread      int // bytes of answers that it has not read; default 64 MiB
	Descriptors int // that it deposited and that are still there; default 1,024
	Connections int // of the manager, all together; default 4,096
	Total       int // bytes of values, of all connections together; default a quarter of the machine's memory
}

func (l ManagerLimits) filled() ManagerLimits {
	set := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	set(&l.Frame, 64<<20+64<<10)
	set(&l.Pending, 16<<10)
	set(&l.Objects, 64<<10)
	set(&l.Memory, 1<<30)
	set(&l.Unread, 64<<20)
	set(&l.Descriptors, 1<<10)
	set(&l.Connections, 4<<10)
	if l.Total <= 0 {
		l.Total = machineMemory() / 4
	}
	return l
}

// A Manager is a server of objects that any number of processes share by reference: dicts,
// lists, locks, queues … (proto/PROTOCOL.md, "Managers", has them all). Clients reach it with
// [Connect].
//
// One mutex guards everything that it owns, so each operation is atomic by construction, also
// those that concern two objects. Nobody waits while holding it: calls that wait are put in a
// line, without a goroutine, and answers are sent after it is given back.
type Manager struct {
	opts     ManagerOptions
	limits   ManagerLimits
	log      hclog.Logger
	instance uint64
	key      []byte // nil: none is needed

	mu        sync.Mutex
	closed    bool
	objects   map[uint64]*object
	names     map[string]*object
	last      uint64 // id that was given out last
	sessions  map[*session]struct{}
	strangers strangers  // those of them that have not said hello
	dying     []*object  // nobody refers to them, unless somebody has come to since
	dirty     []*session // have answers to be sent
	stats     managerStats

	suspects  []*object // that may be held by nobody but each other
	searching bool      // a goroutine looks

	journal *journal // nil: nothing is kept

	mostDescriptors int // that may be deposited

	frames     *frameStock
	unread     unreadCount
	complainer complainer

	serving  sync.WaitGroup // goroutines that serve a connection or accept some
	shutdown chan struct{}  // closed by the method shutdown
	closing  chan struct{}  // closed by Close
	shutOnce sync.Once
}

// record notes an operation that has changed o, in a form that can be executed again.
func (m *Manager) record(o *object, op string, args []proto.Raw) {
	if m.journal != nil {
		m.journal.record(o, op, args)
	}
}

type managerStats struct {
	calls   uint64
	waiting int
	leases  int
	bytes   int

	descriptors int // deposited
}

// NewManager makes a Manager, without objects if none persist. It does nothing before Serve. A
// key that is too short is an error.
func NewManager(o ManagerOptions) (*Manager, error) {
	if o.Key != nil && len(o.Key) < minKey {
		return nil, fmt.Errorf("ipc: manager: a key of %d bytes can be guessed; it must have %d at least", len(o.Key), minKey)
	}
	var b [8]byte
	rand.Read(b[:])
	m := &Manager{
		opts:     o,
		limits:   o.Limits.filled(),
		log:      o.Logger,
		key:      bytes.Clone(o.Key),
		instance: binary.BigEndian.Uint64(b[:]) | 1,
		objects:  map[uint64]*object{},
		names:    map[string]*object{},
		sessions: map[*session]struct{}{},
		shutdown: make(chan struct{}),
		closing:  make(chan struct{}),
	}
	if m.log == nil {
		m.log = hclog.NewNullLogger()
	}
	m.complainer.log = m.log
	m.frames = newFrameStock(m.limits.Frame)
	m.unread.most = max(allUnread, 2*(2*m.limits.Unread+m.limits.Frame))
	m.share()
	if o.Persist != "" {
		m.mu.Lock() // what it finds may be suspect, and be looked at
		defer m.mu.Unlock()
		if _, err := openJournal(m, o.Persist); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Instance is the number that names this manager in references.
func (m *Manager) Instance() uint64 { return m.instance }

// ShutDown is closed when a client has called shutdown; whoever serves the manager then
// calls Close.
func (m *Manager) ShutDown() <-chan struct{} { return m.shutdown }

// Serve accepts connections from l until ctx ends or the Manager or l is closed, which is no
// error. It does not close l.
func (m *Manager) Serve(ctx context.Context, l *Listener) error {
	for {
		c, err := l.Accept(ctx)
		if errors.Is(err, ErrClosed) || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("ipc: manager: %w", err)
		}
		if !m.ServeConn(c) {
			return nil
		}
	}
}

// ServeConn serves one connection, which it takes over, in a goroutine of its own. It returns
// false, and closes c, if the Manager is closed.
func (m *Manager) ServeConn(c *Conn) bool { return m.serveSession(newSession(m, c)) }

// Pair returns a connection to the Manager from within its own process, which needs no key.
func (m *Manager) Pair() (*Conn, error) {
	ours, theirs, err := Socketpair()
	if err != nil {
		return nil, err
	}
	c, err := NewConn(ours, ConnOptions{Name: "client", Limits: m.frameLimits()})
	if err == nil {
		s := newSession(m, c)
		s.trusted = true
		m.serveSession(s)
	}
	client, e := NewConn(theirs, ConnOptions{Name: "manager"})
	return client, errors.Join(err, e)
}

func (m *Manager) frameLimits() proto.Limits { return proto.Limits{Frame: m.limits.Frame} }

// Close ends all connections, and with them everything that waits, and waits until nobody is
// served any more. The error is that of the store, if something persists. Closing twice is fine.
func (m *Manager) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		m.serving.Wait()
		return nil
	}
	m.closed = true
	close(m.closing)
	for s := range m.sessions {
		s.conn.hangUp()
	}
	m.mu.Unlock()
	m.serving.Wait()
	m.mu.Lock()
	for _, o := range m.objects {
		if d, ok := o.thing.(*deposited); ok { // and is kept
			d.drop(m)
		}
	}
	m.mu.Unlock()
	if m.journal != nil {
		return m.journal.close()
	}
	return nil
}

// lock and unlock are around everything that touches what the Manager owns. Before unlock
// gives the mutex back it ends the objects that nobody refers to any more; then it sends the
// answers.
func (m *Manager) lock() { m.mu.Lock() }

func (m *Manager) unlock() {
	m.bury()
	sends := m.collect()
	m.mu.Unlock()
	for _, s := range sends {
		s.send(false)
	}
}

// collect takes the sessions whose answers the caller has to send; the mutex is held. Who is
// being sent to is told that there is more.
func (m *Manager) collect() []*session {
	if m.journal != nil && m.journal.behind() {
		return nil // who commits sends them
	}
	var mine []*session
	for _, s := range m.dirty {
		s.dirty = false
		s.ready = len(s.out)
		if s.claimSend() {
			mine = append(mine, s)
		}
	}
	m.dirty = m.dirty[:0]
	return mine
}
