package ipc

import (
	"context"
	"testing"
)

// The helper "manager" serves a manager at the path that it is told.
func init() { helpers["manager"] = serveManager }

func serveManager(c *Conn) error {
	ctx := context.Background()
	var path string
	if err := c.Recv(ctx, &path); err != nil {
		return err
	}
	m, err := NewManager(ManagerOptions{})
	if err != nil {
		return err
	}
	defer m.Close()
	l, err := Listen(path, ConnOptions{})
	if err != nil {
		return err
	}
	defer l.Close()
	if err := c.Send(ctx, "listening"); err != nil {
		return err
	}
	go m.Serve(ctx, l)
	return c.Recv(ctx, &path)
}

// startManager starts a manager in another process.
func startManager(t testing.TB) (m *child, path string) {
	t.Helper()
	path = t.TempDir() + "/manager.sock"
	m = start(t, "manager")
	m.send(path)
	m.expect("listening")
	return m, path
}

// One client of a manager in another process. What is counted is operations; for lock, pairs of acquire and release.
func BenchmarkClient(b *testing.B) {
	_, path := startManager(b)
	c := connect(b, path, ConnectOptions{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	d := make1[*Dict[string, int]](b)(NewDict[string, int](ctx, c, ManagedOptions{}))
	if err := d.Set(ctx, "key", 1); err != nil {
		b.Fatal(err)
	}
	each := func(name string, op func() error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := op(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	each("get", func() error { _, err := d.Get(ctx, "key"); return err })
	each("set", func() error { return d.Set(ctx, "key", 2) })
	l := make1[*ManagedLock](b)(NewManagedLock(ctx, c, ManagedOptions{}))
	each("lock", func() error {
		h, err := l.Acquire(ctx)
		if err != nil {
			return err
		}
		return h.Release()
	})
	q := make1[*ManagedQueue[int]](b)(NewManagedQueue[int](ctx, c, ManagedOptions{}, FIFO, 0))
	each("put and get", func() error {
		if err := q.Put(ctx, 1); err != nil {
			return err
		}
		_, err := q.Get(ctx)
		return err
	})
	b.Run("get, 16 deep", func(b *testing.B) { benchDeep(ctx, b, d) })
	b.Run("get, in batches of 100", func(b *testing.B) {
		b.ReportAllocs()
		batch := c.Batch()
		for range 100 {
			batch.Add(Numbered(d.ID()), "get", "key")
		}
		for i := 0; i < b.N; i += 100 {
			if _, err := batch.Do(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("get, 8 goroutines", func(b *testing.B) {
		b.SetParallelism(4)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := d.Get(ctx, "key"); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

func benchDeep(ctx context.Context, b *testing.B, d *Dict[string, int]) {
	b.ReportAllocs()
	var window [16]*Pending
	for i := range b.N {
		if p := window[i%16]; p != nil {
			if _, err := Await[int](ctx, p); err != nil {
				b.Fatal(err)
			}
		}
		window[i%16] = d.Start("get", "key")
	}
	for _, p := range window {
		if p != nil {
			p.Wait(ctx)
		}
	}
}
