package ipc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/seed-185a7250/multiproc/proto"
)

// A journal keeps what changes in a store on disk, so that a Manager that is killed at any
// moment comes back with every change that it has acknowledged.
//
// The store (bbolt) has a bucket for each object, with its header, at most one state, and the
// operations that have changed it since, in order. Who changes something appends to pending;
// one goroutine takes all that is pending and commits it, with as many changes in one
// transaction as came while the last was written. No answer is sent while a change that was
// made before it is not committed: not even to somebody who only looked.
//
// Its fields but db are guarded by the Manager's mutex.
type journal struct {
	m  *Manager
	db *bbolt.DB

	pending []change
	bytes   int    // of values in pending
	seq     uint64 // of the last change
	epoch   uint64 // how often the store was opened
	sizes   map[uint64]*opsSize
	writing bool       // a commit is under way
	held    []*session // whose answers the commit under way allows
	err     error      // the store failed: nothing is acknowledged any more

	wake    chan struct{} // holds one element when something is pending
	stop    chan struct{}
	stopped sync.WaitGroup
}

// An opsSize tells when the operations of an object are replaced by its state.
type opsSize struct{ bytes, limit int }

// A change is what a transaction does with the bucket of one object: puts val at key, or
// deletes the bucket if key is empty. A state replaces the operations before it.
type change struct {
	id    uint64
	key   []byte
	val   []byte
	state bool
}

// A durable thing can be written as one value, which its operation `restore` takes. Others come
// back as they were created.
type durable interface{ dump(b []byte) []byte }

// Keys in the bucket of an object. An operation's is opKey and its number, big-endian.
const (
	headerKey = "h" // [kind, name, kept, args]
	stateKey  = "s"
	opKey     = 'o'
)

var (
	bucketObjects = []byte("objects")
	bucketMeta    = []byte("meta")
	keyInstance   = []byte("instance")
	keyLast       = []byte("last")
	keyFormat     = []byte("format")
	keyEpoch      = []byte("epoch")
)

const journalFormat = "multiproc manager 1"

// tokenBits is for the acquisitions of a lock until the store is opened again: the tokens after that
// are greater, or an old holder would pass the fence. So many take a year.
const tokenBits = 40

// Operations of one object are replaced by its state when they have this many bytes, and as many
// as four states: so all states together cost at most a quarter of the operations.
var stateAfter = 1 << 20 // a variable for tests

// maxBehind bounds what waits for the store: while it has more than this many bytes, who has an answer
// to come is not read from.
const maxBehind = 64 << 20

// maxState bounds a state: the store takes no value of 2 GiB.
const maxState = 1 << 30

// openJournal opens the store in dir, which it makes if it is not there, and brings the
// Manager to what the store says.
func openJournal(m *Manager, dir string) (*journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("ipc: manager: %w", err)
	}
	path := filepath.Join(dir, "manager.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, NoFreelistSync: true})
	if err != nil {
		if errors.Is(err, bolterrors.ErrTimeout) {
			err = errInUse
		}
		return nil, fmt.Errorf("ipc: manager: open %s: %w", path, err)
	}
	j := &journal{m: m, db: db, sizes: map[uint64]*opsSize{}, wake: make(chan struct{}, 1), stop: make(chan struct{})}
	if err := j.load(); err != nil {
		db.Close()
		return nil, fmt.Errorf("ipc: manager: %s: %w", path, err)
	}
	m.journal = j
	m.bury() // what only ended connections had referred to
	j.stopped.Go(j.run)
	return j, nil
}

var errInUse = errors.New("another manager has it")

// record notes an operation that has changed o; created, kept and ended what happened to the
// object itself.
func (j *journal) record(o *object, op string, args []proto.Raw) {
	b := proto.AppendString(proto.AppendArrayHeader(nil, 2), op)
	b = appendRaws(b, args)
	j.seq++
	j.add(change{id: o.id, key: binary.BigEndian.AppendUint64([]byte{opKey}, j.seq), val: b})
	if d, ok := o.thing.(durable); ok {
		size := j.size(o)
		if size.bytes += len(b); size.bytes > size.limit {
			b := d.dump(nil)
			if len(b) > maxState {
				size.limit = 2 * size.bytes
				return
			}
			*size = opsSize{limit: max(stateAfter, 4*len(b))}
			j.add(change{id: o.id, key: []byte(stateKey), val: b, state: true})
		}
	}
}

func (j *journal) size(o *object) *opsSize {
	size := j.sizes[o.id]
	if size == nil {
		size = &opsSize{limit: stateAfter}
		j.sizes[o.id] = size
	}
	return size
}

// header notes what o is, and whether it is kept.
func (j *journal) header(o *object) {
	b := proto.AppendString(proto.AppendArrayHeader(nil, 4), o.kind)
	b = proto.AppendString(b, o.name)
	b = proto.AppendBool(b, o.kept)
	j.add(change{id: o.id, key: []byte(headerKey), val: append(b, o.args...)})
}

func (j *journal) ended(o *object) {
	delete(j.sizes, o.id)
	j.add(change{id: o.id})
}

func (j *journal) add(c change) {
	j.pending = append(j.pending, c)
	j.bytes += len(c.val)
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// given has the id kept that was given out last, for it must not be given out again: of objects that
// do not persist nothing else tells.
func (j *journal) given() { j.add(change{}) }

// behind tells whether something is not committed yet, so that no answer may be sent.
func (j *journal) behind() bool { return len(j.pending) > 0 || j.writing }

// run commits what is pending until the journal is closed, and then what is left.
func (j *journal) run() {
	for stop := false; !stop; {
		select {
		case <-j.wake:
		case <-j.stop:
			stop = true
		}
		for j.commit() {
		}
	}
}

// commit writes what is pending and then lets the answers go that waited for it. It tells
// whether there was anything.
func (j *journal) commit() bool {
	m := j.m
	m.mu.Lock()
	todo, last := j.pending, m.last
	if len(todo) == 0 || j.err != nil {
		m.mu.Unlock()
		return false
	}
	j.pending, j.bytes, j.writing = nil, 0, true
	j.held = append(j.held[:0], m.dirty...)
	for _, s := range j.held {
		s.mark = len(s.out)
	}
	m.mu.Unlock()

	err := j.db.Update(func(tx *bbolt.Tx) error { return write(tx, todo, last) })

	m.mu.Lock()
	j.writing = false
	if err != nil {
		j.fail(err)
		m.mu.Unlock()
		return false
	}
	var sends []*session
	for _, s := range j.held {
		s.committed()
		if s.claimSend() {
			sends = append(sends, s)
		}
	}
	m.dirty = slices.DeleteFunc(m.dirty, func(s *session) bool {
		s.dirty = len(s.out) > s.ready // and waits for the next commit
		return !s.dirty
	})
	sends = append(sends, m.collect()...)
	m.mu.Unlock()
	for _, s := range sends {
		s.send(false)
	}
	return true
}

func write(tx *bbolt.Tx, todo []change, last uint64) error {
	objects := tx.Bucket(bucketObjects)
	for _, c := range todo {
		name := number(c.id)
		if len(c.key) == 0 {
			if objects.Bucket(name) == nil {
				continue // of a kind that is not kept
			}
			if err := objects.DeleteBucket(name); err != nil {
				return err
			}
			continue
		}
		b, err := objects.CreateBucketIfNotExists(name)
		if err == nil && c.state {
			err = forget(b)
		}
		if err == nil {
			err = b.Put(c.key, c.val)
		}
		if err != nil {
			return err
		}
	}
	return tx.Bucket(bucketMeta).Put(keyLast, number(last))
}

// forget deletes the operations in b.
func forget(b *bbolt.Bucket) error {
	c := b.Cursor()
	// Next would leave one out after a Delete.
	for k, _ := c.Seek([]byte{opKey}); len(k) == 9 && k[0] == opKey; k, _ = c.Seek([]byte{opKey}) {
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}

// fail ends the Manager: what it cannot keep it must not acknowledge. The mutex is held.
func (j *journal) fail(err error) {
	j.err = fmt.Errorf("ipc: manager: the store failed: %w", err)
	j.m.log.Error("manager ends", "reason", j.err)
	for s := range j.m.sessions {
		s.dropOut()
		s.conn.hangUp()
	}
	j.m.shutOnce.Do(func() { close(j.m.shutdown) })
}

// close commits what is left. Nobody changes anything any more.
func (j *journal) close() error {
	close(j.stop)
	j.stopped.Wait()
	if err := j.db.Close(); j.err == nil && err != nil {
		j.err = err
	}
	return j.err
}

// load makes the objects of the store, and then executes what changed them.
func (j *journal) load() error {
	if err := j.db.Update(j.identify); err != nil {
		return err
	}
	return j.db.View(func(tx *bbolt.Tx) error {
		objects := tx.Bucket(bucketObjects)
		err := objects.ForEachBucket(func(name []byte) error {
			return j.revive(binary.BigEndian.Uint64(name), objects.Bucket(name))
		})
		if err != nil {
			return err
		}
		for _, o := range j.m.sorted() {
			if err := j.replay(o, objects.Bucket(number(o.id))); err != nil {
				return fmt.Errorf("object %d, a %s: %w", o.id, o.kind, err)
			}
		}
		for _, o := range j.m.objects {
			j.m.mayEnd(o)
		}
		return nil
	})
}

// identify reads who the manager is, or writes it into a new store.
func (j *journal) identify(tx *bbolt.Tx) error {
	meta, err := tx.CreateBucketIfNotExists(bucketMeta)
	if err == nil {
		_, err = tx.CreateBucketIfNotExists(bucketObjects)
	}
	if err != nil {
		return err
	}
	switch format := meta.Get(keyFormat); {
	case format == nil:
		err = meta.Put(keyFormat, []byte(journalFormat))
		if err == nil {
			err = meta.Put(keyInstance, number(j.m.instance))
		}
	case string(format) != journalFormat:
		err = fmt.Errorf("found a store of format %q, expected %q", format, journalFormat)
	}
	if err != nil {
		return err
	}
	for _, known := range []struct {
		key []byte
		n   *uint64
	}{{keyInstance, &j.m.instance}, {keyLast, &j.m.last}, {keyEpoch, &j.epoch}} {
		if b := meta.Get(known.key); b != nil {
			*known.n = binary.BigEndian.Uint64(b)
		}
	}
	j.epoch++
	return meta.Put(keyEpoch, number(j.epoch))
}

// number is n as it stands in the store.
func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// revive makes an object as it was created.
func (j *journal) revive(id uint64, b *bbolt.Bucket) error {
	h, err := proto.Elements(slices.Clone(b.Get([]byte(headerKey))), nil)
	if err != nil || len(h) != 4 {
		return fmt.Errorf("object %d has no header: %v", id, err)
	}
	o := &object{id: id, args: h[3]}
	if o.kind, err = proto.ParseString(h[0]); err == nil {
		o.name, err = proto.ParseString(h[1])
	}
	if err == nil {
		o.kept, err = proto.ParseBool(h[2])
	}
	c := &call{m: j.m, obj: o, op: "create"}
	if err == nil {
		c.args, err = proto.Elements(o.args, nil)
	}
	mk := kinds[o.kind]
	if err == nil && mk == nil {
		err = fmt.Errorf("no such kind")
	}
	if err == nil {
		o.thing, err = mk(c)
	}
	if err != nil {
		return fmt.Errorf("object %d, a %s: %w", id, o.kind, err)
	}
	if l, ok := o.thing.(*managedLock); ok {
		l.token = j.epoch << tokenBits
	}
	j.m.objects[id] = o
	if o.name != "" {
		j.m.names[o.name] = o
	}
	return nil
}

// replay executes the state and the operations of o.
func (j *journal) replay(o *object, b *bbolt.Bucket) error {
	if state := b.Get([]byte(stateKey)); state != nil {
		if err := j.again(o, "restore", []proto.Raw{slices.Clone(state)}); err != nil {
			return err
		}
		j.size(o).limit = max(stateAfter, 4*len(state))
	}
	c := b.Cursor()
	for k, v := c.Seek([]byte{opKey}); len(k) == 9 && k[0] == opKey; k, v = c.Next() {
		j.seq = max(j.seq, binary.BigEndian.Uint64(k[1:]))
		j.size(o).bytes += len(v)
		parts, err := proto.Elements(slices.Clone(v), nil)
		if err != nil {
			return err
		}
		op, err := proto.ParseString(parts[0])
		var args []proto.Raw
		if err == nil {
			args, err = proto.Elements(parts[1], nil)
		}
		if err == nil {
			err = j.again(o, op, args)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
	}
	return nil
}

func (j *journal) again(o *object, op string, args []proto.Raw) error {
	c := &call{m: j.m, obj: o, op: op, args: args}
	o.thing.call(c)
	return c.failed
}

func appendRaws(b []byte, rs []proto.Raw) []byte {
	b = proto.AppendArrayHeader(b, len(rs))
	for _, r := range rs {
		b = append(b, r...)
	}
	return b
}
