package ipc

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

func TestProxyLock(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	a, b, ctx := connect(t, path, ConnectOptions{}), connect(t, path, ConnectOptions{}), within(t)
	l := make1[*ManagedLock](t)(NewManagedLock(ctx, a, ManagedOptions{Name: "l"}))
	same := make1[*ManagedLock](t)(OpenManagedLock(ctx, b, "l"))
	h := make1[ManagedHeld](t)(l.Acquire(ctx))
	if h.Token() == 0 || h.OwnerDied() || h.Level() != 1 {
		t.Errorf("held with token %d, owner died %v, level %d", h.Token(), h.OwnerDied(), h.Level())
	}
	if _, ok, err := same.TryAcquire(ctx); ok || err != nil {
		t.Errorf("a lock that is held: %v, %v", ok, err)
	}
	_, err := same.Acquire(overCtx())
	wantErr(t, "acquire with a context that has ended", err, context.Canceled)
	wantErr(t, "release by another", same.Release(ctx), ErrNotHeld)
	wait := in(func() error {
		h, err := same.Acquire(ctx)
		if err == nil && !h.OwnerDied() {
			err = h.Release()
		}
		return err
	})
	untilIs(t, "waiting", func() int { d, _ := l.Describe(ctx); return d.Waiting }, 1)
	wantErr(t, "release", h.Release(), nil)
	wantErr(t, "release twice", h.Release(), ErrNotHeld)
	wantErr(t, "the one who waits", result(t, "wait", wait), nil)
	wantErr(t, "release a free one", l.Release(ctx), ErrNotHeld)
	gives(t, "locked", false)(l.Locked(ctx))

	// The next learns that the connection of the owner has ended.
	if _, err := l.Acquire(ctx); err != nil {
		t.Fatal(err)
	}
	a.Close()
	h = make1[ManagedHeld](t)(same.Acquire(ctx))
	if !h.OwnerDied() {
		t.Error("the owner's end is not told")
	}
	wantErr(t, "release", h.Release(), nil)

	hand := make1[*ManagedLock](t)(NewManagedLock(ctx, b, ManagedOptions{Handoff: true}))
	if _, err := hand.Acquire(WithOwner(ctx)); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "release by anybody", hand.Release(ctx), nil)
}

func TestProxyRLock(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c, ctx := connect(t, path, ConnectOptions{}), within(t)
	l := make1[*ManagedRLock](t)(NewManagedRLock(ctx, c, ManagedOptions{}))
	mine, other := WithOwner(ctx), WithOwner(ctx)
	first := make1[ManagedHeld](t)(l.Acquire(mine))
	second := make1[ManagedHeld](t)(l.Acquire(mine))
	if first.Level() != 1 || second.Level() != 2 || first.Token() != second.Token() {
		t.Errorf("levels %d, %d, tokens %d, %d", first.Level(), second.Level(), first.Token(), second.Token())
	}
	if _, ok, err := l.TryAcquire(other); ok || err != nil {
		t.Error(ok, err)
	}
	gives(t, "owned", true)(l.Owned(mine))
	gives(t, "owned by another", false)(l.Owned(other))
	gives(t, "count", 2)(l.Count(mine))
	wantErr(t, "release", second.Release(), nil)
	gives(t, "locked", true)(l.Locked(other))
	wantErr(t, "release", first.Release(), nil)
	h, ok, err := l.TryAcquire(other)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	wantErr(t, "release", h.Release(), nil)
}

func TestProxySemaphore(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c, ctx := connect(t, path, ConnectOptions{}), within(t)
	s := make1[*ManagedSemaphore](t)(NewManagedBoundedSemaphore(ctx, c, ManagedOptions{Name: "s"}, 2))
	wantErr(t, "acquire", s.Acquire(ctx), nil)
	gives(t, "try", true)(s.TryAcquire(ctx))
	gives(t, "try", false)(s.TryAcquire(ctx))
	wantErr(t, "acquire with a context that has ended", s.Acquire(overCtx()), context.Canceled)
	gives(t, "value", 0)(s.Value(ctx))
	wantErr(t, "release", s.ReleaseN(ctx, 2), nil)
	wantErr(t, "release too many", s.Release(ctx), ErrReleased)
	wantErr(t, "release none", s.ReleaseN(ctx, 0), ErrValue)
	same := make1[*ManagedSemaphore](t)(OpenManagedSemaphore(ctx, c, "s"))
	gives(t, "value", 2)(same.Value(ctx))
	free := make1[*ManagedSemaphore](t)(NewManagedSemaphore(ctx, c, ManagedOptions{}, 0))
	wantErr(t, "release", free.ReleaseN(ctx, 5), nil)
	gives(t, "value", 5)(free.Value(ctx))
}

func TestProxyEvent(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c, ctx := connect(t, path, ConnectOptions{}), within(t)
	e := make1[*ManagedEvent](t)(NewManagedEvent(ctx, c, ManagedOptions{Name: "e"}))
	wantErr(t, "wait with a context that has ended", e.Wait(overCtx()), context.Canceled)
	wait := in(func() error { return e.Wait(ctx) })
	untilIs(t, "waiting", func() int { d, _ := e.Describe(ctx); return d.Waiting }, 1)
	wantErr(t, "set", e.Set(ctx), nil)
	wantErr(t, "wait", result(t, "wait", wait), nil)
	gives(t, "is set", true)(e.IsSet(ctx))
	wantErr(t, "clear", e.Clear(ctx), nil)
	same := make1[*ManagedEvent](t)(OpenManagedEvent(ctx, c, "e"))
	gives(t, "is set", false)(same.IsSet(ctx))
	if ready, err := Wait(overCtx(), e); len(ready) > 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for several things: %v, %v", ready, err)
	}
}

func TestProxyCondition(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c, ctx := connect(t, path, ConnectOptions{}), within(t)
	lock := make1[*ManagedRLock](t)(NewManagedRLock(ctx, c, ManagedOptions{}))
	cond := make1[*ManagedCondition](t)(NewManagedCondition(ctx, c, ManagedOptions{Name: "c"}, lock))
	shared := make1[*Proxy](t)(cond.Lock(ctx))
	if shared.ID() != lock.ID() {
		t.Errorf("lock %d, expected %d", shared.ID(), lock.ID())
	}
	_, err := cond.Wait(ctx)
	wantErr(t, "wait without the lock", err, ErrNotHeld)
	_, err = cond.NotifyAll(ctx)
	wantErr(t, "notify without the lock", err, ErrNotHeld)

	mine := WithOwner(ctx)
	held := make1[ManagedHeld](t)(cond.Acquire(mine))
	short, cancel := context.WithTimeout(mine, 5*time.Millisecond)
	defer cancel()
	_, err = cond.Wait(short)
	wantErr(t, "wait for some milliseconds", err, context.DeadlineExceeded)
	gives(t, "count after a wait", 1)(cond.Count(mine))
	wantErr(t, "release", held.Release(), nil)

	n, done := 0, make(chan error, 3)
	for range 3 {
		go func() {
			mine := WithOwner(ctx)
			h, err := cond.Acquire(mine)
			if err == nil {
				_, err = cond.WaitFor(mine, func() bool { return n > 0 })
			}
			if err == nil {
				err = h.Release()
			}
			done <- err
		}()
	}
	untilIs(t, "waiting for a notification", func() int { n, _ := cond.Waiting(ctx); return n }, 3)
	held = make1[ManagedHeld](t)(lock.Acquire(mine))
	n = 1
	gives(t, "notify", 1)(cond.Notify(mine, 1))
	gives(t, "notify all", 2)(cond.NotifyAll(mine))
	wantErr(t, "release", held.Release(), nil)
	for range 3 {
		wantErr(t, "a waiter", result(t, "a waiter", done), nil)
	}
	gives(t, "locked", false)(cond.Locked(ctx))
	own := make1[*ManagedCondition](t)(NewManagedCondition(ctx, c, ManagedOptions{}, nil))
	gives(t, "owned", false)(own.Owned(ctx))
	if _, ok, err := own.TryAcquire(mine); !ok || err != nil {
		t.Error(ok, err)
	}
	wantErr(t, "release", own.Release(mine), nil)
}

// A wait that is cancelled while another holds the lock ends when that lets go, however long it takes.
func TestProxyConditionCancelled(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c, ctx := connect(t, path, ConnectOptions{Patience: 20 * time.Millisecond}), within(t)
	cond := make1[*ManagedCondition](t)(NewManagedCondition(ctx, c, ManagedOptions{}, nil))
	waiter, cancel := context.WithCancel(WithOwner(ctx))
	defer cancel()
	held := make1[ManagedHeld](t)(cond.Acquire(waiter))
	wait := in(func() error { _, err := cond.Wait(waiter); return err })
	untilIs(t, "waiting", func() int { n, _ := cond.Waiting(ctx); return n }, 1)
	other := make1[ManagedHeld](t)(cond.Acquire(WithOwner(ctx)))
	cancel()
	// Several times the patience pass: the manager answers, so it is not given up.
	for range 5 {
		short, stop := context.WithTimeout(ctx, 20*time.Millisecond)
		<-short.Done()
		stop()
		wantErr(t, "ping", c.Ping(ctx), nil)
	}
	select {
	case err := <-wait:
		t.Fatalf("the wait has ended while another holds the lock: %v", err)
	default:
	}
	wantErr(t, "release", other.Release(), nil)
	wantErr(t, "the wait", result(t, "the wait", wait), context.Canceled)
	wantErr(t, "release", held.Release(), nil)
}

func TestProxyBarrier(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c, ctx := connect(t, path, ConnectOptions{}), within(t)
	const parties = 3
	b := make1[*ManagedBarrier](t)(NewManagedBarrier(ctx, c, ManagedBarrierOptions{Action: true}, parties))
	var mu sync.Mutex
	runs, places := 0, map[int]bool{}
	come := func(action func() error) <-chan error {
		return in(func() error {
			place, err := b.WaitAction(WithOwner(ctx), action)
			mu.Lock()
			defer mu.Unlock()
			places[place] = true
			return err
		})
	}
	for round := range 3 {
		clear(places)
		var all []<-chan error
		for range parties {
			all = append(all, come(func() error { runs++; return nil }))
		}
		for _, w := range all {
			wantErr(t, "a party", result(t, "a party", w), nil)
		}
		if len(places) != parties || runs != round+1 {
			t.Errorf("round %d: places %v, %d actions", round, places, runs)
		}
	}
	sad := errors.New("no luck")
	var all []<-chan error
	for range parties {
		all = append(all, come(func() error { return sad }))
	}
	told := 0
	for _, w := range all {
		err := result(t, "a party", w)
		wantErr(t, "a party of a failed action", err, ErrBarrier)
		if errors.Is(err, sad) {
			told++
		}
	}
	if told != 1 {
		t.Errorf("the error of the action was told to %d", told)
	}
	gives(t, "broken", true)(b.Broken(ctx))
	wantErr(t, "reset", b.Reset(ctx), nil)
	gives(t, "broken", false)(b.Broken(ctx))
	gives(t, "parties", parties)(b.Parties(ctx))

	short, cancel := context.WithCancel(ctx)
	first := in(func() error { _, err := b.Wait(short); return err })
	second := come(nil)
	untilIs(t, "waiting", func() int { n, _ := b.Waiting(ctx); return n }, 2)
	cancel()
	wantErr(t, "who gives up", result(t, "who gives up", first), context.Canceled)
	wantErr(t, "the other", result(t, "the other", second), ErrBarrier)
	wantErr(t, "reset", b.Reset(ctx), nil)
	second = come(nil)
	untilIs(t, "waiting", func() int { n, _ := b.Waiting(ctx); return n }, 1)
	wantErr(t, "abort", b.Abort(ctx), nil)
	wantErr(t, "who waits", result(t, "who waits", second), ErrBarrier)
}

func TestProxyQueue(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c, ctx := connect(t, path, ConnectOptions{}), within(t)
	q := make1[*ManagedQueue[string]](t)(NewManagedQueue[string](ctx, c, ManagedOptions{Name: "q"}, Joinable, 2))
	_, err := q.TryGet(ctx)
	wantErr(t, "get of an empty one", err, ErrEmpty)
	_, err = q.Get(overCtx())
	wantErr(t, "get with a context that has ended", err, context.Canceled)
	wantErr(t, "put", q.Put(ctx, "a"), nil)
	wantErr(t, "put", q.TryPut(ctx, "b"), nil)
	wantErr(t, "put into a full one", q.TryPut(ctx, "c"), ErrFull)
	gives(t, "full", true)(q.Full(ctx))
	wait := in(func() error { return q.Put(ctx, "c") })
	untilIs(t, "putting", func() int { n, _ := q.Putting(ctx); return n }, 1)
	gives(t, "get", "a")(q.Get(ctx))
	wantErr(t, "the put that waits", result(t, "put", wait), nil)
	givesList(t, "get some", "b", "c")(q.GetUpTo(ctx, 5))
	gives(t, "set the size", 2)(q.SetMaxSize(ctx, 0))
	gives(t, "size", 0)(q.MaxSize(ctx))
	gives(t, "put all", 3)(q.PutAll(ctx, []string{"d", "e", "f"}))
	gives(t, "len", 3)(q.Len(ctx))
	gives(t, "unfinished", 6)(q.Unfinished(ctx))
	wantErr(t, "done", q.TaskDone(ctx, 3), nil)
	wantErr(t, "too many done", q.TaskDone(ctx, 4), ErrDone)
	wantErr(t, "close", q.Close(ctx), nil)
	wantErr(t, "put after close", q.Put(ctx, "g"), ErrClosed)
	var got []string
	for v, err := range q.All(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, v)
	}
	givesList(t, "all that was left", "d", "e", "f")(got, nil)
	wantErr(t, "done", q.TaskDone(ctx, 3), nil)
	wantErr(t, "join", q.Join(ctx), nil)
	gives(t, "closed", true)(q.Closed(ctx))
	_, err = q.Get(ctx)
	wantErr(t, "get after the end", err, ErrClosed)
	same := make1[*ManagedQueue[string]](t)(OpenManagedQueue[string](ctx, c, "q"))
	wantErr(t, "detach", same.Detach(), nil)

	p := make1[*ManagedQueue[int]](t)(NewManagedQueue[int](ctx, c, ManagedOptions{}, Priority, 0))
	gives(t, "put all", 3)(p.PutAll(ctx, []int{3, 1, 2}))
	givesList(t, "by size", 1, 2, 3)(p.GetUpTo(ctx, 3))
	s := make1[*ManagedQueue[byte]](t)(NewManagedQueue[byte](ctx, c, ManagedOptions{}, LIFO, 0))
	gives(t, "put all", 3)(s.PutAll(ctx, []byte{1, 2, 3}))
	givesList[byte](t, "the last one first", 3, 2, 1)(s.GetUpTo(ctx, 3))
	wantErr(t, "close now", s.CloseNow(ctx), nil)
}

func TestProxyNamespaceAndArray(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c, ctx := connect(t, path, ConnectOptions{}), within(t)
	n := make1[*Namespace](t)(NewNamespace(ctx, c, ManagedOptions{Name: "n"}))
	wantErr(t, "set", n.Set(ctx, "b", "text"), nil)
	wantErr(t, "set", n.Set(ctx, "a", 1), nil)
	gives(t, "attribute", "text")(Attribute[string](ctx, n, "b"))
	_, err := Attribute[string](ctx, n, "missing")
	wantErr(t, "attribute", err, ErrKey)
	if f, ok := errors.AsType[*proto.Fault](err); !ok || f.Kind != proto.KindAttributeError {
		t.Errorf("not what the manager has said: %v", err)
	}
	gives(t, "add", 3)(AddTo(ctx, n, "a", 2))
	gives(t, "add from", 7)(AddTo(ctx, n, "z", 2, 5))
	gives(t, "cas", true)(n.CompareAndSwap(ctx, "a", 3, 4))
	givesList(t, "names", "a", "b", "z")(n.Names(ctx))
	givesList(t, "items", Pair[string, any]{"b", "text"}, Pair[string, any]{"a", int64(4)}, Pair[string, any]{"z", int64(7)})(n.Items(ctx))
	wantErr(t, "delete", n.Delete(ctx, "b"), nil)
	wantErr(t, "delete", n.Delete(ctx, "b"), ErrKey)
	same := make1[*Namespace](t)(OpenNamespace(ctx, c, "n"))
	gives(t, "contains", false)(same.Contains(ctx, "b"))

	a := make1[*ManagedArray[uint8]](t)(NewManagedArray[uint8](ctx, c, ManagedOptions{Name: "a"}, 1, 2, 3))
	gives(t, "get", uint8(3))(a.Get(ctx, -1))
	wantErr(t, "set", a.Set(ctx, 0, 9), nil)
	givesList[uint8](t, "slice", 9, 2)(a.GetSlice(ctx, Range(0, 2)))
	wantErr(t, "set slice", a.SetSlice(ctx, Range(0, 2), []uint8{4, 5}), nil)
	wantErr(t, "set slice", a.SetSlice(ctx, Range(0, 2), []uint8{4}), ErrValue)
	_, err = a.Add(ctx, 0, 255)
	wantErr(t, "add", err, ErrOverflow)
	gives(t, "add", uint8(6))(a.Add(ctx, 0, 2))
	gives(t, "cas", true)(a.CompareAndSwap(ctx, 0, 6, 7))
	givesList[uint8](t, "copy", 7, 5, 3)(a.Copy(ctx))
	gives(t, "len", 3)(a.Len(ctx))
	_, err = OpenManagedArray[float64](ctx, c, "a")
	wantErr(t, "as floats", err, ErrForeign)
	z := make1[*ManagedArray[float32]](t)(NewManagedZeros[float32](ctx, c, ManagedOptions{}, 2))
	wantErr(t, "set", z.Set(ctx, 1, 0.5), nil)
	givesList[float32](t, "copy", 0, 0.5)(z.Copy(ctx))
	long := make1[*ManagedArray[int]](t)(NewManagedArray(ctx, c, ManagedOptions{Name: "q"}, 1<<40))
	gives(t, "get", 1<<40)(long.Get(ctx, 0))
	if same, err := OpenManagedArray[int64](ctx, c, "q"); err != nil || same.Close() != nil {
		t.Error(err)
	}
}
