package ipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// The helper "queuer" does with a queue what it is told.
type queueOrder struct {
	Do    string
	Value any
	N     int
}

type queueAnswer struct {
	Value any
	N     int
	Err   string
}

func init() { helpers["queuer"] = queuer }

func queuer(c *Conn) error {
	return queuerWith(c, func(queueOrder) (queueAnswer, bool) { return queueAnswer{}, false })
}

// queuerWith carries out orders; more is asked first.
func queuerWith(c *Conn, more func(queueOrder) (queueAnswer, bool)) error {
	ctx := context.Background()
	var arrived any
	if err := c.Recv(ctx, &arrived); err != nil {
		return err
	}
	var q JoinableQueue[any]
	switch a := arrived.(type) {
	case *Queue[any]:
		q.Queue = *a
	case *JoinableQueue[any]:
		q = *a
	}
	arrived = nil
	for {
		var o queueOrder
		if err := c.Recv(ctx, &o); err != nil {
			return err
		}
		if o.Do == "exit" {
			return nil
		}
		a, ok := more(o)
		if !ok {
			if err := a.carryOut(&q, o); err != nil {
				a.Err = err.Error()
			}
		}
		if err := c.Send(ctx, a); err != nil {
			return err
		}
	}
}

func (a *queueAnswer) carryOut(q *JoinableQueue[any], o queueOrder) (err error) {
	ctx := context.Background()
	switch o.Do {
	case "put":
		return q.Put(ctx, o.Value)
	case "put bytes":
		return q.Put(ctx, bytes.Repeat([]byte{byte(o.N)}, o.N))
	case "put many":
		for i := range o.N {
			if err := q.Put(ctx, i); err != nil {
				return err
			}
		}
		return nil
	case "try put":
		return q.TryPut(o.Value)
	case "get":
		a.Value, err = q.Get(ctx)
		return err
	case "get a while":
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		a.Value, err = q.Get(ctx)
		return err
	case "get bytes":
		v, err := q.Get(ctx)
		if b, ok := v.([]byte); ok {
			a.N = len(b)
			if !bytes.Equal(b, bytes.Repeat(b[:1], len(b))) {
				return errors.New("not whole")
			}
		}
		return err
	case "try get":
		a.Value, err = q.TryGet()
		return err
	case "done":
		return q.TaskDone()
	case "join":
		return q.Join(ctx)
	case "close":
		return q.Close()
	case "close now":
		return q.CloseNow()
	case "detach":
		q.Detach()
		*q = JoinableQueue[any]{}
		return untilUnmapped("multiproc-queue")
	case "len":
		a.N = q.Len()
		return nil
	}
	return fmt.Errorf("unknown order %q", o.Do)
}

// startQueuer starts a process that has the queue.
func startQueuer(t testing.TB, q proto.HandleEncoder) *child {
	t.Helper()
	c := start(t, "queuer")
	c.send(q)
	return c
}

func (c *child) order(do string, v any) { c.t.Helper(); c.send(queueOrder{Do: do, Value: v}) }

func (c *child) answers(want any, wantErr error) {
	c.t.Helper()
	a := recv[queueAnswer](c)
	text := ""
	if wantErr != nil {
		text = wantErr.Error()
	}
	if a.Err != text || !reflect.DeepEqual(a.Value, want) {
		c.t.Fatalf("the other process got %.100q and the error %q, expected %.100q and %q", fmt.Sprint(a.Value), a.Err, fmt.Sprint(want), text)
	}
}

func (c *child) puts(v any) { c.t.Helper(); c.order("put", v); c.answers(nil, nil) }
func (c *child) gets(v any) { c.t.Helper(); c.order("get", nil); c.answers(v, nil) }

func newTestQueue[T any](t testing.TB, o QueueOptions) *Queue[T] {
	t.Helper()
	q, err := NewQueue[T](o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Detach() })
	return q
}

func newTestJoinable[T any](t testing.TB, o QueueOptions) *JoinableQueue[T] {
	t.Helper()
	q, err := NewJoinableQueue[T](o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Detach() })
	return q
}

// until waits until what is said is true.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !is(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", deadline, what)
		}
	}
}

func mustPut[T any](t testing.TB, q *Queue[T], v T) {
	t.Helper()
	if err := q.Put(within(t), v); err != nil {
		t.Fatalf("put: %v", err)
	}
}

func mustGet[T any](t testing.TB, q *Queue[T], want T) {
	t.Helper()
	got, err := q.Get(within(t))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %#v, %v, expected %#v", got, err, want)
	}
}

func endedContext() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
