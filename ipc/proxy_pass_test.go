package ipc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// The helper "proxied" gets a list and does with it what it is told.
func init() { helpers["proxied"] = proxied }

func proxied(c *Conn) error {
	ctx := context.Background()
	for {
		var order struct {
			Op   string
			List *List[string]
			Path string
		}
		if err := c.Recv(ctx, &order); err != nil {
			return err
		}
		if order.Op == "connect" {
			client, err := Connect(ctx, order.Path, ConnectOptions{})
			if err != nil {
				return err
			}
			defer client.Close()
			if err := c.Send(ctx, "connected"); err != nil {
				return err
			}
			continue
		}
		if err := order.List.Append(ctx, order.Op); err != nil {
			return fmt.Errorf("append: %w", err)
		}
		d, err := order.List.Describe(ctx)
		if err != nil {
			return err
		}
		if err := c.Send(ctx, d.Leases); err != nil {
			return err
		}
		// It comes back as a result does.
		if err := c.Send(ctx, order.List); err != nil {
			return err
		}
		order.List.Close()
	}
}

type proxiedOrder struct {
	Op   string
	List *List[string]
	Path string
}

// A proxy is passed to another process as a handle and is of use there at once, whether that process has a client of the manager or not.
func TestProxyPassed(t *testing.T) {
	checkLeaks(t)
	_, path := startManager(t)
	c, ctx := connect(t, path, ConnectOptions{}), within(t)
	l := make1[*List[string]](t)(NewList[string](ctx, c, ManagedOptions{}))
	p := start(t, "proxied")
	round := func(op string) {
		t.Helper()
		p.send(proxiedOrder{Op: op, List: l})
		if leases := recv[int](p); leases < 2 {
			t.Errorf("%s: %d leases", op, leases)
		}
		back := recv[*List[string]](p)
		if back.ID() != l.ID() {
			t.Errorf("%s: object %d came back as %d", op, l.ID(), back.ID())
		}
		givesLen(t, back, l)
		back.Close()
	}
	round("first")
	round("second")
	p.send(proxiedOrder{Op: "connect", Path: path})
	p.expect("connected")
	round("third")
	givesList(t, "the list", "first", "second", "third")(l.Copy(ctx))
	// Those that came with the handles are not used, and closed.
	for end := time.Now().Add(deadline); ; runtime.Gosched() {
		s, err := c.Stats(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if s.Connections <= 3 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d connections, expected one of this process and one or two of the other", s.Connections)
		}
	}
	p.kill()
	untilIs(t, "leases", func() int { n, _ := refs(t, l); return n }, 1)
}

func givesLen(t *testing.T, a, b *List[string]) {
	t.Helper()
	n, err := a.Len(within(t))
	m, err2 := b.Len(within(t))
	if n != m || err != nil || err2 != nil {
		t.Errorf("lengths %d and %d, %v, %v", n, m, err, err2)
	}
}

// One that was passed and never used leaves nothing behind; and the handle keeps the object meanwhile.
func TestProxyPassedUnused(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c, ctx := connect(t, path, ConnectOptions{}), within(t)
	a, b := newTestPipe(t)
	for _, use := range []bool{false, true} {
		l := make1[*List[int]](t)(NewList(ctx, c, ManagedOptions{}, 7))
		if err := a.Send(ctx, l); err != nil {
			t.Fatal(err)
		}
		l.Close()
		var got *List[int]
		if err := b.Recv(ctx, &got); err != nil {
			t.Fatal(err)
		}
		if n := objects(t, c)(); n != 1 {
			t.Fatalf("%d objects while one is under way", n)
		}
		if use {
			givesList(t, "the list", 7)(got.Copy(ctx))
			untilIs(t, "leases", func() int { n, _ := refs(t, got); return n }, 1)
		}
		got.Close()
		untilIs(t, "objects", objects(t, c), 0)
	}
	l := make1[*List[int]](t)(NewList(ctx, c, ManagedOptions{}, 7))
	if err := a.Send(ctx, l); err != nil {
		t.Fatal(err)
	}
	var wrong *Dict[int, int]
	if err := b.Recv(ctx, &wrong); !errors.Is(err, ErrForeign) {
		t.Errorf("a list as a dict: %v", err)
	}
	if err := a.Send(ctx, []any{l, 1}); err != nil {
		t.Fatal(err)
	}
	var mixed []any
	if err := b.Recv(ctx, &mixed); err != nil {
		t.Fatal(err)
	}
	givesList(t, "as any", 7)((&List[int]{Proxy: *mixed[0].(*Proxy)}).Copy(ctx))
	mixed[0].(*Proxy).Close()
	l.Close()
	untilIs(t, "objects", objects(t, c), 0)
}

// An item of a ring names a lock in shared memory that was deposited with a manager; who gets it opens the same lock,
// from another process too.
func TestDepositInRing(t *testing.T) {
	checkLeaks(t)
	_, path := startManager(t)
	c, ctx := connect(t, path, ConnectOptions{}), within(t)
	lock := make1[*Lock](t)(NewLock(LockOptions{}))
	defer lock.Close()
	a, err := c.Deposit(ctx, lock, ManagedOptions{Name: "mutex"})
	if err != nil {
		t.Fatal(err)
	}
	q := newTestQueue[proto.Ref](t, QueueOptions{})
	mustPut(t, q, proto.Ref{Instance: c.Instance(), ID: a.ID, Address: path})
	far := start(t, "open deposited lock")
	far.send(q)
	far.expect("held")
	if _, ok, err := lock.TryAcquire(); ok || err != nil {
		t.Errorf("the lock is held in another process: %v, %v", ok, err)
	}
	far.kill()
	h, err := lock.Acquire(ctx)
	if err != nil || !h.OwnerDied() {
		t.Fatalf("after the death of the other holder: %v, %v", h.OwnerDied(), err)
	}
	h.Release()
}

func init() {
	helpers["open deposited lock"] = func(conn *Conn) error {
		ctx := context.Background()
		var q Queue[proto.Ref]
		if err := conn.Recv(ctx, &q); err != nil {
			return err
		}
		r, err := q.Get(ctx)
		if err != nil {
			return err
		}
		c, err := Connect(ctx, r.Address, ConnectOptions{})
		if err != nil {
			return err
		}
		var l Lock
		if err := c.Open(ctx, Numbered(r.ID), &l); err != nil {
			return err
		}
		if _, err := l.Acquire(ctx); err != nil {
			return err
		}
		if err := conn.Send(ctx, "held"); err != nil {
			return err
		}
		endWith(conn)
		select {}
	}
}

// Over a ring in memory a proxy is its reference, with the address.
func TestProxyInRing(t *testing.T) {
	checkLeaks(t)
	_, path := startManager(t)
	c, ctx := connect(t, path, ConnectOptions{}), within(t)
	l := make1[*List[int]](t)(NewList(ctx, c, ManagedOptions{}, 1, 2))
	q := newTestQueue[*List[int]](t, QueueOptions{})
	mustPut(t, q, l)
	got, err := q.Get(ctx)
	if err != nil {
		t.Fatal(err)
	}
	givesList(t, "the list", 1, 2)(got.Copy(ctx))
	wantRefs(t, l, 2, 0)
	got.Close()

	refs := newTestQueue[any](t, QueueOptions{})
	mustPut(t, refs, any(l))
	x, err := refs.Get(ctx)
	if r, ok := x.(proto.Ref); !ok || r.Address != path || r.ID != l.ID() || err != nil {
		t.Errorf("as any: %v, %v", x, err)
	}

	// With no client it makes one, by the address; but the reference alone has kept nothing.
	mustPut(t, q, l)
	other := connect(t, path, ConnectOptions{})
	c.Close()
	untilIs(t, "objects", objects(t, other), 0)
	other.Close()
	if got, err = q.Get(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := got.Copy(ctx); !errors.Is(err, ErrGone) {
		t.Errorf("an object that nobody has referred to meanwhile: %v", err)
	}
	got.Close()
}

// Who cannot go by the address goes on over the connection that has come with the handle.
func TestProxyByItsConnection(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c, ctx := connect(t, path, ConnectOptions{}), within(t)
	a, b := newTestPipe(t)
	l := make1[*List[int]](t)(NewList(ctx, c, ManagedOptions{}, 7))
	if err := a.Send(ctx, l); err != nil {
		t.Fatal(err)
	}
	var got *List[int]
	if err := b.Recv(ctx, &got); err != nil {
		t.Fatal(err)
	}
	l.Close()
	c.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	givesList(t, "the list", 7)(got.Copy(ctx))
	untilIs(t, "leases", func() int { n, _ := refs(t, got); return n }, 1)
	got.Close()
	got.p.client.Close()
}
