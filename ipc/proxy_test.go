package ipc

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// make1 is for constructors of proxies.
func make1[P any](t testing.TB) func(P, error) P {
	t.Helper()
	return func(p P, err error) P {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
}

// objects returns how many objects the manager has, with what the client has to tell before.
func objects(t testing.TB, c *Client) func() int {
	return func() int {
		s, err := c.Stats(within(t))
		if err != nil {
			t.Fatal(err)
		}
		return s.Objects
	}
}

func refs(t testing.TB, p interface {
	Describe(context.Context) (proto.Description, error)
}) (leases, stored int) {
	t.Helper()
	d, err := p.Describe(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return d.Leases, d.Stored
}

func wantRefs(t testing.TB, p interface {
	Describe(context.Context) (proto.Description, error)
}, leases, stored int) {
	t.Helper()
	if l, s := refs(t, p); l != leases || s != stored {
		t.Errorf("%d leases and %d stored, expected %d and %d", l, s, leases, stored)
	}
}

func TestProxyValue(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c, ctx := connect(t, path, ConnectOptions{}), within(t)
	v := make1[*ManagedValue[int]](t)(NewManagedValue(ctx, c, ManagedOptions{Name: "n"}, 5))
	if got, err := v.Add(ctx, 2); got != 7 || err != nil {
		t.Errorf("add: %d, %v", got, err)
	}
	if ok, err := v.CompareAndSwap(ctx, 7, 8); !ok || err != nil {
		t.Errorf("compare and swap: %v, %v", ok, err)
	}
	same := make1[*ManagedValue[int]](t)(OpenManagedValue[int](ctx, c, "n"))
	if got, err := same.Get(ctx); got != 8 || err != nil {
		t.Errorf("get: %d, %v", got, err)
	}
	wantRefs(t, v, 2, 0)
	if v.ID() != same.ID() || v.Kind() != "value" || v.Name() != "n" {
		t.Errorf("object %d, %d, a %s called %q", v.ID(), same.ID(), v.Kind(), v.Name())
	}
	if _, err := OpenManagedEvent(ctx, c, "n"); !errors.Is(err, ErrForeign) {
		t.Errorf("a value as an event: %v", err)
	}
	if _, err := OpenManagedEvent(ctx, c, "nobody"); !errors.Is(err, ErrUnknown) {
		t.Errorf("an event that is not there: %v", err)
	}
	if _, err := NewManagedValue(ctx, c, ManagedOptions{Name: "n"}, 1); !errors.Is(err, ErrExists) {
		t.Errorf("a second one of the name: %v", err)
	}
	third := make1[*ManagedValue[int]](t)(NewManagedValue(ctx, c, ManagedOptions{Name: "n", Existing: true}, 1))
	if got, err := third.Get(ctx); got != 8 || err != nil {
		t.Errorf("the existing one: %d, %v", got, err)
	}
	wantRefs(t, v, 3, 0)
	third.Close()
	same.Close()
	same.Close()
	if _, err := same.Get(ctx); err != ErrClosed {
		t.Errorf("after Close: %v", err)
	}
	wantRefs(t, v, 1, 0)
	if was, err := v.Keep(ctx, true); was || err != nil {
		t.Error(was, err)
	}
	v.Close()
	again := make1[*ManagedValue[int]](t)(OpenManagedValue[int](ctx, c, "n"))
	if was, err := again.Keep(ctx, false); !was || err != nil {
		t.Error(was, err)
	}
	again.Close()
	untilIs(t, "objects", objects(t, c), 0)
	var zero ManagedValue[int]
	if _, err := zero.Get(ctx); err != ErrClosed {
		t.Errorf("the zero value: %v", err)
	}
	zero.Close()
}

// A proxy in a value is a reference there, and a proxy again where it is taken out, with the lease that came with it.
func TestProxyNested(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c, ctx := connect(t, path, ConnectOptions{}), within(t)
	inner := make1[*ManagedValue[string]](t)(NewManagedValue(ctx, c, ManagedOptions{}, "inside"))
	type box struct {
		Inner *ManagedValue[string]
		More  []any
	}
	outer := make1[*ManagedValue[box]](t)(NewManagedValue(ctx, c, ManagedOptions{}, box{Inner: inner, More: []any{1, inner}}))
	wantRefs(t, inner, 1, 2)

	got, err := outer.Get(ctx)
	if err != nil {
		t.Fatal(err)
	}
	wantRefs(t, inner, 3, 2)
	if s, err := got.Inner.Get(ctx); s != "inside" || err != nil {
		t.Errorf("through the proxy: %q, %v", s, err)
	}
	open := &ManagedValue[string]{Proxy: *got.More[1].(*Proxy)}
	if err := open.Set(ctx, "changed"); err != nil {
		t.Error(err)
	}
	if s, err := inner.Get(ctx); s != "changed" || err != nil {
		t.Errorf("the object itself: %q, %v", s, err)
	}
	got.Inner.Close()
	open.Close()
	wantRefs(t, inner, 1, 2)

	// A result that is not decoded into proxies, or does not fit, leaves no lease behind.
	asRaw := &ManagedValue[proto.Raw]{Proxy: outer.Proxy}
	if _, err := asRaw.Get(ctx); err != nil {
		t.Error(err)
	}
	wantRefs(t, inner, 1, 2)
	bad := &ManagedValue[struct {
		Inner *ManagedValue[string]
		More  []*ManagedValue[string] // of which the first is a number
	}]{Proxy: outer.Proxy}
	if _, err := bad.Get(ctx); !errors.Is(err, proto.ErrMismatch) {
		t.Errorf("a number as a proxy: %v", err)
	}
	wantRefs(t, inner, 1, 2)

	// The same in a batch, and in a pipeline.
	b := c.Batch()
	b.Add(Numbered(outer.ID()), "get")
	rs, err := b.Do(ctx)
	if err != nil {
		t.Fatal(err)
	}
	wantRefs(t, inner, 3, 2)
	var v box
	if err := rs.Into(0, &v); err != nil {
		t.Fatal(err)
	}
	v.Inner.Close()
	v.More[1].(*Proxy).Close()
	wantRefs(t, inner, 1, 2)
	if v, err = Await[box](ctx, outer.Start("get")); err != nil {
		t.Fatal(err)
	}
	v.Inner.Close()
	v.More[1].(*Proxy).Close()
	wantRefs(t, inner, 1, 2)

	// The reference alone keeps the object.
	inner.Close()
	if v, err = outer.Get(ctx); err != nil {
		t.Fatal(err)
	}
	if s, err := v.Inner.Get(ctx); s != "changed" || err != nil {
		t.Errorf("the object that only a value refers to: %q, %v", s, err)
	}
	outer.Close()
	v.Inner.Close()
	v.More[1].(*Proxy).Close()
	if _, err := v.Inner.Get(ctx); err != ErrClosed {
		t.Errorf("after Close: %v", err)
	}
	untilIs(t, "objects", objects(t, c), 0)
}

// What is forgotten is collected, also what came in results.
func TestProxyForgotten(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c, ctx := connect(t, path, ConnectOptions{}), within(t)
	func() {
		inner := make1[*ManagedEvent](t)(NewManagedEvent(ctx, c, ManagedOptions{}))
		outer := make1[*ManagedValue[*ManagedEvent]](t)(NewManagedValue(ctx, c, ManagedOptions{}, inner))
		for range 10 {
			if _, err := outer.Get(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}()
	for end := time.Now().Add(deadline); objects(t, c)() > 0; runtime.GC() {
		if time.Now().After(end) {
			t.Fatalf("%d objects are left", objects(t, c)())
		}
	}
}

// A call keeps the object that it waits on.
func TestProxyKeptByCall(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c, ctx := connect(t, path, ConnectOptions{}), within(t)
	made := make(chan uint64, 1)
	wait := in(func() error {
		e, err := NewManagedEvent(ctx, c, ManagedOptions{})
		if err != nil {
			return err
		}
		made <- e.ID()
		return e.Wait(ctx)
	})
	id := <-made
	for range 20 {
		runtime.GC()
	}
	if _, err := c.Call(ctx, Numbered(id), "set"); err != nil {
		t.Error(err)
	}
	if err := result(t, "the wait", wait); err != nil {
		t.Errorf("the wait: %v", err)
	}
}

// The proxies in the arguments of a call are kept until it is answered.
func TestProxyKeptByArgument(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c, ctx := connect(t, path, ConnectOptions{}), within(t)
	d := make1[*Dict[string, *List[int]]](t)(NewDict[string, *List[int]](ctx, c, ManagedOptions{}))
	b := c.Batch()
	q, err := d.begin(ctx, "set", 2)
	if err != nil {
		t.Fatal(err)
	}
	key := "k"
	put(q, &key)
	fill := func(use func(l *List[int])) *lease {
		l := make1[*List[int]](t)(NewList(ctx, c, ManagedOptions{}, 1))
		use(l)
		return l.p.bound.Load()
	}
	argument := fill(func(l *List[int]) { put(q, &l) })
	inBatch := fill(func(l *List[int]) { b.Add(Numbered(d.ID()), "set", "b", l) })
	forgotten := fill(func(*List[int]) {})
	for end := time.Now().Add(deadline); !forgotten.given.Load(); runtime.GC() {
		if time.Now().After(end) {
			t.Fatal("nothing is collected")
		}
	}
	if argument.given.Load() || inBatch.given.Load() {
		t.Error("the lease of an argument was given back before the call")
	}
	wantErr(t, "set", q.call(ctx, 0), nil)
	q.free()
	rs, err := b.Do(ctx)
	wantErr(t, "batch", err, nil)
	wantErr(t, "set in a batch", rs.Err(0), nil)
	b.Reset()
	for _, key := range []string{"k", "b"} {
		l := make1[*List[int]](t)(d.Get(ctx, key))
		givesList(t, key, 1)(l.Copy(ctx))
	}
}

// A client that is forgotten is closed.
func TestClientForgotten(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c, ctx := connect(t, path, ConnectOptions{}), within(t)
	func() {
		other, err := Connect(ctx, path, ConnectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		wantErr(t, "ping", other.Ping(ctx), nil)
	}()
	for end := time.Now().Add(deadline); ; runtime.GC() {
		s, err := c.Stats(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if s.Connections == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d connections", s.Connections)
		}
	}
}

// A frame that the manager would not take is not sent: that would be the end of the connection.
func TestClientLimit(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{Limits: ManagerLimits{Frame: 1 << 20}})
	c, ctx := connect(t, path, ConnectOptions{}), within(t)
	v := make1[*ManagedValue[[]byte]](t)(NewManagedValue(ctx, c, ManagedOptions{}, []byte("small")))
	wantErr(t, "set", v.Set(ctx, make([]byte, 1<<20)), proto.ErrTooLarge)
	got, err := v.Get(ctx)
	if string(got) != "small" || err != nil {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}
