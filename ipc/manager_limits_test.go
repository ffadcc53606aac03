package ipc

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// What waits counts for its connection, and keeps nothing else of its frame.
func TestManagerPendingMemory(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{Limits: ManagerLimits{Memory: 4 << 20}})
	a := dialManager(t, path)
	d, e := a.create("dict"), a.create("event")
	operand := bytes.Repeat([]byte{1}, 1<<20)
	var calls []uint64
	for range 3 {
		calls = append(calls, a.start(d, "wait", []any{"key", "==", operand}, none))
	}
	last := a.start(d, "wait", []any{"key", "==", operand}, none)
	v, err := a.answer(last)
	wantFault(t, proto.KindTooMany, v, err)
	a.must(proto.MethodCancel, calls[0], none)
	last = a.start(d, "wait", []any{"key", "==", operand}, map[string]any{"timeout_ms": 1})
	v, err = a.answer(last)
	wantFault(t, proto.KindTimeout, v, err)
	for _, call := range calls[1:] {
		a.must(proto.MethodCancel, call, none)
	}
	before := heap()
	for range 100 {
		a.start(e, "wait", nil, map[string]any{"acme.junk": operand})
	}
	eventually(t, "a hundred wait", m.look(func() bool { return m.stats.waiting == 100 }))
	if n := heap() - before; n > 20<<20 {
		t.Errorf("100 calls that wait for an event have %d MiB", n>>20)
	}
}

// Objects count, also those on which their maker has no lease.
func TestManagerObjectMemory(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{Limits: ManagerLimits{Memory: 100 * objectBytes, Objects: 10}})
	a := dialManager(t, path)
	n := 0
	for ; n < 1000; n++ {
		v, err := a.do(proto.MethodCreate, "event", []any{}, map[string]any{"keep": true})
		if err != nil {
			wantFault(t, proto.KindTooMany, v, err)
			break
		}
		a.must(proto.MethodDecref, v.([]any)[0], 1, none)
	}
	want(t, n, 100)
	a.must(proto.MethodKeep, 1, false, none)
	a.create("event")
}

// One connection cannot fill the memory of all by leaving values behind.
func TestManagerTotal(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{Limits: ManagerLimits{Memory: 3 << 20, Total: 8 << 20}})
	n := 0
	for ; n < 20; n++ {
		a := dialManager(t, path)
		v, err := a.do(proto.MethodCreate, "value", []any{nil, make([]byte, 2<<20)}, map[string]any{"keep": true})
		if err != nil {
			wantFault(t, proto.KindTooMany, v, err)
			break
		}
		a.conn.Close()
	}
	want(t, n, 3)
}

// Deposits are bounded, by connection and in all, and what is refused is closed.
func TestManagerDescriptors(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{Limits: ManagerLimits{Descriptors: 5, Objects: 100}})
	m.lock()
	m.mostDescriptors = 8
	m.unlock()
	l, err := NewLock(LockOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	before := len(openFDs(t))
	a, b := dialManager(t, path), dialManager(t, path)
	for _, c := range []struct {
		f    *foreign
		most int
	}{{a, 5}, {b, 3}} {
		n := 0
		for ; n < 10; n++ {
			if v, err := c.f.do(proto.MethodDeposit, l, none); err != nil {
				wantFault(t, proto.KindTooMany, v, err)
				break
			}
		}
		want(t, n, c.most)
	}
	// Both ends of two connections besides; what was refused is closed when it has been answered.
	eventually(t, "descriptors of 8 deposits and 2 connections are open", func() bool { return len(openFDs(t))-before == 8+4 })
	a.conn.Close()
	eventually(t, "the deposits have gone", m.look(func() bool { return m.stats.descriptors == 3 }))
	b.must(proto.MethodDeposit, l, none)
}

// Answers that nobody reads are bounded in all; who reads gets his.
func TestManagerUnread(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{Limits: ManagerLimits{Frame: 4 << 20, Unread: 4 << 20}})
	m.lock()
	m.unread.most = 32 << 20
	m.unlock()
	good := dialManager(t, path)
	id := good.create("value", nil, make([]byte, 3<<20))
	var deaf []*foreign
	for range 30 {
		f := dialManager(t, path)
		f.start(id, "get", nil, none)
		f.start(id, "get", nil, none)
		deaf = append(deaf, f)
	}
	most := int64(0)
	eventually(t, "the good client is answered", func() bool {
		v, err := good.do(proto.MethodCall, id, "get", []any{}, none)
		if most = max(most, m.unread.bytes.Load()); err != nil {
			wantFault(t, proto.KindTooLarge, v, err)
			return false
		}
		return len(v.([]byte)) == 3<<20
	})
	if most > 33<<20 {
		t.Errorf("%d MiB of answers were unread", most>>20)
	}
	for _, f := range deaf {
		f.conn.Close()
	}
	eventually(t, "all is read or dropped", func() bool { return m.unread.bytes.Load() == 0 })
}

// latency asks good for a ping again and again until stop is closed, and returns the longest.
func latency(good *foreign, stop chan struct{}) (all []time.Duration) {
	for {
		select {
		case <-stop:
			return all
		default:
			begin := time.Now()
			good.must(proto.MethodPing, none)
			all = append(all, time.Since(begin))
		}
	}
}

// Somebody who keeps the manager busy, with batches or with all that he can ask at once, has
// turns as others have: they wait for one of his calls, or for as much of a batch as is allowed.
func TestManagerTurns(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	bad, good := dialManager(t, path), dialManager(t, path)
	numbers := make([]any, 300_000)
	for i := range numbers {
		numbers[i] = rand.Int32()
	}
	id := bad.create("list", numbers)
	one := time.Now()
	want(t, bad.call(id, "count", -1), int64(0))
	each := time.Since(one)
	busy := func(name string, most time.Duration, f func()) {
		stop := make(chan struct{})
		var all []time.Duration
		var wg sync.WaitGroup
		wg.Go(func() { all = latency(good, stop) })
		f()
		close(stop)
		wg.Wait()
		longest := time.Duration(0)
		for _, l := range all {
			longest = max(longest, l)
		}
		t.Logf("%s: %d pings, the longest %v (a call of the other takes %v)", name, len(all), longest, each)
		if longest > most {
			t.Errorf("%s: a ping took %v", name, longest)
		}
	}
	busy("pipelined", 30*each+time.Second/5, func() {
		var frames []byte
		for i := range 100 {
			p, _ := proto.Marshal([]any{id, "count", []any{-1}, none})
			frames = append(frames, framed(proto.AppendRequest(nil, uint64(1000+i), proto.MethodCall, p.Bytes))...)
		}
		if err := bad.conn.WriteFrames(frames); err != nil {
			t.Error(err)
		}
		for i := range 100 {
			if v, err := bad.answer(uint64(1000 + i)); err != nil || v != int64(0) {
				t.Errorf("got %v, %v", v, err)
			}
		}
	})
	busy("batch", 30*each+2*maxBatchTime, func() {
		calls := make([]any, 65_000)
		for i := range calls {
			calls[i] = []any{id, "count", []any{-1}}
		}
		begin := time.Now()
		got := bad.must(proto.MethodBatch, calls, none).([]any)
		want(t, len(got), len(calls))
		want(t, got[0], []any{nil, int64(0)})
		want(t, fmt.Sprint(got[len(got)-1].([]any)[0].([]any)[0]), proto.KindTooMany)
		t.Logf("the batch took %v", time.Since(begin))
	})
}
