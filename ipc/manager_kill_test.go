package ipc

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// A client process holds something of every kind and waits for something of every kind, all over one
// connection, and is killed: when it has all of it, on the way there, half-way through a frame,
// with answers under way, or stopped. What it held others have at once, what it waited for goes to
// others, and of what it had nothing is left.

// What a victim does when it holds and waits.
const (
	rests = iota
	halfFrame
	flood  // asks for more than it reads
	churns // takes and gives back, again and again
	victimDeeds
)

type victimOrder struct {
	Path string
	Deed int
}

func init() {
	helpers["managed victim"] = func(c *Conn) error {
		var o victimOrder
		if err := c.Recv(context.Background(), &o); err != nil {
			return err
		}
		f := dialManager(aloneTB{}, o.Path)
		f.entangle()
		if err := c.Send(context.Background(), "ready"); err != nil {
			return err
		}
		switch o.Deed {
		case halfFrame:
			p, err := proto.Marshal([]any{"empty", "put", []any{make([]byte, rand.IntN(1<<20))}, none})
			if err != nil {
				return err
			}
			b := proto.AppendRequest(make([]byte, proto.HeaderSize), f.last+1, proto.MethodCall, p.Bytes)
			n := len(b) - proto.HeaderSize
			copy(b, []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
			f.conn.WriteFrames(b[:1+rand.IntN(len(b)-1)])
		case flood:
			for {
				f.start("large", "get", nil, none)
			}
		case churns:
			for {
				f.callWith(by(9), "", "storm", "acquire")
				f.callWith(by(9), "", "storm", "release")
			}
		}
		<-make(chan struct{})
		return nil
	}
}

// entangle holds and waits.
func (f *foreign) entangle() {
	inner := f.create("dict", pairs("a", make([]byte, 1000)))
	f.create("list", []any{proto.Ref{Instance: f.number(), ID: uint64(inner)}, make([]byte, 100_000)})
	f.call("held", "acquire")
	for range 3 {
		f.call("deep", "acquire")
	}
	for range 2 {
		f.call("permits", "acquire")
	}
	f.callWith(by(1), "", "condition", "acquire")
	f.start("condition", "wait", nil, by(1))
	for _, w := range []struct {
		object, op string
		args       []any
	}{
		{"taken", "acquire", nil}, {"none", "acquire", nil}, {"event", "wait", nil}, {"barrier", "wait", nil},
		{"empty", "get", nil}, {"empty", "get_many", []any{3}}, {"full", "put", []any{"dead"}}, {"full", "join", nil},
		{"two", "put_many", []any{ints(1, 2, 3, 4)}},
		{"dict", "wait", []any{"k", "present"}}, {"dict", "watch", []any{1000}}, {"list", "wait", []any{">", 0}},
	} {
		f.start(w.object, w.op, w.args, by(2))
	}
	f.must(proto.MethodPing, none)
}

func (f *foreign) number() (n uint64) {
	fmt.Sscan(f.instance, &n)
	return n
}

// slowHandOver is what nobody should wait beyond, on a machine that is not busy with other things.
const slowHandOver = 50 * time.Millisecond

// A killGame is what a victim gets entangled in.
type killGame struct {
	t             *testing.T
	r             *rand.Rand
	m             *Manager
	path          string
	home, second  *foreign
	base          managerStats
	objects       int
	waits         []time.Duration // until the next holder had what the victim held
	stopped, some int
}

func newKillGame(t *testing.T, r *rand.Rand) *killGame {
	m, path := newTestManager(t, ManagerOptions{})
	g := &killGame{t: t, r: r, m: m, path: path, home: dialManager(t, path), second: dialManager(t, path)}
	for _, o := range []struct {
		name, kind string
		args       []any
	}{
		{"held", "lock", nil}, {"deep", "rlock", nil}, {"permits", "bounded_semaphore", []any{2}}, {"condition", "condition", nil},
		{"taken", "lock", nil}, {"none", "semaphore", []any{0}}, {"event", "event", nil}, {"barrier", "barrier", []any{2}},
		{"empty", "queue", nil}, {"full", "queue", []any{1}}, {"two", "queue", []any{2}}, {"storm", "lock", nil},
		{"dict", "dict", nil}, {"list", "list", nil}, {"large", "value", []any{nil, make([]byte, 256<<10)}},
	} {
		g.home.must(proto.MethodCreate, o.kind, list(o.args), map[string]any{"name": o.name, "keep": true})
	}
	g.home.call("taken", "acquire")
	g.home.call("full", "put", 1)
	m.look(func() bool { g.base, g.objects = m.stats, len(m.objects); return true })()
	return g
}

// round has a victim entangled, killed, and looked after.
func (g *killGame) round() {
	v := start(g.t, "managed victim")
	defer v.Close()
	calls := g.calls()
	deed := g.r.IntN(victimDeeds)
	v.send(victimOrder{g.path, deed})
	var acquires []uint64
	ready := g.r.IntN(3) > 0
	if ready {
		v.expect("ready")
		acquires = g.wantAll()
		if g.r.IntN(4) == 0 {
			g.stop(v)
		}
	} else { // at any moment before
		at := calls + g.r.Uint64N(20) // it makes as many
		until(g.t, "the victim calls", func() bool { return g.calls() >= at })
		g.some++
	}
	for range g.r.IntN(200) {
		g.calls() // a moment of any length
	}
	killed := time.Now()
	v.signal(9)
	if acquires == nil {
		acquires = g.wantAll()
	}
	g.getAll(acquires)
	took := time.Since(killed)
	if took > slowHandOver {
		g.t.Logf("%v after the kill of one that %s", took, [...]string{"rests", "is in a frame", "does not read", "churns"}[deed])
	}
	g.waits = append(g.waits, took)
	v.wait()
	if !ready { // what it had asked for may still be executed, as if it had died later
		until(g.t, "the connection has ended", g.m.look(func() bool { return len(g.m.sessions) == 2 }))
	}
	g.inherit()
	g.clean()
}

func (g *killGame) calls() (n uint64) {
	g.m.look(func() bool { n = g.m.stats.calls; return true })()
	return n
}

// wantAll asks for what the victim holds, getAll gets it and gives it back.
func (g *killGame) wantAll() (acquires []uint64) {
	for _, name := range []string{"held", "deep", "permits", "permits"} {
		acquires = append(acquires, g.second.start(name, "acquire", nil, none))
	}
	g.second.must(proto.MethodPing, none)
	return acquires
}

func (g *killGame) getAll(acquires []uint64) {
	g.t.Helper()
	for _, id := range acquires {
		if _, err := g.second.answer(id); err != nil {
			g.t.Fatal(err)
		}
	}
	want(g.t, g.second.call("deep", "release"), int64(0))
	g.second.call("held", "release")
	g.second.call("permits", "release", 2)
}

// stop stops the victim, which is not dead: what it holds stays held, and others go on. Half of
// them go on too.
func (g *killGame) stop(v *child) {
	g.stopped++
	v.stop()
	for _, name := range []string{"held", "deep", "permits"} {
		got, err := g.home.do(proto.MethodCall, name, "acquire", []any{}, noTime)
		wantFault(g.t, proto.KindTimeout, got, err)
	}
	g.home.call("large", "type")
	if g.r.IntN(2) == 0 {
		v.signal(18) // SIGCONT
	}
}

// inherit looks who gets what a victim has waited for that is dead, whether or not the manager has
// heard of it.
func (g *killGame) inherit() {
	t := g.t
	g.second.fails(proto.KindValueError, "permits", "release")
	g.home.call("empty", "put", "item")
	want(t, g.home.call("empty", "get"), "item")

	behind := g.second.start("taken", "acquire", nil, none)
	g.second.must(proto.MethodPing, none)
	g.home.call("taken", "release")
	if v, err := g.second.answer(behind); err != nil || v.([]any)[1] != false {
		t.Fatalf("a lock that a dead client waited for: %v, %v", v, err)
	}
	g.second.call("taken", "release")
	g.home.call("taken", "acquire")

	g.home.call("none", "release")
	want(t, g.home.call("none", "value"), int64(1))
	g.home.call("none", "acquire")

	g.second.call("condition", "acquire")
	behind = g.second.start("condition", "wait", nil, none)
	g.second.must(proto.MethodPing, none)
	g.home.call("condition", "acquire")
	want(t, g.home.call("condition", "notify"), int64(1))
	g.home.call("condition", "release")
	if v, err := g.second.answer(behind); err != nil || v.([]any)[0] != true {
		t.Fatalf("a notify behind a dead client: %v, %v", v, err)
	}
	g.second.call("condition", "release")

	v, err := g.home.do(proto.MethodCall, "barrier", "wait", []any{}, noTime)
	wantFault(t, proto.KindBrokenBarrier, v, err)
	g.home.call("barrier", "reset")

	want(t, g.home.call("full", "get"), int64(1))
	g.home.call("full", "task_done")
	want(t, g.home.call("full", "len"), int64(0)) // not what the dead client wanted to put
	g.home.call("full", "put", 1)

	got := g.home.call("two", "len").(int64)
	if got != 0 && got != 2 {
		t.Fatalf("%d of two items", got)
	}
	for i := range got {
		want(t, g.home.call("two", "get"), i+1)
		g.home.call("two", "task_done")
	}
}

// clean waits until nothing of the victim is left.
func (g *killGame) clean() {
	g.t.Helper()
	until(g.t, "nothing of the victim is left", g.m.look(func() bool {
		now := g.m.stats
		now.calls = g.base.calls
		return now == g.base && len(g.m.sessions) == 2 && len(g.m.objects) == g.objects
	}))
	want(g.t, g.home.call("permits", "value"), int64(2))
	want(g.t, g.home.call("two", "putting"), int64(0))
	want(g.t, g.home.call("storm", "locked"), false)
}

// tell says how it stands when the test has failed.
func (g *killGame) tell() {
	if !g.t.Failed() {
		return
	}
	g.m.look(func() bool {
		for _, o := range g.m.sorted() {
			g.t.Logf("%s: %s, %d wait", o.name, o.thing.text(nil, 100), o.waiting)
		}
		g.t.Logf("%d connections, %+v, at first %+v", len(g.m.sessions), g.m.stats, g.base)
		return true
	})()
}

func TestManagerKills(t *testing.T) {
	checkLeaks(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	g := newKillGame(t, rand.New(rand.NewPCG(seed, 1)))
	defer g.tell()
	for range rounds(t, 30) {
		g.round()
	}
	slices.Sort(g.waits)
	at := func(part int) time.Duration { return g.waits[(len(g.waits)-1)*part/1000] }
	t.Logf("%d kills, %d of them on the way, %d stopped before; the next holder had all of it after %v (median), %v (99 %%), %v (at most)",
		len(g.waits), g.some, g.stopped, at(500), at(990), at(1000))
}
