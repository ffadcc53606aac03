package ipc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// Four processes use one object of a manager and note what they did: see linear_test.go. A client is
// killed, or the manager, which persists, is killed and starts again while they go on. A call under
// way at that moment may have happened before it, or not at all.

const (
	opDelete  linearOp = opDie + 1 + iota
	opRestart          // not an operation: the manager was killed and has started again
)

// In arguments of a dict's operations the key comes first.
const (
	linearKeys = 3
	keyFactor  = 1000
)

// A managedRun is what a client gets.
type managedRun struct {
	Run  linearRun
	Path string
	Kind string

	client *Client
	dict   *Dict[int, int]
	queue  *ManagedQueue[int]
	lock   *ManagedLock
	held   *ManagedHeld
}

func init() {
	helpers["managed linear"] = func(c *Conn) error {
		var l managedRun
		if err := c.Recv(context.Background(), &l); err != nil {
			return err
		}
		if err := l.open(); err != nil {
			return err
		}
		l.Run.Clock.Word(8).Add(1)
		for l.Run.Clock.Word(8).Load() < linearClients {
		}
		random := rand.New(rand.NewPCG(l.Run.Seed, 0))
		for l.Run.n < linearOps {
			if err := l.step(random); err != nil {
				return err
			}
		}
		if err := c.Send(context.Background(), "done"); err != nil {
			return err
		}
		var end string
		return c.Recv(context.Background(), &end) // what is held stays so until the end
	}
}

func (l *managedRun) open() (err error) {
	ctx := context.Background()
	if l.client, err = Connect(ctx, l.Path, ConnectOptions{}); err != nil {
		return err
	}
	switch l.Kind {
	case "dict":
		l.dict, err = OpenDict[int, int](ctx, l.client, "it")
	case "lock":
		l.lock, err = OpenManagedLock(ctx, l.client, "it")
	default:
		l.queue, err = OpenManagedQueue[int](ctx, l.client, "it")
	}
	return err
}

func (l *managedRun) step(random *rand.Rand) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(random.IntN(3000))*time.Microsecond)
	defer cancel()
	any, r := random.IntN(10), &l.Run
	switch l.Kind {
	case "dict":
		return l.dictStep(context.Background(), any, random.IntN(linearKeys), random.IntN(3))
	case "lock":
		return l.lockStep(ctx, any)
	}
	return l.queueStep(ctx, any, r.ID*linearOps+r.n+1)
}

// note notes an operation. One that the manager has not answered is noted as ended all the same:
// what it has not done by now it will never do.
func (l *managedRun) note(what linearOp, arg int, do func() (said, answer int, err error)) error {
	gone := false
	err := l.Run.note(what, arg, func() (int, int, error) {
		how, answer, err := do()
		if gone = errors.Is(err, ErrGone); gone {
			return 0, 0, nil
		}
		return how, answer, err
	})
	if !gone || err != nil {
		return err
	}
	l.held = nil
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	for err = l.client.Reconnect(ctx); errors.Is(err, ErrGone) && ctx.Err() == nil; err = l.client.Reconnect(ctx) {
	}
	return err
}

func (l *managedRun) dictStep(ctx context.Context, any, key, x int) error {
	arg := key*keyFactor + x
	switch {
	case any < 3:
		return l.note(opLoad, arg, func() (int, int, error) {
			v, ok, err := l.dict.Lookup(ctx, key)
			return how(ok), v, err
		})
	case any < 5:
		return l.note(opStore, arg, func() (int, int, error) { return said, 0, l.dict.Set(ctx, key, x) })
	case any < 7:
		return l.note(opAdd, arg, func() (int, int, error) {
			v, err := l.dict.AddFrom(ctx, key, x, 0)
			return said, v, err
		})
	case any < 8:
		return l.note(opDelete, arg, func() (int, int, error) {
			err := l.dict.Delete(ctx, key)
			if errors.Is(err, ErrKey) {
				return saidNo, 0, nil
			}
			return said, 0, err
		})
	}
	return l.note(opSwap, arg, func() (int, int, error) {
		ok, err := l.dict.CompareAndSwap(ctx, key, x, x+1)
		return how(ok), 0, err
	})
}

func how(ok bool) int {
	if ok {
		return said
	}
	return saidNo
}

func (l *managedRun) lockStep(ctx context.Context, any int) error {
	if h := l.held; h != nil {
		l.held = nil
		return l.note(opRelease, 0, func() (int, int, error) { return said, 0, h.Release() })
	}
	what := opAcquire
	if any < 5 {
		what = opTryAcquire
	}
	return l.note(what, 0, func() (int, int, error) {
		h, ok, err := ManagedHeld{}, true, error(nil)
		if what == opAcquire {
			h, err = l.lock.Acquire(ctx)
		} else {
			h, ok, err = l.lock.TryAcquire(ctx)
		}
		if !ok || err != nil {
			return saidNo, 0, err
		}
		l.held = &h
		answer := int(h.Token()) * 2
		if h.OwnerDied() {
			answer++
		}
		return said, answer, nil
	})
}

func (l *managedRun) queueStep(ctx context.Context, any, v int) error {
	if any%2 == 0 { // some wait
		any /= 2
	} else {
		any, ctx = any/2+5, context.Background()
	}
	switch any {
	case 0, 1:
		return l.note(opPut, v, func() (int, int, error) { return said, 0, l.queue.Put(ctx, v) })
	case 2, 3:
		return l.note(opGet, 0, func() (int, int, error) {
			v, err := l.queue.Get(ctx)
			return said, v, err
		})
	case 5, 6:
		return l.note(opTryPut, v, func() (int, int, error) {
			err := l.queue.TryPut(ctx, v)
			if errors.Is(err, ErrFull) {
				return saidNo, 0, nil
			}
			return said, 0, err
		})
	case 7, 8:
		return l.note(opTryGet, 0, func() (int, int, error) {
			v, err := l.queue.TryGet(ctx)
			if errors.Is(err, ErrEmpty) {
				return saidNo, 0, nil
			}
			return said, v, err
		})
	}
	return l.note(opLen, 0, func() (int, int, error) {
		n, err := l.queue.Len(context.Background())
		return said, n, err
	})
}

// dictState is the values of the keys, absent for a key that is not there.
type dictState [linearKeys]int

const absent = -1

func stepDict(s dictState, i linearInput, o linearOutput) (bool, dictState) {
	key, x := i.arg/keyFactor, i.arg%keyFactor
	old := s[key]
	switch i.what {
	case opLoad:
		return o.how == 0 || o.how == saidNo && old == absent || o.how == said && o.answer == old, s
	case opStore:
		s[key] = x
	case opAdd:
		s[key] = max(old, 0) + x
		return o.how == 0 || o.answer == s[key], s
	case opDelete:
		s[key] = absent
		return o.how == 0 || (o.how == said) == (old != absent), s
	case opSwap:
		if old == x {
			s[key] = x + 1
		}
		return o.how == 0 || (o.how == said) == (old == x), s
	}
	return true, s
}

// stepQueue and stepLock are the models of linear_model_test.go, where nothing may have been done.
func stepQueue(s queueState, i linearInput, o linearOutput) (bool, queueState) {
	ok, next := queueModel.Step(s, i, o)
	return ok, next.(queueState)
}

func stepLock(s lockState, i linearInput, o linearOutput) (bool, lockState) {
	switch {
	case i.what == opRestart: // it comes back free
		return true, lockState{token: s.token}
	case (i.what == opAcquire || i.what == opTryAcquire) && o.how == said:
		died := o.answer%2 == 1
		return s.holder == 0 && o.answer/2 > s.token && died == s.died, lockState{holder: i.client + 1, token: o.answer / 2}
	case i.what == opRelease && o.how == said:
		return s.holder == i.client+1, lockState{token: s.token}
	}
	ok, next := lockModel.Step(s, i, o)
	state := next.(lockState)
	if state.holder != s.holder && state.holder != 0 {
		state.token = s.token // which is not known
	}
	return ok, state
}

// managedModel is a model in which what has no answer may have done nothing.
func managedModel[S comparable](init S, step func(S, linearInput, linearOutput) (bool, S)) porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{init} },
		Step: func(state, in, out any) (next []any) {
			s, i, o := state.(S), in.(linearInput), out.(linearOutput)
			ok, after := step(s, i, o)
			if ok {
				next = append(next, after)
			}
			if o.how == 0 && i.what != opDie && i.what != opRestart && (!ok || after != s) {
				next = append(next, s)
			}
			return next
		},
		DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v: %+v", in, out) },
	}
	return m.ToModel()
}

func TestManagerLinearizable(t *testing.T) {
	kinds := []struct {
		kind  string
		args  []any
		model porcupine.Model
	}{
		{"dict", nil, managedModel(dictState{absent, absent, absent}, stepDict)},
		{"queue", []any{linearBound}, managedModel(queueState{}, stepQueue)},
		{"lock", nil, managedModel(lockState{}, stepLock)},
	}
	for _, k := range kinds {
		for _, victim := range []string{"nobody", "a client", "the manager"} {
			t.Run(k.kind+", and "+victim+" is killed", func(t *testing.T) {
				checkLeaks(t)
				overlaps, unknown := 0, 0
				for round := range rounds(t, 2) {
					history := recordManaged(t, managedRun{Kind: k.kind}, k.args, victim)
					overlaps += overlapping(history)
					for _, o := range history {
						if o.Output.(linearOutput).how == 0 && o.Input.(linearInput).what < opDie {
							unknown++
						}
					}
					switch porcupine.CheckOperationsTimeout(k.model, history, deadline) {
					case porcupine.Illegal:
						t.Fatalf("round %d is not linearizable:\n%s", round, describe(k.model, history))
					case porcupine.Unknown:
						t.Errorf("round %d: no answer within %v", round, deadline)
					}
				}
				t.Logf("%d pairs of operations overlapped, %d were never answered", overlaps, unknown)
			})
		}
	}
}

// recordManaged has four processes use an object, kills one of them or the manager, and returns the
// history.
func recordManaged(t *testing.T, l managedRun, args []any, victim string) []porcupine.Operation {
	t.Helper()
	dir := t.TempDir()
	l.Path = filepath.Join(dir, "manager.sock")
	store := ""
	if victim == "the manager" {
		store = filepath.Join(dir, "store")
	}
	server := persistentManager(t, l.Path, store)
	setup := dialManager(t, l.Path)
	setup.must("create", l.Kind, list(args), map[string]any{"name": "it", "keep": true})
	setup.conn.Close()

	log, err := NewArray[uint64]("", linearClients*linearOps*linearWords)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	clock, err := NewBlock(32)
	if err != nil {
		t.Fatal(err)
	}
	defer clock.Close()
	l.Run.Log, l.Run.Clock = log, clock
	var procs [linearClients]*child
	for i := range procs {
		x := l
		x.Run.ID, x.Run.Seed = i, rand.Uint64()
		procs[i] = start(t, "managed linear")
		procs[i].send(x)
	}
	until(t, "all have begun", func() bool { return clock.Word(8).Load() == linearClients })

	var deaths []porcupine.Operation
	death := func(what linearOp, client int, begin, end int64) {
		deaths = append(deaths, porcupine.Operation{
			ClientId: client, Input: linearInput{what, 0, client}, Call: begin, Output: linearOutput{}, Return: end,
		})
	}
	dead := -1
	switch victim {
	case "a client":
		dead = rand.IntN(linearClients)
		reach(clock, rand.IntN(2*linearClients*linearOps))
		begin := int64(clock.Word(0).Add(1))
		procs[dead].kill()
		death(opDie, dead, begin, math.MaxInt64)
	case "the manager":
		for range 3 {
			reach(clock, rand.IntN(linearClients*linearOps/2))
			begin := int64(clock.Word(0).Add(1))
			server.signal(syscall.SIGKILL)
			server.wait()
			death(opRestart, linearClients, begin, int64(clock.Word(0).Add(1)))
			server = persistentManager(t, l.Path, store)
		}
	}
	for i, p := range procs {
		if i != dead {
			p.expect("done")
		}
	}
	history := append(readHistory(log.Slice()), deaths...)
	for _, p := range procs {
		p.Close()
		if !p.dead {
			p.kill()
		}
	}
	server.kill()
	server.Close()
	return history
}

// reach waits until the clock has gone on by so much, or does not any more.
func reach(clock *Block, more int) {
	at := clock.Word(0).Load() + uint64(more)
	for end := time.Now().Add(200 * time.Millisecond); clock.Word(0).Load() < at && time.Now().Before(end); {
	}
}

// The models refuse what is wrong.
func TestManagedModelsRefuse(t *testing.T) {
	op := func(client int, call, end int64, what linearOp, arg, how, answer int) porcupine.Operation {
		return porcupine.Operation{
			ClientId: client, Input: linearInput{what, arg, client}, Call: call, Return: end,
			Output: linearOutput{how, answer},
		}
	}
	dict := managedModel(dictState{absent, absent, absent}, stepDict)
	queue := managedModel(queueState{}, stepQueue)
	lock := managedModel(lockState{}, stepLock)
	for _, c := range []struct {
		name    string
		model   porcupine.Model
		right   bool
		history []porcupine.Operation
	}{
		{"an acknowledged change lost", dict, false, []porcupine.Operation{
			op(0, 1, 2, opStore, 7, said, 0), op(4, 3, 4, opRestart, 0, 0, 0), op(0, 5, 6, opLoad, 0, saidNo, 0)}},
		{"an unacknowledged change lost", dict, true, []porcupine.Operation{
			op(0, 1, 5, opStore, 7, 0, 0), op(4, 3, 4, opRestart, 0, 0, 0), op(0, 6, 7, opLoad, 0, saidNo, 0)}},
		{"an unacknowledged change seen, and then lost", dict, false, []porcupine.Operation{
			op(0, 1, 5, opStore, 7, 0, 0), op(0, 6, 7, opLoad, 0, said, 7), op(0, 8, 9, opLoad, 0, saidNo, 0)}},
		{"an item twice", queue, false, []porcupine.Operation{
			op(0, 1, 2, opPut, 7, said, 0), op(1, 3, 4, opGet, 0, said, 7), op(4, 5, 6, opRestart, 0, 0, 0), op(1, 7, 8, opGet, 0, said, 7)}},
		{"an item that a get without answer may have taken", queue, true, []porcupine.Operation{
			op(0, 1, 2, opPut, 7, said, 0), op(1, 3, 6, opGet, 0, 0, 0), op(4, 4, 5, opRestart, 0, 0, 0), op(1, 7, 8, opLen, 0, said, 0)}},
		{"a token again", lock, false, []porcupine.Operation{
			op(0, 1, 2, opAcquire, 0, said, 2), op(4, 3, 4, opRestart, 0, 0, 0), op(1, 5, 6, opAcquire, 0, said, 2)}},
		{"two holders", lock, false, []porcupine.Operation{
			op(0, 1, 2, opAcquire, 0, said, 2), op(1, 3, 4, opAcquire, 0, said, 4)}},
		{"free after a restart", lock, true, []porcupine.Operation{
			op(0, 1, 2, opAcquire, 0, said, 2), op(4, 3, 4, opRestart, 0, 0, 0), op(1, 5, 6, opAcquire, 0, said, 4)}},
	} {
		if got := porcupine.CheckOperations(c.model, c.history); got != c.right {
			t.Errorf("%s: right %v, expected %v", c.name, got, c.right)
		}
	}
}
