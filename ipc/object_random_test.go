package ipc

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

// A modelled object is one of the manager with the model's.
type modelled struct {
	name string
	id   int64
	ops  []string
	do   func(c *modelCall, op string, n int)
}

// A syncRun has clients do what chance says, and compares every answer with the model.
type syncRun struct {
	t       *testing.T
	m       *Manager
	path    string
	random  *rand.Rand
	model   *syncModel
	boss    *foreign // keeps the objects alive
	clients map[int]*foreign
	session map[int]*session
	last    int // connection
	objects []modelled
	patient bool // calls have no time limit
	log     []string
}

const (
	randomClients = 3
	randomOwners  = 2
)

func newSyncRun(t *testing.T, seed uint64) *syncRun {
	r := &syncRun{
		t: t, random: rand.New(rand.NewPCG(seed, 0)), model: &syncModel{answers: map[modelKey]string{}},
		clients: map[int]*foreign{}, session: map[int]*session{},
	}
	r.m, r.path = newTestManager(t, ManagerOptions{})
	r.boss = dialManager(t, r.path)
	r.makeLocks()
	r.makeOthers()
	for range randomClients {
		r.connect()
	}
	return r
}

func (r *syncRun) add(name string, id int64, do func(*modelCall, string, int), ops ...string) {
	r.objects = append(r.objects, modelled{name, id, ops, do})
}

func (r *syncRun) makeLocks() {
	handoff := map[string]any{"handoff": true}
	for _, x := range []struct {
		name               string
		reentrant, handoff bool
		id                 int64
	}{
		{"lock", false, false, r.boss.create("lock")},
		{"handoff", false, true, r.boss.create("lock", handoff)},
		{"rlock", true, false, r.boss.create("rlock")},
	} {
		l := &modelLock{m: r.model, reentrant: x.reentrant, handoff: x.handoff}
		r.model.locks = append(r.model.locks, l)
		ops := []string{"acquire", "acquire", "release", "locked"}
		if x.reentrant {
			ops = append(ops, "owned", "count")
		}
		r.add(x.name, x.id, l.do, ops...)
		for i := range 2 { // two conditions share it
			d := &modelCondition{lock: l}
			id := r.boss.create("condition", ref(r.m, x.id))
			r.add(fmt.Sprint("condition ", i, " of ", x.name), id, d.do,
				"acquire", "release", "wait", "wait", "notify", "notify", "notify_all", "waiting", "owned", "count", "locked")
		}
	}
}

func (r *syncRun) makeOthers() {
	for bound, kind := range []string{"semaphore", "bounded_semaphore"} {
		x := &modelSemaphore{m: r.model, free: 2, bound: 2 * bound, held: map[int]int{}}
		r.model.sems = append(r.model.sems, x)
		r.add(kind, r.boss.create(kind, 2), x.do, "acquire", "acquire", "acquire", "release", "value")
	}
	e := &modelEvent{m: r.model}
	r.add("event", r.boss.create("event"), e.do, "wait", "wait", "wait", "set", "clear", "clear", "is_set")
	for _, action := range []bool{false, true} {
		b := &modelBarrier{m: r.model, parties: 3, action: action}
		r.model.bars = append(r.model.bars, b)
		id := r.boss.create("barrier", 3, map[string]any{"action": action})
		r.add(fmt.Sprint("barrier, action ", action), id, b.do,
			"wait", "wait", "wait", "wait", "wait", "done", "done", "failed", "abort", "reset", "reset", "parties", "waiting", "broken")
	}
}

// connect adds a client.
func (r *syncRun) connect() {
	r.last++
	r.clients[r.last] = dialManager(r.t, r.path)
	known := map[*session]bool{}
	for _, s := range r.session {
		known[s] = true
	}
	r.m.look(func() bool {
		for s := range r.m.sessions {
			if !known[s] && s.leases[r.m.objects[uint64(r.objects[0].id)]] == 0 {
				r.session[r.last] = s
			}
		}
		return true
	})()
}

// step does one thing, and waits until it has happened.
func (r *syncRun) step() {
	r.t.Helper()
	switch n := r.random.IntN(100); {
	case n < 3:
		r.disconnect(r.one())
	case n < 15 && len(r.model.pending) > 0:
		r.cancel(r.model.pending[r.random.IntN(len(r.model.pending))])
	case n < 35:
		r.holder()
	case n < 50:
		r.round()
	default:
		x := r.objects[r.random.IntN(len(r.objects))]
		r.call(x, r.one(), uint64(r.random.IntN(randomOwners)), x.ops[r.random.IntN(len(x.ops))])
	}
}

// one returns one of the connections.
func (r *syncRun) one() int {
	all := make([]int, 0, len(r.clients))
	for c := range r.clients {
		all = append(all, c)
	}
	slices.Sort(all)
	return all[r.random.IntN(len(all))]
}

// holder has who holds a lock do something with it, so that things go on.
func (r *syncRun) holder() {
	n := r.random.IntN(len(r.model.locks))
	if w := r.model.locks[n].holder; w.conn != 0 {
		x := r.objects[3*n+r.random.IntN(3)] // the lock, or one of its conditions
		ops := []string{"acquire", "release", "release", "wait", "notify"}
		if r.random.IntN(3) == 0 {
			ops = x.ops
		}
		if op := ops[r.random.IntN(len(ops))]; slices.Contains(x.ops, op) {
			r.call(x, w.conn, w.owner, op)
		}
	}
}

// round brings the barrier with an action on: it is mended, somebody comes, and who runs the
// action, or did before the barrier broke, ends it.
func (r *syncRun) round() {
	b, x := r.model.bars[1], r.objects[len(r.objects)-1]
	r.patient = true
	defer func() { r.patient = false }()
	who := slices.Clone(b.relieved)
	if b.running {
		who = append(who, b.runner)
	}
	n := r.random.IntN(6)
	switch {
	case b.broken && n > 0:
		r.call(x, r.one(), 0, "reset")
	case len(who) > 0 && n == 0:
		w := who[r.random.IntN(len(who))]
		r.call(x, w.conn, w.owner, []string{"done", "done", "done", "failed", "reset", "broken"}[r.random.IntN(6)])
	default:
		r.call(x, r.one(), uint64(r.random.IntN(randomOwners)), "wait")
	}
}

func (r *syncRun) call(x modelled, conn int, owner uint64, op string) {
	r.t.Helper()
	f := r.clients[conn]
	options, n, args := by(owner), 1, []any(nil)
	c := &modelCall{who: modelWho{conn, owner}}
	limit := r.random.IntN(10)
	switch {
	case r.patient:
	case limit < 2:
		options["timeout_ms"], c.poll = 0, true
	case limit < 3:
		options["timeout_ms"] = 1
	case limit < 4:
		options["timeout_ms"] = 600_000
	}
	if (op == "release" && x.ops[0] == "acquire" && slices.Contains(x.ops, "value") || op == "notify") && r.random.IntN(2) == 0 {
		n = r.random.IntN(4)
		args = []any{n}
	}
	r.log = append(r.log, fmt.Sprintf("%d/%d %s %s%v %v", conn, owner, x.name, op, args, options["timeout_ms"]))
	c.key = modelKey{conn, f.start(x.id, op, args, options)}
	f.must(proto.MethodPing, none)
	x.do(c, op, n)
	if !r.patient && limit == 2 && c.line != nil && c.quit != nil {
		r.expires(c)
	}
}

// expires waits until the time of c is over.
func (r *syncRun) expires(c *modelCall) {
	r.t.Helper()
	s := r.session[c.key.conn]
	until(r.t, "the time is over", r.m.look(func() bool {
		p := s.waiting[c.key.id]
		return p == nil || p.bound
	}))
	c.quit("timeout")
}

func (r *syncRun) cancel(c *modelCall) {
	r.t.Helper()
	r.log = append(r.log, fmt.Sprintf("%d cancel %d", c.key.conn, c.key.id))
	r.clients[c.key.conn].cancels(c.key.id, true)
	if c.quit != nil {
		c.quit("cancelled")
	}
}

func (r *syncRun) disconnect(conn int) {
	r.t.Helper()
	r.log = append(r.log, fmt.Sprintf("%d leaves", conn))
	r.clients[conn].conn.Close()
	r.m.open(r.t, randomClients)
	delete(r.clients, conn)
	delete(r.session, conn)
	r.model.leave(conn)
	for k := range r.model.answers {
		if k.conn == conn {
			delete(r.model.answers, k)
		}
	}
	r.connect()
}

// compare compares what was answered since the last time.
func (r *syncRun) compare() {
	r.t.Helper()
	for conn, f := range r.clients {
		f.must(proto.MethodPing, none) // what was sent before is there
		for id := range f.got {
			v, err := f.answer(id)
			got := answerText(r.t, v, err)
			key := modelKey{conn, id}
			is, ok := r.model.answers[key]
			if !ok || got != is {
				r.t.Fatalf("request %d of %d is answered %q; by the model %q, %v", id, conn, got, is, ok)
			}
			delete(r.model.answers, key)
		}
	}
	for k, is := range r.model.answers {
		r.t.Fatalf("request %d of %d is not answered; by the model %q", k.id, k.conn, is)
	}
}

func answerText(t testing.TB, v any, err error) string {
	if err == nil {
		return fmt.Sprint(v)
	}
	f := err.(*proto.Fault)
	if len(f.Value) == 0 {
		return f.Kind
	}
	var value []any
	if _, err := proto.Unmarshal(proto.Payload{Bytes: f.Value}, &value, proto.Limits{}); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(append([]any{f.Kind}, value...))
}

// Clients with several owners do what chance says to locks, conditions, semaphores, an event and
// barriers, are cancelled, run out of time and leave: every answer is the one of a simple model,
// and after every step the state of the manager is whole.
func TestManagedSyncRandom(t *testing.T) {
	checkLeaks(t)
	seeds, steps := 10, 300
	if n, err := strconv.Atoi(os.Getenv("MULTIPROC_ROUNDS")); err == nil {
		seeds = n
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := newSyncRun(t, seed)
			defer func() {
				if t.Failed() {
					t.Logf("the last steps: %q", r.log[max(len(r.log)-40, 0):])
				}
			}()
			for range steps {
				r.step()
				r.compare()
				r.m.whole(t)
			}
			for _, f := range r.clients {
				f.conn.Close()
			}
			r.m.open(t, 1)
			r.m.nobody(t)
		})
	}
}
