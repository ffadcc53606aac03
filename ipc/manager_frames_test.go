package ipc

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// setStock sets how much frames may have in all.
func (m *Manager) setStock(n int) {
	m.frames.mu.Lock()
	defer m.frames.mu.Unlock()
	m.frames.free = n
}

// Half frames of many clients cost a bounded amount of memory, and those of others come in.
func TestManagerHalfFrames(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{Limits: ManagerLimits{Frame: 16 << 20}})
	m.setStock(32 << 20)
	good := dialManager(t, path)
	half := append(proto.AppendHeader(nil, proto.Header{Length: 16 << 20}), make([]byte, 5<<20)...)
	before := heap()
	for range 40 { // each would have 8 MiB in memory
		f := dialManager(t, path)
		go f.conn.WriteFrames(half)
	}
	eventually(t, "those that have no part wait", func() bool {
		m.frames.mu.Lock()
		defer m.frames.mu.Unlock()
		return len(m.frames.waiting) >= 40-3
	})
	if n := heap() - before; n > 64<<20 {
		t.Errorf("%d MiB for half frames of which there may be 48 MiB", n>>20)
	}
	begin := time.Now()
	id := good.create("value", nil, make([]byte, 15<<20))
	if t1 := time.Since(begin); t1 > 3*slowAfter {
		t.Errorf("a smaller frame waited for %v", t1)
	}
	want(t, len(good.call(id, "get").([]byte)), 15<<20)
}

func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// Many that send large frames at once get them in, one after another, and nobody has to go.
func TestManagerLargeFrames(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{Limits: ManagerLimits{Frame: 16 << 20}})
	m.setStock(1 << 20)
	params, err := proto.Marshal([]any{"value", []any{nil, make([]byte, 12<<20)}, none})
	if err != nil {
		t.Fatal(err)
	}
	request := proto.AppendRequest(nil, 2, proto.MethodCreate, params.Bytes)
	var wg sync.WaitGroup
	for range 12 {
		f := dialManager(t, path)
		wg.Go(func() {
			if err := f.conn.WriteFrame(nil, request); err != nil {
				t.Error(err)
			} else if _, err := f.answer(2); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	eventually(t, "all of the stock is back", func() bool {
		m.frames.mu.Lock()
		defer m.frames.mu.Unlock()
		f := m.frames
		return f.free == 1<<20 && len(f.has) == 0 && len(f.waiting) == 0 && f.beyond == nil
	})
}

// A manager that ends does not wait for frames that wait for others.
func TestManagerFramesEnd(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{Limits: ManagerLimits{Frame: 16 << 20}})
	m.setStock(1 << 20)
	var all []*foreign
	for range 4 {
		f := dialManager(t, path)
		go f.conn.WriteFrames(append(proto.AppendHeader(nil, proto.Header{Length: 16 << 20}), make([]byte, 15<<20)...))
		all = append(all, f)
	}
	eventually(t, "some wait", func() bool {
		m.frames.mu.Lock()
		defer m.frames.mu.Unlock()
		return len(m.frames.waiting) > 0
	})
	m.Close()
	for _, f := range all {
		if _, err := f.conn.recv(context.Background()); !errors.Is(err, io.EOF) && !errors.Is(err, ErrBroken) {
			t.Errorf("the connection did not end: %v", err)
		}
	}
}
