package stock

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
	"github.com/seed-185a7250/multiproc/supervisor"
)

// newProxies returns what makes objects of a manager, as tasks get them.
func newProxies(t *testing.T) func(kind string, args ...any) *ipc.Proxy {
	t.Helper()
	m, err := supervisor.StartManager(context.Background(), supervisor.ManagerOptions{Inside: true})
	if err != nil {
		t.Fatal(err)
	}
	c, err := m.Connect(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if err := m.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return func(kind string, args ...any) *ipc.Proxy {
		return made[*ipc.Proxy](t)(ipc.NewProxy(soon(t), c, kind, ipc.ManagedOptions{Name: kind, Keep: true}, args...))
	}
}

func TestManagedQueueTasks(t *testing.T) {
	proxies := newProxies(t)
	q := proxies("lifo_queue", 3)
	var out bytes.Buffer
	put, err := queuePut(soon(t), me, PutArgs{Queue: q, Items: []any{int64(1), "two", nil}}, &out)
	if err != nil || put.Put != 3 || !strings.Contains(out.String(), "put 3 items into lifo_queue") {
		t.Errorf("put %+v, %v: %s", put, err, &out)
	}
	for _, wait := range []Duration{0, 1} {
		if _, err := queuePut(soon(t), me, PutArgs{Queue: q, Items: []any{4}, Wait: &wait}, &out); !errors.Is(err, ipc.ErrFull) {
			t.Errorf("into a full queue, waiting %d ns: %v", wait, err)
		}
	}
	got, err := queueGet(soon(t), me, GetArgs{Queue: q, Count: 3}, &out)
	if err != nil || !slices.Equal(got.Items, []any{nil, "two", int64(1)}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := queueJoin(soon(t), me, JoinArgs{Queue: q}, &out); err != nil {
		t.Errorf("join: %v", err)
	}
	none := Duration(0)
	if _, err := queueGet(soon(t), me, GetArgs{Queue: q, Count: 1, Wait: &none}, &out); !errors.Is(err, ipc.ErrEmpty) {
		t.Errorf("from an empty queue: %v", err)
	}
	if _, err := queueClose(soon(t), me, CloseArgs{Queue: q}, &out); err != nil {
		t.Errorf("close: %v", err)
	}
	if got, err := queueGet(soon(t), me, GetArgs{Queue: q}, &out); err != nil || got.Count != 0 {
		t.Errorf("from a closed queue: %+v, %v", got, err)
	}
}

func TestManagedLockTask(t *testing.T) {
	proxies := newProxies(t)
	for _, kind := range []string{"lock", "rlock"} {
		in := LockExecArgs{Lock: proxies(kind), ExecArgs: ExecArgs{Command: []string{"sh", "-c", "echo $LOCK_TOKEN"}, Quiet: true}}
		for want := range 2 {
			var out, errs bytes.Buffer
			r, err := lockExec(soon(t), me, in, &out, &errs)
			if err != nil || r.Token != uint64(want+1) || r.Exit != 0 || r.OwnerDied {
				t.Errorf("%s: %+v, %v", kind, r, err)
			}
		}
	}
}

func TestCollectionTasks(t *testing.T) {
	proxies := newProxies(t)
	d, l := proxies("dict"), proxies("list")
	var out bytes.Buffer
	for range 2 {
		if _, err := dictAdd(soon(t), me, DictArgs{Dict: d, Key: "n", By: 1.5, Times: 2}, &out); err != nil {
			t.Error(err)
		}
	}
	r, err := dictSet(soon(t), me, DictArgs{Dict: d}, &out)
	if err != nil || r.Value != "me" {
		t.Errorf("set: %+v, %v", r, err)
	}
	if r, err := dictGet(soon(t), me, DictArgs{Dict: d, Key: r.PID}, &out); err != nil || r.Value != "me" {
		t.Errorf("get: %+v, %v", r, err)
	}
	if r, err := dictGet(soon(t), me, DictArgs{Dict: d}, &out); err != nil || len(r.Items) != 2 || r.Items[0] != [2]any{"n", 6.0} {
		t.Errorf("get all: %+v, %v", r, err)
	}
	if r, err := listAppend(soon(t), me, ListArgs{List: l, Items: []any{int64(1), nil}}, &out); err != nil || r.Length != 2 {
		t.Errorf("append: %+v, %v", r, err)
	}
	if r, err := listGet(soon(t), me, ListArgs{List: l}, &out); err != nil || !slices.Equal(r.Items, []any{int64(1), nil}) {
		t.Errorf("get: %+v, %v", r, err)
	}
}

// What does not fit is told in the words of the job file, and is not tried again.
func TestManagedArguments(t *testing.T) {
	proxies := newProxies(t)
	d, e := proxies("dict"), proxies("event")
	var out bytes.Buffer
	run := ExecArgs{Command: []string{"true"}}
	for want, try := range map[string]func() error{
		`queue.get: queue: found "dict" of a manager; expected a queue`: func() error {
			_, err := queueGet(soon(t), me, GetArgs{Queue: d}, &out)
			return err
		},
		`lock.exec: lock: found "event" of a manager; expected a lock`: func() error {
			_, err := lockExec(soon(t), me, LockExecArgs{Lock: e, ExecArgs: run}, &out, &out)
			return err
		},
		`dict.set: dict: found "event" of a manager; expected a dict`: func() error {
			_, err := dictSet(soon(t), me, DictArgs{Dict: e}, &out)
			return err
		},
		`list.get: no "list"; expected a list`: func() error {
			_, err := listGet(soon(t), me, ListArgs{}, &out)
			return err
		},
		`dict.add: times: found -1`: func() error {
			_, err := dictAdd(soon(t), me, DictArgs{Dict: d, Times: -1}, &out)
			return err
		},
	} {
		err := try()
		fault, ok := errors.AsType[*proto.Fault](err)
		if !ok || fault.Kind != proto.KindArguments || !strings.Contains(fault.Text, want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
