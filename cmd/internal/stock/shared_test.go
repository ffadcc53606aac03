package stock

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// soon bounds a test; nothing is expected to take a hundredth of it.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func made[T any](t *testing.T) func(v T, err error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newQueue(t *testing.T, items int) *ipc.Queue[any] {
	t.Helper()
	q := made[*ipc.Queue[any]](t)(ipc.NewQueue[any](ipc.QueueOptions{Name: "q", Items: items}))
	t.Cleanup(func() { q.Detach() })
	return q
}

func newJoinable(t *testing.T) *ipc.JoinableQueue[any] {
	t.Helper()
	q := made[*ipc.JoinableQueue[any]](t)(ipc.NewJoinableQueue[any](ipc.QueueOptions{Name: "j"}))
	t.Cleanup(func() { q.Detach() })
	return q
}

var me = call{id: "me"}

func TestQueueTasks(t *testing.T) {
	q, pid := newQueue(t, 0), os.Getpid()
	var out bytes.Buffer
	put, err := queuePut(soon(t), me, PutArgs{Queue: q, Items: []any{int64(1), "two", nil, []any{3.5}}}, &out)
	if err != nil || put.Put != 4 {
		t.Errorf("put %+v, %v", put, err)
	}
	got, err := queueGet(soon(t), me, GetArgs{Queue: q, Count: 10, UntilNull: true}, &out)
	if want := []any{int64(1), "two"}; err != nil || got.Count != 2 || !reflect.DeepEqual(got.Items, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	got, err = queueGet(soon(t), me, GetArgs{Queue: q, Count: 1, Quiet: true}, &out)
	if err != nil || got.Count != 1 || got.Items != nil {
		t.Errorf("got %+v, %v", got, err)
	}
	want := fmt.Sprintf("me: pid %[1]d put 4 items into q\nme: pid %[1]d got 1\nme: pid %[1]d got \"two\"\n", pid)
	if out.String() != want {
		t.Errorf("printed %q, want %q", &out, want)
	}
}

// A producer without an end goes on until there is no queue, or it is told to end.
func TestEndlessProducer(t *testing.T) {
	q := newQueue(t, 2)
	put := make(chan PutResult, 1)
	produce := func(ctx context.Context, want error) {
		r, err := queuePut(ctx, me, PutArgs{Queue: q, Items: []any{"a", "b"}, Endless: true}, io.Discard)
		if !errors.Is(err, want) {
			t.Errorf("%+v, %v; want %v", r, err, want)
		}
		put <- r
	}
	go produce(soon(t), nil)
	got, err := queueGet(soon(t), me, GetArgs{Queue: q, Count: 5}, io.Discard)
	if want := []any{"a", "b", "a", "b", "a"}; err != nil || !reflect.DeepEqual(got.Items, want) {
		t.Errorf("%+v, %v", got, err)
	}
	q.Close()
	if r := <-put; r.Put < 5 || r.Put > 7 {
		t.Errorf("put %d", r.Put)
	}
	q = newQueue(t, 2)
	ctx, cancel := context.WithCancel(soon(t))
	go produce(ctx, context.Canceled)
	if _, err := queueGet(soon(t), me, GetArgs{Queue: q, Count: 1}, io.Discard); err != nil {
		t.Error(err)
	}
	cancel()
	if r := <-put; r.Put < 1 {
		t.Errorf("put %d", r.Put)
	}
}

func TestPrint(t *testing.T) {
	var out bytes.Buffer
	r, err := printLines(soon(t), me, PrintArgs{Lines: []string{"one", "two"}, Times: 2, Every: 1}, &out)
	one, two := fmt.Sprintf("me: pid %d one\n", os.Getpid()), fmt.Sprintf("me: pid %d two\n", os.Getpid())
	if err != nil || r.Lines != 4 || out.String() != one+two+one+two {
		t.Errorf("%+v, %v: %s", r, err, &out)
	}
	ctx, cancel := context.WithCancel(soon(t))
	cancel()
	r, err = printLines(ctx, me, PrintArgs{Lines: []string{"tick"}, Endless: true, Every: Duration(time.Hour)}, io.Discard)
	if f := fault(t, err); r.Lines != 1 || f.Kind != proto.KindCancelled {
		t.Errorf("%+v, %+v", r, f)
	}
	for want, in := range map[string]PrintArgs{
		`print: no "lines"; expected a list such as ["one", "two"]`: {},
		`print: times: found -1; expected 1 or more`:                {Lines: []string{"a"}, Times: -1},
		`print: "endless" and "times" exclude each other`:           {Lines: []string{"a"}, Times: 1, Endless: true},
	} {
		if _, err := printLines(soon(t), me, in, io.Discard); fault(t, err).Text != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// What waited for too long is full or empty; that the ticket was cancelled is something else.
func TestQueueWaits(t *testing.T) {
	q, wait := newQueue(t, 1), new(Duration(time.Millisecond))
	for _, c := range []struct {
		wait *Duration
		err  error
		kind string
	}{{wait, ipc.ErrFull, proto.KindError}, {new(Duration), ipc.ErrFull, proto.KindError}, {nil, context.Canceled, proto.KindCancelled}} {
		q.TryGet()
		ctx, cancel := context.WithCancel(soon(t))
		go func() {
			for c.wait == nil && q.Putting() == 0 && ctx.Err() == nil { // until it waits
			}
			if c.wait == nil {
				cancel()
			}
		}()
		put, err := queuePut(ctx, me, PutArgs{Queue: q, Items: []any{"a", "b"}, Wait: c.wait}, io.Discard)
		if f := fault(t, err); !errors.Is(err, c.err) || f.Kind != c.kind || put.Put != 1 || !strings.HasPrefix(f.Text, "queue.put: q: item 2 of 2: ") {
			t.Errorf("put %+v, %v (%+v)", put, err, f)
		}
		cancel()
	}
	q.TryGet()
	got, err := queueGet(soon(t), me, GetArgs{Queue: q, Wait: wait}, io.Discard)
	if f := fault(t, err); !errors.Is(err, ipc.ErrEmpty) || got.Count != 0 || f.Text != "queue.get: q: after 0 items: ipc: queue is empty" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestQueueClosesAndJoins(t *testing.T) {
	q := newJoinable(t)
	if _, err := queuePut(soon(t), me, PutArgs{Queue: q, Items: []any{1, 2, 3}, Close: true}, io.Discard); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := queueJoin(ended, me, JoinArgs{Queue: q}, io.Discard); err == nil || err.Error() != "queue.join: j: 3 items not finished: context canceled" {
		t.Errorf("join: %v", err)
	}
	if _, err := queueGet(soon(t), me, GetArgs{Queue: q, Count: 1}, io.Discard); err != nil {
		t.Error(err)
	}
	r, err := queueClose(soon(t), me, CloseArgs{Queue: q, Now: true}, io.Discard)
	if err != nil || r.Left != 0 {
		t.Errorf("close: %+v, %v", r, err)
	}
	if _, err := queueJoin(soon(t), me, JoinArgs{Queue: q, Close: true}, io.Discard); err != nil {
		t.Errorf("join: %v", err)
	}
}

// A command that fails does not keep the others from being run, and the error tells how many there were.
func TestQueueExec(t *testing.T) {
	q := newJoinable(t)
	if _, err := queuePut(soon(t), me, PutArgs{Queue: q, Items: []any{"0", int64(3), "0", nil}}, io.Discard); err != nil {
		t.Fatal(err)
	}
	in := QueueExecArgs{Queue: q, UntilNull: true, ExecArgs: ExecArgs{Command: []string{"sh", "-c", `echo "item $0"; exit $0`}}}
	var out bytes.Buffer
	r, err := queueExec(soon(t), me, in, &out, io.Discard)
	f := fault(t, err)
	if r.Done != 2 || r.Failed != 1 || f.Kind != proto.KindExitStatus || !strings.Contains(f.Text, "1 of 3 items failed, the first was: item 3: ") {
		t.Errorf("%+v, %v", r, err)
	}
	if out.String() != "item 0\nitem 3\nitem 0\n" {
		t.Errorf("printed %q", &out)
	}
	if left, err := q.Unfinished(); left != 0 || err != nil {
		t.Errorf("%d unfinished, %v", left, err)
	}
}

// after and then put tasks in order that know nothing of each other.
func TestAfterAndThen(t *testing.T) {
	ctx, q := soon(t), newQueue(t, 0)
	e := made[*ipc.Event](t)(ipc.NewEvent("e"))
	defer e.Close()
	second := make(chan error, 1)
	go func() {
		_, err := queuePut(ctx, me, PutArgs{Queue: q, Items: []any{"second"}, After: e, Close: true}, io.Discard)
		second <- err
	}()
	for e.Waiting() == 0 && ctx.Err() == nil { // until the other one waits
	}
	if _, err := queuePut(ctx, me, PutArgs{Queue: q, Items: []any{"first"}, Then: e}, io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	got, err := queueGet(ctx, me, GetArgs{Queue: q}, io.Discard)
	if want := []any{"first", "second"}; err != nil || !reflect.DeepEqual(got.Items, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// A sum is refused when it is no number of the type, and only then.
func TestSums(t *testing.T) {
	for _, x := range []struct {
		a, b int64
		ok   bool
	}{
		{1, -2, true}, {0, 0, true}, {math.MaxInt64, 0, true}, {math.MaxInt64, 1, false},
		{math.MinInt64, -1, false}, {math.MinInt64, math.MaxInt64, true},
	} {
		if sum, ok := plus(x.a, x.b); ok != x.ok || ok && sum != x.a+x.b {
			t.Errorf("%d and %d: %d, %v", x.a, x.b, sum, ok)
		}
	}
	for _, x := range []struct {
		a, b float64
		ok   bool
	}{
		{0.5, -1, true}, {1e17, -1, true}, {-1e17, 1, true}, {1e300, -1e-300, true},
		{1e308, 1e308, false}, {-1e308, -1e308, false},
	} {
		if sum, ok := plus(x.a, x.b); ok != x.ok || ok && sum != x.a+x.b {
			t.Errorf("%g and %g: %g, %v", x.a, x.b, sum, ok)
		}
	}
}

func TestConditionWait(t *testing.T) {
	ctx := soon(t)
	c := made[*ipc.Condition](t)(ipc.NewCondition("c", nil))
	v := made[*ipc.Value[float64]](t)(ipc.NewValue("v", 0.5))
	defer c.Close()
	defer v.Close()
	waited := make(chan ValueResult, 1)
	go func() {
		r, err := conditionWait(ipc.WithOwner(ctx), me, ConditionArgs{Condition: c, Value: v, AtLeast: int64(2)}, io.Discard)
		if err != nil {
			t.Error(err)
		}
		waited <- r
	}()
	for c.Waiting() == 0 && ctx.Err() == nil { // until it waits
	}
	if r, err := valueAdd(ipc.WithOwner(ctx), me, AddArgs{Value: v, By: 0.75, Times: 2, Notify: c}, io.Discard); err != nil || r.Value != 2.0 {
		t.Errorf("add: %+v, %v", r, err)
	}
	if r := <-waited; r.Value != 2.0 {
		t.Errorf("waited: %+v", r)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err := conditionWait(ended, me, ConditionArgs{Condition: c, Value: v, AtLeast: 2.5}, io.Discard)
	if err == nil || err.Error() != "condition.wait: v is 2, waiting for 2.5: context canceled" {
		t.Errorf("got %v", err)
	}
}

// A lock, an rlock, or the lock of something else, is held while the command runs, and free afterwards.
func TestLockExec(t *testing.T) {
	ctx := soon(t)
	cond := made[*ipc.Condition](t)(ipc.NewCondition("c", nil))
	v := made[*ipc.Value[int64]](t)(ipc.NewValue[int64]("v", 0))
	for _, l := range []any{newLock(t), cond.Lock(), cond, v} {
		in := LockExecArgs{Lock: l, ExecArgs: sh(`echo "$LOCK_TOKEN $LOCK_OWNER_DIED $A"; exit $B`)}
		in.Env = map[string]string{"A": "a", "B": "3"}
		_, err := lockExec(ctx, me, in, io.Discard, io.Discard)
		if f := fault(t, err); value(t, f).Exit != 3 {
			t.Errorf("%T: %+v", l, f)
		}
		in.Env["B"] = "0"
		r, err := lockExec(ctx, me, in, io.Discard, io.Discard)
		if want := fmt.Sprintf("%d 0 a\n", r.Token); err != nil || r.Stdout != want || r.OwnerDied {
			t.Errorf("%T: %+v, %v; want %q", l, r, err, want)
		}
		if len(in.Env) != 2 {
			t.Errorf("the ticket's own arguments were changed: %v", in.Env)
		}
	}
	_, err := lockExec(ctx, me, LockExecArgs{Lock: "m", ExecArgs: sh("")}, io.Discard, io.Discard)
	if want := `lock.exec: lock: found string "m"; expected a lock such as {"$shared": "name"}`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// Several locks are taken in their order, with something between; all are free afterwards, also when one is not to be had.
func TestLockExecOfSeveral(t *testing.T) {
	ctx := soon(t)
	a, b := newLock(t), newLock(t)
	met := made[*ipc.Event](t)(ipc.NewEvent("met"))
	met.Set()
	free := func() {
		t.Helper()
		for _, l := range []*ipc.Lock{a, b} {
			held, ok, err := l.TryAcquire()
			if !ok || err != nil {
				t.Fatalf("held: %v", err)
			}
			held.Release()
		}
	}
	for _, between := range []any{nil, "1ms", met} {
		in := LockExecArgs{Lock: []any{a, b}, Between: between, ExecArgs: sh(`echo "$LOCK_TOKEN"`)}
		r, err := lockExec(ctx, me, in, io.Discard, io.Discard)
		if want := fmt.Sprintln(r.Token); err != nil || r.Stdout != want || r.Token == 0 {
			t.Errorf("%+v, %v; want %q", r, err, want)
		}
		free()
	}
	for want, in := range map[string]LockExecArgs{
		`lock.exec: lock: found an empty list; expected one lock or more`:                                {Lock: []any{}},
		`lock.exec: lock: found an event; expected a lock such as {"$shared": "name"}`:                   {Lock: []any{a, met}},
		`lock.exec: between: found a lock; expected a duration such as "30s", an event or a barrier`:     {Lock: []any{a, b}, Between: a},
		`lock.exec: between: found string "1"; expected a duration such as "30s", an event or a barrier`: {Lock: []any{a, b}, Between: "1"},
		`lock.exec: between: found 1; expected a duration such as "30s", an event or a barrier`:          {Lock: []any{a, b}, Between: 1},
	} {
		in.ExecArgs = sh("")
		if _, err := lockExec(ctx, me, in, io.Discard, io.Discard); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		free()
	}
}

func TestSharedTasksRefuse(t *testing.T) {
	ctx, q := soon(t), newQueue(t, 0)
	v := made[*ipc.Value[int64]](t)(ipc.NewValue[int64]("v", 0))
	l := newLock(t)
	check := func(err error, want string) {
		t.Helper()
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	_, err := queuePut(ctx, me, PutArgs{Queue: q}, io.Discard)
	check(err, `queue.put: no "items"; expected a list such as [1, "two", null]`)
	_, err = queuePut(ctx, me, PutArgs{Queue: q, Items: []any{l}}, io.Discard)
	check(err, "queue.put: item 1 is or has a shared object in it; a queue holds values only")
	_, err = queueGet(ctx, me, GetArgs{Queue: q, Count: -1}, io.Discard)
	check(err, "queue.get: count: found -1; expected 1 or more, or none at all")
	_, err = valueAdd(ctx, me, AddArgs{Value: v, Lock: l, Unlocked: true}, io.Discard)
	check(err, `value.add: found "lock" and "unlocked"; expected one of them`)
	_, err = valueAdd(ctx, me, AddArgs{Value: v, Times: -1}, io.Discard)
	check(err, `value.add: times: found -1; expected 1 or more`)
	_, err = valueSet(ctx, me, SetArgs{Value: v}, io.Discard)
	check(err, `value.set: no "to"; expected a number`)
	_, err = valueSet(ctx, me, SetArgs{Value: v, To: uint64(1 << 63)}, io.Discard)
	check(err, `value.set: to: found 9223372036854775808; expected a whole number of 64 bits`)
	_, err = semaphoreExec(ctx, me, SemaphoreExecArgs{Semaphore: l, ExecArgs: sh("")}, io.Discard, io.Discard)
	check(err, `semaphore.exec: semaphore: found a lock; expected a semaphore such as {"$shared": "name"}`)
	m := made[*ipc.SharedMemory](t)(ipc.NewSharedMemory(1 << 40))
	defer m.Close()
	_, err = memoryRead(ctx, me, ReadArgs{Memory: m}, io.Discard)
	check(err, `memory.read: found 1099511627776 bytes; expected at most 67104768, which is what a result can hold`)
	in := sh("")
	in.Stdout = l
	_, err = run(ctx, me, in, io.Discard, io.Discard)
	check(err, `exec: stdout: found a lock; expected a file such as {"$shared": "name"}`)
}
