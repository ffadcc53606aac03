package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

func init() { helpers["managed queue"] = helpManagedQueue }

// An actorOrder is what a helper does until the queue is closed.
type actorOrder struct {
	Path  string
	Queue int64
	Get   bool
	Many  int // items of one call; 0 for put and get
	First int // item that a putter puts first
}

// aloneTB lets a helper be a foreign client.
type aloneTB struct{ testing.TB }

func (aloneTB) Helper()                        {}
func (aloneTB) Cleanup(func())                 {}
func (aloneTB) Context() context.Context       { return context.Background() }
func (aloneTB) Fatal(args ...any)              { panic(fmt.Sprint(args...)) }
func (aloneTB) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

// helpManagedQueue puts or gets, and reports each item after it is done with.
func helpManagedQueue(c *Conn) error {
	var o actorOrder
	if err := c.Recv(context.Background(), &o); err != nil {
		return err
	}
	f := dialManager(aloneTB{}, o.Path)
	for {
		items, err := o.turn(f)
		if fault, ok := errors.AsType[*proto.Fault](err); ok && fault.Kind == proto.KindClosed {
			return nil
		}
		if err != nil {
			return err
		}
		if err := c.Send(context.Background(), items); err != nil {
			return err
		}
	}
}

func (o *actorOrder) turn(f *foreign) (items []int, err error) {
	var v any
	switch {
	case o.Get && o.Many == 0:
		v, err = f.do(proto.MethodCall, o.Queue, "get", []any{}, none)
		v = []any{v}
	case o.Get:
		v, err = f.do(proto.MethodCall, o.Queue, "get_many", []any{o.Many}, none)
	default:
		for range max(1, o.Many) {
			items = append(items, o.First)
			o.First++
		}
		if o.Many == 0 {
			_, err = f.do(proto.MethodCall, o.Queue, "put", []any{items[0]}, none)
		} else {
			_, err = f.do(proto.MethodCall, o.Queue, "put_many", []any{items}, none)
		}
		return items, err
	}
	if err != nil {
		return nil, err
	}
	for _, x := range v.([]any) {
		items = append(items, int(x.(int64)))
	}
	return items, nil
}

// A queueActor is a helper, and what it reported.
type queueActor struct {
	*child
	order actorOrder
	items []int
	done  chan struct{} // it has reported everything
}

const actorItems = 1_000_000 // of one putter, at most

// Getters and putters are killed at random. Every item that was put and acknowledged is got,
// but for what a killed getter had been sent; none is got twice.
func TestManagedQueueKills(t *testing.T) {
	for _, kind := range []string{"queue", "lifo_queue", "priority_queue"} {
		t.Run(kind, func(t *testing.T) {
			checkLeaks(t)
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			newQueueKills(t, kind, rand.New(rand.NewPCG(seed, 1))).run(30)
		})
	}
}

type queueKills struct {
	t      *testing.T
	r      *rand.Rand
	m      *Manager
	path   string
	home   *foreign
	id     int64
	actors []*queueActor
	dead   []*queueActor

	started int
}

func newQueueKills(t *testing.T, kind string, r *rand.Rand) *queueKills {
	m, path := newTestManager(t, ManagerOptions{})
	k := &queueKills{t: t, r: r, m: m, path: path, home: dialManager(t, path)}
	k.id = k.home.create(kind, 3)
	for i := range 6 {
		k.actors = append(k.actors, k.start(i))
	}
	return k
}

// start starts actor i: those with odd numbers get. Some do with several items at once.
func (k *queueKills) start(i int) *queueActor {
	k.started++
	a := &queueActor{child: start(k.t, "managed queue"), done: make(chan struct{})}
	a.order = actorOrder{Path: k.path, Queue: k.id, Get: i%2 == 1, Many: i / 2 * 2, First: k.started * actorItems}
	a.send(a.order)
	go func() {
		defer close(a.done)
		for {
			var items []int
			if err := a.Recv(context.Background(), &items); err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					k.t.Errorf("from actor %d: %v", i, err)
				}
				return
			}
			a.items = append(a.items, items...)
		}
	}()
	return a
}

func (k *queueKills) run(kills int) {
	for n := range kills {
		// Something happens between two kills: each time so many calls more.
		var calls uint64
		k.m.look(func() bool { calls = k.m.stats.calls; return true })()
		more := uint64(20 + k.r.IntN(400))
		eventually(k.t, "the queue is in use", k.m.look(func() bool { return k.m.stats.calls >= calls+more }))
		i := k.r.IntN(len(k.actors))
		k.actors[i].kill()
		<-k.actors[i].done
		k.dead = append(k.dead, k.actors[i])
		k.actors[i] = nil
		if n < kills-1 {
			k.actors[i] = k.start(i)
		}
	}
	k.home.call(k.id, "close")
	k.actors = slices.DeleteFunc(k.actors, func(a *queueActor) bool { return a == nil })
	for _, a := range k.actors {
		<-a.done
		if err := a.wait(); err != nil {
			k.t.Errorf("an actor failed: %v", err)
		}
	}
	k.check()
}

func (k *queueKills) check() {
	put, got := map[int]bool{}, map[int]bool{}
	mayMiss, mayAdd := 0, 0
	for i, a := range append(k.dead, k.actors...) {
		size := max(1, a.order.Many)
		for _, v := range a.items {
			if !a.order.Get {
				put[v] = true
			} else if got[v] {
				k.t.Fatalf("item %d was got twice", v)
			} else {
				got[v] = true
			}
		}
		if i < len(k.dead) && a.order.Get {
			mayMiss += size
		} else if !a.order.Get { // its last put, which was under way when it was killed or the queue closed
			mayAdd += size
		}
	}
	for { // what nobody was left for
		v, err := k.home.do(proto.MethodCall, k.id, "get", []any{}, noTime)
		if err != nil {
			wantFault(k.t, proto.KindClosed, v, err)
			break
		}
		if x := int(v.(int64)); got[x] {
			k.t.Fatalf("item %d was got twice", x)
		} else {
			got[x] = true
		}
	}
	missing, added := 0, 0
	for v := range put {
		if !got[v] {
			missing++
		}
	}
	for v := range got {
		if !put[v] {
			added++
		}
	}
	if missing > mayMiss || added > mayAdd || len(got) == 0 {
		k.t.Fatalf("%d put, %d got: %d are missing, at most %d were sent to getters that were killed; %d not acknowledged, at most %d",
			len(put), len(got), missing, mayMiss, added, mayAdd)
	}
	k.t.Logf("%d put, %d got, %d killed, %d missing, %d not acknowledged", len(put), len(got), len(k.dead), missing, added)
}
