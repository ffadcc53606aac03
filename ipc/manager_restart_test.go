package ipc

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

// A manager of its own process executes random operations of every kind that persists, and is
// killed at random moments, or stopped and its store copied: so at any point of a commit. What a
// store says must be what some of the operations have made, from the first one on without a gap,
// and all those that were acknowledged. What they make a twin knows, which keeps nothing.

const stateEnv = "IPC_TEST_STATE_AFTER"

func init() {
	if n, err := strconv.Atoi(os.Getenv(stateEnv)); err == nil {
		stateAfter = n
	}
}

type twinOp struct {
	object string
	op     string
	args   []any
}

type twinGame struct {
	t      *testing.T
	r      *rand.Rand
	dir    string // the store is in dir/store, the socket beside it
	server *child
	home   *foreign

	twin  *Manager
	ref   proto.Ref      // to an object that stays
	log   []twinOp       // not known to the twin yet
	ids   []uint64       // of the requests that are under way, the last of log
	acked int            // operations at the head of log that the twin must do; negative: it was ahead
	seen  map[string]int // how often what was compared
}

var twinObjects = []struct {
	name, kind string
	args       []any
}{
	{"d1", "dict", []any{pairs("a", 1)}}, {"d2", "dict", nil}, {"l1", "list", []any{ints(3, 1, 2)}}, {"l2", "list", nil},
	{"n", "namespace", nil}, {"v", "value", []any{nil, 0}}, {"a", "array", []any{"q", 7}},
	{"q", "queue", []any{5}}, {"lq", "lifo_queue", nil}, {"pq", "priority_queue", []any{8}},
}

func newTwinGame(t *testing.T, seed uint64) *twinGame {
	g := &twinGame{t: t, r: rand.New(rand.NewPCG(seed, 1)), dir: t.TempDir(), seen: map[string]int{}}
	g.begin()
	m, _ := newTestManager(t, ManagerOptions{})
	g.twin = m
	instance, err := strconv.ParseUint(g.home.instance, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	m.instance = instance
	for _, o := range twinObjects {
		g.home.must(proto.MethodCreate, o.kind, list(o.args), map[string]any{"name": o.name, "keep": true})
		m.look(func() bool {
			c := &call{m: m, op: "create", args: g.elements(list(o.args))}
			made, err := m.create(c, o.kind, o.name)
			if err != nil {
				t.Fatal(err)
			}
			m.keep(made, true)
			return true
		})()
	}
	g.ref = proto.Ref{Instance: instance, ID: 1}
	return g
}

func (g *twinGame) elements(args []any) []proto.Raw {
	p, err := proto.Marshal(args)
	if err != nil {
		g.t.Fatal(err)
	}
	rs, err := proto.Elements(p.Bytes, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	return rs
}

func (g *twinGame) begin() {
	path := filepath.Join(g.dir, "manager.sock")
	g.server = persistentManager(g.t, path, filepath.Join(g.dir, "store"))
	g.home = dialManager(g.t, path)
}

// ask sends one operation; hear takes one answer, and returns false if the manager is gone.
func (g *twinGame) ask() bool {
	o := g.any()
	p, err := proto.Marshal([]any{o.object, o.op, list(o.args), noTime})
	if err != nil {
		g.t.Fatal(err)
	}
	f := g.home
	f.last++
	g.ids = append(g.ids, f.last)
	g.log = append(g.log, o)
	return f.conn.WriteFrame(nil, proto.AppendRequest(nil, f.last, proto.MethodCall, p.Bytes)) == nil
}

func (g *twinGame) hear(ctx context.Context) bool {
	fr, err := g.home.conn.recv(ctx)
	if err != nil {
		return false
	}
	msg, err := proto.ParseMessage(fr.Body, proto.Limits{})
	if err != nil {
		g.t.Fatal(err)
	}
	if len(g.ids) == 0 || msg.ID != g.ids[0] { // nothing waits, so they come in order
		g.t.Fatalf("an answer to request %d, while %v are under way", msg.ID, g.ids)
	}
	if msg.Fault != nil && (msg.Fault.Kind == proto.KindUnknownMethod || msg.Fault.Kind == proto.KindArguments) {
		g.t.Fatal(msg.Fault)
	}
	g.ids = g.ids[1:]
	g.acked++
	return true
}

// compare opens the store in dir, and holds it to the twin, which it brings there.
func (g *twinGame) compare(what, dir string) {
	g.t.Helper()
	m, err := NewManager(ManagerOptions{Persist: dir})
	if err != nil {
		g.t.Fatalf("after it was %s: %v", what, err)
	}
	got := m.states()
	if err := m.Close(); err != nil {
		g.t.Fatal(err)
	}
	for g.acked > 0 {
		g.apply()
	}
	for !maps.Equal(got, g.twin.states()) {
		if len(g.log) == 0 {
			now := g.twin.states()
			for id, s := range now {
				if got[id] != s {
					g.t.Errorf("%s: now %s\nthen %s", id, s, got[id])
				}
			}
			g.t.Fatalf("after it was %s, the store has %d objects, the twin %d: no state since the last acknowledged operation", what, len(got), len(now))
		}
		g.apply()
	}
	g.seen[what]++
}

// apply has the twin do the next operation.
func (g *twinGame) apply() {
	o := g.log[0]
	g.log = g.log[1:]
	g.acked--
	m := g.twin
	m.look(func() bool {
		c := &call{m: m, obj: m.names[o.object], op: o.op, args: g.elements(list(o.args))}
		c.obj.thing.call(c)
		return true
	})()
}

// states describes all objects, as they would come back.
func (m *Manager) states() map[string]string {
	all := map[string]string{}
	m.look(func() bool { m.bury(); return true })()
	m.look(func() bool {
		for id, o := range m.objects {
			d := o.thing.(durable).dump(nil)
			if o.kind == "dict" || o.kind == "namespace" {
				parts, err := proto.Elements(d, nil)
				if err != nil {
					panic(err)
				}
				d = appendRaws(nil, slices.Delete(parts, 1, 3)) // more is forgotten after a restart, and the shape may be another
			}
			all[fmt.Sprintf("%d, %s %s", id, o.kind, o.name)] = fmt.Sprintf("%d references, %x", o.stored, d)
		}
		return true
	})()
	return all
}

func (g *twinGame) run(ops int) {
	killAt := g.r.IntN(ops)
	for n := 0; ; n++ {
		for len(g.ids) < 16 {
			if !g.ask() {
				g.t.Fatal("the manager has gone")
			}
		}
		if !g.hear(within(g.t)) {
			g.t.Fatal("the manager has gone")
		}
		if n%(1+ops/3) == ops/4 {
			g.copyStopped()
		}
		if n == killAt {
			break
		}
	}
	g.server.signal(syscall.SIGKILL)
	for g.hear(within(g.t)) {
	}
	g.server.wait()
	g.home.conn.Close()
	g.compare("killed", filepath.Join(g.dir, "store"))
	g.log, g.ids, g.acked = nil, nil, 0 // what is not in the store has never been
	g.begin()
}

// copyStopped looks at a copy of the store as it is at some moment.
func (g *twinGame) copyStopped() {
	g.t.Helper()
	g.server.stop()
	to := filepath.Join(g.t.TempDir(), "copy")
	if err := os.Mkdir(to, 0o700); err != nil {
		g.t.Fatal(err)
	}
	copyFile(g.t, filepath.Join(to, "manager.db"), filepath.Join(g.dir, "store", "manager.db"))
	g.compare("stopped", to)
	g.server.signal(syscall.SIGCONT)
	os.RemoveAll(to)
}

func copyFile(t *testing.T, to, from string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
}

func TestPersistTwin(t *testing.T) {
	for name, after := range map[string]int{"operations": 1 << 20, "states": 0, "both": 1 << 10} {
		t.Run(name, func(t *testing.T) {
			checkLeaks(t)
			t.Setenv(stateEnv, fmt.Sprint(after))
			was := stateAfter
			stateAfter = after
			defer func() { stateAfter = was }()
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			g := newTwinGame(t, seed)
			for range rounds(t, 4) {
				g.run(300)
			}
			t.Logf("compared: %v", g.seen)
		})
	}
}

// any returns an operation; some of them fail.
func (g *twinGame) any() twinOp {
	o := twinObjects[g.r.IntN(len(twinObjects))]
	ops := twinOps[o.kind]
	if ops == nil {
		ops = twinOps["queue"]
	}
	all := slices.Sorted(maps.Keys(ops))
	op := all[g.r.IntN(len(all))]
	if (op == "clear" || op == "close") && g.r.IntN(20) > 0 {
		op = all[0]
	}
	return twinOp{o.name, op, ops[op](g)}
}

func (g *twinGame) key() any { return []any{"a", "b", 1, 1.5, proto.Tuple{1, "x"}}[g.r.IntN(5)] }
func (g *twinGame) name() string {
	return string(rune('a' + g.r.IntN(4)))
}
func (g *twinGame) at() any { return g.r.IntN(9) - 4 }

func (g *twinGame) value() any {
	switch g.r.IntN(8) {
	case 0:
		return "text"
	case 1:
		return make([]byte, g.r.IntN(3000))
	case 2:
		return []any{g.ref, g.ref}
	case 3:
		return proto.Tuple{g.r.IntN(3), 1.5}
	}
	return g.r.IntN(4)
}

func (g *twinGame) values() []any {
	vs := []any{}
	for range g.r.IntN(5) {
		vs = append(vs, g.value())
	}
	return vs
}

func (g *twinGame) slice() any { return slice(g.at(), g.at()) }

type twinArgs = map[string]func(g *twinGame) []any

var twinOps = map[string]twinArgs{
	"dict": {
		"add":           func(g *twinGame) []any { return []any{g.key(), g.r.IntN(5), 1} },
		"cas":           func(g *twinGame) []any { return []any{g.key(), g.r.IntN(3), g.value()} },
		"cas_version":   func(g *twinGame) []any { return []any{g.key(), g.r.IntN(3), g.value()} },
		"clear":         func(g *twinGame) []any { return nil },
		"delete":        func(g *twinGame) []any { return []any{g.key()} },
		"delete_if":     func(g *twinGame) []any { return []any{g.key(), g.r.IntN(3)} },
		"get_or_create": func(g *twinGame) []any { return []any{g.key(), "list", []any{ints(1, 2)}} },
		"get_version":   func(g *twinGame) []any { return []any{g.key()} },
		"insert":        func(g *twinGame) []any { return []any{g.key(), g.value()} },
		"pop":           func(g *twinGame) []any { return []any{g.key(), nil} },
		"popitem":       func(g *twinGame) []any { return nil },
		"set":           func(g *twinGame) []any { return []any{g.key(), g.value()} },
		"setdefault":    func(g *twinGame) []any { return []any{g.key(), g.value()} },
		"update":        func(g *twinGame) []any { return []any{pairs(g.key(), g.value(), g.key(), g.value())} },
	},
	"list": {
		"add":       func(g *twinGame) []any { return []any{g.at(), 1} },
		"append":    func(g *twinGame) []any { return []any{g.value()} },
		"cas":       func(g *twinGame) []any { return []any{g.at(), 1, g.value()} },
		"clear":     func(g *twinGame) []any { return nil },
		"delete":    func(g *twinGame) []any { return []any{[]any{g.at(), g.slice()}[g.r.IntN(2)]} },
		"extend":    func(g *twinGame) []any { return []any{g.values()} },
		"imul":      func(g *twinGame) []any { return []any{g.r.IntN(3)} },
		"insert":    func(g *twinGame) []any { return []any{g.at(), g.value()} },
		"move":      func(g *twinGame) []any { return []any{[]any{"l1", "l2"}[g.r.IntN(2)], g.at(), g.at()} },
		"pop":       func(g *twinGame) []any { return []any{g.at()} },
		"push_trim": func(g *twinGame) []any { return []any{g.value(), g.r.IntN(6)} },
		"remove":    func(g *twinGame) []any { return []any{g.value()} },
		"reverse":   func(g *twinGame) []any { return nil },
		"set":       func(g *twinGame) []any { return []any{g.slice(), g.values()} },
		"sort":      func(g *twinGame) []any { return []any{g.r.IntN(2) == 0} },
	},
	"namespace": {
		"add":    func(g *twinGame) []any { return []any{g.name(), 1, 0} },
		"cas":    func(g *twinGame) []any { return []any{g.name(), 1, g.value()} },
		"delete": func(g *twinGame) []any { return []any{g.name()} },
		"set":    func(g *twinGame) []any { return []any{g.name(), g.value()} },
	},
	"value": {
		"add": func(g *twinGame) []any { return []any{1} },
		"cas": func(g *twinGame) []any { return []any{1, g.value()} },
		"set": func(g *twinGame) []any { return []any{g.value()} },
	},
	"array": {
		"add": func(g *twinGame) []any { return []any{g.at(), 3} },
		"cas": func(g *twinGame) []any { return []any{g.at(), 0, 5} },
		"set": func(g *twinGame) []any { return []any{slice(0, 2), []any{g.r.IntN(9), 2}} },
	},
	"queue": {
		"close":     func(g *twinGame) []any { return []any{true} },
		"get":       func(g *twinGame) []any { return nil },
		"get_many":  func(g *twinGame) []any { return []any{1 + g.r.IntN(4)} },
		"maxsize":   func(g *twinGame) []any { return []any{g.r.IntN(9)} },
		"put":       func(g *twinGame) []any { return []any{g.value()} },
		"put_many":  func(g *twinGame) []any { return []any{g.values()} },
		"task_done": func(g *twinGame) []any { return []any{1 + g.r.IntN(2)} },
	},
}
